//! Lines of `siskin speak` and `siskin latents`.

use std::borrow::Cow;

use serde::Serialize;

/// `siskin speak`.
#[derive(Debug, Serialize)]
#[serde(tag = "verb", rename = "speak")]
pub(crate) struct Speak<'a> {
    pub(crate) output: Cow<'a, str>,
    pub(crate) voices: &'a str,
    pub(crate) voice: &'a str,
    pub(crate) language: &'a str,
    pub(crate) engine: &'static str,
    pub(crate) sample_rate: u32,
    pub(crate) samples: u64,
    pub(crate) seconds: f64,
    pub(crate) sentences: u64,
    pub(crate) sentences_without_sound: u64,
    pub(crate) skipped_bytes: u64,
    pub(crate) words: u64,
    pub(crate) load_seconds: f64,
    pub(crate) first_audio_seconds: Option<f64>,
    pub(crate) elapsed_seconds: f64,
    pub(crate) peak_memory_bytes: Option<u64>,
    pub(crate) speed: f64,
}

/// A line of the file of `siskin speak --words FILE.jsonl`, which is no event of the program and has no type.
#[derive(Debug, Serialize)]
pub(crate) struct Word<'a> {
    pub(crate) text: &'a str,
    pub(crate) start: f64,
    pub(crate) end: f64,
}

/// `siskin latents export` and `siskin latents decode`.
#[derive(Debug, Serialize)]
pub(crate) struct Latents<'a> {
    pub(crate) verb: &'a str,
    pub(crate) input: Cow<'a, str>,
    pub(crate) output: Cow<'a, str>,
    pub(crate) samples: u64,
    pub(crate) seconds: f64,
    pub(crate) frames: usize,
    pub(crate) dim: usize,
    pub(crate) elapsed_seconds: f64,
}
