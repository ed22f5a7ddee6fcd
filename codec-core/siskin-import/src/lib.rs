//! Bundles from the checkpoints of published codecs.
//!
//! [`import`] reads a checkpoint as its authors publish it, without executing anything in it, recognises the codec by the
//! names and shapes of its tensors, and writes a bundle: graphs that run one frame at a time and carry their states, codebooks,
//! and a manifest.

mod bundle;
mod checkpoint;
mod kinds;
mod stream;
#[cfg(feature = "testing")]
pub mod testing;
mod translate;
mod whole;

use std::collections::BTreeMap;

pub use bundle::Imported;
pub use kinds::{Kind, Options, import, import_with};
pub use siskin_error::{Error, Result};

/// The tensors of a checkpoint, by name, with their shapes: what [`import`] compares with the codec that it was told.
///
/// ```
/// assert!(siskin_import::read_shapes(b"RIFF").unwrap_err().contains("neither a PyTorch archive nor safetensors"));
/// ```
///
/// # Errors
/// What is wrong with the file, in words: another format, an object that is no part of a tensor, a tensor that the file does not
/// hold.
pub fn read_shapes(file: &[u8]) -> std::result::Result<BTreeMap<String, Vec<usize>>, String> {
    checkpoint::Checkpoint::parse(file).map(|c| c.shapes())
}
