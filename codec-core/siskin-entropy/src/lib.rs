//! Range coding of integers with probabilities that are computed in integers only, so that a stream decodes to the same
//! symbols on every machine.

pub mod binary;
mod codebooks;
mod codes;
mod gaussian;
mod normal;
pub mod range;

use constriction::stream::queue::{DefaultRangeDecoder, DefaultRangeEncoder};
use constriction::stream::{Decode, Encode};

pub use codebooks::{CodebookShape, Codebooks};
pub use codes::{BitCostEstimator, BookTables, Coder, Tables};
pub use gaussian::{Gaussian, clamp_symbol};
pub use siskin_error::{Error, Limits, OffsetUnit, Result};

/// Codes symbols to bytes.
///
/// ```
/// use siskin_entropy::{Gaussian, SymbolDecoder, SymbolEncoder};
///
/// # fn main() -> siskin_entropy::Result<()> {
/// let symbols = [0, -1, 3, 0, 2, -4];
/// let distribution = Gaussian::from_symbols(&symbols);
/// let mut encoder = SymbolEncoder::new();
/// encoder.encode_symbols(&symbols, &distribution)?;
/// let data = encoder.finish();
///
/// let (mut decoder, mut decoded) = (SymbolDecoder::new(&data)?, Vec::new());
/// decoder.decode_symbols(symbols.len(), &distribution, &mut decoded)?;
/// assert_eq!(decoded, symbols);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct SymbolEncoder {
    coder: DefaultRangeEncoder,
}

impl SymbolEncoder {
    /// An encoder that has coded nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Codes symbols of one distribution.
    ///
    /// # Errors
    /// [`Error::Parameter`] for a symbol outside the distribution's bounds.
    pub fn encode_symbols(&mut self, symbols: &[i32], distribution: &Gaussian) -> Result<()> {
        let Some(model) = distribution.entropy_model() else {
            return symbols.iter().try_for_each(|&s| distribution.symbol_index(s).map(|_| ()));
        };
        for &symbol in symbols {
            let index = distribution.symbol_index(symbol)?;
            // The model has every index below its size, and writing to memory does not fail.
            self.coder
                .encode_symbol(index, &model)
                .map_err(|e| Error::parameter("symbol", symbol, format!("what can be coded ({e:?})")))?;
        }
        Ok(())
    }

    /// Ends the stream: 32-bit words, least significant byte first.
    pub fn finish(self) -> Vec<u8> {
        let words = self.coder.into_compressed().unwrap_or_else(|never| match never {});
        words.into_iter().flat_map(u32::to_le_bytes).collect()
    }
}

/// Reads back what a [`SymbolEncoder`] coded; past the end it reads some symbols or other, never beyond bounds.
#[derive(Debug, Clone)]
pub struct SymbolDecoder {
    coder: DefaultRangeDecoder,
    /// Symbols so far, for messages.
    decoded: usize,
}

impl SymbolDecoder {
    /// Begins to read.
    ///
    /// # Errors
    /// [`Error::Bitstream`] if the bytes are no whole words.
    pub fn new(data: &[u8]) -> Result<Self> {
        let coder =
            DefaultRangeDecoder::from_compressed(parse_words(data)?).unwrap_or_else(|never| match never {});
        Ok(Self { coder, decoded: 0 })
    }

    /// Appends `count` symbols of one distribution to `out`.
    ///
    /// # Errors
    /// [`Error::Bitstream`] if no encoder could have written these bytes.
    pub fn decode_symbols(
        &mut self,
        count: usize,
        distribution: &Gaussian,
        out: &mut Vec<i32>,
    ) -> Result<()> {
        let Some(model) = distribution.entropy_model() else {
            self.decoded += count;
            // `count` must come from shapes that were checked against limits: no coded byte bounds it here.
            out.resize(out.len() + count, distribution.low);
            return Ok(());
        };
        for done in 0..count {
            let index = self.coder.decode_symbol(&model).map_err(|_| {
                let reason = "not what an encoder writes";
                Error::bitstream_at(
                    OffsetUnit::Symbol,
                    "coded symbols",
                    "symbol",
                    self.decoded + done,
                    reason,
                )
            })?;
            out.push(distribution.low + index as i32);
        }
        self.decoded += count;
        Ok(())
    }

    /// Whether all that was coded has been read, as far as the coder can tell: false means that something is left.
    pub fn may_be_at_end(&self) -> bool {
        self.coder.maybe_exhausted()
    }
}

/// The words of the range coder.
fn parse_words(data: &[u8]) -> Result<Vec<u32>> {
    // Little endian by `docs/video-bitstream.md`. Audio packets have big-endian words, since their end is cut to
    // bytes.
    let (words, rest) = data.as_chunks::<4>();
    if !rest.is_empty() {
        let reason = format!("{} bytes, allowed: whole words of 4 bytes", data.len());
        return Err(Error::bitstream("coded symbols", "length", 0, reason));
    }
    Ok(words.iter().map(|&w| u32::from_le_bytes(w)).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(symbols: &[i32], distribution: &Gaussian) -> usize {
        let mut encoder = SymbolEncoder::new();
        encoder.encode_symbols(symbols, distribution).expect("symbols within bounds");
        let bytes = encoder.finish();
        let mut decoder = SymbolDecoder::new(&bytes).expect("whole words");
        let mut out = Vec::new();
        decoder.decode_symbols(symbols.len(), distribution, &mut out).expect("what was coded");
        assert_eq!(out, symbols);
        assert!(decoder.may_be_at_end());
        bytes.len()
    }

    /// Roughly normal symbols: sums of twelve uniform ones.
    fn normal(count: usize, mean: f64, deviation: f64) -> Vec<i32> {
        let mut state = 1u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 11) as f64 / (1u64 << 53) as f64
        };
        (0..count)
            .map(|_| {
                let z: f64 = (0..12).map(|_| uniform()).sum::<f64>() - 6.0;
                (mean + deviation * z).round() as i32
            })
            .collect()
    }

    #[test]
    fn the_size_is_near_the_entropy() {
        for (mean, deviation) in [(0.0, 6.0), (-3.3, 0.8), (40.0, 60.0)] {
            let symbols = normal(20_000, mean, deviation);
            let bytes = round_trip(&symbols, &Gaussian::from_symbols(&symbols));
            // Rounding adds the variance of a uniform error.
            let spread = (deviation * deviation + 1.0 / 12.0).sqrt();
            let entropy = (spread * (std::f64::consts::TAU * std::f64::consts::E).sqrt()).log2();
            let bits = bytes as f64 * 8.0 / 20_000.0;
            assert!((bits - entropy).abs() < 0.06, "{deviation}: {bits:.3} bits, entropy {entropy:.3}");
        }
    }

    #[test]
    fn bytes_are_the_same_everywhere() {
        let symbols = normal(64, 1.0, 3.0);
        let mut encoder = SymbolEncoder::new();
        encoder.encode_symbols(&symbols, &Gaussian::from_symbols(&symbols)).expect("symbols within bounds");
        let golden = include_str!("../../../testdata/golden/gaussian.hex").trim();
        assert_eq!(hex::encode(encoder.finish()), golden);
    }

    #[test]
    fn equal_symbols_cost_nothing() {
        assert_eq!(round_trip(&[7; 1000], &Gaussian::from_symbols(&[7; 1000])), 0);
        assert_eq!(round_trip(&[], &Gaussian::from_symbols(&[])), 0);
    }

    #[test]
    fn symbols_outside_are_refused() {
        let distribution = Gaussian::from_symbols(&[-2, 5]);
        assert!(SymbolEncoder::new().encode_symbols(&[6], &distribution).is_err());
        assert!(SymbolDecoder::new(&[1, 2, 3]).is_err());
    }

    proptest! {
        #[test]
        fn any_symbols_come_back(symbols in proptest::collection::vec(-300..300i32, 1..200)) {
            round_trip(&symbols, &Gaussian::from_symbols(&symbols));
        }

        #[test]
        fn any_bytes_decode_to_symbols_or_an_error(data in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok(mut decoder) = SymbolDecoder::new(&data) {
                let distribution = Gaussian::from_symbols(&[-100, 0, 3, 50]);
                let mut out = Vec::new();
                decoder.decode_symbols(100, &distribution, &mut out).ok();
                prop_assert!(out.iter().all(|s| (-100..=50).contains(s)));
            }
        }
    }
}
