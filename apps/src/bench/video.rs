//! How fast frames are coded in real time.

use std::path::Path;

use anyhow::{Result, bail};
use siskin_core::bitstream::VideoHeader;
use siskin_core::bundle::VideoBundle;
use siskin_core::media::{PixelFormat, VideoFrame};
use siskin_core::runtime::{Provider, Runtime};
use siskin_core::video::{Decoder, frame_psnr, realtime};

use super::{NetworkTime, Percentiles, Times, peak_memory};
use crate::video::VideoInput;
use crate::{events, interrupt, media, report, units};

/// What is to be measured.
pub(crate) struct Work<'a> {
    /// A clip; a moving pattern of 480x270 if there is none.
    pub(crate) input: Option<&'a Path>,
    /// Frames.
    pub(crate) frames: usize,
    /// Quality of the bundle.
    pub(crate) quality: u8,
    /// Bundle by name or path.
    pub(crate) model: Option<&'a str>,
}

/// Encodes and decodes, and tells how long frames took.
pub(crate) fn run_video(work: &Work<'_>, runtime: &Runtime, as_json: bool) -> Result<()> {
    let bundle = work.model.map(VideoBundle::find).transpose()?;
    let (header, frames) = load_frames(work)?;
    let config = realtime::Config {
        target: realtime::Target::Step(work.quality),
        threads: runtime.threads(),
        ..Default::default()
    };
    let mut encoder = match &bundle {
        Some(bundle) => realtime::Encoder::with_network(header, runtime, bundle, &config)?,
        None => realtime::Encoder::new(header, &config)?,
    };
    let (mut times, none, mut packets, mut level) =
        (Times::default(), NetworkTime::default(), Vec::new(), 0.0);
    for frame in &frames {
        interrupt::check_interrupt()?;
        let packet =
            times.time(&none, || encoder.encode_frame(&frame.view(), None).map(|p| p.data.to_vec()))?;
        packets.push(packet);
        // A mean of decibels, as video is usually reported.
        level += frame_psnr(&frame.view(), &encoder.reconstructed_frame()?) / frames.len() as f64;
    }
    let (n, d) = header.frame_rate;
    // Of a variable rate, as if 30 frames per second.
    let frame_seconds = if n > 0 { f64::from(d) / f64::from(n) } else { 1.0 / 30.0 };
    let encode = times.side(frame_seconds);
    let (mut times, mut decoder, mut out) = (Times::default(), Decoder::new(runtime), VideoFrame::default());
    // The first packet also opens the network.
    decoder.load(&packets[0])?;
    for packet in &packets {
        interrupt::check_interrupt()?;
        times.time(&none, || {
            decoder.load(packet).and_then(|_| decoder.decode_frame(0, PixelFormat::I420, &mut out))
        })?;
    }
    let decode = times.side(frame_seconds);
    let bytes: usize = packets.iter().map(Vec::len).sum();
    let bpp = bytes as f64 * 8.0 / (header.pixels() * packets.len()) as f64;
    let (manifest, memory) = (bundle.as_ref().map(VideoBundle::manifest), peak_memory());
    let coding = if manifest.is_some() { "realtime" } else { "blocks" };
    if as_json {
        return report::write_json_line(&events::VideoBench {
            coding,
            model: manifest.map(|m| m.name.as_str()),
            model_id: manifest.map(|m| m.id().to_string()),
            provider: encoder.provider().map(Provider::name),
            runtime: manifest.map(|_| runtime.library_info()),
            width: header.width,
            height: header.height,
            frames: packets.len(),
            quality: work.quality,
            bits_per_pixel: bpp,
            psnr: level,
            peak_memory_bytes: memory,
            encode: events::BenchSide { frames_per_second: encode.frames_per_second, us: &encode.whole_us },
            decode: events::BenchSide { frames_per_second: decode.frames_per_second, us: &decode.whole_us },
        });
    }
    let with = match (manifest, encoder.provider()) {
        (Some(m), Some(provider)) => format!("{} {} (id {}) on {provider}", m.name, m.version, m.id()),
        _ => "block codec".into(),
    };
    let mut text = format!(
        "{with}, {}x{}, {} frames, quality {}: {bpp:.3} bpp, {level:.1} dB (Y, U, V); peak memory {}\n",
        header.width,
        header.height,
        packets.len(),
        work.quality,
        memory.map_or("unknown".into(), units::format_size),
    );
    text +=
        &format!("{:<10}{:>8}{:>9}{:>9}{:>9}{:>9}{:>9}\n", "ms", "fps", "mean", "p50", "p95", "p99", "max");
    for (name, side) in [("encode", &encode), ("decode", &decode)] {
        let Percentiles { mean, p50, p95, p99, max } = &side.whole_us;
        let [mean, p50, p95, p99, max] = [mean, p50, p95, p99, max].map(|us| us / 1e3);
        let fps = side.frames_per_second;
        text += &format!("{name:<10}{fps:>8.1}{mean:>9.2}{p50:>9.2}{p95:>9.2}{p99:>9.2}{max:>9.2}\n");
    }
    report::print_text(&text)
}

fn load_frames(work: &Work<'_>) -> Result<(VideoHeader, Vec<VideoFrame>)> {
    let Some(path) = work.input else { return draw_pattern(work.frames) };
    media::init_ffmpeg()?;
    let mut input = VideoInput::open(path, PixelFormat::I420)?;
    let mut frames = Vec::new();
    while frames.len() < work.frames
        && let Some(next) = input.next()?
    {
        frames.push(next.frame);
    }
    if frames.is_empty() {
        bail!("{} holds no video frames", path.display());
    }
    Ok((*input.header(), frames))
}

/// Waves that move at different speeds, with a grain that does not.
fn draw_pattern(frames: usize) -> Result<(VideoHeader, Vec<VideoFrame>)> {
    let (width, height) = (480u32, 270u32);
    let header = VideoHeader {
        width,
        height,
        frame_rate: (30, 1),
        pixel_aspect: (1, 1),
        colorimetry: Default::default(),
    };
    let size = header.size()?;
    let make = |t: usize| -> Result<VideoFrame> {
        let mut out = Vec::with_capacity(realtime::i420_bytes(&header));
        for (scale, step) in [(1.0, 1), (2.0, 2), (2.0, 2)] {
            for y in 0..height.div_ceil(step) {
                for x in 0..width.div_ceil(step) {
                    let (x, y, t) = (f64::from(x) * scale, f64::from(y) * scale, t as f64);
                    let wave = (x * 0.05 + t * 0.1).sin() * (y * 0.07 - t * 0.05).cos();
                    // A hash in floating point: the same noise at a place in every frame, which motion compensation
                    // cannot follow.
                    let grain = ((x * 12.9898 + y * 78.233).sin() * 43_758.545).fract() * 12.0;
                    let edge = if ((x + 2.5 * t) / 40.0) as i64 % 2 == 0 { 30.0 } else { 0.0 };
                    out.push((110.0 + 40.0 * wave + grain + edge / scale) as u8);
                }
            }
        }
        Ok(VideoFrame::from_data(PixelFormat::I420, size, out)?)
    };
    Ok((header, (0..frames).map(make).collect::<Result<_>>()?))
}
