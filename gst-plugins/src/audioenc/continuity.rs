//! Keeps input in time: packets hold many frames, and the base class shifts all that it has not seen coded yet when the input
//! jumps. What is missing is therefore coded as silence, and what comes twice is cut off, before the base class sees it.

use gst::ClockTime;

use crate::time::{samples_to_time, time_to_samples};

/// Input may be off its place by less than this; it is then taken for the jitter of a clock. Always measured from the count of
/// samples, so that many small jumps become one that counts. Half a frame of 20 ms: decoders conceal gaps from there on.
const TOLERANCE: ClockTime = ClockTime::from_mseconds(10);
/// The clock of a sound card drifts against the pipeline's by up to a part in this many, which the count follows: silence every
/// few minutes would be heard.
const DRIFT: u64 = 1000;
/// The longest gap that is filled with silence, which costs time and bits. Behind a longer one a new stream begins.
const MAX_SILENCE: ClockTime = ClockTime::from_seconds(10);
/// Silence before a gap that is not filled, so that what decoders conceal it by is silence.
const FADE: ClockTime = ClockTime::from_mseconds(300);
/// Input that lies back by more than this is no overlap: the source has begun anew.
const MAX_OVERLAP: ClockTime = ClockTime::from_seconds(1);

/// What is to be done before a buffer is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing: it follows.
    Follow,
    /// Encode so many samples of silence from this time on.
    Silence(ClockTime, u64),
    /// Leave out so many samples of its beginning.
    Cut(u64),
    /// Encode silence as above, then end the stream and begin another.
    Restart(ClockTime, u64),
}

/// Samples that follow each other.
#[derive(Debug, Clone, Copy)]
struct Run {
    /// Time of the first one.
    start: ClockTime,
    samples: u64,
    /// What the clock of the input has drifted since, in nanoseconds.
    drift: i64,
}

/// Where input is and where it should be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Continuity {
    rate: u32,
    run: Option<Run>,
}

impl Continuity {
    pub(super) fn new(rate: u32) -> Self {
        Self { rate, run: None }
    }

    /// Forgets where the input was.
    pub(super) fn reset(&mut self) {
        self.run = None;
    }

    /// Where the next sample belongs.
    fn next_pts(&self) -> Option<ClockTime> {
        let run = self.run?;
        let end = run.start.checked_add(samples_to_time(self.rate, run.samples)?)?;
        end.nseconds().checked_add_signed(run.drift).map(ClockTime::from_nseconds)
    }

    /// What to do before input that begins at `pts`.
    pub(super) fn place(&self, pts: Option<ClockTime>) -> Step {
        let Some((next, pts)) = self.next_pts().zip(pts) else { return Step::Follow };
        let samples = |time| time_to_samples(self.rate, time).unwrap_or_default();
        let (gap, overlap) = (pts.saturating_sub(next), next.saturating_sub(pts));
        if gap > MAX_SILENCE {
            Step::Restart(next, samples(FADE))
        } else if overlap > MAX_OVERLAP {
            Step::Restart(next, 0)
        } else if gap > TOLERANCE {
            Step::Silence(next, samples(gap))
        } else if overlap > TOLERANCE {
            Step::Cut(samples(overlap))
        } else {
            Step::Follow
        }
    }

    /// Takes note of `samples` that are encoded and begin at `pts`.
    pub(super) fn advance(&mut self, pts: Option<ClockTime>, samples: u64) {
        let off =
            self.next_pts().zip(pts).map_or(0, |(next, pts)| pts.nseconds() as i64 - next.nseconds() as i64);
        match &mut self.run {
            Some(run) => {
                let most = samples_to_time(self.rate, samples).unwrap_or_default() / DRIFT;
                let most = most.nseconds() as i64;
                run.samples = run.samples.saturating_add(samples);
                run.drift += off.clamp(-most, most);
            }
            None => self.run = pts.map(|start| Run { start, samples, drift: 0 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 24_000;

    fn at(ms: u64) -> Option<ClockTime> {
        Some(ClockTime::from_mseconds(ms))
    }

    /// A second of input from 500 ms on.
    fn second() -> Continuity {
        let mut input = Continuity::new(RATE);
        assert_eq!(input.place(at(500)), Step::Follow);
        input.advance(at(500), 24_000);
        input
    }

    #[test]
    fn gaps_overlaps_and_new_beginnings() {
        let input = second();
        let next = ClockTime::from_mseconds(1500);
        for (ms, step) in [
            (1500, Step::Follow),
            (1510, Step::Follow),
            (1490, Step::Follow),
            (1512, Step::Silence(next, 288)),
            (1488, Step::Cut(288)),
            (11_500, Step::Silence(next, 240_000)),
            (11_501, Step::Restart(next, 7200)),
            (500, Step::Cut(24_000)),
            (499, Step::Restart(next, 0)),
        ] {
            assert_eq!(input.place(at(ms)), step, "{ms} ms");
        }
        assert_eq!(input.place(None), Step::Follow);
        let mut again = input;
        again.reset();
        assert_eq!(again.place(at(9000)), Step::Follow);
    }

    #[test]
    fn small_jumps_do_not_add_up() {
        // 20 ms of input every 24 ms.
        let (mut input, mut silence) = (Continuity::new(RATE), 0);
        for n in 0..1000 {
            if let Step::Silence(start, samples) = input.place(at(24 * n)) {
                input.advance(Some(start), samples);
                silence += samples;
            }
            input.advance(at(24 * n), 480);
            let end = input.next_pts().expect("a time");
            assert!(ClockTime::from_mseconds(24 * n + 20).saturating_sub(end) <= TOLERANCE, "at {n}");
        }
        assert!(silence.abs_diff(999 * 96) <= 960, "{silence}");
    }

    #[test]
    fn the_drift_of_a_clock_is_followed() {
        // 20 ms of input every 20.01 ms, and every 19.99 ms, for 20 minutes.
        for step in [20_010, 19_990] {
            let mut input = Continuity::new(RATE);
            for n in 0..60_000 {
                let pts = Some(ClockTime::from_useconds(step * n));
                assert_eq!(input.place(pts), Step::Follow, "at {n}");
                input.advance(pts, 480);
            }
        }
    }
}
