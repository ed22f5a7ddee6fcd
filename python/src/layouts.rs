//! Codes to tokens and back, without a model.

use std::collections::BTreeMap;

use numpy::{PyArray1, PyArray2};
use pyo3::prelude::*;
use siskin_core::tokens::{Format, Layout, OnBadToken, Packer, Unit, Unpacker};

use crate::arrays;
use crate::errors::raise;

fn format(
    layout: &str,
    codebooks: usize,
    size: u32,
    special_ids: Option<BTreeMap<String, i64>>,
) -> PyResult<Format> {
    let layout = Layout::parse(layout, codebooks, size).map_err(raise)?;
    Format::new(codebooks, size, layout, &special_ids.unwrap_or_default()).map_err(raise)
}

/// Lays out codes [K, T] as the tokens of a model, with its marks of the end unless `marked` is false.
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
    let (frames, codebooks) = arrays::codes(codes)?;
    let mut packer = Packer::new(format(layout, codebooks, codebook_size, special_ids)?);
    let mut tokens = Vec::new();
    for frame in frames.chunks_exact(codebooks) {
        packer.push(frame, &mut tokens).map_err(raise)?;
    }
    packer.finish(marked, &mut tokens);
    Ok(PyArray1::from_vec(py, tokens))
}

/// Finds the codes [K, T] in a model's tokens; bad ones are refused.
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
    let (tokens, _) = arrays::integers(tokens, "tokens")?;
    let format = format(layout, codebooks, codebook_size, special_ids)?;
    let mut unpacker = Unpacker::new(format, OnBadToken::Refuse);
    let mut frames = Vec::new();
    let mut keep = |unit: Unit<'_>| {
        if let Unit::Frame(codes) = unit {
            frames.extend_from_slice(codes);
        }
        Ok(())
    };
    unpacker.push(&tokens, &mut keep).and_then(|()| unpacker.finish(&mut keep)).map_err(raise)?;
    arrays::codes_out(py, &frames, codebooks)
}

/// The special ids of a layout, by name.
#[pyfunction]
#[pyo3(signature = (layout, codebooks, codebook_size, special_ids = None))]
pub(crate) fn specials(
    layout: &str,
    codebooks: usize,
    codebook_size: u32,
    special_ids: Option<BTreeMap<String, i64>>,
) -> PyResult<BTreeMap<String, i64>> {
    Ok(format(layout, codebooks, codebook_size, special_ids)?.specials().by_name().clone())
}
