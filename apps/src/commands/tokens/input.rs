//! What is to be tokenized: a recording, a folder of them, or a manifest.

use std::path::Path;

use anyhow::{Context, Result, bail};
use siskin_core::corpus::{ManifestFormat, Utterance, read_manifest};

use crate::batch;

/// Extensions of the files that are taken out of a folder.
// By extension, since opening every file of a folder to see what it is takes long and takes frames for films.
const MEDIA: [&str; 18] = [
    "wav", "flac", "mp3", "ogg", "oga", "opus", "m4a", "aac", "mka", "mkv", "mp4", "mov", "webm", "aiff",
    "aif", "caf", "wma", "amr",
];

/// The utterances of an input and whether it is more than a single recording.
pub(super) struct Input {
    pub(super) utterances: Vec<Utterance>,
    pub(super) is_many: bool,
}

/// Reads what is at a path; `format` names that of a manifest, which otherwise is seen from its content. Files in the folder
/// `output` are left out: it may lie within the input, and a second run must not take the first one's results.
pub(super) fn read_input(path: &Path, format: Option<ManifestFormat>, output: &Path) -> Result<Input> {
    // A path that is not there is told by whoever opens it, in its own words.
    let format = match format {
        None if path.exists() => ManifestFormat::detect(path).with_context(|| path.display().to_string())?,
        given => given,
    };
    if let Some(format) = format {
        let utterances = read_manifest(path, format)?.utterances;
        if utterances.is_empty() {
            bail!("{} lists no recordings", path.display());
        }
        return Ok(Input { utterances, is_many: true });
    }
    if !path.is_dir() {
        let id = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let utterances = vec![Utterance::whole_file(id, path)];
        return Ok(Input { utterances, is_many: false });
    }
    let jobs = batch::plan_jobs(path, output, "", is_media)?;
    if jobs.is_empty() {
        bail!("{} holds no recordings", path.display());
    }
    let utterances = jobs.into_iter().map(|job| Utterance::whole_file(job.id, job.input)).collect();
    Ok(Input { utterances, is_many: true })
}

fn is_media(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    MEDIA.contains(&extension.as_str())
}
