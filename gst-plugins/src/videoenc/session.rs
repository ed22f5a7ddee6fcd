//! An encoder between start and stop, and what it has counted.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use gst::ClockTime;
use siskin_core::bitstream::VideoHeader;
use siskin_core::media::{PixelFormat, TimeBase, VideoFrame};
use siskin_core::runtime::{Provider, Runtime};
use siskin_core::video::{Encoder, FitProgress, Target, lambda_of_quality, realtime};
use siskin_core::{Error, Result};

use super::group::{Frame, Group};
use super::load::Load;
use super::lookahead::{self, Lookahead, OutPacket};
use super::settings::Settings;
use crate::element::counters;
use crate::sync::lock;
use crate::video::frames::FrameReader;

/// Quality of a group that a bit rate leaves too few bits for.
const POOR_QUALITY: f64 = 20.0;

/// The longest that frames are taken to wait for each other: 16 of them at five a second.
const MAX_WAIT: ClockTime = ClockTime::from_mseconds(3200);

/// What a latency is reported in.
const LATENCY_STEP: ClockTime = ClockTime::from_mseconds(10);

counters! {
    /// Counters behind the property `stats`. A packet in real time counts as a group.
    Counters as "siskin-video-encoder-stats" {
        groups: u64,
        key_groups: u64,
        /// Keyframes that were asked for, by events upstream or downstream.
        keyframe_requests: u64,
        frames: u64,
        /// Frames left out since they were late.
        late_frames: u64,
        /// Frames with fewer refinements than asked for, since they were late.
        reduced_frames: u64,
        bytes: u64,
    }
}

/// What the property `stats` shows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Stats {
    counters: Counters,
    /// Sum of the PSNR of fitted frames, in dB.
    psnr: f64,
    duration: ClockTime,
    work: Duration,
    /// Execution provider of the networks, once one has run.
    pub(super) provider: &'static str,
    progress: Option<FitProgress>,
}

impl Stats {
    /// Counts a request for a keyframe, if there is one.
    pub(super) fn count_request(&mut self, is_one: bool) {
        self.counters.keyframe_requests += u64::from(is_one);
    }

    /// Counts a packet of so many frames, which last `duration`, and the work on it.
    fn count(
        &mut self,
        (data, is_keyframe): (&[u8], bool),
        (frames, duration): (usize, ClockTime),
        worked: Duration,
    ) {
        self.counters.groups += 1;
        self.counters.key_groups += u64::from(is_keyframe);
        self.counters.frames += frames as u64;
        self.counters.bytes += data.len() as u64;
        self.duration = self.duration.saturating_add(duration);
        self.work += worked;
    }

    /// How far the fit at hand is.
    pub(super) fn progress(&self) -> Option<FitProgress> {
        self.progress
    }

    /// Number of the group that is coded next, from 1.
    pub(super) fn next_group(&self) -> u64 {
        self.counters.groups + 1
    }

    pub(super) fn to_structure(self) -> gst::Structure {
        let seconds = TimeBase::NANOSECONDS.ticks_to_seconds(self.duration.nseconds());
        let rate = if seconds > 0.0 { self.counters.bytes as f64 * 8.0 / seconds } else { 0.0 };
        let mut structure = self.counters.to_structure();
        structure.set("bitrate", rate.round() as u64);
        structure.set("psnr", self.psnr / self.counters.frames.max(1) as f64);
        structure.set("work-seconds", self.work.as_secs_f64());
        structure.set("step", self.progress.map_or(0, |p| p.steps.0));
        structure.set("steps", self.progress.map_or(0, |p| p.steps.1));
        structure.set("step-psnr", self.progress.and_then(|p| p.psnr).unwrap_or_default());
        structure
    }
}

/// A coded group.
pub(super) struct OutGroup {
    pub(super) data: Vec<u8>,
    pub(super) is_keyframe: bool,
    /// Number by which the base class knows the group's first frame.
    pub(super) number: u32,
    pub(super) pts: ClockTime,
    pub(super) duration: ClockTime,
    /// What was not as asked for.
    pub(super) remark: Option<String>,
}

/// What codes frames.
enum Coder {
    /// A network fitted to each group, which is gathered first: a packet a group.
    Fitted(Box<Encoder>, Group),
    /// A packet a frame, at once.
    Realtime { encoder: Box<realtime::Encoder>, target: realtime::Target, qualities: u16, load: Load },
    /// Several frames a packet, which wait for each other.
    Lookahead(Lookahead),
}

/// An encoder whose format is known.
pub(super) struct Session {
    header: VideoHeader,
    reader: FrameReader,
    coder: Coder,
    /// Id of the bundle that a decoder needs, if it needs one.
    bundle: Option<String>,
    /// The longest that a group was gathered and worked on.
    slowest: (ClockTime, Duration),
}

impl Session {
    pub(super) fn new(info: &gst_video::VideoInfo, runtime: &Runtime, settings: &Settings) -> Result<Self> {
        let header = crate::video::caps::header_of(info);
        let unfit = |e: gst::glib::BoolError| Error::Parameter {
            name: "format",
            value: crate::video::caps::describe(info),
            allowed: format!("what can be converted: {e}"),
        };
        let session = |format, coder, bundle, gathered| {
            let reader = FrameReader::new(info, &header, format).map_err(unfit)?;
            Ok(Self { header, reader, coder, bundle, slowest: (gathered, Duration::ZERO) })
        };
        match settings.fit_config()? {
            Some(config) => {
                let encoder = Box::new(Encoder::new(header, runtime, &config)?);
                let usual = crate::video::times::frames_to_time(&header, settings.gop_size.into());
                let coder = Coder::Fitted(encoder, Group::default());
                session(PixelFormat::Rgb, coder, None, usual.unwrap_or_default())
            }
            None => {
                let bundle = settings.find_bundle()?;
                let qualities =
                    bundle.as_ref().map_or(realtime::QUALITIES.into(), |b| b.manifest().qualities);
                let config = settings.realtime_config(qualities);
                lookahead::check(config.lookahead, bundle.is_some())?;
                let encoder = Box::new(match &bundle {
                    Some(bundle) => realtime::Encoder::with_network(header, runtime, bundle, &config)?,
                    None => realtime::Encoder::new(header, &config)?,
                });
                if config.lookahead > 1 {
                    let wait = lookahead::usual_wait(config.lookahead, &header);
                    let coder = Coder::Lookahead(Lookahead::new(encoder, config.target, config.lookahead));
                    return session(PixelFormat::I420, coder, None, wait);
                }
                let coder = Coder::Realtime {
                    encoder,
                    target: config.target,
                    qualities,
                    load: Load::new(config.refinements),
                };
                // No time to gather, as no frame waits for another.
                let id = bundle.map(|b| b.manifest().id().to_string());
                session(PixelFormat::I420, coder, id, ClockTime::ZERO)
            }
        }
    }

    /// Goes on with frames of another raw format, if the coded stream is the same for them: in real time, of the same size, rate and
    /// shape of pixels, in YUV of the same matrix and range. Their samples are then what they would have been in the old format.
    pub(super) fn change_format(&mut self, info: &gst_video::VideoInfo) -> bool {
        let header = crate::video::caps::header_of(info);
        if matches!(self.coder, Coder::Fitted(..)) || !crate::video::caps::is_same_yuv(&header, &self.header)
        {
            return false;
        }
        match FrameReader::new(info, &self.header, PixelFormat::I420) {
            Ok(reader) => self.reader = reader,
            Err(_) => return false,
        }
        true
    }

    pub(super) fn header(&self) -> &VideoHeader {
        &self.header
    }

    /// The id of the bundle that a decoder needs.
    pub(super) fn bundle(&self) -> Option<&str> {
        self.bundle.as_deref()
    }

    /// How long a frame stays at most: as long as the longest group so far and the slowest work, in whole steps, since
    /// every change makes the pipeline ask all over again.
    pub(super) fn latency(&self) -> ClockTime {
        let (gathered, worked) = self.slowest;
        let steps = worked.as_nanos().div_ceil(LATENCY_STEP.nseconds().into()).min(u32::MAX.into()) as u64;
        gathered.saturating_add(LATENCY_STEP.saturating_mul(steps))
    }

    fn group(&self) -> Option<&Group> {
        match &self.coder {
            Coder::Fitted(_, group) => Some(group).filter(|g| !g.is_empty()),
            Coder::Realtime { .. } | Coder::Lookahead(_) => None,
        }
    }

    /// Adds a frame that waits for others, where frames do.
    pub(super) fn push_waiting(
        &mut self,
        frame: &gst::BufferRef,
        (pts, duration): (Option<ClockTime>, Option<ClockTime>),
        (number, is_keyframe): (u32, bool),
    ) -> std::result::Result<(), gst::glib::BoolError> {
        let Coder::Lookahead(lookahead) = &mut self.coder else { return Ok(()) };
        // A copy, so that upstream gets its buffer back.
        let frame = self.reader.read_frame(frame)?;
        lookahead.push(Frame { frame, pts, duration, number }, is_keyframe, &self.header);
        Ok(())
    }

    /// Codes the next packet of frames that wait, if enough do; `is_last` if no more will come.
    pub(super) fn encode_waiting(
        &mut self,
        is_last: bool,
        settings: &Settings,
        stats: &Mutex<Stats>,
    ) -> Result<Option<OutPacket>> {
        let Coder::Lookahead(lookahead) = &mut self.coder else { return Ok(None) };
        if !lookahead.is_ready(&self.header, is_last) {
            return Ok(None);
        }
        let began = Instant::now();
        // Frames of a variable rate may be farther apart than usual; a pause longer than a packet can hold says nothing.
        let waited = lookahead.waited().filter(|wait| *wait <= MAX_WAIT);
        self.slowest.0 = self.slowest.0.max(waited.unwrap_or_default());
        lookahead.hold(settings.realtime_target(realtime::QUALITIES.into()))?;
        let packet = lookahead.encode(&self.header)?;
        let worked = began.elapsed();
        self.slowest.1 = self.slowest.1.max(worked);
        let frames = (packet.numbers.len(), packet.duration);
        lock(stats).count((&packet.data, packet.is_keyframe), frames, worked);
        Ok(Some(packet))
    }

    /// Whether `pts` cannot belong to the group at hand, or that is full.
    pub(super) fn ends_before(&self, pts: Option<ClockTime>, is_keyframe: bool, settings: &Settings) -> bool {
        let bytes = self.reader.frame_bytes();
        self.group()
            .is_some_and(|g| is_keyframe || g.is_full(settings.gop_size, bytes) || g.is_broken_by(pts))
    }

    /// Adds a frame; whether the group is then complete.
    pub(super) fn push(
        &mut self,
        frame: &gst::BufferRef,
        (pts, duration): (Option<ClockTime>, Option<ClockTime>),
        number: u32,
        settings: &Settings,
    ) -> std::result::Result<bool, gst::glib::BoolError> {
        let picture = self.reader.read_frame(frame)?;
        let Coder::Fitted(_, group) = &mut self.coder else { return Ok(false) };
        // A copy, so that upstream gets its buffer back: a pool has fewer than a group.
        group.push(Frame { frame: picture, pts, duration, number }, &self.header);
        // At a variable rate a frame without a duration lasts until the next, so a full group waits for that.
        Ok(group.is_full(settings.gop_size, self.reader.frame_bytes()) && group.is_timed(&self.header))
    }

    /// Whether the group at hand begins with the frame of this number.
    pub(super) fn begins_with(&self, number: u32) -> bool {
        self.group().is_some_and(|g| g.number == number)
    }

    /// Forgets the group at hand.
    pub(super) fn reset(&mut self) {
        match &mut self.coder {
            Coder::Fitted(_, group) => *group = Group::default(),
            // What the decoder last saw may have been flushed, and other frames refer to it.
            Coder::Realtime { encoder, .. } => encoder.request_key(),
            Coder::Lookahead(lookahead) => lookahead.reset(),
        }
    }

    /// Codes a frame at once, in real time; none of another kind, whose groups are gathered, and of one that is left out
    /// since `is_late` says that it is too late for it.
    pub(super) fn encode_now(
        &mut self,
        frame: &gst::BufferRef,
        duration: Option<ClockTime>,
        (is_keyframe, is_late): (bool, bool),
        settings: &Settings,
        stats: &Mutex<Stats>,
    ) -> Result<Option<(Vec<u8>, bool)>> {
        let Coder::Realtime { encoder, target, qualities, load } = &mut self.coder else { return Ok(None) };
        let Some(steps) = load.next(is_late, is_keyframe) else {
            lock(stats).counters.late_frames += 1;
            return Ok(None);
        };
        lock(stats).counters.reduced_frames += u64::from(load.is_reduced());
        encoder.set_refinements(steps)?;
        let began = Instant::now();
        let wanted = settings.realtime_target(*qualities);
        if wanted != *target {
            encoder.set_target(wanted)?;
            *target = wanted;
        }
        if is_keyframe {
            encoder.request_key();
        }
        // Packets carry durations only where the rate is variable.
        let own = duration.filter(|_| self.header.frame_rate.0 == 0);
        let own = own.map(|d| u32::try_from(d.nseconds()).unwrap_or(u32::MAX));
        let provider = encoder.provider().map_or("", Provider::name);
        let coded = self.reader.with_frame(frame, |view| {
            encoder.encode_frame(view, own).map(|coded| (coded.data.to_vec(), coded.is_keyframe))
        });
        let packet = coded.map_err(|e| Error::Parameter {
            name: "frame",
            value: e.to_string(),
            allowed: format!("frames of {}x{}", self.header.width, self.header.height),
        })??;
        let worked = began.elapsed();
        self.slowest.1 = self.slowest.1.max(worked);
        let usual = crate::video::times::frames_to_time(&self.header, 1);
        let mut stats = lock(stats);
        stats.count((&packet.0, packet.1), (1, usual.or(duration).unwrap_or_default()), worked);
        stats.provider = provider;
        Ok(Some(packet))
    }

    /// Codes the group at hand, if there is one; `next` is where the frame after it begins. `stop` is asked after each step.
    pub(super) fn encode(
        &mut self,
        next: Option<ClockTime>,
        settings: &Settings,
        stats: &Mutex<Stats>,
        stop: &dyn Fn() -> bool,
    ) -> Result<Option<OutGroup>> {
        let Coder::Fitted(encoder, group) = &mut self.coder else { return Ok(None) };
        let group = std::mem::take(group);
        if group.is_empty() {
            return Ok(None);
        }
        let began = Instant::now();
        let (pts, duration) = group.span(&self.header, next);
        let durations = group.durations(&self.header, duration);
        let mut report = |progress: FitProgress| {
            lock(stats).progress = Some(progress);
            // The only way out of a fit, which takes minutes to hours.
            if stop() { Err(Error::Stopped) } else { Ok(()) }
        };
        let frames: Vec<_> = group.frames.iter().map(VideoFrame::view).collect();
        let mut encode =
            |target: Target| encoder.encode_group(&frames, durations.as_deref(), target, &mut report);
        let (coded, remark) = match encode(settings.fit_target(duration)?) {
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
        stats.count((&coded.data, coded.is_keyframe), (group.frames.len(), duration), worked);
        stats.psnr += coded.psnr.iter().sum::<f64>();
        stats.provider = encoder.provider().map_or("", Provider::name);
        let (data, is_keyframe, number) = (coded.data, coded.is_keyframe, group.number);
        Ok(Some(OutGroup { data, is_keyframe, number, pts, duration, remark }))
    }
}
