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

/// A frame is one too many where its packet's stamp is earlier than its place by three quarters of a frame, and by the rounding. Gaps
/// are filled from half a frame on: the quarters between keep a camera's jitter from leaving frames out and repeating others.
const EARLY_QUARTERS: u64 = 3;
/// Packets that are earlier than this belong to another recording that was joined on, or have a damaged stamp: they are counted on.
const MAX_EARLY_NS: u64 = 1_000_000_000;

/// What a packet's stamp says of the frames before and in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Step {
    /// Frames of a constant rate that are missing before the packet.
    pub(super) missing: u64,
    /// Whether the packet's first frame has no place any more: the source is faster than the rate that it states.
    pub(super) is_surplus: bool,
}

/// Counts the frames of a stream.
#[derive(Debug)]
pub(super) struct Clock {
    /// How long a frame lasts, if the rate is constant.
    frame: Option<TimeBase>,
    /// When the first frame is shown, and how many follow it at the constant rate.
    run: Option<(u64, u64)>,
    /// Gaps so far. All together may at most double the length, so that a small file cannot fill a disk.
    filled_ns: u64,
    /// The stamp of the last packet.
    stamp: u64,
    /// When the last frame began and how long it lasted.
    last: (u64, u64),
    /// Whether the last frame's end is one that its packet stated.
    is_stated: bool,
}

impl Clock {
    pub(super) fn new(header: &VideoHeader) -> Self {
        // A rate of 0 says that it varies.
        let frame = TimeBase::from_rate(header.frame_rate.0, header.frame_rate.1).ok();
        Self { frame, run: None, filled_ns: 0, stamp: 0, last: (0, USUAL_NS), is_stated: false }
    }

    /// Whether frames last until the next one begins, so that [`Clock::tick`] wants to know of the packet after.
    pub(super) fn is_variable(&self) -> bool {
        self.frame.is_none()
    }

    /// Takes the time stamp of the next packet.
    pub(super) fn packet(&mut self, stamp_ns: u64) -> Step {
        let is_later = stamp_ns > std::mem::replace(&mut self.stamp, stamp_ns);
        let Some((start, _)) = self.run else {
            self.run = Some((stamp_ns, 0));
            return Step::default();
        };
        let next = self.next();
        let Some(frame) = self.frame else {
            // Stamps are rounded, durations that packets state are not.
            let is_exact = self.is_stated && next.abs_diff(stamp_ns) <= ROUNDING_NS;
            if !is_exact && stamp_ns > self.last.0 {
                self.run = Some((stamp_ns, 0));
            }
            return Step::default();
        };
        let early = next.saturating_sub(stamp_ns);
        let period = frame.ticks_to_ns(1, Rounding::Down).unwrap_or(u64::MAX);
        let allowed = (period / 4).saturating_mul(EARLY_QUARTERS).saturating_add(ROUNDING_NS);
        // Like FFmpeg's `fps`: 30.3 frames a second under a rate of 30 would otherwise be 36 s late after an hour.
        if early >= allowed && early <= MAX_EARLY_NS && is_later {
            return Step { missing: 0, is_surplus: true };
        }
        let gap = stamp_ns.saturating_sub(next);
        if gap <= ROUNDING_NS {
            return Step::default();
        }
        if gap > MAX_GAP_NS || self.filled_ns + gap > MAX_GAP_NS + (next - start) {
            self.run = Some((stamp_ns, 0));
            return Step::default();
        }
        // To the nearest: outputs have a constant rate, so what is left of a gap, half a frame at most, stays as an offset.
        let missing = frame.ns_to_ticks(gap, Rounding::Nearest).unwrap_or(u64::MAX);
        self.filled_ns += gap;
        Step { missing, is_surplus: false }
    }

    /// The time and duration of the next picture, which lasts `own` nanoseconds if it has a duration of its own. `following` is the
    /// stamp of the packet after, where this is a packet's last picture.
    pub(super) fn tick(&mut self, own: Option<u32>, following: Option<u64>) -> (u64, u64) {
        let start = self.next();
        let (origin, frames) = self.run.unwrap_or((start, 0));
        self.run = match self.frame {
            // Counted from the run's beginning, so that a rate such as 30000/1001 does not drift.
            Some(_) => Some((origin, frames + 1)),
            None => {
                // Until the next one comes, the length of the one before is the best guess.
                let stated = start.saturating_add(own.map_or(self.last.1, u64::from));
                let known = following.filter(|&next| next > start);
                self.is_stated =
                    own.is_some() && known.is_none_or(|next| next.abs_diff(stated) <= ROUNDING_NS);
                Some((if self.is_stated { stated } else { known.unwrap_or(stated) }, 0))
            }
        };
        self.last = (start, self.next().saturating_sub(start));
        self.last
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
            assert_eq!(clock.packet((exact + MS / 2) / MS * MS), Step::default());
            assert_eq!(clock.tick(None, None).0, exact);
        }
    }

    #[test]
    fn lost_packets_leave_gaps_of_whole_pictures() {
        let mut clock = clock((25, 1));
        assert_eq!(clock.packet(80 * MS).missing, 0);
        assert_eq!(clock.tick(None, None), (80 * MS, 40 * MS));
        assert_eq!(clock.packet(240 * MS).missing, 3);
        let times: Vec<u64> = (0..4).map(|_| clock.tick(None, None).0 / MS).collect();
        assert_eq!(times, [120, 160, 200, 240]);
        assert_eq!(clock.packet(100 * MS), Step::default(), "a step back");
        assert_eq!(clock.packet(100_000 * MS), Step::default(), "too long a gap");
        assert_eq!(clock.tick(None, None).0, 100_000 * MS);
    }

    #[test]
    fn pictures_of_a_variable_rate_last_as_long_as_they_say() {
        let mut clock = clock((0, 1));
        assert_eq!(clock.packet(0), Step::default());
        assert_eq!(clock.tick(Some(33_333_333), Some(33 * MS)), (0, 33_333_333));
        assert_eq!(clock.packet(33 * MS), Step::default());
        assert_eq!(clock.tick(Some(50_000_000), Some(500 * MS)), (33_333_333, 500 * MS - 33_333_333));
        assert_eq!(clock.packet(500 * MS), Step::default());
        assert_eq!(clock.tick(None, None).0, 500 * MS);
    }

    #[test]
    fn pictures_without_durations_last_until_the_next_stamp() {
        let mut clock = clock((0, 1));
        let stamp = |frame: u64| (frame * 1000 + 30) / 60 * MS;
        for frame in 0..600 {
            clock.packet(stamp(frame));
            let following = Some(stamp(frame + 1)).filter(|_| frame < 599);
            let (start, length) = clock.tick(None, following);
            assert_eq!(start, stamp(frame));
            assert!((16 * MS..=17 * MS).contains(&length), "{frame}: {length}");
        }
    }

    #[test]
    fn a_source_that_is_a_little_fast_stays_in_time() {
        for (rate, fast) in [(30, 30.3), (30, 33.0), (60, 60.6), (1000, 1000.0)] {
            let mut clock = clock((rate, 1));
            let (mut left_out, mut filled) = (0, 0);
            for frame in 0..10_000u64 {
                let stamp = (frame as f64 / fast * 1e3).round() as u64 * MS;
                let step = clock.packet(stamp);
                filled += step.missing;
                if step.is_surplus {
                    left_out += 1;
                    continue;
                }
                let (start, length) = clock.tick(None, None);
                assert!(start.abs_diff(stamp) <= length.max(ROUNDING_NS), "{fast}: {start} {stamp}");
            }
            let wanted = 10_000.0 * (1.0 - f64::from(rate) / fast);
            assert!((f64::from(left_out) - wanted).abs() <= 1.0, "{fast}: {left_out} of {wanted}");
            assert_eq!(filled, 0, "{fast}");
        }
    }

    #[test]
    fn jitter_neither_leaves_pictures_out_nor_repeats_them() {
        let mut clock = clock((30, 1));
        for frame in 0..3000u64 {
            // A range of 30 ms: nearly a frame.
            let stamp = frame * 1000 / 30 + 15 + frame * 7919 % 31 - if frame == 0 { 0 } else { 15 };
            assert_eq!(clock.packet(stamp * MS), Step::default(), "{frame}");
            clock.tick(None, None);
        }
    }
}
