//! Model bundles, and the runtime that computes their networks.
//!
//! - [`bundle`]: a bundle on disk: manifest, networks, codebooks, hashes, and where bundles are found;
//! - [`runtime`]: the traits through which every network runs; ONNX Runtime is the feature `onnxruntime`.

pub mod bundle;
mod kept;
mod places;
pub mod runtime;
mod shared;

pub use kept::keep_unused_for;
pub use places::search_near;
pub use shared::SharedCache;
pub use siskin_error::{Error, Limits, Result};
