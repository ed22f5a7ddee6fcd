//! `siskin features bench`.

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Result, bail};
use clap::Args;
use siskin_core::features::{Decoder, DecoderOptions, Encoder};
use siskin_core::media::PixelFormat;

use super::bundle_of;
use crate::bench::{Percentiles, percentiles};
use crate::events;
use crate::media;
use crate::model::ModelArgs;
use crate::report::{print_text, write_json_line};
use crate::video::VideoInput;

/// Arguments of `features bench`.
#[derive(Debug, Args)]
pub(super) struct BenchArgs {
    /// A picture or video that FFmpeg reads
    input: PathBuf,
    /// Quality level, 0 is the finest [default: the bundle's]
    #[arg(short, long, value_name = "N")]
    level: Option<u8>,
    /// Frames to code; a shorter input is repeated
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    frames: u32,
    #[command(flatten)]
    model: ModelArgs,
    /// Write the result as a JSON object
    #[arg(long, help_heading = "Messages")]
    pub(super) json: bool,
}

pub(super) fn run(args: &BenchArgs) -> Result<()> {
    media::init_ffmpeg()?;
    let bundle = bundle_of(&args.model)?;
    let runtime = args.model.runtime()?;
    let mut encoder = Encoder::new(&bundle, &runtime)?;
    if let Some(level) = args.level {
        encoder.set_level(level)?;
    }
    let mut decoder = Decoder::new(&bundle, &runtime, &DecoderOptions::default())?;
    let mut input = VideoInput::open(&args.input, PixelFormat::I420)?;
    let mut frames = Vec::new();
    // No more than are coded: a whole film does not fit memory.
    while frames.len() < args.frames as usize {
        let Some(timed) = input.next()? else { break };
        frames.push(timed.frame);
    }
    let Some(first) = frames.first() else { bail!("{} holds no video frames", args.input.display()) };
    // Networks are opened at the first frame, which is no work of a frame.
    let packet = encoder.encode(&first.view())?.to_vec();
    decoder.decode(&packet)?;
    let (mut device, mut network, mut server) = (Vec::new(), Vec::new(), Vec::new());
    let (mut bytes, mut objects) = (0u64, 0u64);
    for frame in frames.iter().cycle().take(args.frames as usize) {
        let clock = Instant::now();
        let mut half = 0.0;
        let packet =
            encoder.encode_with(&frame.view(), &mut |_| half = clock.elapsed().as_secs_f64() * 1e6)?;
        device.push(clock.elapsed().as_secs_f64() * 1e6);
        network.push(half);
        bytes += packet.len() as u64;
        let clock = Instant::now();
        objects += decoder.decode(packet)?.objects().len() as u64;
        server.push(clock.elapsed().as_secs_f64() * 1e6);
    }
    let count = f64::from(args.frames);
    let [device_us, device_network_us, server_us] = [device, network, server].map(|t| percentiles(&t));
    if args.json {
        return write_json_line(&events::FeaturesBench {
            model: &bundle.manifest().name,
            provider: encoder.provider().map_or("", |p| p.name()),
            threads: runtime.threads(),
            level: encoder.level(),
            width: first.size().width(),
            height: first.size().height(),
            frames: args.frames,
            bytes_per_frame: bytes as f64 / count,
            objects_per_frame: objects as f64 / count,
            device_us,
            device_network_us,
            server_us,
        });
    }
    let row = |name: &str, t: &Percentiles| {
        format!(
            "{name:<16}{:>8.2} ms   median {:.2}, 95 % below {:.2}\n",
            t.mean / 1e3,
            t.p50 / 1e3,
            t.p95 / 1e3
        )
    };
    let text = format!(
        "{} frames of {} at level {}, {:.0} bytes and {:.1} objects each\n",
        args.frames,
        first.size(),
        encoder.level(),
        bytes as f64 / count,
        objects as f64 / count
    );
    let rows =
        [("device half", &device_us), ("  network of it", &device_network_us), ("server half", &server_us)];
    print_text(&rows.iter().fold(text, |text, (name, times)| text + &row(name, times)))
}
