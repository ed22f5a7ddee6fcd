//! Between samples or frames and the clock of GStreamer. All conversions are to the nearest unless a caller says otherwise.

use gst::ClockTime;
use siskin_core::media::{Rounding, TimeBase};

/// The time base of a sample rate; none for a rate of 0.
pub(crate) fn sample_base(rate: u32) -> Option<TimeBase> {
    TimeBase::from_rate(rate, 1).ok()
}

/// How long `ticks` of a time base last; none beyond the longest clock time.
pub(crate) fn ticks_to_time(base: TimeBase, ticks: u64, rounding: Rounding) -> Option<ClockTime> {
    // The largest number stands for no time in GStreamer.
    base.ticks_to_ns(ticks, rounding)
        .filter(|ns| *ns <= ClockTime::MAX.nseconds())
        .map(ClockTime::from_nseconds)
}

/// How long `samples` last.
pub(crate) fn samples_to_time(rate: u32, samples: u64) -> Option<ClockTime> {
    // To the nearest, so that samples come back from their time unchanged up to rates of 1 GHz.
    ticks_to_time(sample_base(rate)?, samples, Rounding::Nearest)
}

/// Samples in `time`.
pub(crate) fn time_to_samples(rate: u32, time: ClockTime) -> Option<u64> {
    sample_base(rate)?.ns_to_ticks(time.nseconds(), Rounding::Nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_come_back_and_no_time_is_made_of_the_end_of_time() {
        for samples in [0, 1, 47_999, 123_456_789_012] {
            let time = samples_to_time(48_000, samples).expect("a time");
            assert_eq!(time_to_samples(48_000, time), Some(samples));
        }
        let rate = 1_000_000_000;
        assert_eq!(samples_to_time(rate, u64::MAX - 1), Some(ClockTime::MAX));
        assert_eq!(samples_to_time(rate, u64::MAX), None);
        assert_eq!((samples_to_time(0, 1), time_to_samples(0, ClockTime::SECOND)), (None, None));
    }
}
