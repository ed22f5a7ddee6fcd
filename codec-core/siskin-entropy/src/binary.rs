//! Adaptive binary range coding: yes-or-no decisions whose probabilities follow what was coded, in integers only.
//!
//! One function can say how something is coded and how it is read back: it asks a [`BitCoder`], and an encoder answers
//! with the value it was given, a decoder with the one that it read.

use core::borrow::Borrow;
use core::num::NonZeroU32;
use std::sync::LazyLock;

use constriction::stream::model::{DecoderModel, EncoderModel, EntropyModel};
use constriction::stream::queue::{DefaultRangeDecoder, DefaultRangeEncoder};
use constriction::stream::{Decode, Encode};

use super::parse_words;
use crate::{Error, OffsetUnit, Result};

/// Bits of a probability.
// The bits of an estimate, so a probability is the mean of two of them without scaling.
const PRECISION: usize = 16;
const ONE: u32 = 1 << PRECISION;
/// No decision is surer than this many parts of [`ONE`].
// Of 65,536: the surest decision takes 0.0005 bits, and the one that is wrong against it 11.4.
const MIN_ESTIMATE: u32 = 24;
/// How fast the two estimates follow.
// Shifts of 4 and 7 average over about 16 and 128 decisions: the first adapts early, the second stays precise.
const FAST: u32 = 4;
const SLOW: u32 = 7;

/// Decisions after which a young one adapts like the others.
const YOUTH: u8 = 64;
/// How fast the slow estimate of a young decision follows, by how many there were.
static YOUNG: [u8; YOUTH as usize + 1] = {
    let mut out = [SLOW as u8; YOUTH as usize + 1];
    let mut i = 0;
    while i < YOUTH as usize {
        out[i] = match i {
            0..8 => 4,
            8..24 => 5,
            _ => 6,
        };
        i += 1;
    }
    out
};

/// The probability of a yes, from two estimates that follow at two speeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AdaptiveBit {
    fast: u16,
    slow: u16,
    /// Decisions so far, up to [`YOUTH`].
    seen: u8,
}

impl AdaptiveBit {
    /// A decision that is a yes with `probability` of 65,536.
    pub fn new(probability: u16) -> Self {
        Self { fast: probability, slow: probability, seen: YOUTH }
    }

    /// The same, but its slow estimate follows faster at first.
    pub fn young(probability: u16) -> Self {
        Self { seen: 0, ..Self::new(probability) }
    }

    /// The slow estimate, of 65,536.
    pub fn probability(self) -> u16 {
        self.slow
    }

    #[inline]
    pub(crate) fn estimate(self) -> u32 {
        ((u32::from(self.fast) + u32::from(self.slow)) / 2).clamp(MIN_ESTIMATE, ONE - MIN_ESTIMATE)
    }

    #[inline]
    pub(crate) fn adapt_to(&mut self, yes: bool) {
        let slow = YOUNG[usize::from(self.seen.min(YOUTH))];
        self.seen += u8::from(self.seen < YOUTH);
        if yes {
            // Shifts of what is left keep both estimates within 16 bits without a comparison.
            self.fast += (u16::MAX - self.fast) >> FAST;
            self.slow += (u16::MAX - self.slow) >> slow;
        } else {
            self.fast -= self.fast >> FAST;
            self.slow -= self.slow >> slow;
        }
    }
}

/// Codes decisions, or reads them.
pub trait BitCoder {
    /// Whether it answers with what it reads, and not with the value that it is given. What follows from what was coded need only
    /// be found again by those that read.
    const IS_READER: bool = false;

    /// Codes `value`, or reads what was coded, and learns from it.
    ///
    /// # Errors
    /// [`Error::Bitstream`] if no encoder could have written what is read.
    fn code_bit(&mut self, model: &mut AdaptiveBit, value: bool) -> Result<bool>;
    /// As [`BitCoder::code_bit`] for the `count` lowest bits of a value that has no pattern, highest first.
    ///
    /// # Errors
    /// As for [`BitCoder::code_bit`].
    fn code_raw_bits(&mut self, count: u32, value: u32) -> Result<u32> {
        let mut out = 0;
        for place in (0..count).rev() {
            // A new one for each bit, since it adapts: these bits have no pattern to learn.
            let even = &mut AdaptiveBit::new(1 << 15);
            out = out << 1 | u32::from(self.code_bit(even, value >> place & 1 == 1)?);
        }
        Ok(out)
    }
}

/// A number: in unary with one model per bit as far as there are `models`, then in an Exp-Golomb code of `order` (2 to the power of
/// `order` numbers share its shortest code) with prefixes of up to `max_prefix` bits.
///
/// # Errors
/// What the coder returns; [`Error::Bitstream`] if a longer prefix is read, so that damaged data cannot ask for more bits than a
/// number has.
pub fn code_unary_golomb<C: BitCoder>(
    coder: &mut C,
    models: &mut [AdaptiveBit],
    value: u32,
    order: u32,
    max_prefix: u32,
) -> Result<u32> {
    for (k, model) in models.iter_mut().enumerate() {
        if !coder.code_bit(model, value > k as u32)? {
            return Ok(k as u32);
        }
    }
    let (start, shared) = (models.len() as u32, 1 << order);
    let rest = value.saturating_sub(start) + shared;
    let (bits, mut prefix) = (31 - rest.leading_zeros(), order);
    // A writer ends at its own number of bits, a reader when it reads a zero: one loop serves both.
    while coder.code_raw_bits(1, u32::from(bits > prefix))? == 1 {
        prefix += 1;
        if prefix > max_prefix {
            let reason = format!("a code of more than {max_prefix} bits");
            return Err(Error::bitstream("coded decisions", "size", 0, reason));
        }
    }
    let low = coder.code_raw_bits(prefix, rest)? & ((1 << prefix) - 1);
    Ok(start + (1 << prefix | low) - shared)
}

/// Bits that a decision costs, for choices between ways to code something; nothing that is read depends on it.
pub fn bit_cost(model: AdaptiveBit, value: bool) -> f32 {
    let yes = model.estimate();
    // Looked up: the encoder's choices ask for costs far more often than anything is coded.
    COSTS[((if value { yes } else { ONE - yes }) >> COST_SHIFT) as usize]
}

/// [`bit_cost`] of a no and of a yes, of many decisions.
pub fn bit_costs(models: &[AdaptiveBit]) -> impl Iterator<Item = [f32; 2]> {
    // Looked up once: an encoder asks for all of them every few blocks.
    let costs: &[f32] = &COSTS;
    models.iter().map(|model| {
        let yes = model.estimate();
        [ONE - yes, yes].map(|p| costs[(p >> COST_SHIFT) as usize])
    })
}

/// The table has an entry for so many probabilities.
// 4097 floats are 16 KiB, half of a usual first-level cache; the middle of a range of 16 is off by 0.4 bits at
// most, where a cost is 11.
const COST_SHIFT: u32 = 4;

/// Bits by probability, of the middle of each entry's range.
static COSTS: LazyLock<Vec<f32>> = LazyLock::new(|| {
    let middle = f64::from(1 << COST_SHIFT) / 2.0;
    (0..=ONE >> COST_SHIFT)
        .map(|i| -((f64::from(i << COST_SHIFT) + middle) / f64::from(ONE)).min(1.0).log2() as f32)
        .collect()
});

/// Counts what decisions would cost.
#[derive(Debug, Clone, Default)]
pub struct BitCounter {
    bits: f64,
}

impl BitCounter {
    /// Bits so far.
    pub fn total_bits(&self) -> f64 {
        self.bits
    }
}

impl BitCoder for BitCounter {
    fn code_bit(&mut self, model: &mut AdaptiveBit, value: bool) -> Result<bool> {
        self.bits += f64::from(bit_cost(*model, value));
        // The counter adapts as the encoder would, so that a run of decisions costs what it will take.
        model.adapt_to(value);
        Ok(value)
    }
}

/// Codes decisions to bytes.
#[derive(Debug, Clone, Default)]
pub struct BitEncoder {
    coder: DefaultRangeEncoder,
}

impl BitEncoder {
    /// Ends the stream: 32-bit words, least significant byte first, appended to `out`.
    pub fn finish_into(self, out: &mut Vec<u8>) {
        let compressed = self.coder.into_compressed().unwrap_or_else(|never| match never {});
        out.extend(compressed.into_iter().flat_map(u32::to_le_bytes));
    }
}

impl BitCoder for BitEncoder {
    fn code_bit(&mut self, model: &mut AdaptiveBit, value: bool) -> Result<bool> {
        // Both symbols are in the model, and writing to memory does not fail.
        self.coder
            .encode_symbol(value, Decision(model.estimate()))
            .map_err(|e| Error::parameter("decision", value, format!("what can be coded ({e:?})")))?;
        model.adapt_to(value);
        Ok(value)
    }
}

/// Reads what a [`BitEncoder`] coded; past the end it reads some decisions or other.
#[derive(Debug, Clone)]
pub struct BitDecoder {
    coder: DefaultRangeDecoder,
    /// Decisions so far, for messages.
    decoded: usize,
}

impl BitDecoder {
    /// Begins to read.
    ///
    /// # Errors
    /// [`Error::Bitstream`] if the bytes are no whole words.
    pub fn new(data: &[u8]) -> Result<Self> {
        let coder =
            DefaultRangeDecoder::from_compressed(parse_words(data)?).unwrap_or_else(|never| match never {});
        Ok(Self { coder, decoded: 0 })
    }

    /// Whether all that was coded has been read, as far as the coder can tell.
    pub fn may_be_at_end(&self) -> bool {
        self.coder.maybe_exhausted()
    }
}

impl BitCoder for BitDecoder {
    const IS_READER: bool = true;

    fn code_bit(&mut self, model: &mut AdaptiveBit, _: bool) -> Result<bool> {
        let value = self.coder.decode_symbol(Decision(model.estimate())).map_err(|_| {
            let reason = "not what an encoder writes";
            Error::bitstream_at(OffsetUnit::Decision, "coded decisions", "decision", self.decoded, reason)
        })?;
        self.decoded += 1;
        model.adapt_to(value);
        Ok(value)
    }
}

/// The distribution of one decision: no below, yes above.
#[derive(Debug, Clone, Copy)]
struct Decision(u32);

impl Decision {
    fn interval_of(self, yes: bool) -> (u32, NonZeroU32) {
        let (left, own) = if yes { (ONE - self.0, self.0) } else { (0, ONE - self.0) };
        // `estimate()` keeps both parts above zero.
        (left, NonZeroU32::new(own).unwrap_or(NonZeroU32::MIN))
    }
}

impl EntropyModel<PRECISION> for Decision {
    type Symbol = bool;
    type Probability = u32;
}

impl EncoderModel<PRECISION> for Decision {
    fn left_cumulative_and_probability(&self, symbol: impl Borrow<bool>) -> Option<(u32, NonZeroU32)> {
        Some(self.interval_of(*symbol.borrow()))
    }
}

impl DecoderModel<PRECISION> for Decision {
    fn quantile_function(&self, quantile: u32) -> (bool, u32, NonZeroU32) {
        // "No" has the lower interval (`docs/video-bitstream.md`).
        let yes = quantile >= ONE - self.0;
        let (left, own) = self.interval_of(yes);
        (yes, left, own)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_decisions_come_back(values in proptest::collection::vec((0..5usize, any::<bool>()), 0..3000)) {
            let (mut models, mut encoder) = ([AdaptiveBit::new(1 << 14); 5], BitEncoder::default());
            for &(m, v) in &values {
                encoder.code_bit(&mut models[m], v).expect("a decision");
            }
            let mut bytes = Vec::new();
            encoder.finish_into(&mut bytes);
            let (mut again, mut decoder) = ([AdaptiveBit::new(1 << 14); 5], BitDecoder::new(&bytes).expect("words"));
            for &(m, v) in &values {
                prop_assert_eq!(decoder.code_bit(&mut again[m], false).expect("a decision"), v);
            }
            prop_assert!(decoder.may_be_at_end());
            prop_assert_eq!(models, again);
        }
    }

    #[test]
    fn what_is_rare_costs_much_and_what_is_usual_little() {
        let (mut model, mut encoder) = (AdaptiveBit::new(1 << 15), BitEncoder::default());
        for i in 0..80_000 {
            encoder.code_bit(&mut model, i % 1000 == 0).expect("a decision");
        }
        let mut bytes = Vec::new();
        encoder.finish_into(&mut bytes);
        // 80 of 80,000 have 0.0114 bits each, 114 bytes; two moving estimates are not as good as knowing that.
        assert!((100..250).contains(&bytes.len()), "{}", bytes.len());
    }

    #[test]
    fn raw_bits_cost_what_they_are() {
        let mut encoder = BitEncoder::default();
        (0..100).for_each(|i| assert_eq!(encoder.code_raw_bits(16, i * 600).expect("bits"), i * 600));
        let mut bytes = Vec::new();
        encoder.finish_into(&mut bytes);
        assert!(bytes.len() <= 204, "{}", bytes.len());
        let mut decoder = BitDecoder::new(&bytes).expect("words");
        (0..100).for_each(|i| assert_eq!(decoder.code_raw_bits(16, 0).expect("bits"), i * 600));
    }
}
