//! Steps of a clock: places where a recording lacks some of its sound, or has some of it twice.
//!
//! `aresample` makes up for what is below 100 ms by stretching 1 % at most, as a clock that drifts wants it: three packets of AAC that
//! were lost (64 ms) put the sound out of sync for six seconds. A step is seen from the frames behind it, which keep the distance.

/// Differences that no step is made of: containers round times, to 10 ms where they are coarsest.
const LEAST_NS: i64 = 20_000_000;
/// Differences from which on any is a step; smaller ones are where they are a number of whole frames, as lost packets leave them.
const ANY_NS: i64 = 30_000_000;
/// Longer ones are no steps but gaps, or clocks that were set.
const MOST_NS: i64 = 1_000_000_000;
/// By how much a frame's time is off at most where the clock is to be believed.
const JITTER_NS: i64 = 10_000_000;
/// What is off by more counts as this: a clock is believed again 15 s after the last time that it was wrong.
const WORST_NS: i64 = 25_000_000;
/// Nanoseconds of sound in which a nanosecond of what it was off is forgotten.
const MEMORY: i64 = 1000;
/// How long the frames behind a step have to keep the distance.
const LASTING_NS: i64 = 100_000_000;

/// What is known of the clock.
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// The most that a frame's time was off of late, steps left aside.
    jitter: i64,
}

/// How a difference goes on behind the frame that shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Course {
    /// Not known yet.
    Open,
    /// The frames keep it.
    Lasting,
    /// They do not.
    Passing,
}

/// Watches the frames behind a difference.
#[derive(Debug)]
pub(super) struct Watch {
    is_later: bool,
    end: i64,
    lasted: i64,
}

impl Steps {
    /// Whether a frame of some nanoseconds that begins so much later than the last one has ended, or earlier, may show a step.
    pub(super) fn may_be(&self, off: i64, lasts: i64) -> bool {
        let size = off.saturating_abs();
        let rest = if lasts > 0 { size % lasts } else { size };
        let is_whole = lasts > 0 && rest.min(lasts - rest) <= LEAST_NS / 8;
        self.jitter <= JITTER_NS && size <= MOST_NS && size > LEAST_NS && (size >= ANY_NS || is_whole)
    }

    /// Notes by how much the time of a frame of some nanoseconds was off that shows none.
    pub(super) fn note(&mut self, off: i64, lasts: i64) {
        let size = off.saturating_abs().min(WORST_NS);
        self.jitter = size.max(self.jitter - lasts / MEMORY);
    }
}

impl Watch {
    /// Begins behind a frame that was off by so much, that ends at `end`, `lasted` nanoseconds after it began.
    pub(super) fn new(off: i64, end: i64, lasted: i64) -> Self {
        Self { is_later: off > 0, end, lasted }
    }

    /// Takes the next frame: when it begins, if that is told, and how long it lasts.
    pub(super) fn take(&mut self, begins: Option<i64>, lasts: i64) -> Course {
        let begins = begins.unwrap_or(self.end);
        let off = begins.saturating_sub(self.end);
        if off.saturating_abs() > JITTER_NS {
            // One more step in the same direction does not take the first one back: packets are lost in bursts.
            return if (off > 0) == self.is_later { Course::Lasting } else { Course::Passing };
        }
        self.end = begins.saturating_add(lasts);
        self.lasted = self.lasted.saturating_add(lasts);
        if self.lasted >= LASTING_NS { Course::Lasting } else { Course::Open }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    #[test]
    fn lost_packets_and_larger_differences_may_be_steps() {
        let steps = Steps::default();
        for off in [30, 59, -35, 100, 64, -64] {
            assert!(steps.may_be(off * MS, 21 * MS), "{off}");
        }
        // One packet of 21 to 23 ms.
        assert!(steps.may_be(21 * MS + MS / 3, 21 * MS + MS / 3) && steps.may_be(-23 * MS, 23 * MS));
        for off in [0, 10, -20, 25, 1001, -5000] {
            assert!(!steps.may_be(off * MS, 21 * MS), "{off}");
        }
    }

    #[test]
    fn a_clock_that_is_wrong_now_and_then_shows_none_for_a_while() {
        let mut steps = Steps::default();
        steps.note(9 * MS, 20 * MS);
        assert!(steps.may_be(50 * MS, 20 * MS));
        steps.note(-300 * MS, 20 * MS);
        assert!(!steps.may_be(50 * MS, 20 * MS));
        (0..700).for_each(|_| steps.note(0, 20 * MS));
        assert!(!steps.may_be(50 * MS, 20 * MS));
        (0..60).for_each(|_| steps.note(0, 20 * MS));
        assert!(steps.may_be(50 * MS, 20 * MS));
    }

    #[test]
    fn what_comes_back_is_no_step() {
        let mut watch = Watch::new(50 * MS, 70 * MS, 20 * MS);
        assert_eq!(watch.take(Some(72 * MS), 20 * MS), Course::Open);
        assert_eq!(watch.take(Some(40 * MS), 20 * MS), Course::Passing);
        let mut watch = Watch::new(50 * MS, 70 * MS, 20 * MS);
        let courses: Vec<Course> = (0..4).map(|n| watch.take(Some((70 + 20 * n) * MS), 20 * MS)).collect();
        assert_eq!(courses, [Course::Open, Course::Open, Course::Open, Course::Lasting]);
        assert_eq!(Watch::new(50 * MS, 0, 80 * MS).take(None, 20 * MS), Course::Lasting);
    }

    #[test]
    fn steps_that_follow_each_other_are_two() {
        assert_eq!(Watch::new(64 * MS, 70 * MS, 20 * MS).take(Some(112 * MS), 20 * MS), Course::Lasting);
        assert_eq!(Watch::new(-64 * MS, 70 * MS, 20 * MS).take(Some(112 * MS), 20 * MS), Course::Passing);
        assert_eq!(Watch::new(-64 * MS, 70 * MS, 20 * MS).take(Some(28 * MS), 20 * MS), Course::Lasting);
    }
}
