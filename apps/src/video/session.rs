//! One run of an encoder over an input: frames are gathered into groups, coded in one of two modes, and written with the sound beside
//! them; what an earlier run left is taken over first.

use std::process::ExitCode;

use anyhow::{Context as _, Result, anyhow, bail};
use siskin_core::bitstream::VideoHeader;
use siskin_core::media::{VideoFrame, VideoFrameView};
use siskin_core::video::GopInfo;

use super::convert::{SITING_TAG, Siting};
use super::input::{TimedFrame, VideoInput};
use super::job::Job;
use super::preview::Watch;
use super::resume::{Earlier, Settings};
use super::sound_track::Sound;
use crate::events;
use crate::interrupt;
use crate::media::{describe_left_out, kept_tags};
use crate::media_file::{Sink, Totals};
use crate::report::Report;
use crate::target::Target;
use crate::units;

/// A way to code frames: one by one in real time, or fitted in groups.
pub(super) trait Mode: Sized {
    /// Whether each packet is hours of work, which goes to disk at once with the sound beside it.
    const IS_SLOW: bool;

    /// How it codes, in the words of [`Settings`].
    fn words(&self) -> String;

    /// What is told before the first group.
    fn introduction(&mut self, group: &Group) -> Option<String>;

    /// Frames that are coded at once, at most.
    fn group_size(&self) -> usize;

    /// How many of the frames that come next are coded at once; all that were gathered, unless the mode knows better.
    fn plan(&mut self, group: &Group) -> Result<usize> {
        Ok(group.frames.len())
    }

    /// What of an earlier run can be gone on from.
    fn usable(&self, earlier: Earlier, job: &Job<'_>) -> Result<Earlier> {
        let _ = job;
        Ok(earlier)
    }

    /// What the user must know of the whole, if anything.
    fn concern(&self, sums: &Sums) -> Option<String> {
        let _ = sums;
        None
    }

    /// Goes on after a group that an earlier run coded.
    fn resume(&mut self, info: &GopInfo, data: &[u8], group: &Group) -> Result<Coded>;

    /// Codes a group; none if the user has had enough meanwhile.
    fn encode(&mut self, group: &Group, progress: &mut Progress<'_>) -> Result<Option<Coded>>;

    /// Whether what was written before this packet is worth keeping, whatever ends the program.
    fn is_worth_keeping(&mut self, coded: &Coded, sums: &Sums) -> bool;

    /// Shows frames of the group that was coded last to whoever watches.
    fn show(&mut self, group: &Group, watch: &mut Watch) -> Result<()>;

    /// Progress after a group, for modes that tell none within.
    fn tell(&self, progress: &mut Progress<'_>) -> Result<()>;

    /// The end of the summary's line, and what its JSON has of the real-time mode.
    fn summary(&self, sums: &Sums) -> (String, Option<events::Realtime<'_>>);
}

/// Frames of one group, or those that are gathered for the next ones.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) frames: Vec<VideoFrame>,
    /// When each is shown, in nanoseconds from the first of all, and for how long.
    starts_ns: Vec<u64>,
    lengths: Vec<u32>,
    is_constant: bool,
}

impl Group {
    /// Durations to be coded, where the rate varies.
    pub(super) fn durations(&self) -> Option<&[u32]> {
        (!self.is_constant).then_some(&self.lengths)
    }

    /// When the first frame is shown, in nanoseconds from the first of all.
    fn start_ns(&self) -> u64 {
        self.starts_ns.first().copied().unwrap_or(0)
    }

    /// Takes the first frames out.
    fn take(&mut self, count: usize) -> Self {
        let count = count.min(self.frames.len());
        Self {
            frames: self.frames.drain(..count).collect(),
            starts_ns: self.starts_ns.drain(..count).collect(),
            lengths: self.lengths.drain(..count).collect(),
            is_constant: self.is_constant,
        }
    }

    /// The frames without their memory.
    pub(super) fn views(&self) -> Vec<VideoFrameView<'_>> {
        self.frames.iter().map(VideoFrame::view).collect()
    }

    /// How long the group lasts, in nanoseconds.
    pub(super) fn nanoseconds(&self) -> u64 {
        self.lengths.iter().map(|&d| u64::from(d)).sum()
    }
}

/// A coded group.
#[derive(Debug)]
pub(super) struct Coded {
    pub(super) is_keyframe: bool,
    pub(super) data: Vec<u8>,
    /// PSNR of all frames together, in decibels.
    pub(super) psnr: f64,
}

/// Sums over what has been written.
#[derive(Debug, Clone, Default)]
pub(super) struct Sums {
    pub(super) frames: u64,
    /// Those of them that an earlier run coded.
    pub(super) resumed: u64,
    pub(super) groups: u64,
    pub(super) keys: u64,
    pub(super) nanoseconds: u64,
    /// PSNR of the frames that were measured, and those.
    pub(super) psnr: f64,
    pub(super) measured: u64,
    /// Bytes of the file.
    pub(super) bytes: u64,
}

/// What progress is told by.
pub(super) struct Progress<'a> {
    pub(super) report: &'a mut Report,
    pub(super) sums: &'a Sums,
    pub(super) header: &'a VideoHeader,
    /// Frames in all, if that is stated.
    pub(super) total: Option<u64>,
}

/// Encodes an input in the mode that `make` prepares.
pub(super) fn run<M: Mode>(
    job: &mut Job<'_>,
    mut input: VideoInput,
    mut target: Target,
    report: &mut Report,
    make: impl FnOnce(&Job<'_>, &VideoInput) -> Result<M>,
) -> Result<ExitCode> {
    let header = *input.header();
    let mut mode = make(job, &input)?;
    let others = job.source.other_streams();
    if !others.is_empty() {
        report.note(&format!("Leaving out other streams: {}", others.join(", ")));
    }
    input.notes().iter().for_each(|note| report.note(note));
    // Read before the output is begun: an input without frames must leave nothing behind.
    let mut ahead = input.next()?;
    let settings =
        Settings::new(&mode.words(), &job.source, ahead.as_ref().map_or(&[], |timed| timed.frame.data()))?;
    let mut earlier = match job.earlier_run(&header, &settings, report)? {
        Some(all) => Some(mode.usable(all, job)?),
        None => None,
    };
    let mut watch = job.open_preview(&header)?;
    let (tracks, shift, zero) = job.tracks(&input);
    let mut tags = vec![settings.tag()];
    if input.siting() != Siting::Left {
        // The stream header has no place for it.
        tags.push((SITING_TAG.into(), input.siting().name().into()));
    }
    let (kept, tags_left_out) = kept_tags(&job.source);
    tags.extend(kept);
    describe_left_out(tags_left_out).iter().for_each(|note| report.note(note));
    let mut sink = Sink::begin(&target, tracks, tags, job.source.chapters(zero))?;
    // From here on an interrupt lets this thread end the file.
    interrupt::keep_output();
    let total = input.stated_frames();
    let (mut sums, mut was_interrupted) = (Sums::default(), false);
    let mut gathered = Group { is_constant: header.frame_rate.0 > 0, ..Group::default() };
    loop {
        let kept = earlier.as_mut().and_then(Earlier::next).map(|(info, data)| (info, data.to_vec()));
        if kept.is_none() && earlier.take().is_some() {
            report.note(&format!("Going on after {} frames in {} groups", sums.resumed, sums.groups));
        }
        // Frames of kept packets are decoded as well: the input has no other way to the place after them.
        let count = kept.as_ref().map_or(mode.group_size(), |(info, _)| info.frames as usize);
        match gather(&mut input, count, &mut ahead, &mut gathered) {
            // What an earlier run left is whole as long as this file is not in its place.
            Err(e) if e.is::<interrupt::Interrupted>() && kept.is_none() => {
                was_interrupted = true;
                break;
            }
            done => done?,
        }
        let is_planned = kept.is_none() && !gathered.frames.is_empty();
        let group = gathered.take(if is_planned { mode.plan(&gathered)? } else { count });
        if group.frames.is_empty() && kept.is_none() {
            break;
        }
        let coded = match &kept {
            Some((info, data)) => {
                check_earlier(job, info, &group)?;
                mode.resume(info, data, &group).with_context(|| job.output.display().to_string())?
            }
            None => {
                if sums.frames == sums.resumed {
                    mode.introduction(&group).iter().for_each(|note| report.note(note));
                }
                let mut progress = Progress { report: &mut *report, sums: &sums, header: &header, total };
                match mode.encode(&group, &mut progress)? {
                    Some(coded) => coded,
                    None => {
                        was_interrupted = true;
                        break;
                    }
                }
            }
        };
        // Before this packet is written: what is on disk is then a whole group.
        if kept.is_none() && mode.is_worth_keeping(&coded, &sums) {
            sink.flush()?;
            target.reveal()?;
        }
        let start = shift + group.start_ns();
        // Matroska wants blocks in the order of time.
        job.write_sound(start, &mut sink)?;
        sink.block(start, group.nanoseconds(), coded.is_keyframe, &coded.data)?;
        if M::IS_SLOW {
            // Up to where the group ends, should it be the last.
            job.write_sound((start + group.nanoseconds()).saturating_sub(1), &mut sink)?;
            sink.flush()?;
        }
        sums.add(&group, &coded, kept.is_some());
        sums.bytes = sink.bytes();
        if kept.is_some() {
            continue;
        }
        if M::IS_SLOW {
            // Now it holds more than what an earlier run left.
            target.reveal()?;
        }
        if let Some(watch) = &mut watch
            && let Err(e) = mode.show(&group, watch)
        {
            report.warn(&format!("--watch: {e:#}"))?;
        }
        mode.tell(&mut Progress { report: &mut *report, sums: &sums, header: &header, total })?;
    }
    if sums.frames == 0 {
        if was_interrupted {
            return Err(interrupt::Interrupted.into());
        }
        bail!("{} holds no video frames", job.input.display());
    }
    // After an interrupt there is sound for the frames that there are.
    let missing = if was_interrupted { None } else { finish_tracks(job, &input, &mut sink, report)? };
    let totals = sink.finish()?;
    target.commit()?;
    if was_interrupted {
        let (name, count) = (job.output.display(), sums.frames);
        report.warn(&format!("interrupted: {name} holds the first {count} frames, --resume goes on"))?;
    }
    if let Some(concern) = mode.concern(&sums) {
        report.warn(&concern)?;
    }
    tell_result(job, report, &sums, &totals, &header, mode.summary(&sums))?;
    match missing {
        Some(missing) => Err(anyhow!("{missing}; {} holds what is there", job.output.display())),
        // The file is good, but the program did not do what it was asked.
        None if was_interrupted => Ok(ExitCode::from(interrupt::exit_code())),
        None => Ok(ExitCode::SUCCESS),
    }
}

/// Writes the rest of the sound and tells what could not be read; gives what is missing at the end, if that is not allowed.
fn finish_tracks(
    job: &mut Job<'_>,
    input: &VideoInput,
    sink: &mut Sink,
    report: &Report,
) -> Result<Option<String>> {
    job.write_sound(u64::MAX, sink)?;
    let name = job.source.name();
    let of_sound = job.sound.as_ref().map_or_else(Vec::new, Sound::faults);
    let jumps = job.source.describe_jumps().into_iter().map(|jump| format!("{name}: {jump}"));
    for fault in input.faults().into_iter().chain(of_sound).chain(jumps) {
        report.warn(&fault)?;
    }
    let missing = input.missing().or_else(|| job.sound.as_ref().and_then(Sound::missing));
    match missing {
        Some(missing) if job.allow_truncated => report.warn(&missing).map(|()| None),
        missing => Ok(missing),
    }
}

/// Whether what an earlier run coded can be these frames.
fn check_earlier(job: &Job<'_>, info: &GopInfo, group: &Group) -> Result<()> {
    let (input, output) = (job.input.display(), job.output.display());
    if group.frames.len() < info.frames as usize {
        bail!("{output} cannot be resumed: it holds more frames than {input}");
    }
    if info.durations.as_deref() != group.durations() {
        bail!("{output} cannot be resumed: the frames of {input} have other times");
    }
    Ok(())
}

/// Adds frames to a group until it has `count`; `ahead` is the one after them.
fn gather(
    input: &mut VideoInput,
    count: usize,
    ahead: &mut Option<TimedFrame>,
    group: &mut Group,
) -> Result<()> {
    while group.frames.len() < count {
        interrupt::check_interrupt()?;
        let Some(next) = ahead.take() else { break };
        // One frame more is read, so that the end of the input is known with its last group.
        *ahead = input.next()?;
        group.starts_ns.push(next.start_ns);
        group.frames.push(next.frame);
        group.lengths.push(next.duration_ns);
    }
    Ok(())
}

impl Sums {
    fn add(&mut self, group: &Group, coded: &Coded, is_resumed: bool) {
        let frames = group.frames.len() as u64;
        self.frames += frames;
        self.resumed += if is_resumed { frames } else { 0 };
        self.groups += 1;
        self.keys += u64::from(coded.is_keyframe);
        self.nanoseconds += group.nanoseconds();
        // Packets of an earlier run were not measured again.
        if coded.psnr.is_finite() {
            self.psnr += coded.psnr;
            self.measured += frames;
        }
    }

    /// Mean PSNR so far, in decibels.
    pub(super) fn decibels(&self) -> f64 {
        self.psnr / self.measured.max(1) as f64
    }

    /// Bits a pixel so far.
    pub(super) fn bits_per_pixel(&self, header: &VideoHeader) -> f64 {
        self.bytes as f64 * 8.0 / (header.pixels() as f64 * self.frames.max(1) as f64)
    }
}

fn tell_result(
    job: &Job<'_>,
    report: &Report,
    sums: &Sums,
    totals: &Totals,
    header: &VideoHeader,
    (words, realtime): (String, Option<events::Realtime<'_>>),
) -> Result<()> {
    let seconds = sums.nanoseconds as f64 / 1e9;
    let whole = Sums { bytes: totals.bytes, ..sums.clone() };
    let (psnr, bpp) = (sums.decibels(), whole.bits_per_pixel(header));
    let rate = units::rate_of(totals.bytes, seconds);
    let outcome = events::VideoEncode {
        input: job.input.to_string_lossy(),
        output: job.output.to_string_lossy(),
        realtime,
        frames: sums.frames,
        resumed_frames: sums.resumed,
        groups: sums.groups,
        sound_samples: job.sound.as_ref().map(Sound::samples),
        seconds,
        bytes: totals.bytes,
        packet_bytes: totals.packet_bytes,
        bitrate: rate,
        bits_per_pixel: bpp,
        psnr,
        elapsed_seconds: report.elapsed(),
    };
    let (size, rate) = (units::format_size(totals.bytes), units::format_bitrate(rate));
    report.done(
        &format!("{} frames{words}, {size}, {rate}, {bpp:.4} bpp, PSNR {psnr:.2} dB", sums.frames),
        &outcome,
    )
}
