//! `import_model`.

use std::path::PathBuf;

use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use siskin_core::bundle::Bundle;
use siskin_core::import::{Kind, Options, import_with};

use crate::errors::to_py_err;

/// Makes a bundle of a published codec's checkpoint in the folder `bundle`, and returns what the checkpoint was recognised as.
/// `kind` is `encodec`, `mimi`, `dac` or another name of `siskin models import`. `vocos`, a decoder alone, takes the EnCodec bundle
/// `encoder`, by name or path, and the `bitrate` of its codes. Nothing in the checkpoint is executed.
#[pyfunction]
#[pyo3(signature = (kind, checkpoint, bundle, *, encoder = None, bitrate = None))]
pub(crate) fn import_model(
    py: Python<'_>,
    kind: &str,
    checkpoint: PathBuf,
    bundle: PathBuf,
    encoder: Option<&str>,
    bitrate: Option<u32>,
) -> PyResult<String> {
    let found = Kind::find(kind).ok_or_else(|| {
        let known: Vec<_> = Kind::ALL.iter().map(|k| k.name()).collect();
        PyValueError::new_err(format!("kind is {kind:?}, allowed: {}", known.join(", ")))
    })?;
    let made = py.detach(|| -> siskin_core::Result<_> {
        let encoder = encoder.map(Bundle::find).transpose()?;
        let made = import_with(found, &checkpoint, &Options { encoder: encoder.as_ref(), bitrate })?;
        made.write(&bundle).map(|_| made.recognised)
    });
    made.map_err(to_py_err)
}
