//! Groups of frames, to each of which a network is fitted.

use anyhow::Result;
use siskin_core::Error;
use siskin_core::bitstream::VideoHeader;
use siskin_core::media::VideoFrame;
use siskin_core::video::{CodedGop, Encoder, FitProgress, GopInfo, Target as Aim};

use super::input::VideoInput;
use super::job::Job;
use super::preview::{self, Watch};
use super::session::{Coded, Group, Mode, Progress, Sums};
use super::settings::Wish;
use crate::events;
use crate::failure::usage_error;
use crate::interrupt;
use crate::report::Report;
use crate::units;

/// Bytes of the container that a size asked for must leave room for: the file's own, and a group's.
// Head, tags and index of a short file; each group is one block with one cue.
const FILE_OVERHEAD: f64 = 600.0;
const GROUP_OVERHEAD: f64 = 50.0;

/// The fitting mode.
pub(super) struct Fit {
    encoder: Encoder,
    header: VideoHeader,
    wish: Wish,
    words: String,
    gop_size: u32,
    /// Passes over the frames of a group.
    passes: u64,
    total: Option<u64>,
}

impl Fit {
    pub(super) fn new(job: &Job<'_>, input: &VideoInput) -> Result<Self> {
        let config = job.video.config()?;
        let wish = job.video.wish(job.bitrate)?;
        let (header, total) = (*input.header(), input.stated_frames());
        if matches!(wish, Wish::Size(_)) && total.is_none() {
            return Err(usage_error("--size needs an input that says how many frames it has"));
        }
        let mut encoder = Encoder::new(header, &job.runtime, &config)?;
        if let Some(mut watch) = job.open_preview(&header)? {
            // A fit whose sheet cannot be written goes on: what is said of each group's tells of it.
            encoder.watch(preview::INTERVAL, move |original, decoded| drop(watch.show(original, decoded)));
        }
        let passes = u64::from(config.epochs[0]) + u64::from(config.epochs[1]);
        let words = job.video.words(&config, wish, total);
        Ok(Self { encoder, header, wish, words, gop_size: job.video.gop_size, passes, total })
    }

    fn group_target(&self, group: &Group) -> Aim {
        let frames = group.frames.len() as f64;
        match self.wish {
            Wish::Quality { lambda, .. } => Aim::Lambda(lambda),
            // By the group's own time, so that a variable frame rate keeps the rate.
            Wish::Bitrate(rate) => Aim::Bits(rate * group.nanoseconds() as f64 / 1e9 - 8.0 * GROUP_OVERHEAD),
            Wish::Size(bytes) => {
                let all = self.total.map_or(frames, |t| t as f64).max(frames);
                let groups = (all / f64::from(self.gop_size)).ceil();
                let free = bytes as f64 - FILE_OVERHEAD - GROUP_OVERHEAD * groups;
                // By frames: each group gets the same bits per frame.
                Aim::Bits(8.0 * free * frames / all)
            }
        }
    }
}

impl Mode for Fit {
    const IS_SLOW: bool = true;

    fn words(&self) -> String {
        self.words.clone()
    }

    fn introduction(&mut self, group: &Group) -> Option<String> {
        let arch = self.encoder.architecture(group.frames.len(), self.group_target(group));
        Some(format!(
            "Encoding {}x{}, {} parameters and {} a frame, {:.1} kMAC a pixel",
            self.header.width,
            self.header.height,
            arch.parameters(),
            arch.embedding(),
            arch.operations() as f64 / self.header.pixels() as f64 / 1e3,
        ))
    }

    fn group_size(&self) -> usize {
        self.gop_size as usize
    }

    fn resume(&mut self, _: &GopInfo, data: &[u8], group: &Group) -> Result<Coded> {
        Ok(self.encoder.resume_group(data, &group.views())?.into())
    }

    fn encode(&mut self, group: &Group, progress: &mut Progress<'_>) -> Result<Option<Coded>> {
        let (aim, passes, frames) = (self.group_target(group), self.passes, group.frames.len() as u64);
        let (sums, total) = (progress.sums, progress.total);
        let (report, mut shown) = (&mut *progress.report, Ok(()));
        let coded = self.encoder.encode_group(&group.views(), group.durations(), aim, &mut |step| {
            if interrupt::check_interrupt().is_err() {
                return Err(Error::Stopped);
            }
            // The encoder can be stopped only by an error of its own type, so the real one waits here.
            shown = show_progress(report, step, sums, frames, total, passes);
            if shown.is_err() { Err(Error::Stopped) } else { Ok(()) }
        });
        shown?;
        match coded {
            Err(Error::Stopped) => Ok(None),
            coded => Ok(Some(coded?.into())),
        }
    }

    fn is_worth_keeping(&mut self, _: &Coded, _: &Sums) -> bool {
        false
    }

    fn show(&mut self, group: &Group, watch: &mut Watch) -> Result<()> {
        // The middle one is as good as any and differs from the last group's.
        let (middle, mut decoded) = (group.frames.len() / 2, VideoFrame::default());
        self.encoder.decode_frame(middle, &mut decoded)?;
        watch.show(group.frames[middle].data(), decoded.data())
    }

    fn tell(&self, _: &mut Progress<'_>) -> Result<()> {
        Ok(())
    }

    fn summary(&self, sums: &Sums) -> (String, Option<events::Realtime<'_>>) {
        (format!(" in {} groups", sums.groups), None)
    }
}

impl From<CodedGop> for Coded {
    fn from(coded: CodedGop) -> Self {
        Self { is_keyframe: coded.is_keyframe, psnr: coded.psnr.iter().sum(), data: coded.data }
    }
}

fn show_progress(
    report: &mut Report,
    progress: FitProgress,
    sums: &Sums,
    frames: u64,
    total: Option<u64>,
    passes: u64,
) -> Result<()> {
    let elapsed = report.elapsed().max(1e-3);
    let (done, own) = (sums.frames, sums.frames - sums.resumed);
    // Frames of an earlier run took no time of this one.
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
        eta.iter().for_each(|e| text += &format!("  ETA {}", units::format_time(*e)));
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
