use siskin_error::{Error, Result, TokenError};

use crate::tokens::file::meta::TokenMeta;

/// Codes `[K, T]` of one recording.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TokenFile {
    /// Codebooks, K.
    pub codebooks: usize,
    /// Frames, T.
    pub frames: usize,
    /// `[K, T]`, row after row.
    pub codes: Vec<u16>,
    /// Metadata.
    pub meta: TokenMeta,
}

impl TokenFile {
    /// Transposes codes frame by frame, `[T, K]`.
    ///
    /// # Errors
    /// [`Error::Token`] for a part of a frame.
    pub fn from_frames(codebooks: usize, frames: &[u16], meta: TokenMeta) -> Result<Self> {
        let count = frames.len().checked_div(codebooks).unwrap_or_default();
        if count * codebooks != frames.len() {
            return Err(TokenError::Codebooks { found: frames.len(), codebooks }.into());
        }
        let codes = (0..codebooks).flat_map(|k| frames.iter().skip(k).step_by(codebooks).copied()).collect();
        Ok(Self { codebooks, frames: count, codes, meta })
    }

    /// The codes frame by frame, `[T, K]`.
    pub fn to_frames(&self) -> Vec<u16> {
        let rows = |t| (0..self.codebooks).map(move |k| self.codes[k * self.frames + t]);
        (0..self.frames).flat_map(rows).collect()
    }

    /// Checks that every code is below `size`.
    ///
    /// # Errors
    /// [`Error::Token`] with the first one that is not.
    pub fn check_codes(&self, size: u32) -> Result<()> {
        let Some(at) = self.codes.iter().position(|&c| u32::from(c) >= size) else { return Ok(()) };
        let (codebook, frame) = (at / self.frames, at % self.frames);
        Err(TokenError::Range {
            position: (frame * self.codebooks + codebook) as u64,
            codebook,
            value: self.codes[at].into(),
            low: 0,
            high: i64::from(size) - 1,
        }
        .into())
    }

    /// Codes from any integers in `[K, T]` order.
    pub(crate) fn from_integers(
        shape: &[usize],
        values: impl Iterator<Item = i64>,
        meta: TokenMeta,
    ) -> Result<Self> {
        let (codebooks, frames) = match *shape {
            // Many data sets keep a batch dimension of 1.
            [k, t] | [1, k, t] => (k, t),
            _ => return Err(file_error("shape", format!("{shape:?}, allowed: [K, T]"))),
        };
        // The bound of `Format`: 64 stages of 16 groups.
        if !(1..=1024).contains(&codebooks) {
            return Err(file_error("shape", format!("{codebooks} codebooks, allowed: 1 to 1024")));
        }
        let code = |(at, value): (usize, i64)| {
            u16::try_from(value).map_err(|_| TokenError::Range {
                position: at as u64,
                codebook: at.checked_div(frames).unwrap_or_default(),
                value,
                low: 0,
                high: u16::MAX.into(),
            })
        };
        let codes = values.enumerate().map(code).collect::<std::result::Result<Vec<_>, _>>()?;
        // Shapes come from the file: their product may overflow.
        if Some(codes.len()) != codebooks.checked_mul(frames) {
            return Err(file_error("shape", format!("{shape:?} with {} codes", codes.len())));
        }
        Ok(Self { codebooks, frames, codes, meta })
    }
}

pub(crate) fn file_error(field: impl Into<String>, reason: impl ToString) -> Error {
    Error::TokenFile { field: field.into(), reason: reason.to_string() }
}

/// Reads an integer of 1 to 8 bytes in little-endian order.
pub(crate) fn read_integer(bytes: &[u8], signed: bool) -> i64 {
    // Sign extension by hand, for widths without a type of their own in a generic loop.
    let mut all = [if signed && bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 }; 8];
    all[..bytes.len()].copy_from_slice(bytes);
    i64::from_le_bytes(all)
}
