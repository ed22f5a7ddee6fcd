//! `siskin bench`.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;
use serde_json::json;
use siskin_core::audio::{
    Decoder, EncodedPacket, Encoder, EncoderConfig, FrameDecoder, FrameEncoder, ResidualQuantizer,
};
use siskin_core::bundle::GraphSpec;
use siskin_core::entropy::{Coder, Tables};

use crate::bench::{Coding, NetworkTime, Percentiles, Times, peak_memory, speech_like, video};
use crate::cli::ModelArgs;
use crate::failure::usage;
use crate::interrupt;
use crate::media::{self, AudioInput};
use crate::report;
use crate::units;

/// Arguments of `bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// A recording to work on, any audio that FFmpeg reads [default: noise with the envelope of speech]
    input: Option<PathBuf>,
    /// Seconds of audio to work on
    #[arg(long, value_name = "N", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// Residual stages [default: the model's]
    #[arg(short, long, value_name = "N")]
    codebooks: Option<u8>,
    /// Choices of codes that the encoder follows at once, 1 to 64 [default: the encoder's]
    #[arg(long, value_name = "N")]
    search_width: Option<usize>,
    /// Measure video in real time instead of audio; INPUT is then a clip [default: a moving pattern of 480x270]
    #[arg(long, help_heading = "Video")]
    video: bool,
    /// Pictures to work on
    #[arg(long, value_name = "N", default_value_t = 150, requires = "video", value_parser = clap::value_parser!(u32).range(2..=3000), help_heading = "Video")]
    frames: u32,
    /// Quality of the bundle, 0 is the finest
    #[arg(long, value_name = "N", default_value_t = 20, requires = "video", help_heading = "Video")]
    quality: u8,
    #[command(flatten)]
    model: ModelArgs,
    /// Write the result as a JSON object
    #[arg(long, help_heading = "Messages")]
    pub(crate) json: bool,
}

pub(crate) fn run(args: &BenchArgs) -> Result<ExitCode> {
    if args.video {
        let work = video::Work {
            input: args.input.as_deref(),
            frames: args.frames as usize,
            quality: args.quality,
            model: args.model.model.as_deref(),
        };
        video::run(&work, &args.model.video_runtime()?, args.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    let started = Instant::now();
    let bundle = args.model.bundle()?;
    let manifest = bundle.manifest();
    let stages = args.codebooks.unwrap_or(manifest.default_stages);
    if !(1..=manifest.quantizer.stages).contains(&stages) {
        let (name, all) = (&manifest.name, manifest.quantizer.stages);
        return Err(usage(format!("--codebooks is {stages}, {name} has: 1 to {all}")));
    }
    let runtime = args.model.runtime()?;
    let (encoder_time, decoder_time) = (NetworkTime::default(), NetworkTime::default());
    let network = |spec: &GraphSpec, time: &NetworkTime| -> siskin_core::Result<_> {
        Ok(time.of(runtime.network(spec, bundle.file(&spec.file)?)?))
    };
    let quantizer = ResidualQuantizer::from_bundle(&bundle)?;
    let frames = FrameEncoder::from_parts(network(&manifest.encoder, &encoder_time)?, quantizer.clone());
    let mut config = EncoderConfig { stages: Some(stages), ..Default::default() };
    config.search_width = args.search_width.unwrap_or(config.search_width);
    let mut encoder = Encoder::from_parts(frames, bundle.stream_header(), &config, stages)?;
    let encoder_ms = started.elapsed().as_secs_f64() * 1e3;
    let frames = FrameDecoder::from_parts(network(&manifest.decoder, &decoder_time)?, quantizer);
    let mut decoder = Decoder::from_parts(frames, bundle.stream_header());
    let both_ms = started.elapsed().as_secs_f64() * 1e3;

    let pcm = samples(args, manifest.sample_rate)?;
    let hop = usize::from(manifest.hop);
    let frame_seconds = hop as f64 / f64::from(manifest.sample_rate);
    let mut packets: Vec<Vec<u8>> = Vec::with_capacity(pcm.len() / hop);
    let mut keep = |p: EncodedPacket<'_>| -> siskin_core::Result<()> {
        packets.push(p.data.to_vec());
        Ok(())
    };
    let mut times = Times::default();
    for frame in pcm.chunks_exact(hop) {
        interrupt::check()?;
        times.time(&encoder_time, || encoder.push(frame, &mut keep))?;
    }
    let encode = times.side(frame_seconds);
    let (mut times, mut out) = (Times::default(), Vec::with_capacity(hop));
    for packet in &packets {
        out.clear();
        interrupt::check()?;
        times.time(&decoder_time, || decoder.decode(packet, &mut out))?;
    }
    let decode = times.side(frame_seconds);

    let tables = Tables::from_bundle(&bundle)?;
    let header = bundle.stream_header();
    let coding = tables.map(|t| Coding::measure(&header, &mut Coder::new(t.into()), &packets)).transpose()?;
    let (memory, provider) = (peak_memory(), encoder.provider());
    if args.json {
        report::line(&json!({
            "type": "bench",
            "model": manifest.name,
            "model_id": bundle.id().to_string(),
            "provider": provider.name(),
            "runtime": runtime.library_info(),
            "stages": stages,
            "search_width": config.search_width,
            "seconds": pcm.len() as f64 / f64::from(manifest.sample_rate),
            "frame_ms": frame_seconds * 1e3,
            "start_encoder_ms": encoder_ms,
            "start_both_ms": both_ms,
            "peak_memory_bytes": memory,
            "encode": encode,
            "decode": decode,
            "entropy_coding": coding,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut text = format!(
        "{} {} (id {}) on {provider}, {stages} stages, {} frames of {:.1} ms\nready after {encoder_ms:.0} ms \
         (encoder), {both_ms:.0} ms (encoder and decoder); peak memory {}\n\n{:<20}{:>9}{:>9}{:>9}{:>9}{:>9}\n",
        manifest.name,
        manifest.version,
        bundle.id(),
        encode.frames,
        frame_seconds * 1e3,
        memory.map_or("unknown".into(), units::size),
        "us a frame",
        "mean",
        "p50",
        "p95",
        "p99",
        "max",
    );
    for (name, side) in [("encode", &encode), ("decode", &decode)] {
        for (part, p) in [("", &side.whole_us), (" network", &side.network_us), (" rest", &side.rest_us)] {
            let Percentiles { mean, p50, p95, p99, max } = p;
            let label = format!("{name}{part}");
            text += &format!("{label:<20}{mean:>9.1}{p50:>9.1}{p95:>9.1}{p99:>9.1}{max:>9.1}\n");
        }
    }
    for (name, side) in [("\nencode", &encode), ("decode", &decode)] {
        text += &format!(
            "{name}: real-time factor {:.4}, {:.0} frames/s; outside the network {:.2} % of the work, {:.2} % of a \
             frame's {:.1} ms\n",
            side.real_time_factor,
            side.frames_per_second,
            side.rest_share * 100.0,
            side.rest_us.mean / frame_seconds / 1e4,
            frame_seconds * 1e3,
        );
    }
    text += &match coding {
        Some(c) => format!(
            "entropy coding: {:.1} us a frame to encode, {:.1} us to decode; packets of 50 frames take {:.1} % less\n",
            c.encode_us,
            c.decode_us,
            100.0 - 100.0 * c.bytes as f64 / c.fixed_width_bytes.max(1) as f64,
        ),
        None => "entropy coding: the model has no tables\n".into(),
    };
    report::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// As many samples as asked for, in whole frames; a shorter recording is repeated.
fn samples(args: &BenchArgs, rate: u32) -> Result<Vec<f32>> {
    let count = args.seconds as usize * rate as usize;
    let Some(path) = &args.input else { return Ok(speech_like(count, rate)) };
    media::init()?;
    let mut input = AudioInput::open(path, Some(rate))?;
    let mut pcm = Vec::new();
    while pcm.len() < count && input.next(&mut pcm)? {}
    if pcm.is_empty() {
        bail!("{} holds no audio samples", path.display());
    }
    Ok(pcm.iter().copied().cycle().take(count).collect())
}
