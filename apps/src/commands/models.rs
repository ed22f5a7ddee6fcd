//! `siskin models`.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use siskin_core::bundle::{
    Bundle, FeatureBundle, Manifest, VideoBundle, installed, installed_features, installed_videos,
    installed_voices, search_path,
};

use super::{import, voices};
use crate::{events, failure, report, units};

/// Arguments of `models`.
#[derive(Debug, Args)]
pub(crate) struct ModelsArgs {
    #[command(subcommand)]
    command: Option<ModelsCommand>,
    /// Write JSON objects, one per line
    #[arg(long, global = true, help_heading = "Messages")]
    pub(crate) json: bool,
}

/// What to do with the models.
#[derive(Debug, Subcommand)]
enum ModelsCommand {
    /// List the installed bundles (the default)
    List,
    /// Print the folders that are searched, in order
    Path,
    /// List the voices of a bundle
    Info {
        /// Bundle by name or path
        #[arg(value_name = "NAME|PATH")]
        name: String,
    },
    /// Make a bundle of a published codec's checkpoint, or of voices from published packages
    Import(import::ImportArgs),
    /// Check every file of a bundle against its hash
    Verify {
        /// Bundle by name or path
        #[arg(value_name = "NAME|PATH")]
        name: String,
    },
}

pub(crate) fn run_models(args: &ModelsArgs) -> Result<ExitCode> {
    match &args.command {
        None | Some(ModelsCommand::List) => list_bundles(args.json)?,
        Some(ModelsCommand::Path) => show_search_path(args.json)?,
        Some(ModelsCommand::Info { name }) => show_bundle(name, args.json)?,
        Some(ModelsCommand::Import(arguments)) => import::run_import(arguments, args.json)?,
        // A name is a folder's, which holds a bundle of one kind, so the order of asking hardly matters.
        Some(ModelsCommand::Verify { name }) if voices::find_voices(name).is_some() => {
            voices::verify_voices(name, args.json)?;
        }
        Some(ModelsCommand::Verify { name }) if installed_videos().iter().any(|(_, m)| m.name == *name) => {
            verify_video(name, args.json)?;
        }
        Some(ModelsCommand::Verify { name }) if installed_features().iter().any(|(_, m)| m.name == *name) => {
            verify_features(name, args.json)?;
        }
        Some(ModelsCommand::Verify { name }) => verify_bundle(name, args.json)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list_bundles(json: bool) -> Result<()> {
    let bundles = installed();
    // A list of nothing says where it looked, which is what people need then; programs get an empty output.
    let others = installed_voices().len() + installed_videos().len() + installed_features().len();
    if bundles.is_empty() && others == 0 && !json {
        let folders: Vec<_> = search_path().iter().map(|p| p.display().to_string()).collect();
        return report::print_text(&format!("no model bundles in: {}\n", folders.join(", ")));
    }
    for bundle in bundles {
        let (m, path) = (bundle.manifest(), bundle.path());
        let bytes: u64 =
            // A file that is missing counts as nothing: `verify` is there to complain.
            m.files.keys().filter_map(|f| fs::metadata(path.join(f)).ok()).map(|f| f.len()).sum();
        if json {
            report::write_json_line(&events::Model {
                name: &m.name,
                version: &m.version,
                id: bundle.id().to_string(),
                licence: &m.licence,
                sample_rate: m.sample_rate,
                channels: m.channels,
                bitrates: m.prefixes.iter().map(|p| p.bitrate).collect(),
                default_stages: m.default_stages,
                delay_samples: m.algorithmic_delay(),
                bytes,
                path: path.to_string_lossy(),
            })?;
        } else {
            report::print_text(&format!(
                "{} {} (id {})\n  {} Hz, {}, {}, delay {:.1} ms, {}, {}\n  {}\n",
                m.name,
                m.version,
                bundle.id(),
                m.sample_rate,
                units::format_channels(m.channels),
                trained_rates(m),
                f64::from(m.algorithmic_delay()) * 1000.0 / f64::from(m.sample_rate),
                units::format_size(bytes),
                m.licence,
                path.display(),
            ))?;
        }
    }
    for (path, m) in installed_videos() {
        let sizes = m.files.keys().filter_map(|f| fs::metadata(path.join(f)).ok());
        let bytes: u64 = sizes.map(|f| f.len()).sum();
        if json {
            report::write_json_line(&events::VideoModel {
                name: &m.name,
                version: &m.version,
                id: m.id().to_string(),
                licence: &m.licence,
                qualities: m.qualities,
                bytes,
                path: path.to_string_lossy(),
            })?;
        } else {
            report::print_text(&format!(
                "{} {} (id {})\n  video in real time, {} qualities, {}, {}\n  {}\n",
                m.name,
                m.version,
                m.id(),
                m.qualities,
                units::format_size(bytes),
                m.licence,
                path.display(),
            ))?;
        }
    }
    list_features(json)?;
    voices::list_voices(json)
}

fn list_features(json: bool) -> Result<()> {
    for (path, m) in installed_features() {
        let sizes = m.files.keys().filter_map(|f| fs::metadata(path.join(f)).ok());
        let bytes: u64 = sizes.map(|f| f.len()).sum();
        let heads: Vec<&str> = m.heads.iter().map(|h| h.name.as_str()).collect();
        if json {
            report::write_json_line(&events::FeatureModel {
                name: &m.name,
                version: &m.version,
                id: m.id().to_string(),
                licence: &m.licence,
                levels: m.levels,
                heads,
                bytes,
                path: path.to_string_lossy(),
            })?;
        } else {
            report::print_text(&format!(
                "{} {} (id {})\n  features of video, {} levels, heads {}, {}, {}\n  {}\n",
                m.name,
                m.version,
                m.id(),
                m.levels,
                heads.join(", "),
                units::format_size(bytes),
                m.licence,
                path.display(),
            ))?;
        }
    }
    Ok(())
}

/// The trained rates, `1.5/3/6/9 kb/s`.
fn trained_rates(manifest: &Manifest) -> String {
    let rates: Vec<_> =
        manifest.prefixes.iter().map(|p| format!("{}", f64::from(p.bitrate) / 1000.0)).collect();
    format!("{} kb/s", rates.join("/"))
}

fn show_bundle(name: &str, json: bool) -> Result<()> {
    match voices::find_voices(name) {
        Some((path, manifest)) => voices::show_voices(&path, &manifest, json),
        None => {
            // An audio bundle has no voices; one that is not there is told by the search.
            let bundle = Bundle::find(name)?;
            Err(failure::usage_error(format!("{} is a codec and has no voices", bundle.manifest().name)))
        }
    }
}

fn show_search_path(json: bool) -> Result<()> {
    for folder in search_path() {
        let exists = folder.is_dir();
        if json {
            report::write_json_line(&events::BundlePath { path: folder.to_string_lossy(), exists })?;
        } else {
            report::print_text(&format!(
                "{}{}\n",
                folder.display(),
                if exists { "" } else { " (not there)" }
            ))?;
        }
    }
    Ok(())
}

fn verify_bundle(name: &str, json: bool) -> Result<()> {
    let bundle = Bundle::find(name)?;
    let manifest = bundle.manifest();
    let stated = manifest.name.as_str();
    // Opening has checked every file's hash; the tensors inside are checked here.
    siskin_core::audio::check_codebooks(&bundle).context("codebooks")?;
    report_verified(stated, &bundle.id().to_string(), manifest.files.len(), json)
}

fn verify_video(name: &str, json: bool) -> Result<()> {
    // Opening checks every file's hash.
    let bundle = VideoBundle::find(name)?;
    let manifest = bundle.manifest();
    report_verified(&manifest.name, &manifest.id().to_string(), manifest.files.len(), json)
}

fn verify_features(name: &str, json: bool) -> Result<()> {
    // Opening checks every file's hash.
    let bundle = FeatureBundle::find(name)?;
    let manifest = bundle.manifest();
    report_verified(&manifest.name, &manifest.id().to_string(), manifest.files.len(), json)
}

fn report_verified(name: &str, id: &str, files: usize, json: bool) -> Result<()> {
    if json {
        return report::result(&events::ModelVerify { name, id: Some(id), files, ok: true });
    }
    report::print_text(&format!("{name} (id {id}): {files} files, all hashes fit\n"))
}
