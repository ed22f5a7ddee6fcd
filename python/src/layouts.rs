//! Codes to tokens and back, without a model.

use std::collections::BTreeMap;

use numpy::{PyArray1, PyArray2};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use siskin_core::tokens::{Format, Layout, OnBadToken, Packer, Unit, Unpacker};

use crate::arrays;
use crate::errors::to_py_err;

/// Of a format: 64 stages of 16 groups.
const MAX_CODEBOOKS: usize = 1024;

fn build_format(
    layout: &str,
    codebooks: usize,
    size: u32,
    special_ids: Option<BTreeMap<String, i64>>,
) -> PyResult<Format> {
    // Before the layout, which has a place for each of them.
    if !(1..=MAX_CODEBOOKS).contains(&codebooks) {
        return Err(PyValueError::new_err(format!(
            "codebooks is {codebooks}, allowed: 1 to {MAX_CODEBOOKS}"
        )));
    }
    let layout = Layout::parse(layout, codebooks, size).map_err(to_py_err)?;
    Format::new(codebooks, size, layout, &special_ids.unwrap_or_default()).map_err(to_py_err)
}

/// Packs codes [K, T] to the tokens of a layout, with the special ids that mark the end unless `marked` is false.
#[pyfunction]
#[pyo3(signature = (codes, layout, codebook_size, marked = true, special_ids = None))]
pub(crate) fn pack<'py>(
    py: Python<'py>,
    codes: &Bound<'py, PyAny>,
    layout: &str,
    codebook_size: u32,
    marked: bool,
    special_ids: Option<BTreeMap<String, i64>>,
) -> PyResult<Bound<'py, PyArray1<i64>>> {
    let (frames, codebooks) = arrays::read_codes(codes)?;
    // Formats are checked before the codes, so `chunks_exact` never gets 0.
    let mut packer = Packer::new(build_format(layout, codebooks, codebook_size, special_ids)?);
    let mut tokens = Vec::new();
    for frame in frames.chunks_exact(codebooks) {
        packer.push_frame(frame, &mut tokens).map_err(to_py_err)?;
    }
    packer.finish_stream(marked, &mut tokens);
    Ok(PyArray1::from_vec(py, tokens))
}

/// Unpacks tokens to codes [K, T]; bad tokens are refused. `codebooks` is K, the codes per frame (stages x groups).
#[pyfunction]
#[pyo3(signature = (tokens, layout, codebooks, codebook_size, special_ids = None))]
pub(crate) fn unpack<'py>(
    py: Python<'py>,
    tokens: &Bound<'py, PyAny>,
    layout: &str,
    codebooks: usize,
    codebook_size: u32,
    special_ids: Option<BTreeMap<String, i64>>,
) -> PyResult<Bound<'py, PyArray2<u16>>> {
    let (tokens, _) = arrays::read_integers(tokens, "tokens")?;
    let format = build_format(layout, codebooks, codebook_size, special_ids)?;
    // Training data with bad tokens should fail loudly, not lose frames.
    let mut unpacker = Unpacker::new(format, OnBadToken::Refuse);
    let mut frames = Vec::new();
    let mut keep = |unit: Unit<'_>| {
        if let Unit::Frame(codes) = unit {
            frames.extend_from_slice(codes);
        }
        Ok(())
    };
    unpacker
        // The end may complete frames too, in the coarse-first layout, or show that one is incomplete.
        .push_tokens(&tokens, &mut keep)
        .and_then(|()| unpacker.finish_stream(&mut keep))
        .map_err(to_py_err)?;
    arrays::codes_to_array(py, &frames, codebooks)
}

/// The special ids of a layout, by name. `codebooks` is K, the codes per frame (stages x groups).
#[pyfunction]
#[pyo3(signature = (layout, codebooks, codebook_size, special_ids = None))]
pub(crate) fn specials(
    layout: &str,
    codebooks: usize,
    codebook_size: u32,
    special_ids: Option<BTreeMap<String, i64>>,
) -> PyResult<BTreeMap<String, i64>> {
    Ok(build_format(layout, codebooks, codebook_size, special_ids)?.special_ids().by_name().clone())
}
