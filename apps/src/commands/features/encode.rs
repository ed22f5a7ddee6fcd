//! `siskin features encode`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use siskin_core::container::Track;
use siskin_core::features::{COLORIMETRY, Encoder};

use super::bundle_of;
use crate::events;
use crate::media;
use crate::media_file::Sink;
use crate::model::ModelArgs;
use crate::report::{Report, ReportArgs};
use crate::target::{OverwriteArgs, Target, is_dash};
use crate::video::VideoInput;

/// Arguments of `features encode`.
#[derive(Debug, Args)]
pub(super) struct EncodeArgs {
    /// A picture or video that FFmpeg reads, - for stdin
    input: PathBuf,
    /// Output file (Matroska), - for stdout
    output: PathBuf,
    /// Quality level, 0 is the finest [default: the bundle's]
    #[arg(short, long, value_name = "N")]
    level: Option<u8>,
    /// Encode the first N frames alone
    #[arg(long, value_name = "N")]
    frames: Option<u64>,
    #[command(flatten)]
    model: ModelArgs,
    #[command(flatten)]
    overwrite: OverwriteArgs,
    #[command(flatten)]
    pub(super) report: ReportArgs,
}

pub(super) fn run(args: &EncodeArgs) -> Result<()> {
    media::init_ffmpeg()?;
    let mut report = Report::new(&args.report, is_dash(&args.output))?;
    let bundle = bundle_of(&args.model)?;
    let mut encoder = Encoder::new(&bundle, &args.model.runtime()?)?;
    if let Some(level) = args.level {
        encoder.set_level(level)?;
    }
    let mut input = VideoInput::open_as(&args.input, COLORIMETRY)?;
    let video = *input.header();
    let header = encoder.header(video.size()?, video.frame_rate);
    let target = Target::open(&args.output, args.overwrite.choice(), &args.input)?;
    let mut sink = Sink::begin(&target, vec![Track::features(&header)], Vec::new(), Vec::new())?;
    let mut frames = 0u64;
    let mut seconds = 0.0;
    while args.frames.is_none_or(|most| frames < most) {
        let Some(timed) = input.next()? else { break };
        let packet = encoder.encode(&timed.frame.view())?;
        sink.block(timed.start_ns, timed.duration_ns.into(), true, packet)?;
        frames += 1;
        seconds = (timed.start_ns + u64::from(timed.duration_ns)) as f64 / 1e9;
        crate::interrupt::check_interrupt()?;
        report.status(&format!("{frames} frames, {} bytes", sink.bytes()));
    }
    let totals = sink.finish()?;
    target.commit()?;
    let per_frame = totals.packet_bytes as f64 / frames.max(1) as f64;
    report.done(
        &format!("{frames} frames at level {}, {per_frame:.0} bytes each", encoder.level()),
        &events::FeaturesEncode {
            input: args.input.to_string_lossy(),
            output: args.output.to_string_lossy(),
            model: &bundle.manifest().name,
            model_id: bundle.manifest().id().to_string(),
            provider: encoder.provider().map_or("", |p| p.name()),
            level: encoder.level(),
            width: video.width,
            height: video.height,
            frames,
            seconds,
            bytes: totals.bytes,
            packet_bytes: totals.packet_bytes,
            bytes_per_frame: per_frame,
            elapsed_seconds: report.elapsed(),
        },
    )
}
