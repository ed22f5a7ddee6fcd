//! `siskin tokens info`.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Args;
use siskin_core::bundle::installed;
use siskin_core::tokens::{FileFormat, TokenFile};

use crate::batch;
use crate::failure::usage_error;
use crate::{events, interrupt, report, units};

/// Arguments of `tokens info`.
#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    /// Token files, or folders of them
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Write JSON objects, one per line
    #[arg(long, help_heading = "Messages")]
    pub(crate) json: bool,
}

pub(crate) fn run_info(args: &InfoArgs) -> Result<ExitCode> {
    let mut bad = false;
    for path in &args.files {
        if path.is_dir() {
            for file in
                batch::list_files(path, None)?.into_iter().filter(|p| FileFormat::from_path(p).is_some())
            {
                // All are looked at, as somebody who checks a folder wants to know of every bad one.
                bad |= !of_file(args, &file)?;
            }
        } else {
            bad |= !of_file(args, path)?;
        }
    }
    Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Tells of a file; false if something is wrong with it.
fn of_file(args: &InfoArgs, path: &Path) -> Result<bool> {
    let name = path.display().to_string();
    let format = FileFormat::from_path(path)
        .ok_or_else(|| usage_error(format!("{name}: token files are .safetensors, .npy or .jsonl")))?;
    if format != FileFormat::Jsonl {
        interrupt::check_interrupt()?;
        return report_file(args, &name, format, super::read_tokens(path, format));
    }
    // Line by line: a file of a whole folder may be larger than memory.
    let (mut good, mut line, mut number) = (true, Vec::new(), 0);
    let mut reader = BufReader::new(fs::File::open(path).with_context(|| name.clone())?);
    // Bytes and not `lines()`: text that is not UTF-8 is a bad line and not the end.
    while reader.read_until(b'\n', &mut line).with_context(|| name.clone())? > 0 {
        interrupt::check_interrupt()?;
        number += 1;
        let place = format!("{name}:{number}");
        good &= report_file(args, &place, format, TokenFile::from_bytes(format, &line).map_err(Into::into))?;
        line.clear();
    }
    Ok(good)
}

fn report_file(args: &InfoArgs, name: &str, format: FileFormat, read: Result<TokenFile>) -> Result<bool> {
    let bundles = installed();
    let read = read.and_then(|file| {
        let id = file.meta.stream_header.as_ref().map(|h| h.bundle);
        let bundle = bundles.iter().find(|b| Some(b.id()) == id).map(|b| b.manifest().quantizer.size);
        // The bundle knows better than the file about itself.
        let size = bundle.unwrap_or(file.meta.codebook_size);
        // Without either nobody knows how large a code may be, and any is right.
        if size > 0 {
            file.check_codes(size)?;
        }
        Ok((file, bundle.is_some()))
    });
    let (file, is_installed) = match read {
        Ok(read) => read,
        Err(e) => {
            // Both ways with --json: on stdout for the program, on stderr for whoever looks at its log.
            eprintln!("siskin: {name}: {e:#}");
            if args.json {
                report::write_json_line(&events::BadTokens {
                    file: name,
                    ok: false,
                    error: format!("{e:#}"),
                })?;
            }
            return Ok(false);
        }
    };
    let meta = &file.meta;
    let header = meta.stream_header.as_ref();
    let rate = header.map_or(meta.frame_rate, |h| h.frame_rate());
    // Exact where the length in samples is known; frames count the padding of the last one too.
    let seconds = match (meta.samples, header) {
        (Some(samples), Some(h)) => Some(samples as f64 / f64::from(h.sample_rate)),
        _ => (rate > 0.0).then(|| file.frames as f64 / rate),
    };
    if args.json {
        report::write_json_line(&events::TokensInfo {
            file: name,
            format: format.name(),
            ok: true,
            id: meta.id.as_deref(),
            model: &meta.model,
            model_id: header.map(|h| h.bundle.to_string()),
            model_installed: is_installed,
            codebooks: file.codebooks,
            frames: file.frames,
            codebook_size: meta.codebook_size,
            frame_rate: rate,
            samples: meta.samples,
            seconds,
            text: meta.text.as_deref(),
            words: meta.words.len(),
        })?;
        return Ok(true);
    }
    let model = match (meta.model.as_str(), header) {
        ("", _) => "of an unknown model".to_owned(),
        (name, Some(h)) => {
            format!("of {name} (id {}{})", h.bundle, if is_installed { "" } else { ", not installed" })
        }
        (name, None) => format!("of {name}"),
    };
    let length = seconds.map_or("unknown length".into(), units::format_time);
    report::print_text(&format!(
        "{name}: {} codebooks of {} x {} frames, {length}, {model}\n",
        file.codebooks, meta.codebook_size, file.frames
    ))?;
    Ok(true)
}
