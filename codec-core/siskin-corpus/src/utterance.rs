use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use siskin_audio::tokens::{TokenFile, TokenMeta};

/// Where the sound of an utterance is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sound {
    /// A file.
    File(PathBuf),
    /// Something that is not read, with the reason: a command, a URL, a line of a manifest that is broken. It is not left
    /// out silently but becomes a failure of the run.
    Refused(String),
}

/// One recording of a corpus, or a part of one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Utterance {
    /// Unique in the corpus.
    pub id: String,
    /// Where the sound is.
    pub sound: Sound,
    /// Where the utterance begins in the file, in seconds.
    #[serde(default)]
    pub start: f64,
    /// How long it is, in seconds; `None` reads to the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration: Option<f64>,
    /// The channel, from 0; `None` mixes all channels down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<u16>,
    /// The transcript.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// The speaker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaker: Option<String>,
    /// The recording as a Lhotse manifest describes it, passed on to the cuts of a Shar unchanged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recording: Option<serde_json::Value>,
}

impl Utterance {
    /// The whole of a file.
    pub fn whole_file(id: impl Into<String>, path: impl Into<PathBuf>) -> Self {
        Self { sound: Sound::File(path.into()), ..Self::refused(id, "") }
    }

    /// An entry that cannot be read, with the reason.
    pub fn refused(id: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            id: id.into(),
            sound: Sound::Refused(reason.into()),
            start: 0.0,
            duration: None,
            channel: None,
            text: None,
            speaker: None,
            recording: None,
        }
    }

    /// The range of samples `[first, end)` at a rate in Hz; without an end the rest of the file.
    ///
    /// Each edge is rounded by itself, so that utterances which meet in time meet in samples.
    pub fn range(&self, rate: u32) -> (u64, Option<u64>) {
        // Both are checked where they are read: finite, not negative, below a year.
        let place = |seconds: f64| (seconds * f64::from(rate)).round() as u64;
        (place(self.start), self.duration.map(|d| place(self.start + d)))
    }

    /// The metadata of the utterance's codes: `meta` with its name, text and speaker.
    pub fn describe(&self, meta: TokenMeta) -> TokenMeta {
        TokenMeta {
            id: Some(self.id.clone()),
            text: self.text.clone().or(meta.text),
            speaker: self.speaker.clone().or(meta.speaker),
            ..meta
        }
    }
}

/// The codes of an utterance.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Encoded {
    /// Codes `[K, T]`; the metadata names the model and counts samples at its rate.
    pub tokens: TokenFile,
    /// Sample rate of the file in Hz, if it is known; the cuts of a Shar then state the recording.
    pub file_rate: Option<u32>,
}

impl From<TokenFile> for Encoded {
    fn from(tokens: TokenFile) -> Self {
        Self { tokens, file_rate: None }
    }
}

impl Utterance {
    /// The recording as Lhotse describes it: that of the manifest, or what is known of a file that was read as a whole.
    pub(crate) fn recording_of(&self, encoded: &Encoded) -> Option<serde_json::Value> {
        if self.recording.is_some() {
            return self.recording.clone();
        }
        let Sound::File(path) = &self.sound else { return None };
        let meta = &encoded.tokens.meta;
        let (rate, samples) = (encoded.file_rate?, meta.samples?);
        let codec_rate = meta.stream_header.as_ref()?.sample_rate;
        // Of a part of a file nobody knows how long the whole is.
        if self.start > 0.0
            || self.duration.is_some()
            || self.channel.is_some()
            || codec_rate == 0
            || rate == 0
        {
            return None;
        }
        let count = (samples as f64 * f64::from(rate) / f64::from(codec_rate)).round();
        Some(serde_json::json!({
            "id": self.id,
            "sources": [{ "type": "file", "channels": [0], "source": path.to_string_lossy() }],
            "sampling_rate": rate,
            "num_samples": count as u64,
            "duration": count / f64::from(rate),
        }))
    }
}
