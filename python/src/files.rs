//! Token files.

use std::path::PathBuf;

use numpy::PyArray2;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use siskin_core::bundle::Bundle;
use siskin_core::tokens::{FileFormat, TokenFile, TokenMeta};

use crate::arrays;
use crate::corpus::parse_dtype;
use crate::errors::to_py_err;

fn format_from_path(path: &std::path::Path) -> PyResult<FileFormat> {
    FileFormat::from_path(path).ok_or_else(|| {
        PyValueError::new_err(format!("{}: token files are .safetensors, .npy or .jsonl", path.display()))
    })
}

/// Reads a token file: its codes [K, T] and its metadata, that of an .npy from the file .npy.json beside it.
#[pyfunction]
pub(crate) fn load(py: Python<'_>, path: PathBuf) -> PyResult<(Bound<'_, PyArray2<u16>>, Bound<'_, PyAny>)> {
    let format = format_from_path(&path)?;
    let data = std::fs::read(&path)?;
    let mut file = TokenFile::from_bytes(format, &data).map_err(to_py_err)?;
    let beside = FileFormat::sidecar_path(&path);
    if format == FileFormat::Npy && beside.is_file() {
        let text = std::fs::read(&beside)?;
        file.meta = serde_json::from_slice(&text)
            .map_err(|e| PyValueError::new_err(format!("{}: {e}", beside.display())))?;
    }
    // Through JSON, which keeps the names of the file and needs no class for the metadata.
    let text = serde_json::to_string(&file.meta).map_err(|e| PyValueError::new_err(e.to_string()))?;
    let meta = py.import("json")?.call_method1("loads", (text,))?;
    Ok((arrays::codes_to_array(py, &file.to_frames(), file.codebooks)?, meta))
}

/// Writes codes [K, T] to a token file, with metadata as `load` returns it, that of an .npy to .npy.json beside it; `model` fills in the fields of a bundle;
/// `dtype` is the type of the codes in .safetensors and .npy: uint16, int32 or int64.
#[pyfunction]
#[pyo3(signature = (path, codes, meta = None, model = None, dtype = "uint16"))]
pub(crate) fn save(
    path: PathBuf,
    codes: &Bound<'_, PyAny>,
    meta: Option<&Bound<'_, PyAny>>,
    model: Option<&str>,
    dtype: &str,
) -> PyResult<()> {
    let code_type = parse_dtype(dtype)?;
    let format = format_from_path(&path)?;
    let mut metadata = match meta {
        Some(meta) => {
            let text: String = meta.py().import("json")?.call_method1("dumps", (meta,))?.extract()?;
            serde_json::from_str(&text).map_err(|e| PyValueError::new_err(format!("meta: {e}")))?
        }
        None => TokenMeta::default(),
    };
    let (frames, codebooks) = arrays::read_codes(codes)?;
    if let Some(model) = model {
        let bundle = Bundle::find(model).map_err(to_py_err)?;
        let bundle_meta =
            TokenMeta::from_stream_header(&bundle.stream_header(), bundle.manifest().quantizer.size);
        // The bundle's facts win over the caller's: they are what decodes the codes.
        let TokenMeta { format, model, stream_header, codebook_size, frame_rate, .. } = bundle_meta;
        metadata = TokenMeta { format, model, stream_header, codebook_size, frame_rate, ..metadata };
    }
    let file = TokenFile::from_frames(codebooks, &frames, metadata).map_err(to_py_err)?;
    // Metadata of the caller may lack the size; then any uint16 is a code.
    if file.meta.codebook_size > 0 {
        file.check_codes(file.meta.codebook_size).map_err(to_py_err)?;
    }
    let data = file.to_bytes_as(format, code_type).map_err(to_py_err)?;
    if format == FileFormat::Npy {
        let text = serde_json::to_vec_pretty(&file.meta).map_err(|e| PyValueError::new_err(e.to_string()))?;
        std::fs::write(FileFormat::sidecar_path(&path), text)?;
    }
    std::fs::write(&path, data)?;
    Ok(())
}
