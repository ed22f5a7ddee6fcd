//! Fixed-width codes, most significant bit first.

/// Appends codes of a fixed width to a byte vector.
pub struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    /// Bits not yet written, right-aligned.
    pending: u32,
    /// How many bits of `pending` count, below 8 between calls.
    count: u32,
}

impl<'a> BitWriter<'a> {
    /// A writer that appends to `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self { out, pending: 0, count: 0 }
    }

    /// Writes the low `width` (1..=16) bits of `code`.
    pub fn write_bits(&mut self, code: u16, width: u32) {
        // Bits above `count` are left over from earlier codes; they are shifted out at the top and never written.
        // At most 7 + 16 bits count, so 32 suffice.
        self.pending = self.pending << width | u32::from(code) & ((1 << width) - 1);
        self.count += width;
        while self.count >= 8 {
            self.count -= 8;
            self.out.push((self.pending >> self.count) as u8);
        }
    }

    /// Fills the last byte with zero bits.
    pub fn fill_byte(mut self) {
        // Zeros and not leftover bits, so that equal codes give equal packets.
        if self.count > 0 {
            self.write_bits(0, 8 - self.count);
        }
    }
}

/// Reads codes of a fixed width; past the end it reads zeros, so callers check the length first.
pub struct BitReader<'a> {
    data: &'a [u8],
    pending: u32,
    count: u32,
}

impl<'a> BitReader<'a> {
    /// A reader of `data`.
    pub fn new(data: &'a [u8]) -> Self {
        Self { data, pending: 0, count: 0 }
    }

    /// Reads `width` (1..=16) bits.
    pub fn read_bits(&mut self, width: u32) -> u16 {
        while self.count < width {
            // Zeros past the end keep the inner loop free of errors; lengths are checked once per packet.
            let (byte, rest) = self.data.split_first().map_or((0, self.data), |(b, rest)| (*b, rest));
            self.data = rest;
            self.pending = self.pending << 8 | u32::from(byte);
            self.count += 8;
        }
        // A code ends `count` bits before the end of `pending`; the mask drops what was read before.
        self.count -= width;
        (self.pending >> self.count & ((1 << width) - 1)) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_every_width_come_back() {
        for width in 1..=16u32 {
            let codes: Vec<u16> =
                (0..100u32).map(|i| (i.wrapping_mul(40_503) & ((1 << width) - 1)) as u16).collect();
            let mut bytes = Vec::new();
            let mut writer = BitWriter::new(&mut bytes);
            codes.iter().for_each(|&c| writer.write_bits(c, width));
            writer.fill_byte();
            assert_eq!(bytes.len(), (100 * width as usize).div_ceil(8));
            let mut reader = BitReader::new(&bytes);
            assert!(codes.iter().all(|&c| reader.read_bits(width) == c), "width {width}");
        }
    }

    #[test]
    fn most_significant_bit_comes_first() {
        let mut bytes = Vec::new();
        let mut writer = BitWriter::new(&mut bytes);
        writer.write_bits(0b10, 2);
        writer.write_bits(0b000_0001, 7);
        writer.fill_byte();
        assert_eq!(bytes, [0b1000_0000, 0b1000_0000]);
    }
}
