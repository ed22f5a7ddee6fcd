//! `siskin latents`.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use siskin_core::audio::{LatentEncoder, Latents};
use siskin_core::bundle::{Bundle, installed};

use crate::events;
use crate::failure::usage_error;
use crate::media::{self, AudioInput, AudioOutput, Labels, OutputFormat};
use crate::media_file::CodedFile;
use crate::model::ModelArgs;
use crate::report::{Progress, Report, ReportArgs};
use crate::target::{OverwriteArgs, Target, is_dash};
use crate::units;

/// Largest file of latents that is read, in bytes.
// A gigabyte is some 23 hours of 64 floats at 50 frames per second; the file is held in memory whole.
const LARGEST: u64 = 1 << 30;

/// Arguments of `latents`.
#[derive(Debug, Args)]
pub(crate) struct LatentsArgs {
    #[command(subcommand)]
    command: LatentsCommand,
}

/// Which way.
#[derive(Debug, Subcommand)]
enum LatentsCommand {
    /// Write the latents of any file that FFmpeg reads
    Export(Files),
    /// Decode latents to samples
    Decode(Files),
}

/// From where to where.
#[derive(Debug, Args)]
struct Files {
    /// Input file, - for stdin
    input: PathBuf,
    /// Output file (latents are .safetensors), - for stdout
    output: PathBuf,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    overwrite: OverwriteArgs,
    #[command(flatten)]
    report: ReportArgs,
}

impl LatentsArgs {
    /// Whether results are NDJSON on stdout.
    pub(crate) fn json(&self) -> bool {
        let (LatentsCommand::Export(files) | LatentsCommand::Decode(files)) = &self.command;
        files.report.json
    }
}

pub(crate) fn run_latents(args: &LatentsArgs) -> Result<ExitCode> {
    media::init_ffmpeg()?;
    match &args.command {
        LatentsCommand::Export(files) => export_latents(files)?,
        LatentsCommand::Decode(files) => decode_latents(files)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn export_latents(args: &Files) -> Result<()> {
    let mut report = Report::new(&args.report, is_dash(&args.output))?;
    let bundle = args.model.bundle()?;
    let rate = bundle.manifest().sample_rate;
    let channels = bundle.manifest().channels;
    // FFmpeg knows neither codec and would only say that there is no decoder.
    if CodedFile::is_coded(&args.input) {
        return Err(usage_error(format!("{} is coded already, see siskin decode", args.input.display())));
    }
    let mut input = AudioInput::open(&args.input, Some(rate))?;
    input.set_channels(channels);
    let mut encoder = LatentEncoder::new(&bundle, &args.model.runtime()?)?;
    let target = Target::open(&args.output, args.overwrite.choice(), &args.input)?;
    let (mut samples, mut pcm) = (0u64, Vec::new());
    while input.next(&mut pcm)? {
        samples += pcm.len() as u64 / u64::from(channels);
        encoder.push_samples(&pcm)?;
        pcm.clear();
        let seconds = samples as f64 / f64::from(rate);
        report.progress(Progress { seconds, total: input.duration(), bytes: 0 })?;
    }
    samples += pcm.len() as u64 / u64::from(channels);
    encoder.push_samples(&pcm)?;
    if samples == 0 {
        // Nothing has been written yet, and the target goes away with its temporary file.
        bail!("{}", input.describe_nothing());
    }
    for fault in input.faults() {
        report.warn(&fault)?;
    }
    // Half a recording among the latents of a training set would go unnoticed for ever.
    if let Some(missing) = input.missing() {
        bail!("{missing}");
    }
    let latents = encoder.finish_stream()?;
    let file = latents.to_file(&bundle)?;
    // All at once: the head of a safetensors file states the sizes, which are known only at the end.
    match target.handle()? {
        Some(mut out) => out.write_all(&file).context("the output cannot be written")?,
        None => std::io::stdout().lock().write_all(&file).context("stdout")?,
    }
    target.commit()?;
    report_result(&report, "latents export", args, &latents, rate)
}

fn decode_latents(args: &Files) -> Result<()> {
    let mut report = Report::new(&args.report, is_dash(&args.output))?;
    let file = read_latents(&args.input)?;
    let bundle = bundle_for(args, &file)?;
    let (rate, channels) = (bundle.manifest().sample_rate, bundle.manifest().channels);
    let latents = Latents::from_file(&file, &bundle).with_context(|| args.input.display().to_string())?;
    let target = Target::open(&args.output, args.overwrite.choice(), &args.input)?;
    let format = OutputFormat::of(&args.output, false, matches!(target, Target::Stream(..)))?;
    let mut output = AudioOutput::create(
        target.handle()?,
        target.is_file(),
        &format,
        (rate, channels),
        &Labels::default(),
    )?;
    let total = Some(latents.samples as f64 / f64::from(rate));
    let mut given = 0u64;
    latents.decode_all(&bundle, &args.model.runtime()?, &mut |pcm| -> Result<()> {
        given += pcm.len() as u64 / u64::from(channels);
        output.write(pcm)?;
        report.progress(Progress { seconds: given as f64 / f64::from(rate), total, bytes: 0 })
    })?;
    output.finish()?;
    target.commit()?;
    report_result(&report, "latents decode", args, &latents, rate)
}

/// The bundle that is asked for, else the one that the file names: an installed one of its id, or of its name.
fn bundle_for(args: &Files, file: &[u8]) -> Result<Bundle> {
    if args.model.model.is_some() {
        return args.model.bundle();
    }
    let (name, id) = Latents::bundle_of(file);
    let same = installed().into_iter().find(|b| id.as_ref().is_some_and(|id| *id == b.id().to_string()));
    match (same, name) {
        (Some(same), _) => Ok(Bundle::open(same.path())?),
        (None, Some(name)) => Ok(Bundle::find(&name)?),
        (None, None) => args.model.bundle(),
    }
}

fn read_latents(path: &Path) -> Result<Vec<u8>> {
    let mut data = Vec::new();
    let name = || path.display().to_string();
    let reader: Box<dyn Read> = if is_dash(path) {
        Box::new(std::io::stdin())
    } else {
        Box::new(std::fs::File::open(path).with_context(name)?)
    };
    // One byte more than allowed tells a file that is too large from one that just fits, also on a pipe.
    reader.take(LARGEST + 1).read_to_end(&mut data).with_context(name)?;
    if data.len() as u64 > LARGEST {
        bail!("{} has more than {}", name(), units::format_size(LARGEST));
    }
    Ok(data)
}

fn report_result(report: &Report, verb: &str, args: &Files, latents: &Latents, rate: u32) -> Result<()> {
    let frames = latents.values.len() / latents.dim.max(1);
    let seconds = latents.samples as f64 / f64::from(rate);
    report.done(
        &format!("{} in {frames} frames of {} values", units::format_time(seconds), latents.dim),
        &events::Latents {
            verb,
            input: args.input.to_string_lossy(),
            output: args.output.to_string_lossy(),
            samples: latents.samples,
            seconds,
            frames,
            dim: latents.dim,
            elapsed_seconds: report.elapsed(),
        },
    )
}
