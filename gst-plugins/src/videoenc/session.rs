//! An encoder between start and stop, and what it has counted.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use gst::ClockTime;
use siskin_core::bitstream::VideoHeader;
use siskin_core::runtime::{Provider, Runtime};
use siskin_core::video::{Encoder, FitProgress, Target, lambda_of_quality};
use siskin_core::{Error, Result};

use super::group::{Frame, Group};
use super::settings::Settings;
use crate::sync::lock;
use crate::video::pictures::Reader;

/// Quality of a group that a bit rate leaves too few bits for.
const POOR_QUALITY: f64 = 20.0;

/// Counters behind the property `stats`.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stats {
    groups: u64,
    key_groups: u64,
    frames: u64,
    bytes: u64,
    psnr: f64,
    time: ClockTime,
    fitting: Duration,
    /// What runs the networks, once one has run.
    pub(super) provider: &'static str,
    progress: Option<FitProgress>,
}

impl Stats {
    pub(super) fn structure(&self) -> gst::Structure {
        let seconds = self.time.nseconds() as f64 / 1e9;
        let rate = if seconds > 0.0 { self.bytes as f64 * 8.0 / seconds } else { 0.0 };
        let now = self.progress;
        gst::Structure::builder("siskin-video-encoder-stats")
            .field("groups", self.groups)
            .field("key-groups", self.key_groups)
            .field("frames", self.frames)
            .field("bytes", self.bytes)
            .field("bitrate", rate.round() as u64)
            .field("psnr", self.psnr / self.frames.max(1) as f64)
            .field("fit-seconds", self.fitting.as_secs_f64())
            .field("step", now.map_or(0, |p| p.steps.0))
            .field("steps", now.map_or(0, |p| p.steps.1))
            .field("step-psnr", now.and_then(|p| p.psnr).unwrap_or_default())
            .build()
    }
}

/// A coded group.
pub(super) struct OutGroup {
    pub(super) data: Vec<u8>,
    pub(super) key: bool,
    /// Number by which the base class knows the group's first frame.
    pub(super) number: u32,
    pub(super) pts: ClockTime,
    pub(super) duration: ClockTime,
    /// What was not as asked for.
    pub(super) remark: Option<String>,
}

/// What codes a group. Every kind takes whole groups of pictures and gives one packet for each.
enum Coder {
    /// A network fitted to the group.
    Fitted(Encoder),
}

/// An encoder whose format is known.
pub(super) struct Session {
    header: VideoHeader,
    reader: Reader,
    coder: Coder,
    group: Group,
    /// The longest that a group was gathered and worked on.
    slowest: (ClockTime, Duration),
}

impl Session {
    pub(super) fn new(info: &gst_video::VideoInfo, runtime: &Runtime, settings: &Settings) -> Result<Self> {
        let header = crate::video::caps::header_of(info);
        let reader = Reader::new(info).map_err(|e| Error::Parameter {
            name: "format",
            value: format!("{info:?}"),
            allowed: format!("what can be converted: {e}"),
        })?;
        let coder = Coder::Fitted(Encoder::new(header, runtime, &settings.config()?)?);
        let usual = crate::video::times::of_frames(&header, settings.gop_size.into());
        let slowest = (usual.unwrap_or_default(), Duration::ZERO);
        Ok(Self { header, reader, coder, group: Group::default(), slowest })
    }

    pub(super) fn header(&self) -> &VideoHeader {
        &self.header
    }

    /// How long a frame stays at most: as long as the longest group so far and the slowest fit.
    pub(super) fn latency(&self) -> ClockTime {
        let (gathered, worked) = self.slowest;
        gathered.saturating_add(ClockTime::from_nseconds(worked.as_nanos().min(u64::MAX.into()) as u64))
    }

    /// Whether `pts` cannot belong to the group at hand, or that is full.
    pub(super) fn ends_before(&self, pts: Option<ClockTime>, is_key: bool, settings: &Settings) -> bool {
        let full = self.group.is_full(settings.gop_size, self.reader.bytes());
        !self.group.is_empty() && (is_key || full || self.group.is_broken_by(pts))
    }

    /// Adds a frame; whether the group is then complete.
    pub(super) fn push(
        &mut self,
        frame: &gst::BufferRef,
        (pts, duration): (Option<ClockTime>, Option<ClockTime>),
        number: u32,
        settings: &Settings,
    ) -> std::result::Result<bool, gst::glib::BoolError> {
        let picture = self.reader.read(frame)?;
        self.group.push(Frame { picture, pts, duration, number }, &self.header);
        let full = self.group.is_full(settings.gop_size, self.reader.bytes());
        Ok(full && self.group.is_timed(&self.header))
    }

    /// Whether the group at hand begins with the frame of this number.
    pub(super) fn begins_with(&self, number: u32) -> bool {
        !self.group.is_empty() && self.group.number == number
    }

    /// Forgets the group at hand.
    pub(super) fn reset(&mut self) {
        self.group = Group::default();
    }

    /// Codes the group at hand, if there is one; `next` is where the frame after it begins. `stop` is asked after each step.
    pub(super) fn encode(
        &mut self,
        next: Option<ClockTime>,
        settings: &Settings,
        stats: &Mutex<Stats>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<OutGroup>> {
        let group = std::mem::take(&mut self.group);
        if group.is_empty() {
            return Ok(None);
        }
        let began = Instant::now();
        let (pts, duration) = group.span(&self.header, next);
        let durations = group.durations(&self.header, duration);
        let mut report = |progress: FitProgress| {
            lock(stats).progress = Some(progress);
            if stop() { Err(Error::Stopped) } else { Ok(()) }
        };
        let Coder::Fitted(encoder) = &mut self.coder;
        let mut encode =
            |target: Target| encoder.encode(&group.pictures, durations.as_deref(), target, &mut report);
        let (coded, remark) = match encode(settings.target(duration)?) {
            // Few frames are worth few bits, in which not even the smallest network fits.
            Err(Error::Parameter { name: "size of a group", value, allowed }) => {
                let remark =
                    format!("a group of {value} cannot be had ({allowed}): it gets poor quality instead");
                (encode(Target::Lambda(lambda_of_quality(POOR_QUALITY)?))?, Some(remark))
            }
            other => (other?, None),
        };
        let worked = began.elapsed();
        self.slowest = (self.slowest.0.max(duration), self.slowest.1.max(worked));
        let mut stats = lock(stats);
        stats.groups += 1;
        stats.key_groups += u64::from(coded.key);
        stats.frames += group.pictures.len() as u64;
        stats.bytes += coded.data.len() as u64;
        stats.psnr += coded.psnr.iter().sum::<f64>();
        stats.time = stats.time.saturating_add(duration);
        stats.fitting += worked;
        stats.provider = encoder.provider().map_or("", Provider::name);
        let (data, key, number) = (coded.data, coded.key, group.number);
        Ok(Some(OutGroup { data, key, number, pts, duration, remark }))
    }
}
