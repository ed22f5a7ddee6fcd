//! `siskin tokens`.

mod corpus;
mod export;
mod exporter;
mod import;
mod info;
mod input;
mod lines;

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use siskin_core::tokens::{CodeType, FileFormat, TokenFile};

use crate::target::{Overwrite, Target};

/// Largest token file that is read: 80 hours of 18 codebooks.
const MAX_BYTES: u64 = 1 << 30;

/// Arguments of `tokens`.
#[derive(Debug, Args)]
pub(crate) struct TokensArgs {
    #[command(subcommand)]
    command: TokensCommand,
}

/// What to do with tokens.
#[derive(Debug, Subcommand)]
enum TokensCommand {
    /// Write the codes of recordings to token files: one, or a whole folder
    Export(export::ExportArgs),
    /// Write coded files from token files, with exactly the codes that were exported
    Import(import::ImportArgs),
    /// Show and check the contents of token files
    Info(info::InfoArgs),
}

impl TokensArgs {
    /// Whether the results are NDJSON on stdout.
    pub(crate) fn json(&self) -> bool {
        match &self.command {
            TokensCommand::Export(args) => args.report.json,
            TokensCommand::Import(args) => args.report.json,
            TokensCommand::Info(args) => args.json,
        }
    }
}

pub(crate) fn run_tokens(args: &TokensArgs) -> Result<ExitCode> {
    match &args.command {
        TokensCommand::Export(args) => export::run_export(args),
        TokensCommand::Import(args) => import::run_import(args),
        TokensCommand::Info(args) => info::run_info(args),
    }
}

/// Reads a token file, and what stands beside it.
fn read_tokens(path: &Path, format: FileFormat) -> Result<TokenFile> {
    let name = || path.display().to_string();
    let mut file = TokenFile::from_bytes(format, &bytes_of(path)?).with_context(name)?;
    let beside = FileFormat::sidecar_path(path);
    if format == FileFormat::Npy && beside.is_file() {
        let text = bytes_of(&beside)?;
        file.meta = serde_json::from_slice(&text).with_context(|| beside.display().to_string())?;
    }
    Ok(file)
}

/// The length of what codes are of: exact where it is known in samples, while frames count the padding of the last one too.
fn seconds_of(file: &TokenFile) -> Option<f64> {
    let header = file.meta.stream_header.as_ref();
    let rate = header.map_or(file.meta.frame_rate, |h| h.frame_rate());
    match (file.meta.samples, header) {
        (Some(samples), Some(h)) if h.sample_rate > 0 => Some(samples as f64 / f64::from(h.sample_rate)),
        _ => (rate > 0.0).then(|| file.frames as f64 / rate),
    }
}

fn bytes_of(path: &Path) -> Result<Vec<u8>> {
    let name = || path.display().to_string();
    let file = fs::File::open(path).with_context(name)?;
    let mut data = Vec::new();
    // By what is read and not by the file's size, which pipes do not have.
    file.take(MAX_BYTES + 1).read_to_end(&mut data).with_context(name)?;
    if data.len() as u64 > MAX_BYTES {
        bail!("{} has more than {} MiB", path.display(), MAX_BYTES >> 20);
    }
    Ok(data)
}

/// Writes a token file under a temporary name and renames it when it is whole; returns its bytes.
fn write_tokens(
    file: &TokenFile,
    path: &Path,
    format: FileFormat,
    code_type: CodeType,
    overwrite: Overwrite,
    input: &Path,
) -> Result<u64> {
    let data = file.to_bytes_as(format, code_type)?;
    if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let target = fill_target(path, &data, overwrite, input)?;
    if format == FileFormat::Npy {
        // Before the array has its name, since a run that goes on looks for that; and once it is whole, so that a full disk leaves
        // neither.
        let text = serde_json::to_vec_pretty(&file.meta)?;
        let beside = FileFormat::sidecar_path(path);
        fill_target(&beside, &text, Overwrite::Always, input)?.commit()?;
    }
    target.commit()?;
    Ok(data.len() as u64)
}

/// An output that holds `data` and has not got its name yet.
fn fill_target(path: &Path, data: &[u8], overwrite: Overwrite, input: &Path) -> Result<Target> {
    let target = Target::open(path, overwrite, input)?;
    match target.handle()? {
        Some(mut file) => file.write_all(data),
        None => std::io::stdout().write_all(data),
    }
    .with_context(|| format!("{} cannot be written", target.name()))?;
    Ok(target)
}
