//! Token files: codes `[K, T]` with what is known of them, in formats that others read.
//!
//! Pickles are never read: an `.npy` with objects is refused.

mod jsonl;
mod npy;
mod tensors;

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{TokenError, Word};
use crate::{Error, Result};
use siskin_bitstream::StreamHeader;

/// A format of token files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// Safetensors with a tensor `codes`, U16 `[K, T]`, and the metadata as JSON under the key `siskin`.
    Safetensors,
    /// NumPy's `.npy`, version 1.0, `<u2` `[K, T]` in C order; the metadata has no place in it.
    Npy,
    /// One JSON object a line: `codes` as K lists of T numbers beside the metadata.
    Jsonl,
}

impl FileFormat {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Safetensors, Self::Npy, Self::Jsonl];

    /// The file extension, which is the format's name too.
    pub fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Npy => "npy",
            Self::Jsonl => "jsonl",
        }
    }

    /// The format of a file of this name.
    pub fn of(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        Self::ALL.into_iter().find(|f| f.name() == extension)
    }
}

/// What is known of codes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenMeta {
    /// Version of this description, 1.
    #[serde(default)]
    pub format: u32,
    /// Name of the recording, unique in a data set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Name of the bundle that made the codes and decodes them.
    #[serde(default)]
    pub model: String,
    /// The stream header in hexadecimal: bundle id, rate, hop, stages, delay.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "header_text")]
    pub stream_header: Option<StreamHeader>,
    /// Entries of a codebook; 0 if unknown.
    #[serde(default)]
    pub codebook_size: u32,
    /// Frames a second; 0 if unknown.
    #[serde(default)]
    pub frame_rate: f64,
    /// Length of the recording in samples, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub samples: Option<u64>,
    /// What is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Who says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speaker: Option<String>,
    /// Words and their times.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub words: Vec<Word>,
}

impl TokenMeta {
    /// The description of codes of a stream, `codebook_size` entries a codebook.
    pub fn of_stream(header: &StreamHeader, codebook_size: u32) -> Self {
        Self {
            format: 1,
            model: header.bundle_name.clone(),
            frame_rate: header.frame_rate(),
            stream_header: Some(header.clone()),
            codebook_size,
            ..Default::default()
        }
    }
}

/// Codes `[K, T]` of one recording.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TokenFile {
    /// Codebooks, K.
    pub codebooks: usize,
    /// Frames, T.
    pub frames: usize,
    /// `[K, T]`, row after row.
    pub codes: Vec<u16>,
    /// What is known of them.
    pub meta: TokenMeta,
}

impl TokenFile {
    /// Takes codes frame by frame, `[T, K]`.
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
    /// [`Error::Token`] with the first that is not.
    pub fn check(&self, size: u32) -> Result<()> {
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

    /// The bytes of a file. For [`FileFormat::Npy`] the metadata is left out.
    ///
    /// # Errors
    /// [`Error::TokenFile`] if it cannot be written.
    pub fn to_bytes(&self, format: FileFormat) -> Result<Vec<u8>> {
        match format {
            FileFormat::Safetensors => tensors::write(self),
            FileFormat::Npy => Ok(npy::write(self)),
            FileFormat::Jsonl => jsonl::write(self),
        }
    }

    /// Reads a file's bytes; of JSON lines there is to be one.
    ///
    /// # Errors
    /// [`Error::TokenFile`] or [`Error::Token`] for anything that is no such file.
    pub fn from_bytes(format: FileFormat, data: &[u8]) -> Result<Self> {
        match format {
            FileFormat::Safetensors => tensors::read(data),
            FileFormat::Npy => npy::read(data),
            FileFormat::Jsonl => {
                let mut lines = data.split(|&b| b == b'\n').filter(|l| !l.trim_ascii().is_empty());
                let first = lines.next().ok_or_else(|| bad("line", "none, one is needed"))?;
                if lines.next().is_some() {
                    return Err(bad("line", "several recordings, one is needed"));
                }
                jsonl::read(first)
            }
        }
    }

    /// Codes from any integers in `[K, T]` order.
    fn from_integers(shape: &[usize], values: impl Iterator<Item = i64>, meta: TokenMeta) -> Result<Self> {
        let (codebooks, frames) = match *shape {
            [k, t] | [1, k, t] => (k, t),
            _ => return Err(bad("shape", format!("{shape:?}, allowed: [K, T]"))),
        };
        if !(1..=1024).contains(&codebooks) {
            return Err(bad("shape", format!("{codebooks} codebooks, allowed: 1 to 1024")));
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
        if Some(codes.len()) != codebooks.checked_mul(frames) {
            return Err(bad("shape", format!("{shape:?} with {} codes", codes.len())));
        }
        Ok(Self { codebooks, frames, codes, meta })
    }
}

fn bad(field: impl Into<String>, reason: impl ToString) -> Error {
    Error::TokenFile { field: field.into(), reason: reason.to_string() }
}

/// An integer of `bytes` in little-endian order.
fn integer(bytes: &[u8], signed: bool) -> i64 {
    let mut all = [if signed && bytes.last().is_some_and(|b| b & 0x80 != 0) { 0xff } else { 0 }; 8];
    all[..bytes.len()].copy_from_slice(bytes);
    i64::from_le_bytes(all)
}

/// A stream header as text.
mod header_text {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use siskin_bitstream::StreamHeader;

    pub(super) fn serialize<S: Serializer>(header: &Option<StreamHeader>, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&header.as_ref().map(|h| hex::encode(h.to_bytes())).unwrap_or_default())
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<StreamHeader>, D::Error> {
        let text = String::deserialize(from)?;
        let bytes = hex::decode(&text).map_err(de::Error::custom)?;
        StreamHeader::parse(&bytes).map(|(header, _)| Some(header)).map_err(de::Error::custom)
    }
}
