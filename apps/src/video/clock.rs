//! Exact times of frames from a container's rounded ones, and how many are missing between two packets.

use siskin_core::bitstream::VideoHeader;
use siskin_core::media::{Rounding, TimeBase};

/// Matroska rounds time stamps to milliseconds, so they may be this far off.
const ROUNDING_NS: u64 = 1_500_000;
/// A longer gap is not filled with frames.
// More likely a damaged time stamp, or another recording joined on.
const MAX_GAP_NS: u64 = 60_000_000_000;
/// How long a frame is taken to last where nothing says.
// 25 frames per second.
const USUAL_NS: u64 = 40_000_000;

/// Counts the frames of a stream.
#[derive(Debug)]
pub(super) struct Clock {
    /// How long a frame lasts, if the rate is constant.
    frame: Option<TimeBase>,
    /// When the first frame is shown, and how many follow it at the constant rate.
    run: Option<(u64, u64)>,
    /// Gaps so far. All together may at most double the length, so that a small file cannot fill a disk.
    filled_ns: u64,
}

impl Clock {
    pub(super) fn new(header: &VideoHeader) -> Self {
        // A rate of 0 says that it varies.
        let frame = TimeBase::from_rate(header.frame_rate.0, header.frame_rate.1).ok();
        Self { frame, run: None, filled_ns: 0 }
    }

    /// Takes the time stamp of the next packet; gives how many frames of a constant rate are missing before it.
    pub(super) fn packet(&mut self, stamp_ns: u64) -> u64 {
        let Some((start, _)) = self.run else {
            self.run = Some((stamp_ns, 0));
            return 0;
        };
        let next = self.next();
        let gap = stamp_ns.saturating_sub(next);
        if gap <= ROUNDING_NS {
            return 0;
        }
        let Some(frame) = self.frame else {
            // Where the rate varies the frame before just stays.
            self.run = Some((stamp_ns, 0));
            return 0;
        };
        // To the nearest: times are off by a rounding, not by half a frame.
        let frames = frame.ns_to_ticks(gap, Rounding::Nearest).unwrap_or(u64::MAX);
        if gap > MAX_GAP_NS || self.filled_ns + gap > MAX_GAP_NS + (next - start) {
            self.run = Some((stamp_ns, 0));
            return 0;
        }
        self.filled_ns += gap;
        frames
    }

    /// The time and duration of the next picture, which lasts `own` nanoseconds if it has a duration of its own.
    pub(super) fn tick(&mut self, own: Option<u32>) -> (u64, u64) {
        let start = self.next();
        let (origin, frames) = self.run.unwrap_or((start, 0));
        self.run = match self.frame {
            // Counted from the run's beginning, so that a rate such as 30000/1001 does not drift.
            Some(_) => Some((origin, frames + 1)),
            None => Some((start.saturating_add(own.map_or(USUAL_NS, u64::from)), 0)),
        };
        (start, self.next().saturating_sub(start))
    }

    /// When the next frame is shown.
    fn next(&self) -> u64 {
        let (start, frames) = self.run.unwrap_or_default();
        let since = self.frame.map_or(Some(0), |frame| frame.ticks_to_ns(frames, Rounding::Down));
        start.saturating_add(since.unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use siskin_core::bitstream::Colorimetry;

    use super::*;

    const MS: u64 = 1_000_000;

    fn clock(frame_rate: (u32, u32)) -> Clock {
        let colorimetry = Colorimetry::default();
        Clock::new(&VideoHeader { width: 16, height: 16, frame_rate, pixel_aspect: (1, 1), colorimetry })
    }

    #[test]
    fn rounded_stamps_become_exact_times() {
        let mut clock = clock((30_000, 1001));
        for frame in 0..3000u64 {
            let exact = frame * 1001 * 1_000_000_000 / 30_000;
            assert_eq!(clock.packet((exact + MS / 2) / MS * MS), 0);
            assert_eq!(clock.tick(None).0, exact);
        }
    }

    #[test]
    fn lost_packets_leave_gaps_of_whole_pictures() {
        let mut clock = clock((25, 1));
        assert_eq!(clock.packet(80 * MS), 0);
        assert_eq!(clock.tick(None), (80 * MS, 40 * MS));
        assert_eq!(clock.packet(240 * MS), 3);
        let times: Vec<u64> = (0..4).map(|_| clock.tick(None).0 / MS).collect();
        assert_eq!(times, [120, 160, 200, 240]);
        assert_eq!(clock.packet(100 * MS), 0, "a step back");
        assert_eq!(clock.packet(100_000 * MS), 0, "too long a gap");
        assert_eq!(clock.tick(None).0, 100_000 * MS);
    }

    #[test]
    fn pictures_of_a_variable_rate_last_as_long_as_they_say() {
        let mut clock = clock((0, 1));
        assert_eq!(clock.packet(0), 0);
        assert_eq!(clock.tick(Some(33_333_333)), (0, 33_333_333));
        assert_eq!(clock.packet(33 * MS), 0);
        assert_eq!(clock.tick(Some(50_000_000)), (33_333_333, 50_000_000));
        assert_eq!(clock.packet(500 * MS), 0);
        assert_eq!(clock.tick(None), (500 * MS, USUAL_NS));
    }
}
