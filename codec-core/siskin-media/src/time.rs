use crate::{Error, Result};

/// What becomes of a time that lies between two ticks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// The tick before.
    Down,
    /// The nearest tick, of two equally near ones the later.
    Nearest,
    /// The tick after.
    Up,
}

/// How long one tick of a clock lasts, as a fraction of seconds: 1/48000 for samples at 48 kHz, 1001/30000 for frames of
/// NTSC video, 1/90000 for RTP video. Conversions are exact but for the stated rounding.
///
/// ```
/// use siskin_media::{Rounding, TimeBase};
///
/// # fn main() -> siskin_media::Result<()> {
/// let samples = TimeBase::from_rate(24_000, 1)?;
/// assert_eq!(samples.ticks_to_ns(1, Rounding::Down), Some(41_666));
/// assert_eq!(samples.ticks_to_ns(1, Rounding::Nearest), Some(41_667));
/// assert_eq!(samples.ns_to_ticks(41_667, Rounding::Nearest), Some(1));
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeBase {
    /// Seconds a tick, in lowest terms; neither is 0.
    numerator: u32,
    denominator: u32,
}

impl TimeBase {
    /// Ticks of a nanosecond.
    pub const NANOSECONDS: Self = Self { numerator: 1, denominator: 1_000_000_000 };

    /// Ticks of `numerator / denominator` seconds.
    ///
    /// # Errors
    /// [`Error::Parameter`] if either is 0.
    pub fn new(numerator: u32, denominator: u32) -> Result<Self> {
        if numerator == 0 || denominator == 0 {
            let allowed = "a fraction of numbers from 1 on";
            return Err(Error::parameter("time base", format!("{numerator}/{denominator}"), allowed));
        }
        // Lowest terms, so that equal bases compare equal: 50/2 and 25/1.
        let (mut a, mut b) = (numerator, denominator);
        while b > 0 {
            (a, b) = (b, a % b);
        }
        Ok(Self { numerator: numerator / a, denominator: denominator / a })
    }

    /// The time base of `numerator / denominator` ticks per second: a sample rate over 1, or a frame rate.
    ///
    /// # Errors
    /// [`Error::Parameter`] if either is 0, which for a frame rate means that it is not constant.
    pub fn from_rate(numerator: u32, denominator: u32) -> Result<Self> {
        // A rate is ticks per second, a base seconds per tick.
        Self::new(denominator, numerator)
    }

    /// The time base of audio samples, `rate` a second; a rate of 0, which no stream has, counts as 1.
    pub const fn from_sample_rate(rate: u32) -> Self {
        Self { numerator: 1, denominator: if rate == 0 { 1 } else { rate } }
    }

    /// Seconds per tick as numerator and denominator, in lowest terms.
    pub const fn fraction(self) -> (u32, u32) {
        (self.numerator, self.denominator)
    }

    /// The time of `ticks` in ticks of another base; none where that is 2^64 or more.
    pub fn convert_to(self, other: Self, ticks: u64, rounding: Rounding) -> Option<u64> {
        // Below 2^128: 64 bits of ticks and twice 32 bits.
        let dividend = u128::from(ticks) * u128::from(self.numerator) * u128::from(other.denominator);
        let divisor = u128::from(self.denominator) * u128::from(other.numerator);
        let (whole, rest) = (dividend / divisor, dividend % divisor);
        let up = match rounding {
            Rounding::Down => false,
            Rounding::Nearest => rest >= divisor - rest,
            Rounding::Up => rest > 0,
        };
        // None and not a clamped value: a clamped timestamp would go on as if it were one.
        u64::try_from(whole + u128::from(up)).ok()
    }

    /// The time of `ticks` in nanoseconds; none where that is 2^64 or more (584 years).
    pub fn ticks_to_ns(self, ticks: u64, rounding: Rounding) -> Option<u64> {
        self.convert_to(Self::NANOSECONDS, ticks, rounding)
    }

    /// Ticks at `ns` nanoseconds; none where they are 2^64 or more.
    pub fn ns_to_ticks(self, ns: u64, rounding: Rounding) -> Option<u64> {
        Self::NANOSECONDS.convert_to(self, ns, rounding)
    }

    /// The time of `ticks` in seconds, as exact as a float is.
    pub fn ticks_to_seconds(self, ticks: u64) -> f64 {
        // For messages and rates only; from 2^53 ticks on a float is no longer exact.
        ticks as f64 * f64::from(self.numerator) / f64::from(self.denominator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(numerator: u32, denominator: u32) -> TimeBase {
        TimeBase::from_rate(numerator, denominator).expect("a rate")
    }

    #[test]
    fn each_rounding_is_as_stated() {
        let third = TimeBase::new(1, 3).expect("a base");
        for (ticks, down, nearest, up) in [
            (1, 333_333_333, 333_333_333, 333_333_334),
            (2, 666_666_666, 666_666_667, 666_666_667),
            (3, 1_000_000_000, 1_000_000_000, 1_000_000_000),
        ] {
            let found =
                [Rounding::Down, Rounding::Nearest, Rounding::Up].map(|r| third.ticks_to_ns(ticks, r));
            assert_eq!(found, [Some(down), Some(nearest), Some(up)], "{ticks}");
        }
        // Halves go up.
        let half = TimeBase::new(1, 2_000_000_000).expect("a base");
        assert_eq!(half.ticks_to_ns(3, Rounding::Nearest), Some(2));
        assert_eq!(half.ticks_to_ns(3, Rounding::Down), Some(1));
    }

    #[test]
    fn days_of_ticks_come_back() {
        for base in [rate(24_000, 1), rate(44_100, 1), rate(192_000, 1), rate(30_000, 1001), rate(90_000, 1)]
        {
            for ticks in (0..400).map(|i| i * i * 104_729 + i) {
                let ns = base.ticks_to_ns(ticks, Rounding::Nearest).expect("a short time");
                assert_eq!(base.ns_to_ticks(ns, Rounding::Nearest), Some(ticks), "{base:?}");
                let up = base.ticks_to_ns(ticks, Rounding::Up).expect("a short time");
                assert_eq!(base.ns_to_ticks(up, Rounding::Down), Some(ticks), "{base:?}");
            }
        }
    }

    #[test]
    fn nothing_overflows() {
        let (slow, quick) = (TimeBase::new(u32::MAX, 1), TimeBase::new(1, u32::MAX));
        let (slow, quick) = (slow.expect("a base"), quick.expect("a base"));
        assert_eq!(slow.convert_to(quick, u64::MAX, Rounding::Up), None);
        assert_eq!(quick.convert_to(slow, u64::MAX, Rounding::Down), Some(1));
        assert_eq!(slow.convert_to(slow, u64::MAX, Rounding::Up), Some(u64::MAX));
        assert_eq!(rate(1, 1).ticks_to_ns(u64::MAX, Rounding::Down), None);
    }

    #[test]
    fn bases_are_in_lowest_terms_and_never_zero() {
        assert_eq!(rate(50, 2), rate(25, 1));
        assert_eq!(rate(30_000, 1001).fraction(), (1001, 30_000));
        assert_eq!(rate(25, 1).ticks_to_seconds(50), 2.0);
        for (numerator, denominator) in [(0, 1), (1, 0)] {
            let error = TimeBase::new(numerator, denominator);
            assert!(matches!(error, Err(Error::Parameter { name: "time base", .. })), "{error:?}");
        }
    }
}
