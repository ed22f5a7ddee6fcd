//! When pictures are shown: at a constant rate in places of which FFmpeg's `fps` fills each, else at their own times.

use ffmpeg_next::Rational;

use crate::media::{rescale_rounded, to_ns};

/// Frames by which a picture may come late or early and still have the next place: capture jitters, and `fps` alone would leave one
/// frame out and repeat another.
const LATE: f64 = 0.75;
const EARLY: f64 = -1.25;
/// The longest that a frame is shown where the rate varies, in nanoseconds: durations are coded in 32 bits.
const LONGEST: i64 = 4_000_000_000;
/// How long a frame is taken to last where nothing says.
// 25 frames per second.
const USUAL: i64 = 40_000_000;
/// Repeated frames are told of from this much on.
// Shorter ones are how screen recordings and cameras in the dark are.
const TOLD_GAP: i64 = 1_000_000_000;
const NS: i64 = 1_000_000_000;

/// The times of a stream's frames, in nanoseconds from the first one on.
#[derive(Debug)]
pub(super) struct Timing {
    /// Frames a second as a fraction; none where it varies.
    rate: Option<(u32, u32)>,
    /// The place after the last one; its time where the rate varies.
    due: i64,
    /// When the last frame begins, how long the one before it lasted, and when it ends.
    last: i64,
    before: i64,
    end: i64,
    left_out: u64,
    /// Gaps over which a frame stayed, and their length.
    gaps: (u64, i64),
}

impl Timing {
    /// The timing of a rate, which is a fraction of frames a second; 0 is one that varies.
    pub(super) fn new(rate: (u32, u32)) -> Self {
        let rate = Some(rate).filter(|r| r.0 > 0 && r.1 > 0);
        Self { rate, due: 0, last: 0, before: USUAL, end: 0, left_out: 0, gaps: (0, 0) }
    }

    /// Seconds of a tick of frames that go into the filters.
    pub(super) fn ticks(&self) -> Rational {
        let ticks = |(n, d): (u32, u32)| Some(Rational(i32::try_from(d).ok()?, i32::try_from(n).ok()?));
        // A tick per frame lets `fps` repeat and drop exactly; else nanoseconds, so that nothing is rounded.
        self.rate.and_then(ticks).unwrap_or(Rational(1, NS as i32))
    }

    /// The filter that fills places that the source leaves out.
    pub(super) fn filter(&self) -> Option<String> {
        self.rate.map(|(n, d)| format!("fps={n}/{d}"))
    }

    /// The time of a frame that came out of the filters, in nanoseconds.
    pub(super) fn time_of(&self, pts: Option<i64>, time_base: Rational) -> i64 {
        pts.map_or(self.last, |pts| to_ns(pts, time_base))
    }

    /// Whether a frame comes sooner than a constant rate has a place for it. It is counted and told of.
    pub(super) fn is_too_early(&mut self, time: Option<i64>) -> bool {
        let early = self.frames_late(time).is_some_and(|late| late <= EARLY);
        self.left_out += u64::from(early);
        early
    }

    /// How many frame periods of a constant rate a frame is late.
    fn frames_late(&self, time: Option<i64>) -> Option<f64> {
        let (n, d) = self.rate?;
        Some(time? as f64 / NS as f64 * f64::from(n) / f64::from(d) - self.due as f64)
    }

    /// The tick of a frame of this time.
    pub(super) fn place(&self, time: Option<i64>) -> i64 {
        match (self.rate, time) {
            (Some(_), _) => match self.frames_late(time) {
                // Later than three quarters of a frame is a gap and no jitter.
                Some(late) if late >= LATE => self.due.saturating_add(late.round() as i64),
                _ => self.due,
            },
            // Two frames at once would be one.
            (None, Some(time)) => time.max(self.last.saturating_add(i64::from(self.end > 0))),
            (None, None) => self.due,
        }
    }

    /// Takes the next picture, which lasts `duration` nanoseconds if its source says so; gives its tick.
    pub(super) fn push(&mut self, time: Option<i64>, duration: i64) -> i64 {
        let place = self.place(time);
        let start = self.start_of(place);
        let gap = start.saturating_sub(self.end);
        if self.end > 0 && gap >= TOLD_GAP && self.rate.is_some() {
            self.gaps.0 += 1;
            self.gaps.1 = self.gaps.1.saturating_add(gap);
        }
        if self.end > 0 {
            self.before = start.saturating_sub(self.last).clamp(1, LONGEST);
        }
        self.last = start;
        match self.rate {
            Some(_) => {
                let next = self.start_of(place.saturating_add(1));
                // A last frame may be stated to last longer than one period.
                self.end = next.max(start.saturating_add(duration));
                self.due = place.saturating_add(1);
            }
            None => {
                // Until the next one comes, the length of the one before is the best guess.
                self.end = start.saturating_add(if duration > 0 { duration } else { self.before });
                self.due = self.end;
            }
        }
        place
    }

    /// Lets the last frame last until a time, if it would end before.
    pub(super) fn extend_to(&mut self, end: i64) {
        self.end = self.end.max(end);
    }

    /// The tick at which the last frame ends.
    pub(super) fn last(&self) -> i64 {
        match self.rate {
            Some((n, d)) => rescale_rounded(self.end, n.into(), i128::from(d) * i128::from(NS)).max(self.due),
            None => self.end,
        }
    }

    /// When the last frame ends, in nanoseconds.
    pub(super) fn end(&self) -> i64 {
        self.end
    }

    /// How long a picture of a varying rate is to be shown whose successor comes at `end`.
    pub(super) fn duration(&self, start: i64, end: i64) -> u32 {
        // At least a nanosecond: a duration of 0 would put two frames at one time.
        end.saturating_sub(start).clamp(1, LONGEST) as u32
    }

    /// What did not go as it should, in words.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.left_out > 0 {
            let count = self.left_out;
            faults.push(format!(
                "{count} frames came sooner than the frame rate has room for, and are left out"
            ));
        }
        if self.gaps.0 > 0 {
            let seconds = self.gaps.1 as f64 / NS as f64;
            faults.push(format!("frames of {seconds:.2} s are missing, the ones before stay for as long"));
        }
        faults
    }

    /// When a tick is, in nanoseconds.
    fn start_of(&self, place: i64) -> i64 {
        self.rate.map_or(place, |(n, d)| rescale_rounded(place, i128::from(d) * i128::from(NS), n.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: i64 = 1_000_000;

    /// The places of frames at these milliseconds.
    fn placed(rate: (u32, u32), times: &[i64]) -> Vec<i64> {
        let mut timing = Timing::new(rate);
        let mut place = |ms: i64| {
            let time = Some(ms * MS);
            if timing.is_too_early(time) { None } else { Some(timing.push(time, 0)) }
        };
        times.iter().filter_map(|&ms| place(ms)).collect()
    }

    #[test]
    fn jitter_costs_no_picture_and_gaps_stay() {
        assert_eq!(placed((25, 1), &[0, 41, 79, 121, 160]), [0, 1, 2, 3, 4]);
        // Nineteen milliseconds early, then late.
        assert_eq!(placed((25, 1), &[0, 21, 99, 101, 179, 181]), [0, 1, 2, 3, 4, 5]);
        assert_eq!(placed((25, 1), &[0, 40, 80, 240, 280]), [0, 1, 2, 6, 7]);
        // More than a place early.
        assert_eq!(placed((25, 1), &[0, 40, 41, 42, 43, 120]), [0, 1, 2, 3]);
        assert_eq!(placed((0, 1), &[0, 40, 40, 90]), [0, 40 * MS, 40 * MS + 1, 90 * MS]);
    }

    #[test]
    fn a_rate_a_little_off_stays_in_time() {
        let times: Vec<i64> = (0..3000).map(|i| i * 1001 / 30).collect();
        let found = placed((30, 1), &times);
        assert!((3001..=3004).contains(&found[2999]), "{}", found[2999]);
    }

    #[test]
    fn the_last_picture_lasts_as_long_as_it_says() {
        let mut timing = Timing::new((10, 1));
        timing.push(Some(0), 100 * MS);
        timing.push(Some(100 * MS), 2000 * MS);
        assert_eq!((timing.last(), timing.end()), (21, 2100 * MS));
        timing.extend_to(2600 * MS);
        timing.extend_to(1000 * MS);
        assert_eq!((timing.last(), timing.end()), (26, 2600 * MS));
        let mut timing = Timing::new((0, 1));
        timing.push(Some(0), 0);
        timing.push(Some(70 * MS), 0);
        assert_eq!(timing.end(), 140 * MS);
        assert_eq!(timing.duration(0, i64::MAX), 4_000_000_000);
    }
}
