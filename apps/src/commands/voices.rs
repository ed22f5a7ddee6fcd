//! What `siskin models` does with bundles of voices.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use siskin_core::bundle::{VoiceBundle, VoiceManifest, installed_voices};

use super::import::ImportArgs;
use crate::events;
use crate::report::{self, Report, ReportArgs};
use crate::target::Overwrite;
use crate::units;
use crate::voices::{Sources, import_kokoro};

/// `models import kokoro`.
pub(crate) fn run_import(args: &ImportArgs, folder: &Path, json: bool) -> Result<()> {
    let sources = Sources { model: args.model.as_deref(), voices: args.voices.as_deref(), fetch: args.fetch };
    let report = Report::new(&ReportArgs { json, quiet: false, progress: false }, false)?;
    let (path, voices) =
        import_kokoro(&sources, folder, args.overwrite.choice() == Overwrite::Always, &report)?;
    report.done(
        &format!("{}: {voices} voices in {}", args.name, path.display()),
        &events::Import { name: &args.name, voices: Some(voices), path: path.to_string_lossy() },
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
