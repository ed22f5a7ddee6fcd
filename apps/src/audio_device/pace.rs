//! Real time for devices that have no clock of their own.
//!
//! ALSA's `null` takes and gives samples as fast as it is asked: a clip would be over at once, and a call would send hours
//! of silence in a minute.

use std::time::{Duration, Instant};

/// How far a device may run ahead of the clock before it counts as one without.
// Beyond three periods, which is more than `cpal` has a device hold.
const SLACK: f64 = 0.1;
const PERIODS: f64 = 3.0;
/// How long a device is measured at a time.
// A clock that is off by 0.1 % is ahead by 2 ms then, and never counts as none.
const WINDOW: f64 = 2.0;

/// Measures a device in its callback, and slows it if it has no clock.
#[derive(Debug)]
pub(super) struct Pace {
    rate: f64,
    /// When the measurement began, and how long samples waited in the device then.
    start: Option<(Instant, f64)>,
    samples: u64,
    has_no_clock: bool,
}

impl Pace {
    pub(super) fn new(rate: u32) -> Self {
        Self { rate: rate.max(1).into(), start: None, samples: 0, has_no_clock: false }
    }

    /// How long to wait after a callback of `count` samples a channel; `delay` is how long they wait in the device.
    pub(super) fn next_wait(&mut self, count: usize, delay: Duration) -> Duration {
        let delay = delay.as_secs_f64();
        let &mut (start, first) = self.start.get_or_insert_with(|| (Instant::now(), delay));
        let elapsed = start.elapsed().as_secs_f64();
        self.samples += count as u64;
        let ahead = self.samples as f64 / self.rate - elapsed;
        if self.has_no_clock {
            return Duration::from_secs_f64(ahead.max(0.0));
        }
        // What a device with a clock takes early waits in it.
        let unexplained = ahead - (delay - first).max(0.0);
        self.has_no_clock = unexplained > SLACK + PERIODS * count as f64 / self.rate;
        if !self.has_no_clock && elapsed > WINDOW {
            (self.start, self.samples) = (None, 0);
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_without_a_clock_is_slowed_to_real_time() {
        let mut pace = Pace::new(1000);
        let started = Instant::now();
        for _ in 0..60 {
            std::thread::sleep(pace.next_wait(10, Duration::ZERO));
        }
        let took = started.elapsed().as_secs_f64();
        assert!((0.59..0.9).contains(&took), "{took} s for 0.6 s");
    }

    #[test]
    fn a_device_that_fills_its_buffer_first_is_left_alone() {
        let mut pace = Pace::new(1000);
        for n in 0..100 {
            // A second at once, all of which waits.
            assert_eq!(pace.next_wait(10, Duration::from_millis(n * 10)), Duration::ZERO);
        }
    }
}
