//! The group of pictures that is being gathered.

use gst::ClockTime;
use siskin_core::bitstream::VideoHeader;
use siskin_core::media::VideoFrame;

use crate::video::times;

/// Frames of a group take at most this many bytes.
// 100 frames of 1080p as RGB are 620 MB; a limit by bytes keeps `gop-size` from taking all memory at large sizes.
const MAX_BYTES: usize = 1 << 30;
/// How long a frame is taken to last of which nothing is known.
// 25 frames per second. It matters for the very last frame only.
pub(super) const USUAL: ClockTime = ClockTime::from_mseconds(40);
/// Frames of a constant rate may be off their place by so much.
// As far as containers with whole milliseconds round.
const ROUNDING: ClockTime = ClockTime::from_mseconds(1);
/// The longest that a frame lasts in the stream; what comes after begins another group.
// Durations are 32-bit nanoseconds here, 4.29 s.
const LONGEST: ClockTime = ClockTime::from_nseconds(u32::MAX as u64);

/// A frame as it came.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) frame: VideoFrame,
    pub(super) pts: Option<ClockTime>,
    pub(super) duration: Option<ClockTime>,
    /// Number that the base class knows it by.
    pub(super) number: u32,
}

/// Frames that will share a network.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) frames: Vec<VideoFrame>,
    starts: Vec<ClockTime>,
    /// The last frame's own duration.
    last: Option<ClockTime>,
    /// The first frame's number.
    pub(super) number: u32,
}

impl Group {
    pub(super) fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }

    /// Adds a frame.
    pub(super) fn push(&mut self, frame: Frame, header: &VideoHeader) {
        if self.is_empty() {
            self.number = frame.number;
        }
        // A frame without a time follows the one before.
        let next = self.end(header).unwrap_or_default();
        // Times never go back within a group, or durations would be negative.
        self.starts.push(frame.pts.unwrap_or(next).max(self.starts.last().copied().unwrap_or_default()));
        self.last = frame.duration;
        self.frames.push(frame.frame);
    }

    /// Takes note of a frame's time alone, for [`Group::is_broken_by`].
    pub(super) fn note(&mut self, pts: Option<ClockTime>) {
        self.starts.push(pts.or(self.starts.last().copied()).unwrap_or_default());
    }

    /// Whether the next frame must begin another group; `bytes` are those of a picture.
    pub(super) fn is_full(&self, frames: u32, bytes: usize) -> bool {
        let count = self.frames.len();
        count >= frames as usize || count > 0 && (count + 1) * bytes > MAX_BYTES
    }

    /// Whether nothing more has to come for the last frame's duration to be known.
    pub(super) fn is_timed(&self, header: &VideoHeader) -> bool {
        self.last.is_some() || header.frame_rate.0 > 0
    }

    /// Whether a frame at `pts` comes later than the last frame can last.
    pub(super) fn is_broken_by(&self, pts: Option<ClockTime>) -> bool {
        let gap = pts.zip(self.starts.last().copied()).and_then(|(pts, last)| pts.checked_sub(last));
        gap.is_some_and(|gap| gap > LONGEST)
    }

    /// Where the last frame ends as far as is known.
    fn end(&self, header: &VideoHeader) -> Option<ClockTime> {
        let usual = self.last.or_else(|| times::frames_to_time(header, 1)).unwrap_or(USUAL);
        self.starts.last().map(|start| start.saturating_add(usual))
    }

    /// When it begins and how long it lasts; `next` is where the frame after it begins, if there is one.
    pub(super) fn span(&self, header: &VideoHeader, next: Option<ClockTime>) -> (ClockTime, ClockTime) {
        let start = self.starts.first().copied().unwrap_or_default();
        // A stated duration wins over the next frame's start: what follows may come after a pause.
        let timed = self.last.or_else(|| times::frames_to_time(header, 1));
        let last = self.starts.last().copied().unwrap_or_default();
        let end = match (timed, next.filter(|n| *n > last)) {
            (None, Some(next)) => next,
            _ => self.end(header).unwrap_or_default(),
        };
        (start, end.saturating_sub(start))
    }

    /// The frames' durations in nanoseconds, none where they are those of the stream's constant rate; `length` is the
    /// group's.
    pub(super) fn durations(&self, header: &VideoHeader, length: ClockTime) -> Option<Vec<u32>> {
        let start = self.starts.first().copied().unwrap_or_default();
        let is_regular = |(frame, at): (u64, &ClockTime)| {
            let exact = times::frames_to_time(header, frame).map(|offset| start.saturating_add(offset));
            exact.is_some_and(|exact| exact.max(*at) - exact.min(*at) <= ROUNDING)
        };
        let ends = self.starts.iter().skip(1).copied().chain([start.saturating_add(length)]);
        if (0..).zip(&self.starts).all(is_regular) {
            return None;
        }
        let clamp = |d: ClockTime| u32::try_from(d.nseconds()).unwrap_or(u32::MAX);
        Some(self.starts.iter().zip(ends).map(|(a, b)| clamp(b.saturating_sub(*a))).collect())
    }
}

#[cfg(test)]
mod tests {
    use siskin_core::bitstream::Colorimetry;

    use super::*;

    fn header(rate: (u32, u32)) -> VideoHeader {
        VideoHeader {
            width: 16,
            height: 16,
            frame_rate: rate,
            pixel_aspect: (1, 1),
            colorimetry: Colorimetry::default(),
        }
    }

    fn group(rate: (u32, u32), stamps: &[u64]) -> Group {
        let mut group = Group::default();
        for (number, &ms) in (0..).zip(stamps) {
            let pts = Some(ClockTime::from_mseconds(ms));
            group.push(Frame { frame: VideoFrame::default(), pts, duration: None, number }, &header(rate));
        }
        group
    }

    #[test]
    fn a_constant_rate_needs_no_durations() {
        let rate = header((25, 1));
        let group = group((25, 1), &[1000, 1040, 1080]);
        let (start, length) = group.span(&rate, Some(ClockTime::from_mseconds(9999)));
        assert_eq!((start.mseconds(), length.mseconds()), (1000, 120));
        assert_eq!(group.durations(&rate, length), None);
        assert!(group.is_full(3, 4) && !group.is_full(4, 4) && group.is_full(4, MAX_BYTES / 2));
    }

    #[test]
    fn a_dropped_frame_and_a_variable_rate_need_them() {
        let dropped = group((25, 1), &[0, 40, 120]);
        let (_, length) = dropped.span(&header((25, 1)), None);
        assert_eq!(
            dropped.durations(&header((25, 1)), length),
            Some(vec![40_000_000, 80_000_000, 40_000_000])
        );
        let variable = group((0, 1), &[100, 110, 200]);
        assert!(!variable.is_timed(&header((0, 1))));
        let (start, length) = variable.span(&header((0, 1)), Some(ClockTime::from_mseconds(230)));
        assert_eq!((start.mseconds(), length.mseconds()), (100, 130));
        assert_eq!(
            variable.durations(&header((0, 1)), length),
            Some(vec![10_000_000, 90_000_000, 30_000_000])
        );
    }

    #[test]
    fn a_pause_longer_than_can_be_written_ends_a_group() {
        let group = group((0, 1), &[0]);
        assert!(!group.is_broken_by(Some(ClockTime::from_seconds(4))));
        assert!(group.is_broken_by(Some(ClockTime::from_seconds(5))) && !group.is_broken_by(None));
    }
}
