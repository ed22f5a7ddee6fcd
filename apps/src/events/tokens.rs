//! Lines of `siskin tokens`.

use std::borrow::Cow;

use serde::Serialize;

/// `siskin tokens export`.
#[derive(Debug, Serialize)]
#[serde(tag = "verb", rename = "tokens export")]
pub(crate) struct TokensExport<'a> {
    pub(crate) input: Cow<'a, str>,
    pub(crate) output: Cow<'a, str>,
    pub(crate) format: &'static str,
    pub(crate) files: u64,
    pub(crate) shards: u64,
    pub(crate) skipped: usize,
    pub(crate) failed: u64,
    pub(crate) frames: u64,
    pub(crate) seconds: f64,
    pub(crate) bytes: u64,
    pub(crate) elapsed_seconds: f64,
    pub(crate) speed: f64,
}

/// `siskin tokens import`.
#[derive(Debug, Serialize)]
#[serde(tag = "verb", rename = "tokens import")]
pub(crate) struct TokensImport<'a> {
    pub(crate) input: Cow<'a, str>,
    pub(crate) output: Cow<'a, str>,
    pub(crate) files: u64,
    pub(crate) skipped: usize,
    pub(crate) failed: u64,
    pub(crate) frames: u64,
    pub(crate) seconds: f64,
    pub(crate) bytes: u64,
    pub(crate) elapsed_seconds: f64,
}

/// What `siskin tokens info` tells of a file that can be read.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "tokens")]
pub(crate) struct TokensInfo<'a> {
    pub(crate) file: &'a str,
    pub(crate) format: &'static str,
    pub(crate) ok: bool,
    pub(crate) id: Option<&'a str>,
    pub(crate) model: &'a str,
    pub(crate) model_id: Option<String>,
    pub(crate) model_installed: bool,
    pub(crate) codebooks: usize,
    pub(crate) frames: usize,
    pub(crate) codebook_size: u32,
    pub(crate) frame_rate: f64,
    pub(crate) samples: Option<u64>,
    pub(crate) seconds: Option<f64>,
    pub(crate) text: Option<&'a str>,
    pub(crate) words: usize,
}

/// What `siskin tokens info` tells of a file that it cannot read.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "tokens")]
pub(crate) struct BadTokens<'a> {
    pub(crate) file: &'a str,
    pub(crate) ok: bool,
    pub(crate) error: String,
}

/// What `siskin tokens info` tells of a corpus.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "corpus")]
pub(crate) struct CorpusInfo<'a> {
    pub(crate) file: &'a str,
    pub(crate) format: &'static str,
    pub(crate) ok: bool,
    pub(crate) model: &'a str,
    pub(crate) stages: u8,
    pub(crate) shards: usize,
    pub(crate) planned_shards: usize,
    pub(crate) utterances: u64,
    pub(crate) failed: usize,
    pub(crate) frames: u64,
    pub(crate) seconds: f64,
    pub(crate) bytes: u64,
    pub(crate) missing: Vec<String>,
}
