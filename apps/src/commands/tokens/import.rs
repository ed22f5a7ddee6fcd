//! `siskin tokens import`.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use siskin_core::audio::EncodedPacket;
use siskin_core::bitstream::StreamHeader;
use siskin_core::bundle::{Bundle, installed};
use siskin_core::tokens::{CodePackets, FileFormat, PackedCodes, TokenFile};

use crate::batch::{self, Done, Job, Totals};
use crate::commands::encode::HEADER_SECONDS;
use crate::events;
use crate::failure::usage_error;
use crate::interrupt;
use crate::media_file::Sink;
use crate::report::{Report, ReportArgs};
use crate::target::{Overwrite, OverwriteArgs, Target, is_dash};
use crate::units;

/// Arguments of `tokens import`.
#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// Token file, or folder of token files
    input: PathBuf,
    /// Coded file (.mka or .mkv), - for stdout; a folder for a folder or for JSON lines of several recordings
    output: PathBuf,
    /// Bundle by name or path [default: the one that the token file names]
    #[arg(short, long, value_name = "NAME|PATH", help_heading = "Coding")]
    model: Option<String>,
    /// Codec frames per packet, 1 to 500
    /// [default: a second, 50 at most]
    #[arg(long, alias = "frame-size", value_name = "N", help_heading = "Coding")]
    frames_per_packet: Option<u32>,
    /// Files to process in parallel
    #[arg(short, long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256),
          help_heading = "Coding")]
    jobs: u16,
    #[command(flatten)]
    overwrite: OverwriteArgs,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

pub(crate) fn run_import(args: &ImportArgs) -> Result<ExitCode> {
    let mut report = Report::new(&args.report, is_dash(&args.output))?;
    let again = args.overwrite.choice() == Overwrite::Always;
    let is_coded_name = is_dash(&args.output)
        || args
            .output
            .extension()
            .and_then(|e| e.to_str())
            .is_some_and(|e| e.eq_ignore_ascii_case("mka") || e.eq_ignore_ascii_case("mkv"));
    batch::check_is_there(&args.input)?;
    let (totals, all, skipped) = if args.input.is_dir() {
        let plan =
            batch::plan_jobs(&args.input, &args.output, "mka", |p| FileFormat::from_path(p).is_some())?;
        if plan.jobs.is_empty() {
            bail!("{} holds no token files", args.input.display());
        }
        let mut jobs = plan.jobs;
        let all = jobs.len();
        // A folder is taken up where an earlier run left it; files are renamed into place once whole, so one that is
        // there is done.
        jobs.retain(|job| again || !job.output.exists());
        let skipped = all - jobs.len();
        if skipped > 0 {
            report.note(&format!("{skipped} of {all} files are there already (-y makes them anew)"));
        }
        let work = |(): &mut (), job: &Job| {
            let tokens = super::read_tokens(&job.input, format_of(&job.input)?)?;
            import_codes(args, &tokens, &job.output, Overwrite::Always, &job.input)
                .map_err(batch::output_error)
        };
        (batch::run_jobs(&jobs, args.jobs.into(), &mut report, || Ok(()), work)?, jobs.len(), skipped)
    // JSON lines to a name without .mka: the name is a folder, and each line gets a file in it.
    } else if format_of(&args.input)? == FileFormat::Jsonl && !is_coded_name {
        import_lines(args, again, &mut report)?
    } else if is_coded_name {
        let tokens = super::read_tokens(&args.input, format_of(&args.input)?)?;
        let done = import_codes(args, &tokens, &args.output, args.overwrite.choice(), &args.input)?;
        let Done { seconds, frames, bytes } = done;
        (Totals { files: 1, seconds, frames, bytes, failed: 0 }, 1, 0)
    } else {
        return Err(usage_error(format!(
            "{}: coded files are Matroska, name it .mka or .mkv",
            args.output.display()
        )));
    };
    report.done(
        &format!(
            "{} files, {} frames, {}, {}",
            totals.files,
            totals.frames,
            units::format_time(totals.seconds),
            units::format_size(totals.bytes),
        ),
        &events::TokensImport {
            input: args.input.to_string_lossy(),
            output: args.output.to_string_lossy(),
            files: totals.files,
            skipped,
            failed: totals.failed,
            frames: totals.frames,
            seconds: totals.seconds,
            bytes: totals.bytes,
            elapsed_seconds: report.elapsed(),
        },
    )?;
    batch::check_totals(&totals, all)?;
    Ok(ExitCode::SUCCESS)
}

fn format_of(path: &Path) -> Result<FileFormat> {
    FileFormat::from_path(path).ok_or_else(|| {
        usage_error(format!("{}: token files are .safetensors, .npy or .jsonl", path.display()))
    })
}

/// Each line of a file is a recording of its own.
fn import_lines(args: &ImportArgs, again: bool, report: &mut Report) -> Result<(Totals, usize, usize)> {
    let name = || args.input.display().to_string();
    let (mut totals, mut all, mut skipped) = (Totals::default(), 0, 0);
    let mut reader = BufReader::new(fs::File::open(&args.input).with_context(name)?);
    let mut line = Vec::new();
    // The files of this run and the lines that they are of: what is there from an earlier run is done, what is there from an earlier
    // line is another recording.
    let mut outputs: HashMap<PathBuf, usize> = HashMap::new();
    // Bytes and not `lines()`: text that is not UTF-8 spoils its own recording alone.
    while reader.read_until(b'\n', &mut line).with_context(name)? > 0 {
        interrupt::check_interrupt()?;
        all += 1;
        let mut one = || -> Result<Option<Done>> {
            let tokens = TokenFile::from_bytes(FileFormat::Jsonl, &line)?;
            // Zeros in front, so that sorted names keep the order of the lines.
            let id = tokens.meta.id.clone().unwrap_or_else(|| format!("{all:06}"));
            let output = args.output.join(plain_path(&id)?).with_extension("mka");
            if let Some(line) = outputs.get(&output) {
                bail!("its file would be that of line {line}, {}", output.display());
            }
            outputs.insert(output.clone(), all);
            if output.exists() && !again {
                return Ok(None);
            }
            import_codes(args, &tokens, &output, Overwrite::Always, &args.input).map(Some)
        };
        match one() {
            Ok(None) => skipped += 1,
            Ok(Some(done)) => {
                totals.files += 1;
                totals.seconds += done.seconds;
                totals.frames += done.frames;
                totals.bytes += done.bytes;
            }
            Err(e) => {
                // The rest is still worth having; the exit code tells of it at the end.
                totals.failed += 1;
                report.warn(&format!("{}, line {all}: {e:#}", args.input.display()))?;
            }
        }
        line.clear();
    }
    Ok((totals, all, skipped))
}

/// The relative path that an id is; it does not lead out of the folder.
fn plain_path(id: &str) -> Result<PathBuf> {
    use std::path::Component;
    // Appended, as `with_extension` would take away what follows a dot in the id. Folders within the id are fine;
    // `..`, a root or a drive are not.
    let path = PathBuf::from(format!("{id}.mka"));
    if path.components().all(|c| matches!(c, Component::Normal(_))) {
        return Ok(path);
    }
    bail!("the id {id:?} is no file name")
}

/// Makes a coded file of codes.
fn import_codes(
    args: &ImportArgs,
    tokens: &TokenFile,
    output: &Path,
    overwrite: Overwrite,
    input: &Path,
) -> Result<Done> {
    let Stream { header, size, bundle } = stream_of(args, tokens)?;
    if args.frames_per_packet.is_some() && bundle.as_ref().is_some_and(|b| b.manifest().segments.is_some()) {
        let name = &header.bundle_name;
        return Err(usage_error(format!("--frames-per-packet: a packet of {name} is always a segment")));
    }
    tokens.check_codes(size).with_context(|| input.display().to_string())?;
    let groups = usize::from(header.groups);
    // Token files count codebooks over all groups, and a stage has one of each group.
    let stages = tokens.codebooks / groups;
    if stages * groups != tokens.codebooks || !(1..=usize::from(header.stages)).contains(&stages) {
        let all = header.codes_per_frame(header.stages);
        bail!(
            "{}: {} codebooks, {} has {all} in {groups} groups",
            input.display(),
            tokens.codebooks,
            header.bundle_name
        );
    }
    if let Some(folder) = output.parent().filter(|p| !p.as_os_str().is_empty() && !is_dash(output)) {
        fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let target = Target::open(output, overwrite, input)?;
    let frames_per_packet = args
        .frames_per_packet
        .unwrap_or_else(|| siskin_core::audio::file_frames_per_packet(header.frame_rate()));
    let mut sink = Sink::create(&target, (&header, frames_per_packet), Vec::new())?;
    let (mut frame, mut seconds) = (vec![0; tokens.codebooks], 0.0);
    let mut packets = CodePackets::new(header.clone(), stages as u8, frames_per_packet, true)?;
    packets.set_header_interval((HEADER_SECONDS * header.frame_rate()) as u64);
    // Without the bundle the codes are still written, at fixed width: only its tables are missing.
    match &bundle {
        Some(bundle) => match bundle.manifest().segments {
            Some(sizes) => packets.set_segments(sizes, tokens.meta.scales.clone(), tokens.meta.samples)?,
            None => packets.set_tables(siskin_core::audio::load_entropy_tables(bundle)?),
        },
        // How long its segments are is known to the bundle alone.
        None if !tokens.meta.scales.is_empty() => {
            bail!("{}: codes of segments, which need the bundle {}", input.display(), header.bundle_name);
        }
        None => {}
    }
    let mut keep = |packet: PackedCodes<'_>| -> Result<()> {
        let PackedCodes { data, position, samples, is_random_access } = packet;
        seconds = (position + samples) as f64 / f64::from(header.sample_rate);
        sink.packet(EncodedPacket { data, position, samples, is_random_access, ..Default::default() })
    };
    for t in 0..tokens.frames {
        // Token files lie codebook by codebook, packets frame by frame.
        frame.iter_mut().enumerate().for_each(|(k, code)| *code = tokens.codes[k * tokens.frames + t]);
        packets.push_frame(&frame, &mut keep)?;
    }
    // The length in samples, where the file has it, trims the padding of the last frame.
    // In words: a parameter that does not fit came from the file here, and is no mistake in the command line.
    packets
        .finish_stream(tokens.meta.samples, &mut keep)
        .map_err(|e: anyhow::Error| anyhow!("{}: {e:#}", input.display()))?;
    let bytes = sink.finish()?.bytes;
    target.commit()?;
    Ok(Done { seconds, frames: tokens.frames as u64, bytes })
}

/// The stream that codes are of.
struct Stream {
    header: StreamHeader,
    /// Entries of a codebook.
    size: u32,
    /// Its bundle, if that is here.
    bundle: Option<Bundle>,
}

fn stream_of(args: &ImportArgs, tokens: &TokenFile) -> Result<Stream> {
    let of_bundle = |name: &str| -> Result<Stream> {
        let bundle = Bundle::find(name)?;
        let size = bundle.manifest().quantizer.size;
        Ok(Stream { header: bundle.stream_header(), size, bundle: Some(bundle) })
    };
    let meta = &tokens.meta;
    match (&meta.stream_header, &args.model) {
        (Some(header), model) => {
            let bundle = match model {
                Some(model) => {
                    let bundle = Bundle::find(model)?;
                    bundle.check_stream(header)?;
                    Some(bundle)
                }
                None if installed().iter().any(|b| b.id() == header.bundle) => {
                    Some(Bundle::for_stream(header, None)?)
                }
                None => None,
            };
            // Sizes need not be powers of two, so the bits of a code only bound them; the bundle knows best.
            let stated = if meta.codebook_size > 0 { meta.codebook_size } else { 1 << header.code_bits };
            let size = bundle.as_ref().map_or(stated, |b| b.manifest().quantizer.size);
            Ok(Stream { header: header.clone(), size, bundle })
        }
        (None, Some(model)) => of_bundle(model),
        (None, None) if !meta.model.is_empty() => of_bundle(&meta.model),
        (None, None) => {
            Err(anyhow!("the token file does not say what made it: name the bundle with --model"))
        }
    }
}
