//! What is to be tokenized: a recording, a folder of them, or a manifest.

use std::path::Path;

use anyhow::{Context, Result, bail};
use siskin_core::corpus::{ManifestFormat, Utterance, read_manifest};

use crate::batch;

/// Extensions of the files that are taken out of a folder (docs/tokens.md lists them).
// By extension, since opening every file of a folder to see what it is takes long and takes frames for films.
const MEDIA: [&str; 48] = [
    "3gp", "aac", "ac3", "aif", "aifc", "aiff", "amr", "ape", "au", "avi", "caf", "dts", "eac3", "flac",
    "flv", "gsm", "m2ts", "m4a", "m4b", "m4v", "mka", "mkv", "mov", "mp2", "mp3", "mp4", "mpc", "mpeg",
    "mpg", "mts", "mxf", "nist", "nut", "oga", "ogg", "ogv", "opus", "snd", "sph", "spx", "tak", "ts", "tta",
    "w64", "wav", "webm", "wma", "wv",
];

/// The utterances of an input and whether it is more than a single recording.
pub(super) struct Input {
    pub(super) utterances: Vec<Utterance>,
    pub(super) is_many: bool,
    /// What of a folder was not taken, in words.
    pub(super) left_out: Option<String>,
}

/// Reads what is at a path; `format` names that of a manifest, which otherwise is seen from its content. Files in the folder
/// `output` are left out: it may lie within the input, and a second run must not take the first one's results.
pub(super) fn read_input(path: &Path, format: Option<ManifestFormat>, output: &Path) -> Result<Input> {
    batch::check_is_there(path)?;
    let format = match format {
        None if path.exists() => ManifestFormat::detect(path).with_context(|| path.display().to_string())?,
        given => given,
    };
    if let Some(format) = format {
        let utterances = read_manifest(path, format)?.utterances;
        if utterances.is_empty() {
            bail!("{} lists no recordings", path.display());
        }
        return Ok(Input { utterances, is_many: true, left_out: None });
    }
    if !path.is_dir() {
        let id = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
        let utterances = vec![Utterance::whole_file(id, path)];
        return Ok(Input { utterances, is_many: false, left_out: None });
    }
    let plan = batch::plan_jobs(path, output, "", is_media)?;
    let left_out = plan.describe_rest("recording");
    if plan.jobs.is_empty() {
        let rest = left_out.map_or(String::new(), |rest| format!(" ({rest})"));
        bail!("{} holds no recordings{rest}", path.display());
    }
    let utterances = plan.jobs.into_iter().map(|job| Utterance::whole_file(job.id, job.input)).collect();
    Ok(Input { utterances, is_many: true, left_out })
}

fn is_media(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
    MEDIA.contains(&extension.as_str())
}
