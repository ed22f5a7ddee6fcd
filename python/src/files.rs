//! Token files.

use std::path::PathBuf;

use numpy::PyArray2;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use siskin_core::bundle::Bundle;
use siskin_core::tokens::{FileFormat, TokenFile, TokenMeta};

use crate::arrays;
use crate::errors::raise;

fn format_of(path: &std::path::Path) -> PyResult<FileFormat> {
    FileFormat::of(path).ok_or_else(|| {
        PyValueError::new_err(format!("{}: token files are .safetensors, .npy or .jsonl", path.display()))
    })
}

/// Reads a token file: its codes [K, T] and its metadata.
#[pyfunction]
pub(crate) fn load(py: Python<'_>, path: PathBuf) -> PyResult<(Bound<'_, PyArray2<u16>>, Bound<'_, PyAny>)> {
    let format = format_of(&path)?;
    let data = std::fs::read(&path)?;
    let file = TokenFile::from_bytes(format, &data).map_err(raise)?;
    let text = serde_json::to_string(&file.meta).map_err(|e| PyValueError::new_err(e.to_string()))?;
    let meta = py.import("json")?.call_method1("loads", (text,))?;
    Ok((arrays::codes_out(py, &file.to_frames(), file.codebooks)?, meta))
}

/// Writes codes [K, T] to a token file, with metadata as `load` gives it; `model` fills in what a bundle says.
#[pyfunction]
#[pyo3(signature = (path, codes, meta = None, model = None))]
pub(crate) fn save(
    path: PathBuf,
    codes: &Bound<'_, PyAny>,
    meta: Option<&Bound<'_, PyAny>>,
    model: Option<&str>,
) -> PyResult<()> {
    let format = format_of(&path)?;
    let mut described = match meta {
        Some(meta) => {
            let text: String = meta.py().import("json")?.call_method1("dumps", (meta,))?.extract()?;
            serde_json::from_str(&text).map_err(|e| PyValueError::new_err(format!("meta: {e}")))?
        }
        None => TokenMeta::default(),
    };
    let (frames, codebooks) = arrays::codes(codes)?;
    if let Some(model) = model {
        let bundle = Bundle::find(model).map_err(raise)?;
        let of_bundle = TokenMeta::of_stream(&bundle.stream_header(), bundle.manifest().quantizer.size);
        let TokenMeta { format, model, stream_header, codebook_size, frame_rate, .. } = of_bundle;
        described = TokenMeta { format, model, stream_header, codebook_size, frame_rate, ..described };
    }
    let file = TokenFile::from_frames(codebooks, &frames, described).map_err(raise)?;
    if file.meta.codebook_size > 0 {
        file.check(file.meta.codebook_size).map_err(raise)?;
    }
    std::fs::write(&path, file.to_bytes(format).map_err(raise)?)?;
    Ok(())
}
