//! Manifests: lists of recordings with their text and speakers.

mod json_fields;
mod kaldi;
mod lhotse;
mod lines;
mod nemo;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use siskin_error::{Error, Result};

use crate::utterance::{Sound, Utterance};

/// What names of utterances do not begin with.
const SEPARATORS: [char; 2] = ['/', '\\'];

/// A format of manifests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ManifestFormat {
    /// Lhotse: JSON lines of cuts, or of recordings with a file of supervisions beside it.
    Lhotse,
    /// Kaldi: a data directory with `wav.scp`, and `segments`, `text`, `utt2spk` where there are such.
    Kaldi,
    /// NeMo: JSON lines with `audio_filepath`.
    Nemo,
}

impl ManifestFormat {
    /// All formats.
    pub const ALL: [Self; 3] = [Self::Lhotse, Self::Kaldi, Self::Nemo];

    /// The format's name in commands.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lhotse => "lhotse",
            Self::Kaldi => "kaldi",
            Self::Nemo => "nemo",
        }
    }

    /// The format of what is at a path, as far as it is one of them: a folder with `wav.scp`, or a text file, compressed or
    /// not, whose first line is an object with the keys of one.
    ///
    /// # Errors
    /// [`Error::Io`] where the path cannot be read.
    pub fn detect(path: &Path) -> Result<Option<Self>> {
        if path.is_dir() {
            return Ok(path.join("wav.scp").is_file().then_some(Self::Kaldi));
        }
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_ascii_lowercase();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        // Media files are not looked into; a name like one of these is not theirs.
        if ![".json", ".jsonl", ".ndjson"].iter().any(|ending| name.ends_with(ending)) {
            return Ok(None);
        }
        let mut found = None;
        let mut is_first = true;
        let walked = lines::for_each_line(path, |_, line| {
            if std::mem::take(&mut is_first) {
                found = kind_of_line(line);
            }
            // Only the first line counts; there is no other way out of the walk than an error.
            Err(Error::Stopped)
        });
        match walked {
            Ok(()) | Err(Error::Stopped) => Ok(found),
            Err(error) => Err(error),
        }
    }
}

fn kind_of_line(line: &[u8]) -> Option<ManifestFormat> {
    let value: serde_json::Value = serde_json::from_slice(line).ok()?;
    let has = |key: &str| value.get(key).is_some();
    if has("audio_filepath") {
        Some(ManifestFormat::Nemo)
    } else if has("id") && (has("recording") || has("sources") || has("start") || has("type")) {
        Some(ManifestFormat::Lhotse)
    } else {
        None
    }
}

/// What a manifest lists.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Manifest {
    /// The utterances in the manifest's order. Those that cannot be read, because a line is broken or the sound is behind a
    /// command, are [`Sound::Refused`] with the reason, so that a run lists them as failures and does the others.
    pub utterances: Vec<Utterance>,
}

/// Reads a manifest. Paths in it that are not absolute are taken from the manifest's folder, and from the working directory
/// where there is no such file.
///
/// # Errors
/// [`Error::Io`] where a file cannot be read, [`Error::Corpus`] for a file that has no usable line at all or whose lines are
/// beyond the limits.
pub fn read_manifest(path: &Path, format: ManifestFormat) -> Result<Manifest> {
    let mut utterances = match format {
        ManifestFormat::Lhotse => lhotse::read(path)?,
        ManifestFormat::Kaldi => kaldi::read(path)?,
        ManifestFormat::Nemo => nemo::read(path)?,
    };
    let is_broken = |u: &Utterance| u.id.starts_with(BROKEN_LINE);
    if let Some(first) = utterances.first()
        && utterances.iter().all(is_broken)
        && let Sound::Refused(reason) = &first.sound
    {
        // Not a single line of the format: a wrong file, and no corpus with some bad lines.
        return Err(Error::corpus(path, None, "manifest", format!("no line of {}: {reason}", format.name())));
    }
    refuse_empty(&mut utterances);
    refuse_doubles(&mut utterances);
    Ok(Manifest { utterances })
}

/// Begins the names of lines that cannot be read.
const BROKEN_LINE: &str = "line ";

/// The entry of a line that cannot be read.
fn broken_line(number: u64, field: &str, reason: impl std::fmt::Display) -> Utterance {
    Utterance::refused(format!("{BROKEN_LINE}{number}"), format!("line {number}: bad {field}: {reason}"))
}

/// An utterance without a name would be a member ".npy" of a shard, at which Lhotse's reader fails and WebDataset's passes by.
fn refuse_empty(utterances: &mut [Utterance]) {
    for (at, utterance) in utterances.iter_mut().enumerate().filter(|(_, u)| u.id.is_empty()) {
        utterance.sound = Sound::Refused(format!("the id of entry {} is empty", at + 1));
    }
}

/// A second utterance of a name would be another's text in a trainer: it is refused and not renamed.
fn refuse_doubles(utterances: &mut [Utterance]) {
    let mut first: HashMap<String, usize> = HashMap::with_capacity(utterances.len());
    for (at, utterance) in utterances.iter_mut().enumerate() {
        if let Some(other) = first.get(&utterance.id) {
            let reason = format!("entry {} has the id {:?} of entry {}", at + 1, utterance.id, other + 1);
            utterance.sound = Sound::Refused(reason);
        } else {
            first.insert(utterance.id.clone(), at);
        }
    }
}

/// What a path or URL in a manifest names.
fn sound_of(folder: &Path, text: &str) -> Sound {
    // What a manifest says is not fetched, as it comes from elsewhere.
    match text.split_once("://") {
        Some(_) if !resolve(folder, text).exists() => {
            Sound::Refused(format!("{text} is a URL, which is not read"))
        }
        _ => Sound::File(resolve(folder, text)),
    }
}

/// Where a path that stands in a manifest leads.
fn resolve(folder: &Path, text: &str) -> PathBuf {
    let beside = folder.join(text);
    // `join` leaves an absolute path as it is.
    if beside.exists() || !Path::new(text).exists() { beside } else { PathBuf::from(text) }
}

/// A name for a file that has none in its manifest: its path without the extension.
fn name_of(text: &str) -> String {
    let stem = Path::new(text).with_extension("");
    stem.to_string_lossy().trim_start_matches(SEPARATORS).to_owned()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new(""))
}
