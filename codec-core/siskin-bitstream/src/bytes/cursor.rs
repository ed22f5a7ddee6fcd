//! A reader over bytes that names the field and the offset in each error.

use crate::{Error, Result};

/// Reads the bytes of one structure from its start.
pub struct Cursor<'a> {
    // Static names, so that a cursor costs nothing where no error occurs.
    what: &'static str,
    data: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of `data`; errors call the structure `what`.
    pub fn new(what: &'static str, data: &'a [u8]) -> Self {
        Self { what, data, offset: 0 }
    }

    /// Bytes read so far.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// What has not been read.
    pub fn rest(&self) -> &'a [u8] {
        self.data.get(self.offset..).unwrap_or_default()
    }

    /// The error that `field`, which begins here, is bad for this reason.
    pub fn field_error(&self, field: &'static str, reason: impl ToString) -> Error {
        Error::bitstream(self.what, field, self.offset, reason)
    }

    /// The next `count` bytes.
    ///
    /// # Errors
    /// [`Error::Bitstream`] if there are fewer.
    pub fn read_bytes(&mut self, field: &'static str, count: usize) -> Result<&'a [u8]> {
        // The offset moves only when the bytes are there, so an error points at the field's first byte.
        let rest = self.rest();
        let bytes = rest
            .get(..count)
            .ok_or_else(|| self.field_error(field, format!("{count} bytes needed, {} left", rest.len())))?;
        self.offset += count;
        Ok(bytes)
    }

    /// The next byte.
    ///
    /// # Errors
    /// [`Error::Bitstream`] at the end.
    pub fn read_byte(&mut self, field: &'static str) -> Result<u8> {
        self.read_bytes(field, 1).map(|b| b[0])
    }

    /// An unsigned LEB128 integer of at most 5 bytes that fits 32 bits.
    ///
    /// # Errors
    /// [`Error::Bitstream`] if there is none.
    pub fn read_varint(&mut self, field: &'static str) -> Result<u32> {
        let start = self.offset;
        let mut value = 0u64;
        // Five bytes of seven bits hold any 32-bit value; a longer chain of continuation bits is damage.
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.read_byte(field)?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                // Only the fifth byte can do that: its seven bits begin at bit 28.
                return u32::try_from(value).map_err(|_| {
                    self.offset = start;
                    self.field_error(field, "larger than 32 bits")
                });
            }
        }
        // Back to the field's first byte, where the error is.
        self.offset = start;
        Err(self.field_error(field, "integer longer than 5 bytes"))
    }

    /// An integer in `low..=high`.
    ///
    /// # Errors
    /// [`Error::Bitstream`] for others.
    pub fn read_ranged(&mut self, field: &'static str, low: u32, high: u32) -> Result<u32> {
        let start = self.offset;
        let value = self.read_varint(field)?;
        if (low..=high).contains(&value) {
            return Ok(value);
        }
        self.offset = start;
        Err(self.field_error(field, format!("{value}, allowed: {low} to {high}")))
    }

    /// A byte in `low..=high`.
    ///
    /// # Errors
    /// [`Error::Bitstream`] for others.
    pub fn read_byte_in(&mut self, field: &'static str, low: u8, high: u8) -> Result<u8> {
        let start = self.offset;
        let value = self.read_byte(field)?;
        if (low..=high).contains(&value) {
            return Ok(value);
        }
        self.offset = start;
        Err(self.field_error(field, format!("{value}, allowed: {low} to {high}")))
    }

    /// A signed integer in `low..=high`, stored as an unsigned one: 0, -1, 1, -2, and so on.
    ///
    /// # Errors
    /// [`Error::Bitstream`] for others.
    pub fn read_signed(&mut self, field: &'static str, low: i32, high: i32) -> Result<i32> {
        let start = self.offset;
        let coded = self.read_varint(field)?;
        // Zigzag, as in Protocol Buffers: small magnitudes of either sign take one byte.
        let value = (coded >> 1) as i32 ^ -((coded & 1) as i32);
        if (low..=high).contains(&value) {
            return Ok(value);
        }
        self.offset = start;
        Err(self.field_error(field, format!("{value}, allowed: {low} to {high}")))
    }
}

/// Appends `value` as [`Cursor::read_signed`] reads it.
pub fn put_signed(out: &mut Vec<u8>, value: i32) {
    // The shift by 31 is arithmetic: all ones for negative values, which turns the bits round.
    put_varint(out, ((value << 1) ^ (value >> 31)) as u32);
}

/// Appends `value` as unsigned LEB128.
///
/// ```
/// use siskin_bitstream::bytes::{Cursor, put_varint};
///
/// let mut data = Vec::new();
/// put_varint(&mut data, 300);
/// assert_eq!(data, [0xac, 0x02]);
/// assert_eq!(Cursor::new("example", &data).read_varint("length")?, 300);
/// # Ok::<(), siskin_bitstream::Error>(())
/// ```
pub fn put_varint(out: &mut Vec<u8>, mut value: u32) {
    // The shortest form; the reader takes longer ones too, as LEB128 allows.
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_come_back() {
        for value in [0, 1, 127, 128, 300, 24_000, u32::MAX] {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            assert_eq!(Cursor::new("test", &bytes).read_varint("v").ok(), Some(value));
        }
    }

    #[test]
    fn signed_integers_come_back() {
        for value in [0, -1, 1, 63, -64, 64, i32::MAX, i32::MIN] {
            let mut bytes = Vec::new();
            put_signed(&mut bytes, value);
            assert_eq!(Cursor::new("test", &bytes).read_signed("v", i32::MIN, i32::MAX).ok(), Some(value));
        }
    }

    #[test]
    fn overlong_and_oversized_varints_are_refused() {
        assert!(Cursor::new("test", &[0x80; 6]).read_varint("v").is_err());
        assert!(Cursor::new("test", &[0xff, 0xff, 0xff, 0xff, 0x7f]).read_varint("v").is_err());
        assert!(Cursor::new("test", &[0x80]).read_varint("v").is_err());
    }

    #[test]
    fn an_error_names_field_and_offset() {
        let mut cursor = Cursor::new("packet", &[0, 200, 1]);
        cursor.read_byte("toc").ok();
        let text = cursor.read_ranged("frames", 1, 100).map_err(|e| e.to_string());
        assert_eq!(text, Err("packet: bad frames at byte 1: 200, allowed: 1 to 100".to_owned()));
    }
}
