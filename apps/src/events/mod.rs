//! What the verbs write to stdout with `--json`: one object a line, told apart by `type`, results also by `verb`.
//! docs/json.md describes every key, and `tests/json.rs` holds that document to what the program writes.

mod audio;
mod call;
mod features;
mod models;
mod speech;
mod tokens;
mod video;

use serde::Serialize;

pub(crate) use audio::{Bench, Compare, Decode, Encode, Info, Play, Repaired, Share, Verify};
pub(crate) use call::{CallDevice, CallFigures, CallProgress, Ready};
pub(crate) use features::{FeaturesBench, FeaturesDecode, FeaturesEncode, FeaturesInfo};
pub(crate) use models::{BundlePath, FeatureModel, Import, Model, ModelVerify, VideoModel, Voice, Voices};
pub(crate) use speech::{Latents, Speak, Word};
pub(crate) use tokens::{BadTokens, CorpusInfo, TokensExport, TokensImport, TokensInfo};
pub(crate) use video::{
    BenchSide, FitProgress, Realtime, VideoBench, VideoCompare, VideoDecode, VideoDecodeProgress,
    VideoEncode, VideoEncodeProgress, VideoInfo, VideoPlay, VideoVerify,
};

/// The last line of a verb that was carried out.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "result")]
pub(crate) struct Outcome<T> {
    #[serde(flatten)]
    result: T,
}

impl<T: Serialize> Outcome<T> {
    /// The line of a result, whose own tag is `verb`.
    pub(crate) fn new(result: T) -> Self {
        Self { result }
    }
}

/// The last line of a verb that failed.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "error")]
pub(crate) struct Failure<'a> {
    pub(crate) message: &'a str,
    pub(crate) exit_code: u8,
}

/// What the user must know; the verb goes on.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "warning")]
pub(crate) struct Warning<'a> {
    pub(crate) message: &'a str,
}

/// How far a verb that codes sound has come.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "progress")]
pub(crate) struct SoundProgress {
    pub(crate) seconds: f64,
    pub(crate) total_seconds: Option<f64>,
    pub(crate) speed: f64,
    pub(crate) bitrate: f64,
    pub(crate) bytes: u64,
    pub(crate) eta_seconds: Option<f64>,
}

/// How far a verb that works on many files has come.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "progress")]
pub(crate) struct FilesProgress {
    pub(crate) files: u64,
    pub(crate) total_files: u64,
    pub(crate) seconds: f64,
    pub(crate) speed: f64,
    pub(crate) bytes: u64,
    pub(crate) eta_seconds: Option<f64>,
}

/// A fault that `verify` has found.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "fault")]
pub(crate) struct Fault<'a> {
    /// `video` or `audio`.
    pub(crate) track: &'static str,
    pub(crate) packet: u64,
    pub(crate) seconds: f64,
    pub(crate) message: &'a str,
}

/// A sound device of `--list-devices`.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename = "device")]
pub(crate) struct ListedDevice<'a> {
    pub(crate) kind: &'static str,
    pub(crate) name: &'a str,
    pub(crate) default: bool,
}
