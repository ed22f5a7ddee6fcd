//! Encoding in real time: a packet a picture, as soon as the picture is there.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use siskin_core::bitstream::VideoHeader;
use siskin_core::bundle::VideoBundle;
use siskin_core::video::psnr;
use siskin_core::video::realtime::{Encoder, Target as Aim, YuvMatrix, i420_to_rgb};

use super::encode::Job;
use super::input::VideoInput;
use super::resume::{Earlier, Settings};
use super::settings::Wish;
use super::sound::Sound;
use crate::coded::Sink;
use crate::events;
use crate::failure::usage;
use crate::interrupt;
use crate::report::Report;
use crate::target::Target;
use crate::units;

/// Sums over the pictures written.
#[derive(Default)]
struct Sums {
    frames: u64,
    /// Those of them that an earlier run encoded.
    resumed: u64,
    keys: u64,
    nanoseconds: u64,
    psnr: f64,
    /// Seconds in the encoder alone.
    seconds: f64,
}

/// Encodes the video of an input.
pub(super) fn run(job: &mut Job<'_>, mut target: Target, report: &mut Report) -> Result<ExitCode> {
    job.video.check_realtime()?;
    let bundle = VideoBundle::find(job.model.unwrap_or(VideoBundle::DEFAULT))?;
    let qualities = bundle.manifest().qualities;
    let wish = job.video.wish(job.bitrate)?;
    let aim = match wish {
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
    let config = job.video.realtime_config(aim);
    let mut encoder = Encoder::new(header, &job.runtime, &bundle, &config)?;
    let name = format!("{} {}", bundle.manifest().name, bundle.manifest().version);
    report.note(&format!(
        "Encoding {}x{} with {name} on {}",
        header.width,
        header.height,
        encoder.provider()
    ));
    let total = input.stated_frames();
    let mut ahead = input.next()?;
    let settings = job.video.realtime_words(&bundle.manifest().id().to_string(), wish, &config);
    let settings = Settings::new(&settings, ahead.as_ref().map_or(&[], |(frame, _)| frame));
    let mut earlier = job.earlier(&header, &settings, report)?;
    if let Some(all) = earlier.take() {
        earlier = Some(all.up_to_last_key(job.output)?);
    }
    let mut watch = job.watch(&header)?;
    let (tracks, shift) = job.tracks(&input);
    let mut sink = Sink::begin(&target, tracks, vec![settings.tag()], Vec::new())?;
    interrupt::keep_output();
    let (mut sums, mut was_interrupted, mut is_revealed) = (Sums::default(), false, false);
    let mut scratch = Default::default();
    while let Some((frame, pts)) = ahead.take() {
        let kept = earlier.as_mut().and_then(Earlier::next).map(|(info, data)| (info, data.to_vec()));
        if kept.is_none() && earlier.take().is_some() {
            report.note(&format!("Going on after {} frames", sums.resumed));
        }
        if interrupt::check().is_err() {
            // What an earlier run left is whole as long as this file is not in its place.
            if kept.is_some() {
                return Err(interrupt::Interrupted.into());
            }
            was_interrupted = true;
            break;
        }
        ahead = input.next()?;
        let gap = ahead.as_ref().and_then(|next| next.1).zip(pts).map(|(next, own)| next - own);
        let constant = header.frame_duration_ns();
        let duration = constant.unwrap_or(gap.unwrap_or(40_000_000).clamp(1, u32::MAX.into()) as u64);
        let own = constant.is_none().then_some(duration as u32);
        let start = shift + start_of(&header, sums.frames).unwrap_or(sums.nanoseconds);
        job.write_sound(start, &mut sink)?;
        sums.frames += 1;
        sums.nanoseconds += duration;
        if let Some((info, data)) = kept {
            if info.durations.as_ref().and_then(|d| d.first().copied()) != own {
                let (input, output) = (job.input.display(), job.output.display());
                bail!("{output} cannot be resumed: the frames of {input} have other times");
            }
            encoder.resume(&data).with_context(|| job.output.display().to_string())?;
            sink.block(start, duration, info.key, &data)?;
            sums.keys += u64::from(info.key);
            sums.resumed += 1;
            continue;
        }
        let begun = std::time::Instant::now();
        let coded = encoder.encode(&frame, own)?;
        sums.seconds += begun.elapsed().as_secs_f64();
        sums.keys += u64::from(coded.key);
        if coded.key && sums.frames > sums.resumed + 1 && !is_revealed {
            // A group is whole: from here on it stays, whatever ends the program.
            sink.flush()?;
            target.reveal()?;
            is_revealed = true;
        }
        sink.block(start, duration, coded.key, coded.data)?;
        sums.psnr += level(&encoder, &frame, &mut scratch);
        if let Some(watch) = watch.as_mut().filter(|w| w.is_due()) {
            let [_, seen, wanted] = &scratch;
            if let Err(e) = watch.show(wanted, seen) {
                report.warn(&format!("--watch: {e:#}"))?;
            }
        }
        show(report, &sums, total, sink.bytes(), header.pixels())?;
    }
    if earlier.is_some_and(|mut e| e.next().is_some()) {
        bail!(
            "{} cannot be resumed: it holds more frames than {}",
            job.output.display(),
            job.input.display()
        );
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
        report.warn(&format!("interrupted: {name} holds the first {count} frames, --resume goes on"))?;
    }
    let seconds = sums.nanoseconds as f64 / 1e9;
    let frames = sums.frames as f64;
    // What an earlier run encoded was measured then.
    let own = (sums.frames - sums.resumed) as f64;
    let (decibels, fps) = (sums.psnr / own.max(1.0), own / sums.seconds.max(1e-6));
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
        &events::VideoEncode {
            input: job.input.to_string_lossy(),
            output: job.output.to_string_lossy(),
            realtime: Some(events::Realtime {
                model: &bundle.manifest().name,
                model_id: bundle.manifest().id().to_string(),
                provider: encoder.provider().name(),
                steps: config.steps,
                key_groups: sums.keys,
                fps,
            }),
            frames: sums.frames,
            resumed_frames: sums.resumed,
            groups: sums.frames,
            sound_samples: job.sound.as_ref().map(Sound::samples),
            seconds,
            bytes: totals.bytes,
            packet_bytes: totals.packet_bytes,
            bitrate: rate,
            bits_per_pixel: bpp,
            psnr: decibels,
            elapsed_seconds: report.elapsed(),
        },
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
    let matrix = YuvMatrix::of(&encoder.header().colour);
    i420_to_rgb(yuv, size, &matrix, seen);
    i420_to_rgb(frame, size, &matrix, wanted);
    psnr(seen, wanted)
}

fn show(report: &mut Report, sums: &Sums, total: Option<u64>, bytes: u64, pixels: usize) -> Result<()> {
    let (frames, own) = (sums.frames as f64, (sums.frames - sums.resumed) as f64);
    let (fps, decibels) = (own / report.elapsed().max(1e-3), sums.psnr / own.max(1.0));
    let bpp = bytes as f64 * 8.0 / (pixels as f64 * frames);
    let eta = total.map(|all| all.saturating_sub(sums.frames) as f64 / fps);
    let text = || {
        let mut text = format!("frame {}  {fps:.1} fps  {decibels:.2} dB  {bpp:.4} bpp", sums.frames);
        eta.iter().for_each(|e| text += &format!("  ETA {}", units::clock(*e)));
        text
    };
    report.show(text, || events::VideoEncodeProgress {
        frames_done: sums.frames,
        frames_total: total,
        fit: None,
        fps,
        psnr: Some(decibels),
        bits_per_pixel: Some(bpp),
        eta_seconds: eta,
    })
}
