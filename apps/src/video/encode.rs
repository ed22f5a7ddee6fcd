//! Encoding: frames are gathered into groups, a network is fitted to each, and each is on disk before the next begins.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use siskin_core::Error;
use siskin_core::bitstream::VideoHeader;
use siskin_core::container::Track;
use siskin_core::runtime::Runtime;
use siskin_core::video::{Encoder, FitProgress, GopInfo, Target as Aim};

use super::VideoArgs;
use super::input::VideoInput;
use super::resume::{Earlier, Settings};
use super::settings::Wish;
use super::sound::Sound;
use super::watch::{self, Watch};
use crate::coded::{Sink, Totals};
use crate::events;
use crate::failure::usage;
use crate::interrupt;
use crate::report::Report;
use crate::target::Target;
use crate::units;

/// Bytes of the container that a size asked for must leave room for: the file's own, and a group's.
const FILE_OVERHEAD: f64 = 600.0;
const GROUP_OVERHEAD: f64 = 50.0;

/// What an encoding is made from.
pub(crate) struct Job<'a> {
    /// The input.
    pub(crate) input: &'a Path,
    /// The output, for messages.
    pub(crate) output: &'a Path,
    /// The options of video.
    pub(crate) video: &'a VideoArgs,
    /// `--bitrate`.
    pub(crate) bitrate: Option<u32>,
    /// `--model`: the bundle of the real-time mode.
    pub(crate) model: Option<&'a str>,
    /// The sound, if it is wanted.
    pub(crate) sound: Option<Sound>,
    /// ONNX Runtime with its options.
    pub(crate) runtime: Runtime,
}

impl Job<'_> {
    /// The tracks of the file, and when the pictures begin in it, in nanoseconds. The sound's place beside them is that of the input.
    pub(super) fn tracks(&mut self, input: &VideoInput) -> (Vec<Track>, u64) {
        let mut tracks = vec![Track::video(input.header())];
        let Some(sound) = &mut self.sound else { return (tracks, 0) };
        tracks.push(Track::audio(sound.header()));
        let later = input.sound_offset().unwrap_or(0);
        sound.begin_at(later.max(0) as u64);
        (tracks, later.min(0).unsigned_abs())
    }

    /// What an earlier run left, if it is to be gone on with.
    pub(super) fn earlier(
        &self,
        header: &VideoHeader,
        settings: &Settings,
        report: &Report,
    ) -> Result<Option<Earlier>> {
        if !self.video.resume {
            return Ok(None);
        }
        let earlier = Earlier::open(self.output, header, settings)?;
        if earlier.is_none() {
            report.note(&format!("{} is not there yet: there is nothing to resume", self.output.display()));
        }
        Ok(earlier)
    }

    /// Who wants to look at pictures of this size.
    pub(super) fn watch(&self, header: &VideoHeader) -> Result<Option<Watch>> {
        let size = (header.width, header.height);
        self.video.watch.as_ref().map(|path| Watch::new(path, size)).transpose()
    }

    /// Writes the sound that begins at `time` or before.
    pub(super) fn write_sound(&mut self, time: u64, sink: &mut Sink) -> Result<()> {
        self.sound.as_mut().map_or(Ok(()), |sound| sound.write_until(time, 1, sink))
    }

    /// Writes the rest of the sound, and tells what could not be read of it.
    pub(super) fn finish_sound(&mut self, sink: &mut Sink, report: &Report) -> Result<()> {
        self.write_sound(u64::MAX, sink)?;
        let bad = self.sound.as_ref().map_or(0, Sound::bad_packets);
        if bad > 0 {
            let name = self.input.display();
            report.warn(&format!("{name}: {bad} packets of sound could not be decoded"))?;
        }
        Ok(())
    }
}

/// Frames of one group.
#[derive(Default)]
struct Group {
    frames: Vec<Vec<u8>>,
    durations: Vec<u32>,
}

/// Sums over the groups written.
#[derive(Default)]
struct Sums {
    frames: u64,
    /// Those of them that an earlier run encoded.
    resumed: u64,
    groups: u64,
    nanoseconds: u64,
    psnr: f64,
}

/// Encodes the video of an input.
pub(crate) fn run(job: &mut Job<'_>, mut target: Target, report: &mut Report) -> Result<ExitCode> {
    if job.video.is_realtime() {
        return super::realtime::run(job, target, report);
    }
    let config = job.video.config()?;
    let wish = job.video.wish(job.bitrate)?;
    let mut input = VideoInput::open(job.input)?;
    let header = *input.header();
    let others = input.other_streams(job.sound.is_some());
    if !others.is_empty() {
        report.note(&format!("Leaving out other streams: {}", others.join(", ")));
    }
    let total = input.stated_frames();
    if matches!(wish, Wish::Size(_)) && total.is_none() {
        return Err(usage("--size needs an input that says how many frames it has"));
    }
    let mut encoder = Encoder::new(header, &job.runtime, &config)?;
    let mut ahead = input.next()?;
    let settings = job.video.words(&config, wish, total);
    let settings = Settings::new(&settings, ahead.as_ref().map_or(&[], |(frame, _)| frame));
    let mut earlier = job.earlier(&header, &settings, report)?;
    let mut watch = job.watch(&header)?;
    if let Some(mut watch) = watch.clone() {
        // A fit whose sheet cannot be written goes on: what is said of each group's tells of it.
        encoder.watch(watch::INTERVAL, move |original, decoded| drop(watch.show(original, decoded)));
    }
    let (tracks, shift) = job.tracks(&input);
    let mut sink = Sink::begin(&target, tracks, vec![settings.tag()], Vec::new())?;
    interrupt::keep_output();
    let passes = u64::from(config.epochs[0]) + u64::from(config.epochs[1]);
    let (mut sums, mut was_interrupted) = (Sums::default(), false);
    loop {
        let kept = earlier.as_mut().and_then(Earlier::next).map(|(info, data)| (info, data.to_vec()));
        if kept.is_none() && earlier.take().is_some() {
            report.note(&format!("Going on after {} frames in {} groups", sums.resumed, sums.groups));
        }
        let count = kept.as_ref().map_or(job.video.gop_size, |(info, _)| info.frames) as usize;
        let group = match gather(&mut input, count, &mut ahead, header.frame_duration_ns()) {
            Err(e) if e.is::<interrupt::Interrupted>() && kept.is_none() => {
                was_interrupted = true;
                break;
            }
            group => group?,
        };
        if group.frames.is_empty() && kept.is_none() {
            break;
        }
        let nanoseconds: u64 = group.durations.iter().map(|&d| u64::from(d)).sum();
        let aim = aim(wish, &group, nanoseconds, total, job.video.gop_size);
        if sums.frames == sums.resumed && kept.is_none() {
            let arch = encoder.architecture(group.frames.len(), aim);
            report.note(&format!(
                "Encoding {}x{}, {} parameters and {} a frame, {:.1} kMAC a pixel",
                header.width,
                header.height,
                arch.parameters(),
                arch.embedding(),
                arch.operations() as f64 / header.pixels() as f64 / 1e3,
            ));
        }
        let durations = (header.frame_rate.0 == 0).then_some(group.durations.as_slice());
        let mut shown = Ok(());
        let coded = match &kept {
            Some((info, data)) => {
                check_earlier(job, info, &group, durations)?;
                encoder.resume(data, &group.frames).with_context(|| job.output.display().to_string())
            }
            None => encoder
                .encode(&group.frames, durations, aim, &mut |progress| {
                    if interrupt::check().is_err() {
                        return Err(Error::Stopped);
                    }
                    shown = show(report, progress, &sums, group.frames.len() as u64, total, passes);
                    if shown.is_err() { Err(Error::Stopped) } else { Ok(()) }
                })
                .map_err(anyhow::Error::from),
        };
        shown?;
        let coded = match coded {
            Err(e) if matches!(e.downcast_ref(), Some(Error::Stopped)) => {
                was_interrupted = true;
                break;
            }
            other => other?,
        };
        let start = shift + sums.nanoseconds;
        job.write_sound(start, &mut sink)?;
        sink.block(start, nanoseconds, coded.key, &coded.data)?;
        // Up to where the group ends, should it be the last.
        job.write_sound((start + nanoseconds).saturating_sub(1), &mut sink)?;
        // Hours of work are in it: what is whole goes to disk.
        sink.flush()?;
        let frames = group.frames.len() as u64;
        sums.frames += frames;
        sums.resumed += if kept.is_some() { frames } else { 0 };
        sums.nanoseconds += nanoseconds;
        sums.psnr += coded.psnr.iter().sum::<f64>();
        sums.groups += 1;
        if kept.is_some() {
            continue;
        }
        // Now it holds more than what an earlier run left.
        target.reveal()?;
        if let Some(watch) = &mut watch {
            let (middle, mut picture) = (group.frames.len() / 2, Vec::new());
            encoder.picture(middle, &mut picture)?;
            if let Err(e) = watch.show(&group.frames[middle], &picture) {
                report.warn(&format!("--watch: {e:#}"))?;
            }
        }
    }
    if sums.frames == 0 {
        if was_interrupted {
            return Err(interrupt::Interrupted.into());
        }
        bail!("{} holds no pictures", job.input.display());
    }
    if input.bad_packets() > 0 {
        report.warn(&format!(
            "{}: {} packets could not be decoded",
            job.input.display(),
            input.bad_packets()
        ))?;
    }
    // After an interrupt there is sound for the pictures that there are.
    if !was_interrupted {
        job.finish_sound(&mut sink, report)?;
    }
    let totals = sink.finish()?;
    target.commit()?;
    if was_interrupted {
        report.warn(&format!(
            "interrupted: {} holds the first {} frames, --resume goes on",
            job.output.display(),
            sums.frames
        ))?;
    }
    finish(job, report, &sums, &totals, header.pixels())?;
    Ok(if was_interrupted { ExitCode::from(interrupt::EXIT_CODE) } else { ExitCode::SUCCESS })
}

/// Whether what an earlier run coded can be these frames.
fn check_earlier(job: &Job<'_>, info: &GopInfo, group: &Group, durations: Option<&[u32]>) -> Result<()> {
    let (input, output) = (job.input.display(), job.output.display());
    if group.frames.len() < info.frames as usize {
        bail!("{output} cannot be resumed: it holds more frames than {input}");
    }
    if info.durations.as_deref() != durations {
        bail!("{output} cannot be resumed: the frames of {input} have other times");
    }
    Ok(())
}

/// The next frames, with their durations in nanoseconds; `ahead` is the frame after them.
fn gather(
    input: &mut VideoInput,
    count: usize,
    ahead: &mut Option<(Vec<u8>, Option<i64>)>,
    constant: Option<u64>,
) -> Result<Group> {
    let mut group = Group::default();
    while group.frames.len() < count {
        interrupt::check()?;
        let Some((frame, pts)) = (match ahead.take() {
            Some(frame) => Some(frame),
            None => input.next()?,
        }) else {
            break;
        };
        *ahead = input.next()?;
        let gap = ahead.as_ref().and_then(|next| next.1).zip(pts).map(|(next, own)| next - own);
        let before = group.durations.last().copied().unwrap_or(40_000_000);
        let duration = match (constant, gap) {
            (Some(constant), _) => constant.min(u32::MAX.into()) as u32,
            (None, Some(gap)) => gap.clamp(1, u32::MAX.into()) as u32,
            (None, None) => before,
        };
        group.frames.push(frame);
        group.durations.push(duration);
    }
    Ok(group)
}

fn aim(wish: Wish, group: &Group, nanoseconds: u64, total: Option<u64>, gop_size: u32) -> Aim {
    let frames = group.frames.len() as f64;
    match wish {
        Wish::Quality { lambda, .. } => Aim::Lambda(lambda),
        Wish::Bitrate(rate) => Aim::Bits(rate * nanoseconds as f64 / 1e9 - 8.0 * GROUP_OVERHEAD),
        Wish::Size(bytes) => {
            let all = total.map_or(frames, |t| t as f64).max(frames);
            let groups = (all / f64::from(gop_size)).ceil();
            let free = bytes as f64 - FILE_OVERHEAD - GROUP_OVERHEAD * groups;
            Aim::Bits(8.0 * free * frames / all)
        }
    }
}

fn show(
    report: &mut Report,
    progress: FitProgress,
    sums: &Sums,
    frames: u64,
    total: Option<u64>,
    passes: u64,
) -> Result<()> {
    let elapsed = report.elapsed().max(1e-3);
    let (done, own) = (sums.frames, sums.frames - sums.resumed);
    let steps = own * passes + progress.steps.0;
    let all = total.map(|t| (t.max(done + frames) - sums.resumed) * passes);
    let rate = steps as f64 / elapsed;
    let fps = rate / passes as f64;
    let eta = all.map(|all| (all.saturating_sub(steps)) as f64 / rate);
    let text = || {
        let mut text = format!(
            "frames {done}-{} step {}/{}  {rate:.1} steps/s  {fps:.2} fps",
            done + frames,
            progress.steps.0,
            progress.steps.1
        );
        progress.psnr.iter().for_each(|p| text += &format!("  {p:.2} dB"));
        progress.bits_per_pixel.iter().for_each(|b| text += &format!("  {b:.4} bpp"));
        eta.iter().for_each(|e| text += &format!("  ETA {}", units::clock(*e)));
        text
    };
    report.show(text, || events::VideoEncodeProgress {
        frames_done: done,
        frames_total: total,
        fit: Some(events::FitProgress {
            step: progress.steps.0,
            steps: progress.steps.1,
            steps_per_second: rate,
        }),
        fps,
        psnr: progress.psnr,
        bits_per_pixel: progress.bits_per_pixel,
        eta_seconds: eta,
    })
}

fn finish(job: &Job<'_>, report: &Report, sums: &Sums, totals: &Totals, pixels: usize) -> Result<()> {
    let seconds = sums.nanoseconds as f64 / 1e9;
    let psnr = sums.psnr / sums.frames as f64;
    let bpp = totals.bytes as f64 * 8.0 / (pixels as f64 * sums.frames as f64);
    report.done(
        &format!(
            "{} frames in {} groups, {}, {}, {bpp:.4} bpp, PSNR {psnr:.2} dB",
            sums.frames,
            sums.groups,
            units::size(totals.bytes),
            units::bitrate(units::rate_of(totals.bytes, seconds)),
        ),
        &events::VideoEncode {
            input: job.input.to_string_lossy(),
            output: job.output.to_string_lossy(),
            realtime: None,
            frames: sums.frames,
            resumed_frames: sums.resumed,
            groups: sums.groups,
            sound_samples: job.sound.as_ref().map(Sound::samples),
            seconds,
            bytes: totals.bytes,
            packet_bytes: totals.packet_bytes,
            bitrate: units::rate_of(totals.bytes, seconds),
            bits_per_pixel: bpp,
            psnr,
            elapsed_seconds: report.elapsed(),
        },
    )
}
