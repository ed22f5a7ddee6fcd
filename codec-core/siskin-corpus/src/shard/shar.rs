//! Lhotse Shar: `cuts.NAME.jsonl.gz` with the cuts, `target_codes.NAME.tar` with an array and its manifest for each.

use std::io::{BufWriter, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use siskin_audio::tokens::{CodeType, FileFormat, TokenFile};
use siskin_error::{Error, Result};
use tempfile::NamedTempFile;

use super::ShardName;
use super::key::member_key;
use super::tar_file::TarFile;
use crate::utterance::{Encoded, Sound, Utterance};

/// The field of a cut that holds its codes, as NeMo calls it.
const FIELD: &str = "target_codes";

pub(super) struct SharFile {
    cuts: GzEncoder<BufWriter<NamedTempFile>>,
    codes: TarFile,
}

impl SharFile {
    pub(super) fn create(folder: &Path) -> Result<Self> {
        let file = BufWriter::new(super::temporary(folder)?);
        // The encoder's header holds no time unless it is given one.
        Ok(Self { cuts: GzEncoder::new(file, Compression::default()), codes: TarFile::create(folder)? })
    }

    pub(super) fn push(
        &mut self,
        utterance: &Utterance,
        encoded: &Encoded,
        code_type: CodeType,
    ) -> Result<()> {
        let tokens = &encoded.tokens;
        let io_error = |source| Error::Io { path: FIELD.into(), source };
        // The reader compares the names of the files with the ids of the cuts.
        let key = member_key(&utterance.id, true);
        let array = array_manifest(utterance, tokens);
        let codes = tokens.to_bytes_as(FileFormat::Npy, code_type)?;
        // The data first: the reader takes them in pairs.
        self.codes.add(&format!("{key}.npy"), &codes).map_err(io_error)?;
        self.codes.add(&format!("{key}.json"), array.to_string().as_bytes()).map_err(io_error)?;
        let mut line = cut_manifest(&key, utterance, encoded, array).to_string();
        line.push('\n');
        self.cuts.write_all(line.as_bytes()).map_err(io_error)
    }

    /// The finished files with their final names; the cuts last, since a reader that finds cuts looks for their codes.
    pub(super) fn finish(self, name: &ShardName) -> Result<Vec<(NamedTempFile, String)>> {
        let io_error = |source| Error::Io { path: "cuts".into(), source };
        let mut writer = self.cuts.finish().map_err(io_error)?;
        writer.flush().map_err(io_error)?;
        let cuts = writer.into_inner().map_err(|e| io_error(e.into_error()))?;
        Ok(vec![
            (self.codes.finish()?, format!("{FIELD}.{name}.tar")),
            (cuts, format!("cuts.{name}.jsonl.gz")),
        ])
    }
}

/// The codes as a `TemporalArray` of `[K, T]` in place of the utterance.
fn array_manifest(utterance: &Utterance, tokens: &TokenFile) -> Value {
    // The array begins with the cut, so that both are cut alike.
    json!({
        "array": {
            "storage_type": "shar", "storage_path": "", "storage_key": "",
            "shape": [tokens.codebooks, tokens.frames],
        },
        "temporal_dim": 1,
        "frame_shift": 1.0 / tokens.meta.frame_rate.max(f64::MIN_POSITIVE),
        "start": utterance.start,
    })
}

fn cut_manifest(key: &str, utterance: &Utterance, encoded: &Encoded, array: Value) -> Value {
    let tokens = &encoded.tokens;
    let duration = super::duration_of(tokens);
    let recording = utterance.recording_of(encoded);
    let recording_id = recording.as_ref().and_then(|r| r.get("id")).and_then(Value::as_str);
    let recording_id = recording_id.unwrap_or(key);
    let channel = utterance.channel.unwrap_or(0);
    let mut supervision = json!({
        "id": utterance.id, "recording_id": recording_id, "start": 0.0, "duration": duration, "channel": channel,
    });
    let meta = &tokens.meta;
    for (field, value) in [("text", &meta.text), ("speaker", &meta.speaker)] {
        if let Some(value) = value {
            supervision[field] = value.as_str().into();
        }
    }
    let mut custom = json!({ FIELD: array, "model": meta.model });
    if let Sound::File(path) = &utterance.sound {
        custom["audio_filepath"] = path.to_string_lossy().into();
    }
    if let Some(samples) = meta.samples {
        custom["samples"] = samples.into();
    }
    let mut cut = json!({
        "id": key, "start": utterance.start, "duration": duration, "channel": channel,
        "supervisions": [supervision], "custom": custom, "type": "MonoCut",
    });
    if let Some(recording) = &recording {
        cut["recording"] = recording.clone();
    }
    cut
}
