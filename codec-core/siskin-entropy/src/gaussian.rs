use constriction::stream::model::DefaultContiguousCategoricalEntropyModel;

use super::normal::{ARGUMENT_BITS, cumulative_normal};
use crate::{Error, Result};
use siskin_bitstream::bytes::{Cursor, put_signed, put_varint};

/// Bits of a probability in the range coder.
// That of constriction's default coder, so 65,536 symbols with a unit each leave 99.6 % to the distribution.
const PRECISION: u32 = 24;
/// Parts of a mean.
// A mean that is off by 1/32 costs 0.0007 bits per symbol at a deviation of 1.
const MEAN_PARTS: i32 = 16;
/// Deviation index whose deviation is 1.
// Eight indices per octave are off by at most 4.4 %, which costs 0.003 bits per symbol.
const DEVIATION_ONE: u8 = 32;
/// Largest deviation index: 2^15.
const DEVIATION_MOST: u8 = 152;
/// 2^(i/8) in 16 bits behind the point.
const DEVIATIONS: [i64; 8] = [65_536, 71_468, 77_936, 84_990, 92_682, 101_070, 110_218, 120_194];
/// Symbols lie in -32768..=32767.
const BOUND: i32 = 1 << 15;

/// A normal distribution of integers between bounds; all its parameters are integers that stand in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gaussian {
    /// The mean in sixteenths.
    pub mean: i32,
    /// The deviation is 2 to the power of `(deviation - 32) / 8`.
    pub deviation: u8,
    /// The smallest symbol.
    pub low: i32,
    /// The largest symbol.
    pub high: i32,
}

impl Gaussian {
    /// The distribution that fits these symbols, which must lie in -32768..=32767.
    pub fn from_symbols(symbols: &[i32]) -> Self {
        // The bounds are exact, so a group whose symbols are all alike takes no bits.
        let (low, high) = symbols.iter().fold((i32::MAX, i32::MIN), |(l, h), &s| (l.min(s), h.max(s)));
        if symbols.is_empty() {
            return Self { mean: 0, deviation: 0, low: 0, high: 0 };
        }
        Self { low, high, ..Self::shape_of(symbols) }
    }

    /// As [`Gaussian::from_symbols`], with given bounds.
    pub fn from_symbols_within(symbols: &[i32], low: i32, high: i32) -> Self {
        Self { low, high, ..Self::shape_of(symbols) }
    }

    fn shape_of(symbols: &[i32]) -> Self {
        let count = symbols.len().max(1) as f64;
        let mean = symbols.iter().map(|&s| f64::from(s)).sum::<f64>() / count;
        let variance = symbols.iter().map(|&s| (f64::from(s) - mean).powi(2)).sum::<f64>() / count;
        // The integers' variance is larger by 1/12 than that of what was rounded.
        let deviation = (variance - 1.0 / 12.0).max(1e-3).sqrt();
        // Floats are allowed here: the result stands in the stream, and decoders compute from that alone.
        let index = (deviation.log2() * 8.0).round() + f64::from(DEVIATION_ONE);
        Self {
            mean: (mean * f64::from(MEAN_PARTS)).round() as i32,
            deviation: index.clamp(0.0, f64::from(DEVIATION_MOST)) as u8,
            low: 0,
            high: 0,
        }
    }

    /// Where a symbol stands between the bounds.
    pub(super) fn symbol_index(&self, symbol: i32) -> Result<usize> {
        if (self.low..=self.high).contains(&symbol) {
            return Ok((symbol - self.low) as usize);
        }
        Err(Error::parameter("symbol", symbol, format!("{} to {}", self.low, self.high)))
    }

    /// The table of probabilities; none where there is but one symbol.
    pub(super) fn entropy_model(&self) -> Option<DefaultContiguousCategoricalEntropyModel> {
        // A single symbol takes no bits; the coder is not asked.
        if self.low >= self.high {
            return None;
        }
        // The distribution is cut to the bounds and scaled up: no probability is spent on symbols that cannot come.
        let below = |symbol: i32| cumulative_normal(self.standard_score(symbol));
        let (first, last) = (below(self.low), below(self.high + 1));
        let count = i64::from(self.high) - i64::from(self.low) + 1;
        // Each symbol has one unit for itself, the rest is shared by the distribution.
        let free = (1i64 << PRECISION) - count;
        let share = |i: i64| match last - first {
            // The bounds lie so far from the mean that the table does not tell them apart.
            0 => free * i / count,
            span => (below(self.low + i as i32) - first) * free / span,
        };
        let mut before = 0;
        let probabilities = (1..=count).map(|i| {
            let until = share(i) + i;
            let own = (until - before) as u32;
            before = until;
            own
        });
        DefaultContiguousCategoricalEntropyModel::from_nonzero_fixed_point_probabilities(
            probabilities.collect::<Vec<u32>>(),
            false,
        )
        .ok()
    }

    /// The lower edge of a symbol's interval in deviations from the mean.
    fn standard_score(&self, symbol: i32) -> i64 {
        // Twice the parts, since an edge is a half.
        let distance = i64::from(symbol) * 32 - 16 - 2 * i64::from(self.mean);
        let octave = i64::from(self.deviation / 8) - i64::from(DEVIATION_ONE / 8);
        let mantissa = DEVIATIONS[usize::from(self.deviation % 8)];
        let deviation = if octave < 0 { mantissa >> -octave } else { mantissa << octave };
        // At most 2^48; the division truncates towards zero as `docs/video-bitstream.md` says.
        (distance << (2 * ARGUMENT_BITS - 5)) / deviation
    }

    /// Appends mean and deviation.
    pub fn write_shape(&self, out: &mut Vec<u8>) {
        put_signed(out, self.mean);
        out.push(self.deviation);
    }

    /// Appends the bounds.
    pub fn write_bounds(&self, out: &mut Vec<u8>) {
        put_signed(out, self.low);
        // The span instead of the highest symbol: it needs no sign.
        put_varint(out, (self.high - self.low) as u32);
    }

    /// Reads mean and deviation; the bounds are those given.
    pub fn parse_shape(cursor: &mut Cursor<'_>, (low, high): (i32, i32)) -> Result<Self> {
        let most = BOUND * MEAN_PARTS;
        let mean = cursor.read_signed("mean", -most, most)?;
        let deviation = cursor.read_byte_in("deviation", 0, DEVIATION_MOST)?;
        Ok(Self { mean, deviation, low, high })
    }

    /// Reads the bounds.
    pub fn parse_bounds(cursor: &mut Cursor<'_>) -> Result<(i32, i32)> {
        let low = cursor.read_signed("lowest symbol", -BOUND, BOUND - 1)?;
        // Bounded by the lowest symbol, so that the highest stays within 16 bits.
        let span = cursor.read_ranged("span of symbols", 0, (BOUND - 1 - low) as u32)?;
        Ok((low, low + span as i32))
    }
}

/// The range in which every symbol must lie.
pub fn clamp_symbol(value: f32) -> i32 {
    // A value that is not a number becomes 0.
    value.round_ties_even().clamp(-BOUND as f32, (BOUND - 1) as f32) as i32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shape_gives_a_table() {
        for deviation in (0..=DEVIATION_MOST).step_by(3) {
            for mean in [-16 * BOUND, -5, 0, 9, 16 * BOUND] {
                for (low, high) in [(-BOUND, BOUND - 1), (-3, 9), (0, 1), (200, 300)] {
                    let distribution = Gaussian { mean, deviation, low, high };
                    assert!(distribution.entropy_model().is_some(), "{distribution:?}");
                }
            }
        }
    }

    #[test]
    fn parameters_come_back() {
        let distribution = Gaussian { mean: -1234, deviation: 77, low: -300, high: 12 };
        let mut bytes = Vec::new();
        distribution.write_bounds(&mut bytes);
        distribution.write_shape(&mut bytes);
        let mut cursor = Cursor::new("test", &bytes);
        let bounds = Gaussian::parse_bounds(&mut cursor).expect("bounds");
        assert_eq!(Gaussian::parse_shape(&mut cursor, bounds).ok(), Some(distribution));
        for cut in 0..bytes.len() {
            let mut cursor = Cursor::new("test", &bytes[..cut]);
            let whole =
                Gaussian::parse_bounds(&mut cursor).and_then(|b| Gaussian::parse_shape(&mut cursor, b));
            assert!(whole.is_err());
        }
    }
}
