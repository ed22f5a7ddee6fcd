//! `siskin decode`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use siskin_core::container::AUDIO_CODEC_ID;

use crate::bench::peak_memory;
use crate::events;
use crate::media::{self, AudioOutput, Labels, OutputFormat};
use crate::media_file::{CodedFile, Decoding, LossArgs, describe_losses, read_pipe, track_labels};
use crate::model::ModelArgs;
use crate::report::{Progress, Report, ReportArgs};
use crate::target::{OverwriteArgs, Target, is_dash};
use crate::units;
use crate::video::decode::Output;
use crate::video::{self, VideoFile};

/// Arguments of `decode`.
#[derive(Debug, Args)]
pub(crate) struct DecodeArgs {
    /// Coded file, - for stdin
    input: PathBuf,
    /// Output; the extension selects the format: .mkv (lossless), .mp4 or .mov for video with audio; .y4m or .rgb for video
    /// alone; .wav, .flac, .f32 (raw samples) or another audio format of FFmpeg for audio alone; - for stdout, as Y4M if the
    /// input has video, else as WAV
    output: PathBuf,
    /// Write 32-bit float samples, as decoded (.wav and similar)
    #[arg(long, help_heading = "Decoding")]
    float: bool,
    /// Decode only the first N residual stages, to hear a lower rate
    #[arg(
        short = 's',
        long,
        alias = "codebooks",
        short_alias = 'c',
        value_name = "N",
        help_heading = "Decoding"
    )]
    stages: Option<u8>,
    #[command(flatten)]
    loss: LossArgs,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    overwrite: OverwriteArgs,
    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

pub(crate) fn run_decode(args: &DecodeArgs) -> Result<ExitCode> {
    let mut report = Report::new(&args.report, is_dash(&args.output))?;
    media::init_ffmpeg()?;
    // Devices and FIFOs, such as `/dev/stdout`, say no format by their names.
    let is_special = std::fs::metadata(&args.output).is_ok_and(|m| !m.is_file() && !m.is_dir());
    // A name that is wrong for all inputs is told of before a pipe is read.
    if !args.input.is_file() && !Output::is_of_video(&args.output) {
        OutputFormat::of(&args.output, args.float, is_special)?;
    }
    // Only what was read can be asked for its tracks.
    read_pipe(&args.input)?;
    let form = match VideoFile::is_video(&args.input) {
        true => Output::of(&args.output, &args.input)?,
        false => None,
    };
    if let Some(form) = form {
        let has_sound = matches!(form, Output::Movie(_)) && CodedFile::is_coded(&args.input);
        let job = video::decode::Job {
            input: &args.input,
            output: &args.output,
            sound: if has_sound { Some(open_sound(args)?) } else { None },
            takes_sound: matches!(form, Output::Movie(_)),
            loses_sound_only: args.loss.channel()?.is_some(),
            runtime: args.model.video_runtime()?,
        };
        let open = || Target::open(&args.output, args.overwrite.choice(), &args.input);
        return video::decode::run(job, form, open, &mut report);
    }
    let format = OutputFormat::of(&args.output, args.float, is_special)?;
    let mut decoding = open_sound(args)?;
    let (rate, channels) = (decoding.rate(), decoding.channels());
    let total = decoding.file().stated_samples().map(|s| s as f64 / f64::from(rate));
    // After the input and its bundle are known to be there: a mistake must not cost an older output.
    let target = Target::open(&args.output, args.overwrite.choice(), &args.input)?;
    report.note(&format!(
        "Decoding with {} on {}, {rate} Hz {}",
        decoding.file().header().bundle_name,
        decoding.provider(),
        units::format_channels(channels),
    ));
    // When the sound begins is known with its first packet.
    let mut pcm = Vec::new();
    let mut more = decoding.next(&mut pcm)?;
    let file = decoding.file();
    let mut labels = Labels::new(file.tags().to_vec(), file.chapters(), decoding.start_ns());
    labels.sound = track_labels(&args.input, AUDIO_CODEC_ID)?;
    let mut output =
        AudioOutput::create(target.handle()?, target.is_file(), &format, (rate, channels), &labels)?;
    if output.rate() != rate {
        report.note(&format!("Resampling from {rate} Hz to {} Hz", output.rate()));
    }
    let name = target.name();
    while more {
        output.write(&pcm).with_context(|| name.clone())?;
        pcm.clear();
        more = decoding.next(&mut pcm)?;
        let seconds = decoding.given_samples() as f64 / f64::from(rate);
        report.progress(Progress { seconds, total, bytes: decoding.packet_bytes() })?;
    }
    // Before the file gets its name: an output without any sound is none.
    decoding.check_any()?;
    // In this order: the container's end is written, then the file is renamed into place.
    output.finish().with_context(|| name)?;
    target.commit()?;
    let seconds = decoding.given_samples() as f64 / f64::from(rate);
    let losses = decoding.losses();
    for line in describe_losses(losses, decoding.name(), rate, seconds) {
        report.warn(&line)?;
    }
    let speed = seconds / report.elapsed().max(1e-6);
    report.done(
        &format!(
            "{} ({} samples), {speed:.1}x real time",
            units::format_time(seconds),
            decoding.given_samples()
        ),
        &events::Decode {
            input: args.input.to_string_lossy(),
            output: args.output.to_string_lossy(),
            model: &decoding.file().header().bundle_name,
            model_id: decoding.file().header().bundle.to_string(),
            provider: decoding.provider().name(),
            sample_rate: rate,
            samples: decoding.given_samples(),
            seconds,
            packet_bytes: decoding.packet_bytes(),
            bad_packets: losses.bad_packets,
            concealed_samples: losses.concealed_samples,
            packets_dropped: losses.dropped,
            frames_lost: losses.lost_frames,
            frames_recovered: losses.recovered_frames,
            frames_concealed: losses.lost_frames - losses.recovered_frames,
            truncated: losses.ends_early || losses.damage.is_some(),
            elapsed_seconds: report.elapsed(),
            peak_memory_bytes: peak_memory(),
            speed,
        },
    )?;
    Ok(ExitCode::SUCCESS)
}

/// The sound of the input, with the losses that the options simulate.
fn open_sound(args: &DecodeArgs) -> Result<Decoding> {
    let file = CodedFile::open(&args.input)?;
    let runtime = args.model.runtime()?;
    let channel = args.loss.channel()?;
    Decoding::new(file, args.model.model.as_deref(), &runtime, args.stages, channel)
}
