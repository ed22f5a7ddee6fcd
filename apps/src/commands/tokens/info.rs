//! `siskin tokens info`.

use std::fs;
use std::io::{BufRead, BufReader, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use siskin_core::bundle::installed;
use siskin_core::corpus::{Overview, ShardSummary};
use siskin_core::tokens::{FileFormat, TokenFile};

use crate::batch;
use crate::failure::{is_usage, usage_error};
use crate::interrupt::Interrupted;
use crate::{events, interrupt, report, units};

/// Arguments of `tokens info`.
#[derive(Debug, Args)]
pub(crate) struct InfoArgs {
    /// Token files, folders of them, or corpora of shards
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Write JSON objects, one per line
    #[arg(long, help_heading = "Messages")]
    pub(crate) json: bool,
}

pub(crate) fn run_info(args: &InfoArgs) -> Result<ExitCode> {
    let mut bad = false;
    for path in &args.files {
        // All are looked at, as somebody who checks a folder wants to know of every bad one.
        bad |= !match of_path(args, path) {
            Err(e) if !e.is::<Interrupted>() && !is_usage(&e) => {
                report_bad(args, &path.display().to_string(), &e)?;
                false
            }
            told => told?,
        };
    }
    Ok(if bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Tells of a file, a folder or a corpus; false if something is wrong with it.
fn of_path(args: &InfoArgs, path: &Path) -> Result<bool> {
    batch::check_is_there(path)?;
    if let Some(corpus) = Overview::read(path).or_else(no_folder)? {
        return of_corpus(args, path, &corpus);
    }
    if !path.is_dir() {
        return of_file(args, path);
    }
    let mut files = batch::list_files(path, None)?.files;
    files.retain(|p| FileFormat::from_path(p).is_some());
    if files.is_empty() {
        bail!("{} holds no token files", path.display());
    }
    let mut good = true;
    for file in files {
        good &= of_file(args, &file)?;
    }
    Ok(good)
}

/// Tells what is wrong with a file.
fn report_bad(args: &InfoArgs, name: &str, error: &anyhow::Error) -> Result<()> {
    // What read the whole file has said its name, what read a line of it has not.
    let text = format!("{error:#}");
    let error = text.strip_prefix(&format!("{name}: ")).unwrap_or(&text).to_owned();
    // Both ways with --json: on stdout for the program, on stderr for whoever looks at its log.
    eprintln!("siskin: {name}: {error}");
    match args.json {
        true => report::write_json_line(&events::BadTokens { file: name, ok: false, error }),
        false => Ok(()),
    }
}

/// A file holds no corpus, and what is wrong with its name is told where it is opened.
fn no_folder(error: siskin_core::Error) -> siskin_core::Result<Option<Overview>> {
    match error {
        siskin_core::Error::Io { source, .. } if source.kind() == ErrorKind::NotADirectory => Ok(None),
        error => Err(error),
    }
}

/// Tells of a corpus; false if files of it are missing or its runs have not come to its end.
fn of_corpus(args: &InfoArgs, path: &Path, corpus: &Overview) -> Result<bool> {
    let (name, spec) = (path.display().to_string(), &corpus.spec);
    let sum = |of: fn(&ShardSummary) -> u64| corpus.shards.iter().map(of).sum::<u64>();
    let (shards, planned) = (corpus.shards.len(), spec.shards());
    let failed = corpus.shards.iter().map(|s| s.failures.len()).sum();
    let seconds = corpus.shards.iter().map(|s| s.seconds).sum();
    let ok = corpus.missing.is_empty() && shards >= planned;
    for file in &corpus.missing {
        eprintln!("siskin: {}: not there, though its shard was finished", file.display());
    }
    if shards < planned {
        eprintln!(
            "siskin: {name}: {shards} of {planned} shards are finished; the same tokens export goes on"
        );
    }
    if args.json {
        report::write_json_line(&events::CorpusInfo {
            file: &name,
            format: spec.format.name(),
            ok,
            model: &spec.model,
            stages: spec.stages,
            shards,
            planned_shards: planned,
            utterances: sum(|s| s.utterances),
            failed,
            frames: sum(|s| s.frames),
            seconds,
            bytes: sum(|s| s.bytes),
            missing: corpus.missing.iter().map(|p| p.display().to_string()).collect(),
        })?;
        return Ok(ok);
    }
    report::print_text(&format!(
        "{name}: {} of {} stages, {shards} shards with {} utterances, {}, {}, {failed} failed, of {}\n",
        spec.format.name(),
        spec.stages,
        sum(|s| s.utterances),
        units::format_time(seconds),
        units::format_size(sum(|s| s.bytes)),
        spec.model,
    ))?;
    Ok(ok)
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

/// Checks that the stream that codes are of has so many codebooks and their frames so many samples, as `tokens import` does.
fn check_shape(file: &TokenFile) -> Result<()> {
    let Some(header) = &file.meta.stream_header else { return Ok(()) };
    let (groups, all) = (usize::from(header.groups), header.codes_per_frame(header.stages));
    if !file.codebooks.is_multiple_of(groups.max(1)) || file.codebooks > all {
        bail!("{} codebooks, {} has {all} in {groups} groups", file.codebooks, header.bundle_name);
    }
    let most = file.frames as u64 * u64::from(header.hop);
    match file.meta.samples {
        Some(samples) if samples > most => bail!("samples is {samples}, {} frames hold {most}", file.frames),
        _ => Ok(()),
    }
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
        check_shape(&file)?;
        Ok((file, bundle.is_some()))
    });
    let (file, is_installed) = match read {
        Ok(read) => read,
        Err(e) => {
            report_bad(args, name, &e)?;
            return Ok(false);
        }
    };
    let meta = &file.meta;
    let header = meta.stream_header.as_ref();
    let rate = header.map_or(meta.frame_rate, |h| h.frame_rate());
    let seconds = super::seconds_of(&file);
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
