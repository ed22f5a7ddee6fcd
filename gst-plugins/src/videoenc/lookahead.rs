//! Frames that wait for each other, so that those between can be predicted from both sides.

use std::collections::VecDeque;

use gst::ClockTime;
use siskin_core::bitstream::VideoHeader;
use siskin_core::media::{VideoFrame, VideoFrameView};
use siskin_core::video::realtime::{Encoder, Target};
use siskin_core::{Error, Result};

use super::group::{Frame, Group, USUAL};
use crate::video::times;

/// A coded packet and the frames in it.
pub(super) struct OutPacket {
    pub(super) data: Vec<u8>,
    pub(super) is_keyframe: bool,
    /// Numbers by which the base class knows the frames.
    pub(super) numbers: Vec<u32>,
    pub(super) pts: ClockTime,
    pub(super) duration: ClockTime,
}

/// A frame that waits.
struct Waiting {
    frame: Frame,
    is_keyframe: bool,
}

/// An encoder with the frames that it has not coded yet.
pub(super) struct Lookahead {
    encoder: Box<Encoder>,
    target: Target,
    waiting: VecDeque<Waiting>,
    most: usize,
    /// Where the last frame ends, for one without a time.
    end: Option<ClockTime>,
}

/// How long frames wait until it is known: as many frames as wait at most, each of the usual duration.
pub(super) fn usual_wait(most: u32, header: &VideoHeader) -> ClockTime {
    let exact = times::frames_to_time(header, most.into());
    // One more at a variable rate.
    exact.unwrap_or_else(|| USUAL.saturating_mul(u64::from(most) + 1))
}

impl Lookahead {
    /// At most `most` frames wait.
    pub(super) fn new(encoder: Box<Encoder>, target: Target, most: u32) -> Self {
        Self { encoder, target, waiting: VecDeque::new(), most: most as usize, end: None }
    }

    /// Adds a frame.
    pub(super) fn push(&mut self, mut frame: Frame, is_keyframe: bool, header: &VideoHeader) {
        frame.pts = frame.pts.or(self.end);
        let lasts = frame.duration.or_else(|| times::frames_to_time(header, 1)).unwrap_or(USUAL);
        self.end = Some(frame.pts.unwrap_or_default().saturating_add(lasts));
        self.waiting.push_back(Waiting { frame, is_keyframe });
    }

    /// Whether enough frames wait for a packet; `is_last` if no more will come.
    pub(super) fn is_ready(&self, header: &VideoHeader, is_last: bool) -> bool {
        // At a variable rate a frame without a duration lasts until the next one begins.
        let is_timed =
            header.frame_rate.0 > 0 || self.waiting.back().is_some_and(|w| w.frame.duration.is_some());
        let more = usize::from(!is_timed);
        self.waiting.len() >= if is_last { 1 } else { self.most + more }
    }

    /// Forgets what waits.
    pub(super) fn reset(&mut self) {
        self.waiting.clear();
        self.end = None;
        // What the decoder last saw may have been flushed, and other frames refer to it.
        self.encoder.request_key();
    }

    /// Holds another quality or bit rate from now on.
    pub(super) fn hold(&mut self, target: Target) -> Result<()> {
        if target != self.target {
            self.encoder.set_target(target)?;
            self.target = target;
        }
        Ok(())
    }

    /// How many of the first frames may be one packet: a keyframe that was asked for begins another, and so does what follows a
    /// pause.
    fn allowed(&self) -> usize {
        let mut group = Group::default();
        let goes_on = |next: &&Waiting| {
            let is_first = group.is_empty();
            let fits = is_first || !(next.is_keyframe || group.is_broken_by(next.frame.pts));
            group.note(next.frame.pts);
            fits
        };
        self.waiting.iter().take(self.most).take_while(goes_on).count()
    }

    /// From the begin of the first frame that waits to that of the last one.
    pub(super) fn waited(&self) -> Option<ClockTime> {
        let first = self.waiting.front()?.frame.pts?;
        self.waiting.back()?.frame.pts?.checked_sub(first)
    }

    /// Codes the next packet.
    pub(super) fn encode(&mut self, header: &VideoHeader) -> Result<OutPacket> {
        let allowed = self.allowed();
        if self.waiting.front().is_some_and(|first| first.is_keyframe) {
            self.encoder.request_key();
        }
        let views: Vec<VideoFrameView<'_>> =
            self.waiting.iter().take(allowed).map(|w| w.frame.frame.view()).collect();
        let count = self.encoder.plan(&views)?;
        let (mut group, mut numbers) = (Group::default(), Vec::with_capacity(count));
        for Waiting { frame, .. } in self.waiting.drain(..count) {
            numbers.push(frame.number);
            group.push(frame, header);
        }
        let next = self.waiting.front().and_then(|w| w.frame.pts);
        let (pts, duration) = group.span(header, next);
        let durations = group.durations(header, duration);
        let views: Vec<_> = group.frames.iter().map(VideoFrame::view).collect();
        let coded = self.encoder.encode_group(&views, durations.as_deref())?;
        Ok(OutPacket { data: coded.data.to_vec(), is_keyframe: coded.is_keyframe, numbers, pts, duration })
    }
}

/// Refuses frames that wait for each other with a network, which codes each at once.
pub(super) fn check(lookahead: u32, has_model: bool) -> Result<()> {
    match lookahead {
        2.. if has_model => Err(Error::Parameter {
            name: "lookahead",
            value: lookahead.to_string(),
            allowed: "0 with a model, which codes each frame at once".into(),
        }),
        _ => Ok(()),
    }
}
