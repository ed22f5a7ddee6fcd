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

pub use bundle::Imported;
pub use kinds::{Kind, import};
pub use siskin_error::{Error, Result};
