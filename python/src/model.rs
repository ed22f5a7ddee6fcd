//! What the classes share: the bundle, the runtime, the lock, deprecated names.

use std::sync::{Mutex, MutexGuard, PoisonError};

use pyo3::exceptions::PyDeprecationWarning;
use pyo3::prelude::*;
use siskin_core::bundle::{Bundle, Manifest};
use siskin_core::runtime::{Runtime, RuntimeOptions};

/// Locks an object, also after a panic of another thread: objects are reset after an error.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Loads ONNX Runtime for a provider's name.
pub(crate) fn load_runtime(provider: &str) -> siskin_core::Result<Runtime> {
    // Loaded once per process; later calls only choose the provider.
    Runtime::load(&RuntimeOptions { provider: provider.parse()?, ..Default::default() })
}

/// Warns that a name is deprecated, at the caller's line.
pub(crate) fn warn_deprecated(py: Python<'_>, message: &std::ffi::CStr) -> PyResult<()> {
    // Stack level 1 is the Python code that used the name.
    PyErr::warn(py, &py.get_type::<PyDeprecationWarning>(), message, 1)
}

/// The bundle and the execution provider of an encoder or decoder.
pub(crate) struct Model {
    pub(crate) bundle: Bundle,
    // Asked once: the provider of a network does not change, and the getter needs no lock.
    pub(crate) provider: &'static str,
}

impl Model {
    pub(crate) fn manifest(&self) -> &Manifest {
        self.bundle.manifest()
    }

    /// Codes per frame with all stages of the bundle.
    pub(crate) fn max_codes_per_frame(&self) -> usize {
        let quantizer = &self.manifest().quantizer;
        usize::from(quantizer.stages) * usize::from(quantizer.groups)
    }
}
