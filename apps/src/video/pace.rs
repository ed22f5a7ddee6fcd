//! Pictures as often as a stream needs them from a source that has them otherwise. Where a rate is stated a picture stays until the
//! next one is due, and what comes too early is left out; where the rate varies only what lasts too long to be said is repeated.

use anyhow::Result;

/// A picture and its time in nanoseconds, if it has one.
pub(super) type Timed = (Vec<u8>, Option<i64>);

/// Frames by which a picture may come late or early before one is repeated or left out.
const LATE: f64 = 0.75;
const EARLY: f64 = 1.25;
/// Seconds that are not filled: the source's clock was set.
const JUMP: f64 = 60.0;

/// The longest that a picture is shown where the rate varies, in nanoseconds: durations are coded in 32 bits.
const LONGEST: i64 = 4_000_000_000;

/// Holds pictures to a rate.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Frames a second; none where it varies.
    rate: Option<f64>,
    /// Time of the frame from which on they are counted, in nanoseconds, and its number.
    origin: Option<(i64, u64)>,
    /// Frames given, and how many there are to be before the one that waits.
    given: u64,
    due: u64,
    waiting: Option<Timed>,
    last: Timed,
}

impl Pace {
    /// A pace of a rate, which is a fraction of frames a second; 0 is one that varies.
    pub(super) fn new((n, d): (u32, u32)) -> Self {
        let rate = (n > 0).then(|| f64::from(n) / f64::from(d));
        Self { rate, origin: None, given: 0, due: 0, waiting: None, last: Timed::default() }
    }

    /// The next picture, made of those of `source`; none at its end.
    pub(super) fn next(
        &mut self,
        mut source: impl FnMut() -> Result<Option<Timed>>,
    ) -> Result<Option<Timed>> {
        loop {
            if self.given < self.due {
                self.given += 1;
                self.last.1 = self.last.1.filter(|_| self.rate.is_none()).map(|time| time + LONGEST);
                return Ok(Some(self.last.clone()));
            }
            if let Some(picture) = self.waiting.take() {
                self.given += 1;
                self.due = self.given;
                self.last.clone_from(&picture);
                return Ok(Some(picture));
            }
            let Some(picture) = source()? else { return Ok(None) };
            if let Some(repeats) = self.place(picture.1) {
                self.due += repeats;
                self.waiting = Some(picture);
            }
        }
    }

    /// How often the picture before is repeated ahead of one of this time; none if there is no place for it.
    fn place(&mut self, time: Option<i64>) -> Option<u64> {
        let Some(time) = time else { return Some(0) };
        let Some(rate) = self.rate else {
            let since = self.last.1.map_or(0, |last| time.saturating_sub(last));
            return Some((since.max(1) - 1) as u64 / LONGEST as u64);
        };
        let &mut (origin, first) = self.origin.get_or_insert((time, self.given));
        let late = time.saturating_sub(origin) as f64 / 1e9 * rate - (self.given - first) as f64;
        if late.abs() > JUMP * rate {
            self.origin = Some((time, self.given));
            return Some(0);
        }
        match late {
            late if late < -EARLY => None,
            late if late >= LATE => Some(late.round() as u64),
            _ => Some(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pictures that come of pictures at these milliseconds, named by their places.
    fn paced(rate: (u32, u32), times: &[i64]) -> Vec<u8> {
        let mut source = times.iter().enumerate().map(|(i, &ms)| (vec![i as u8], Some(ms * 1_000_000)));
        let mut pace = Pace::new(rate);
        std::iter::from_fn(|| pace.next(|| Ok(source.next())).expect("a picture")).map(|p| p.0[0]).collect()
    }

    #[test]
    fn gaps_are_filled_and_doubles_left_out() {
        assert_eq!(paced((25, 1), &[0, 40, 80, 240, 280]), [0, 1, 2, 2, 2, 2, 3, 4]);
        assert_eq!(paced((25, 1), &[1000, 1040, 1041, 1042, 1043, 1120]), [0, 1, 2, 5]);
        assert_eq!(paced((25, 1), &[500, 541, 579, 621, 660]), [0, 1, 2, 3, 4]);
        // The clock was set, forth and back.
        assert_eq!(paced((25, 1), &[0, 40, 9_000_000, 9_000_040, 0, 40, 80]), [0, 1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn what_lasts_too_long_is_repeated_where_the_rate_varies() {
        assert_eq!(paced((0, 1), &[0, 40, 4040, 4100, 16_101]), [0, 1, 2, 3, 3, 3, 3, 4]);
        let mut source = [0, 9_000_000_000].into_iter().map(|t| (vec![0], Some(t)));
        let mut pace = Pace::new((0, 1));
        let times: Vec<_> =
            std::iter::from_fn(|| pace.next(|| Ok(source.next())).expect("a picture")).collect();
        let times: Vec<_> = times.into_iter().map(|t| t.1.unwrap_or_default() / 1_000_000_000).collect();
        assert_eq!(times, [0, 4, 8, 9]);
    }

    #[test]
    fn a_rate_a_little_off_stays_in_time() {
        let times: Vec<i64> = (0..3000).map(|i| i * 1001 / 30).collect();
        let found = paced((30, 1), &times).len();
        assert!((3002..=3004).contains(&found), "{found}");
    }
}
