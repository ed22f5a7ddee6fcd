//! Token files: codes `[K, T]` with metadata, in formats that other programs read.
//!
//! Pickles are never parsed: an `.npy` with objects is refused.

mod code_type;
mod ecdc;
mod jsonl;
mod meta;
mod npy;
mod tensors;
mod token_file;

use std::path::{Path, PathBuf};

use siskin_error::Result;

pub use self::code_type::CodeType;
pub use self::meta::TokenMeta;
pub use self::token_file::TokenFile;
use self::token_file::file_error;

/// A format of token files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileFormat {
    /// Safetensors with a tensor `codes`, U16 `[K, T]`, and the metadata as JSON under the key `siskin`.
    Safetensors,
    /// NumPy's `.npy`, version 1.0, `<u2` `[K, T]` in C order; the metadata has no place in it.
    Npy,
    /// One JSON object a line: `codes` as K lists of T numbers beside the metadata.
    Jsonl,
    /// EnCodec's own files at 24 and 48 kHz, without its language model; they are only read.
    Ecdc,
}

impl FileFormat {
    /// The formats that are written.
    pub const ALL: [Self; 3] = [Self::Safetensors, Self::Npy, Self::Jsonl];

    /// The format's name, which is also the file extension.
    pub fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Npy => "npy",
            Self::Jsonl => "jsonl",
            Self::Ecdc => "ecdc",
        }
    }

    /// The format that a path's extension names.
    pub fn from_path(path: &Path) -> Option<Self> {
        let extension = path.extension()?.to_str()?.to_ascii_lowercase();
        Self::ALL.into_iter().chain([Self::Ecdc]).find(|f| f.name() == extension)
    }

    /// The file beside an `.npy` with the metadata that it has no place for.
    pub fn sidecar_path(path: &Path) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        // Added and not exchanged: `a.npy.json` cannot be taken for another recording's file.
        name.push(".json");
        name.into()
    }
}

impl TokenFile {
    /// Serializes to the bytes of a file, with codes of 16 bits. [`FileFormat::Npy`] has no metadata.
    ///
    /// # Errors
    /// [`Error::TokenFile`](crate::Error::TokenFile) for what the format cannot hold.
    pub fn to_bytes(&self, format: FileFormat) -> Result<Vec<u8>> {
        self.to_bytes_as(format, CodeType::U16)
    }

    /// As [`TokenFile::to_bytes`] with another type of the codes, which JSON lines do not have.
    ///
    /// # Errors
    /// As [`TokenFile::to_bytes`].
    pub fn to_bytes_as(&self, format: FileFormat, code_type: CodeType) -> Result<Vec<u8>> {
        match format {
            FileFormat::Safetensors => tensors::to_bytes(self, code_type),
            FileFormat::Npy if !self.meta.scales.is_empty() => {
                let reason =
                    "npy, which has no place for the scales of segments; allowed: safetensors, jsonl";
                Err(file_error("format", reason))
            }
            FileFormat::Npy => Ok(npy::to_bytes(self, code_type)),
            FileFormat::Jsonl => jsonl::to_bytes(self),
            FileFormat::Ecdc => Err(file_error("format", "ecdc, which is only read")),
        }
    }

    /// Parses a file's bytes; JSON lines must be a single line.
    ///
    /// # Errors
    /// [`Error::TokenFile`](crate::Error::TokenFile) or [`Error::Token`](crate::Error::Token) for anything else.
    pub fn from_bytes(format: FileFormat, data: &[u8]) -> Result<Self> {
        match format {
            FileFormat::Safetensors => tensors::from_bytes(data),
            FileFormat::Npy => npy::from_bytes(data),
            FileFormat::Ecdc => ecdc::from_bytes(data),
            FileFormat::Jsonl => {
                let mut lines = data.split(|&b| b == b'\n').filter(|l| !l.trim_ascii().is_empty());
                let first = lines.next().ok_or_else(|| file_error("line", "none, one is needed"))?;
                // Several recordings are for a data loader, which reads line by line.
                if lines.next().is_some() {
                    return Err(file_error("line", "several recordings, one is needed"));
                }
                jsonl::from_bytes(first)
            }
        }
    }
}
