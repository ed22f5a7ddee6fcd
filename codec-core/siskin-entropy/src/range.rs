//! A binary range coder that ends at any byte: the decisions of [`BitCoder`] with as few operations a decision as possible.
//!
//! The coder of `constriction` that [`binary`](crate::binary) holds ends on whole words of 32 bits and divides once a
//! decision. A packet of this one is 3 bytes shorter on average, which is 700 b/s at 30 frames per second.

use crate::binary::{AdaptiveBit, BitCoder};
use crate::{Error, OffsetUnit, Result};

/// The range is doubled eightfold while it is below this.
const MIN_RANGE: u32 = 1 << 24;
/// Bytes that a decoder may read past the end, where it takes zeros: those of its window.
const WINDOW: usize = 4;

/// Codes decisions to bytes.
#[derive(Debug, Clone)]
pub struct RangeEncoder {
    /// Lower end of the interval; bit 32 is a carry into the bytes before.
    low: u64,
    range: u32,
    /// The last byte that a carry can still change, and how many bytes of 255 follow it. None before the first.
    held: Option<u8>,
    full: usize,
    out: Vec<u8>,
}

impl Default for RangeEncoder {
    fn default() -> Self {
        Self { low: 0, range: u32::MAX, held: None, full: 0, out: Vec::new() }
    }
}

impl RangeEncoder {
    /// Ends the stream with as few bytes as tell it from all others, appended to `out`.
    pub fn finish_into(mut self, out: &mut Vec<u8>) {
        // The value in the interval with the most zero bits at its end, since a decoder reads zeros past the end.
        let end = self.low + u64::from(self.range);
        for count in 0..=WINDOW as u32 {
            let mask = (1u64 << (32 - 8 * count)) - 1;
            let value = (self.low + mask) & !mask;
            if value < end {
                self.low = value;
                (0..count).for_each(|_| self.shift_byte());
                // What is held already is written by one more byte, whose own value stays out.
                self.shift_byte();
                break;
            }
        }
        out.append(&mut self.out);
    }

    fn shift_byte(&mut self) {
        let top = (self.low >> 24) as u32;
        if top == 0xff {
            self.full += 1;
        } else {
            let carry = (top >> 8) as u8;
            if let Some(held) = self.held {
                self.out.push(held.wrapping_add(carry));
            }
            let filled = if carry == 1 { 0 } else { 0xff };
            self.out.extend(std::iter::repeat_n(filled, self.full));
            (self.full, self.held) = (0, Some(top as u8));
        }
        self.low = (self.low & 0x00ff_ffff) << 8;
    }
}

impl BitCoder for RangeEncoder {
    #[inline]
    fn code_bit(&mut self, model: &mut AdaptiveBit, value: bool) -> Result<bool> {
        let yes = (self.range >> 16) * model.estimate();
        if value {
            self.range = yes;
        } else {
            self.low += u64::from(yes);
            self.range -= yes;
        }
        while self.range < MIN_RANGE {
            self.range <<= 8;
            self.shift_byte();
        }
        model.adapt_to(value);
        Ok(value)
    }

    fn code_raw_bits(&mut self, count: u32, value: u32) -> Result<u32> {
        for place in (0..count).rev() {
            self.range >>= 1;
            if value >> place & 1 == 0 {
                self.low += u64::from(self.range);
            }
            while self.range < MIN_RANGE {
                self.range <<= 8;
                self.shift_byte();
            }
        }
        Ok(value)
    }
}

/// Reads what a [`RangeEncoder`] coded.
#[derive(Debug, Clone)]
pub struct RangeDecoder<'a> {
    data: &'a [u8],
    /// Bytes read, those past the end included.
    place: usize,
    range: u32,
    /// The coded value less the lower end of the interval.
    code: u32,
}

impl<'a> RangeDecoder<'a> {
    /// Begins to read.
    pub fn new(data: &'a [u8]) -> Self {
        let mut own = Self { data, place: 0, range: u32::MAX, code: 0 };
        (0..WINDOW).for_each(|_| own.shift_byte());
        own
    }

    /// Whether all bytes have been read.
    pub fn may_be_at_end(&self) -> bool {
        self.place >= self.data.len()
    }

    /// # Errors
    /// [`Error::Bitstream`] if more has been read than the data holds: no encoder wrote that.
    // Asked for once in a while and not at each decision, which reads zeros meanwhile.
    pub fn check(&self) -> Result<()> {
        if self.place <= self.data.len() + WINDOW {
            return Ok(());
        }
        let reason = "the data ends before the frame does";
        Err(Error::bitstream_at(OffsetUnit::Byte, "coded decisions", "decision", self.data.len(), reason))
    }

    #[inline]
    fn shift_byte(&mut self) {
        let next = self.data.get(self.place).copied().unwrap_or(0);
        self.place += 1;
        self.code = self.code << 8 | u32::from(next);
    }
}

impl BitCoder for RangeDecoder<'_> {
    const IS_READER: bool = true;

    #[inline]
    fn code_bit(&mut self, model: &mut AdaptiveBit, _: bool) -> Result<bool> {
        let yes = (self.range >> 16) * model.estimate();
        let value = self.code < yes;
        if value {
            self.range = yes;
        } else {
            self.code -= yes;
            self.range -= yes;
        }
        while self.range < MIN_RANGE {
            self.range <<= 8;
            self.shift_byte();
        }
        model.adapt_to(value);
        Ok(value)
    }

    fn code_raw_bits(&mut self, count: u32, _: u32) -> Result<u32> {
        let mut value = 0;
        for _ in 0..count {
            self.range >>= 1;
            let is_one = self.code < self.range;
            if !is_one {
                self.code -= self.range;
            }
            value = value << 1 | u32::from(is_one);
            while self.range < MIN_RANGE {
                self.range <<= 8;
                self.shift_byte();
            }
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_decisions_come_back(values in proptest::collection::vec((0..5usize, any::<bool>(), 0..1u32 << 20), 0..3000)) {
            let (mut models, mut encoder) = ([AdaptiveBit::new(1 << 14); 5], RangeEncoder::default());
            for &(m, v, raw) in &values {
                encoder.code_bit(&mut models[m], v).expect("a decision");
                if raw % 7 == 0 {
                    encoder.code_raw_bits(20, raw).expect("bits");
                }
            }
            let mut bytes = Vec::new();
            encoder.finish_into(&mut bytes);
            let (mut again, mut decoder) = ([AdaptiveBit::new(1 << 14); 5], RangeDecoder::new(&bytes));
            for &(m, v, raw) in &values {
                prop_assert_eq!(decoder.code_bit(&mut again[m], false).expect("a decision"), v);
                if raw % 7 == 0 {
                    prop_assert_eq!(decoder.code_raw_bits(20, 0).expect("bits"), raw);
                }
            }
            prop_assert!(decoder.may_be_at_end());
            prop_assert!(decoder.check().is_ok());
            prop_assert_eq!(models, again);
        }
    }

    #[test]
    fn carries_pass_through_full_bytes() {
        // Sure decisions against all odds push the lower end to the top of every byte.
        for seed in 0..2000u32 {
            let (mut model, mut encoder) = (AdaptiveBit::new(65_000), RangeEncoder::default());
            let value = |i: u32| (seed.wrapping_mul(2_654_435_761).wrapping_add(i * 40_503) >> 9) % 17 > 3;
            (0..40).for_each(|i| drop(encoder.code_bit(&mut model, value(i))));
            let mut bytes = Vec::new();
            encoder.finish_into(&mut bytes);
            let (mut model, mut decoder) = (AdaptiveBit::new(65_000), RangeDecoder::new(&bytes));
            (0..40).for_each(|i| assert_eq!(decoder.code_bit(&mut model, false).ok(), Some(value(i))));
        }
    }

    #[test]
    fn nothing_takes_no_bytes_and_reading_on_is_noticed() {
        let mut bytes = Vec::new();
        RangeEncoder::default().finish_into(&mut bytes);
        assert!(bytes.is_empty());
        let mut decoder = RangeDecoder::new(&bytes);
        decoder.code_raw_bits(7, 0).expect("zeros");
        assert!(decoder.check().is_ok());
        decoder.code_raw_bits(8, 0).expect("zeros");
        assert!(decoder.check().is_err());
    }
}
