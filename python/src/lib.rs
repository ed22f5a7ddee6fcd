//! The module `siskin._siskin`: the codec and its tokens on NumPy arrays.
//!
//! Samples are float32 `[samples]`, codes uint16 `[K, T]` (K codes per frame, stages x groups; T frames), tokens int64. Everything
//! that runs a network releases the GIL; an object is locked while it works, so threads may share it and wait for each other.

// The attribute macros of the bindings expand to items without documentation.
#![allow(missing_docs)]

mod arrays;
mod corpus;
mod decoder;
mod encoder;
mod errors;
mod features;
mod files;
mod importing;
mod layouts;
mod model;
mod stream;

use std::path::Path;

use pyo3::prelude::*;

/// Adds the folder of this file to the places where bundles are looked for.
#[pyfunction]
fn search_near(path: &str) {
    // Python's own program lies elsewhere, so the package has to say where its bundle is.
    siskin_core::search_near(Path::new(path));
}

/// Names the file to load ONNX Runtime from, if it is not loaded yet.
#[pyfunction]
fn use_runtime(path: &str) {
    siskin_core::runtime::prefer_library(Path::new(path));
}

#[pymodule]
fn _siskin(module: &Bound<'_, PyModule>) -> PyResult<()> {
    // The crate's version, so that module and core cannot differ.
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add("Error", module.py().get_type::<errors::Error>())?;
    module.add("TokenError", module.py().get_type::<errors::TokenError>())?;
    module.add_class::<encoder::Encoder>()?;
    module.add_class::<decoder::Decoder>()?;
    module.add_class::<features::FeatureEncoder>()?;
    module.add_class::<features::FeatureDecoder>()?;
    module.add_class::<stream::TokenStream>()?;
    module.add_class::<stream::Snapshot>()?;
    module.add_function(wrap_pyfunction!(layouts::pack, module)?)?;
    module.add_function(wrap_pyfunction!(layouts::unpack, module)?)?;
    module.add_function(wrap_pyfunction!(layouts::specials, module)?)?;
    module.add_function(wrap_pyfunction!(files::load, module)?)?;
    module.add_function(wrap_pyfunction!(files::save, module)?)?;
    module.add_function(wrap_pyfunction!(importing::import_model, module)?)?;
    module.add_class::<corpus::ShardWriter>()?;
    module.add_class::<corpus::Corpus>()?;
    module.add_function(wrap_pyfunction!(corpus::read_manifest, module)?)?;
    module.add_function(wrap_pyfunction!(corpus::shard_summary, module)?)?;
    module.add_function(wrap_pyfunction!(search_near, module)?)?;
    module.add_function(wrap_pyfunction!(use_runtime, module)?)
}
