//! Encoding in real time: a packet a picture, as soon as the picture is there.

use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::json;
use siskin_core::bitstream::VideoHeader;
use siskin_core::bundle::VideoBundle;
use siskin_core::video::psnr;
use siskin_core::video::realtime::{Config, Encoder, Target as Aim, i420_to_rgb};

use super::encode::Job;
use super::input::VideoInput;
use super::settings::Wish;
use super::sound::Sound;
use crate::coded::Sink;
use crate::failure::usage;
use crate::interrupt;
use crate::report::Report;
use crate::target::Target;
use crate::units;

/// Sums over the pictures written.
#[derive(Default)]
struct Sums {
    frames: u64,
    keys: u64,
    nanoseconds: u64,
    psnr: f64,
    /// Seconds in the encoder alone.
    seconds: f64,
}

/// Encodes the video of an input.
pub(super) fn run(job: &mut Job<'_>, target: Target, report: &mut Report) -> Result<ExitCode> {
    job.video.check_realtime()?;
    let bundle = VideoBundle::find(job.model.unwrap_or(VideoBundle::DEFAULT))?;
    let qualities = bundle.manifest().qualities;
    let aim = match job.video.wish(job.bitrate)? {
        Wish::Bitrate(rate) => Aim::Bitrate(rate as u32),
        Wish::Quality { quality, .. } => {
            Aim::Quality(((100.0 - quality) / 100.0 * f64::from(qualities - 1)).round() as u8)
        }
        Wish::Size(_) => {
            return Err(usage("--size is for the other presets, realtime takes --bitrate or --quality"));
        }
    };
    let mut input = VideoInput::open(job.input)?.planar();
    let header = *input.header();
    let others = input.other_streams(job.sound.is_some());
    if !others.is_empty() {
        report.note(&format!("Leaving out other streams: {}", others.join(", ")));
    }
    let config = Config { target: aim, key_interval: job.video.gop_size, ..Default::default() };
    let mut encoder = Encoder::new(header, &job.runtime, &bundle, &config)?;
    let name = format!("{} {}", bundle.manifest().name, bundle.manifest().version);
    report.note(&format!(
        "Encoding {}x{} with {name} on {}",
        header.width,
        header.height,
        encoder.provider()
    ));
    let total = input.stated_frames();
    let (tracks, shift) = job.tracks(&input);
    let mut sink = Sink::begin(&target, tracks, Vec::new(), Vec::new())?;
    interrupt::keep_output();
    let (mut sums, mut was_interrupted, mut ahead) = (Sums::default(), false, input.next()?);
    let mut scratch = Default::default();
    while let Some((frame, pts)) = ahead.take() {
        if interrupt::check().is_err() {
            was_interrupted = true;
            break;
        }
        ahead = input.next()?;
        let gap = ahead.as_ref().and_then(|next| next.1).zip(pts).map(|(next, own)| next - own);
        let constant = header.frame_duration_ns();
        let duration = constant.unwrap_or(gap.unwrap_or(40_000_000).clamp(1, u32::MAX.into()) as u64);
        let begun = std::time::Instant::now();
        let coded = encoder.encode(&frame, constant.is_none().then_some(duration as u32))?;
        sums.seconds += begun.elapsed().as_secs_f64();
        sums.keys += u64::from(coded.key);
        let start = shift + start_of(&header, sums.frames).unwrap_or(sums.nanoseconds);
        job.write_sound(start, &mut sink)?;
        sink.block(start, duration, coded.key, coded.data)?;
        sums.psnr += level(&encoder, &frame, &mut scratch);
        sums.frames += 1;
        sums.nanoseconds += duration;
        show(report, &sums, total, sink.bytes(), header.pixels())?;
    }
    if sums.frames == 0 {
        if was_interrupted {
            return Err(interrupt::Interrupted.into());
        }
        bail!("{} holds no pictures", job.input.display());
    }
    if input.bad_packets() > 0 {
        let (name, count) = (job.input.display(), input.bad_packets());
        report.warn(&format!("{name}: {count} packets could not be decoded"))?;
    }
    if !was_interrupted {
        job.finish_sound(&mut sink, report)?;
    }
    let totals = sink.finish()?;
    target.commit()?;
    if was_interrupted {
        let (name, count) = (job.output.display(), sums.frames);
        report.warn(&format!("interrupted: {name} holds the first {count} frames"))?;
    }
    let seconds = sums.nanoseconds as f64 / 1e9;
    let frames = sums.frames as f64;
    let (decibels, fps) = (sums.psnr / frames, frames / sums.seconds.max(1e-6));
    let bpp = totals.bytes as f64 * 8.0 / (header.pixels() as f64 * frames);
    let rate = units::rate_of(totals.bytes, seconds);
    report.done(
        &format!(
            "{} frames, {} of them key, {}, {}, {bpp:.4} bpp, PSNR {decibels:.2} dB, {fps:.1} fps",
            sums.frames,
            sums.keys,
            units::size(totals.bytes),
            units::bitrate(rate),
        ),
        &json!({
            "type": "result",
            "verb": "encode",
            "input": job.input.to_string_lossy(),
            "output": job.output.to_string_lossy(),
            "model": bundle.manifest().name,
            "model_id": bundle.manifest().id().to_string(),
            "provider": encoder.provider().name(),
            "frames": sums.frames,
            "groups": sums.frames,
            "key_groups": sums.keys,
            "sound_samples": job.sound.as_ref().map(Sound::samples),
            "seconds": seconds,
            "bytes": totals.bytes,
            "packet_bytes": totals.packet_bytes,
            "bitrate": rate,
            "bits_per_pixel": bpp,
            "psnr": decibels,
            "fps": fps,
            "elapsed_seconds": report.elapsed(),
        }),
    )?;
    Ok(if was_interrupted { ExitCode::from(interrupt::EXIT_CODE) } else { ExitCode::SUCCESS })
}

/// When a frame of a constant rate begins, in nanoseconds: counted from the beginning, so that no rounding adds up.
fn start_of(header: &VideoHeader, frame: u64) -> Option<u64> {
    let (n, d) = (u128::from(header.frame_rate.0), u128::from(header.frame_rate.1));
    (n > 0).then(|| (u128::from(frame) * d * 1_000_000_000 / n.max(1)) as u64)
}

/// PSNR of the picture as a decoder sees it, over RGB.
fn level(encoder: &Encoder, frame: &[u8], [yuv, seen, wanted]: &mut [Vec<u8>; 3]) -> f64 {
    let size = (encoder.header().width as usize, encoder.header().height as usize);
    encoder.picture(yuv);
    i420_to_rgb(yuv, size, seen);
    i420_to_rgb(frame, size, wanted);
    psnr(seen, wanted)
}

fn show(report: &mut Report, sums: &Sums, total: Option<u64>, bytes: u64, pixels: usize) -> Result<()> {
    let frames = sums.frames as f64;
    let (fps, decibels) = (frames / report.elapsed().max(1e-3), sums.psnr / frames);
    let bpp = bytes as f64 * 8.0 / (pixels as f64 * frames);
    let eta = total.map(|all| all.saturating_sub(sums.frames) as f64 / fps);
    let text = || {
        let mut text = format!("frame {}  {fps:.1} fps  {decibels:.2} dB  {bpp:.4} bpp", sums.frames);
        eta.iter().for_each(|e| text += &format!("  ETA {}", units::clock(*e)));
        text
    };
    report.show(text, || {
        json!({
            "type": "progress",
            "frames_done": sums.frames,
            "frames_total": total,
            "fps": fps,
            "psnr": decibels,
            "bits_per_pixel": bpp,
            "eta_seconds": eta,
        })
    })
}
