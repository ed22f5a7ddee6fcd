//! Exact times from a container's rounded ones.

use gst::ClockTime;
use siskin_core::bitstream::VideoHeader;
use siskin_core::video::GopInfo;

use crate::video::times;

/// A container's timestamps may be this far off before they count as a jump: Matroska rounds to 1 ms.
// Half a millisecond of rounding, and a whole one for muxers that round down.
const ROUNDING: ClockTime = ClockTime::from_useconds(1500);

/// Counts frames from the first packet of a run; a jump of the container's times begins a new run.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// Time of the run's first packet, and frames of the stream's constant rate since.
    run: Option<(ClockTime, u64)>,
    /// Time of the stream's first packet.
    origin: Option<ClockTime>,
}

/// When a packet plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) pts: ClockTime,
    /// None where nothing says.
    pub(super) duration: Option<ClockTime>,
    /// Whether it does not follow from the packet before.
    pub(super) jump: bool,
}

impl Timeline {
    /// Places a packet that the container puts at `stamp`.
    pub(super) fn place_packet(
        &mut self,
        header: &VideoHeader,
        info: &GopInfo,
        stamp: Option<ClockTime>,
    ) -> Place {
        let next = self.next_pts(header);
        let follows = match (next, stamp) {
            (Some(next), Some(stamp)) => next.max(stamp) - next.min(stamp) <= ROUNDING,
            (next, _) => next.is_some(),
        };
        let pts = match next {
            Some(next) if follows => next,
            _ => self.on_grid(header, stamp.unwrap_or_default()),
        };
        // All frames of a constant rate lie on a grid from here, also after seeks.
        self.origin.get_or_insert(pts);
        let duration = times::frame_offset(header, info, info.frames);
        self.run = match (self.run.filter(|_| follows), &info.durations, duration) {
            // Frames that have durations of their own are no multiple of the rate's.
            (_, Some(_), Some(duration)) => pts.checked_add(duration).map(|end| (end, 0)),
            (Some((start, frames)), None, _) => Some((start, frames.saturating_add(info.frames.into()))),
            (None, None, _) => Some((pts, info.frames.into())),
            (_, Some(_), None) => None,
        };
        let end = self.next_pts(header);
        Place { pts, duration: end.and_then(|e| e.checked_sub(pts)).or(duration), jump: !follows }
    }

    /// Places a packet that cannot be read: as the container says, or where it follows.
    pub(super) fn place_broken(&mut self, header: &VideoHeader, stamp: Option<ClockTime>) -> ClockTime {
        let pts = stamp.map(|s| self.on_grid(header, s)).or_else(|| self.next_pts(header));
        // How many frames it held is unknown, so the next packet is placed by its own time.
        self.run = None;
        pts.unwrap_or_default()
    }

    /// Where a packet that follows begins.
    fn next_pts(&self, header: &VideoHeader) -> Option<ClockTime> {
        let (start, frames) = self.run?;
        // A stream of variable rate has no length of frames, but a run may begin here all the same.
        let since = if frames == 0 { Some(ClockTime::ZERO) } else { times::frames_to_time(header, frames) };
        since.and_then(|since| start.checked_add(since))
    }

    /// Begins a new run with the next packet; the stream stays the same.
    pub(super) fn start_run(&mut self) {
        self.run = None;
    }

    /// The frame boundary that `stamp` is the rounding of, if it is one.
    fn on_grid(&self, header: &VideoHeader, stamp: ClockTime) -> ClockTime {
        let origin = self.origin.filter(|origin| *origin <= stamp);
        let exact = origin.and_then(|origin| {
            let frames = times::time_to_frames(header, stamp - origin)?;
            origin.checked_add(times::frames_to_time(header, frames)?)
        });
        exact.filter(|e| stamp.max(*e) - stamp.min(*e) <= ROUNDING).unwrap_or(stamp)
    }
}

#[cfg(test)]
mod tests {
    use siskin_core::bitstream::Colorimetry;
    use siskin_core::video::Coding;

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

    fn packet(frames: u32, durations: Option<Vec<u32>>) -> GopInfo {
        GopInfo { header: None, number: 0, is_keyframe: true, frames, durations, coding: Coding::Fitted }
    }

    fn exact(frames: u64) -> ClockTime {
        ClockTime::from_nseconds((frames * 1_001_000_000_000 + 15_000) / 30_000)
    }

    fn rounded(frames: u64) -> Option<ClockTime> {
        Some(ClockTime::from_mseconds((exact(frames).nseconds() + 500_000) / 1_000_000))
    }

    #[test]
    fn rounded_stamps_become_exact() {
        let (rate, mut line) = (header((30_000, 1001)), Timeline::default());
        for n in 0..1000 {
            let place = line.place_packet(&rate, &packet(7, None), rounded(7 * n));
            let end = place.duration.map(|d| place.pts + d);
            assert_eq!((place.pts, end, place.jump), (exact(7 * n), Some(exact(7 * n + 7)), n == 0));
        }
    }

    #[test]
    fn a_seek_lands_on_the_exact_frame() {
        let (rate, mut line) = (header((30_000, 1001)), Timeline::default());
        line.place_packet(&rate, &packet(1, None), Some(ClockTime::ZERO));
        for n in 1..500 {
            line.start_run();
            let place = line.place_packet(&rate, &packet(1, None), rounded(n));
            assert_eq!((place.pts, place.jump), (exact(n), true));
        }
    }

    #[test]
    fn durations_of_their_own_are_counted_to_the_nanosecond() {
        for rate in [(0, 1), (25, 1)] {
            let (rate, mut line) = (header(rate), Timeline::default());
            let odd = packet(3, Some(vec![10_333_333, 50_000_001, 7]));
            let length = ClockTime::from_nseconds(60_333_341);
            let first = line.place_packet(&rate, &odd, Some(ClockTime::from_mseconds(5)));
            assert_eq!((first.pts.mseconds(), first.duration), (5, Some(length)));
            let second = line.place_packet(&rate, &odd, Some(ClockTime::from_mseconds(65)));
            assert_eq!((second.pts, second.jump), (ClockTime::from_mseconds(5) + length, false));
        }
    }

    #[test]
    fn a_jump_begins_a_run_and_the_latest_time_there_is_does_no_harm() {
        let (rate, mut line) = (header((25, 1)), Timeline::default());
        line.place_packet(&rate, &packet(25, None), None);
        assert!(!line.place_packet(&rate, &packet(25, None), None).jump);
        let far = line.place_packet(&rate, &packet(25, None), Some(ClockTime::from_seconds(10)));
        assert!(far.jump && far.pts.seconds() == 10);
        for _ in 0..3 {
            line.place_packet(&rate, &packet(4096, None), Some(ClockTime::MAX));
            line.place_packet(&rate, &packet(1, Some(vec![u32::MAX])), Some(ClockTime::MAX));
            line.place_broken(&rate, Some(ClockTime::MAX));
        }
    }
}
