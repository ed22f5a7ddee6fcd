//! NumPy arrays to vectors and back.

use numpy::{AllowTypeChange, PyArray1, PyArray2, PyArrayLikeDyn, PyArrayMethods, PyUntypedArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::errors::TokenError;

/// Reads the samples of an array of numbers, `[samples]` or with several channels `[channels, samples]`, interleaved.
///
/// Arrays of integers are refused: PCM of 16 bits, which most readers of WAV give, would be taken for samples of up to 32,768.
pub(crate) fn read_samples(value: &Bound<'_, PyAny>, channels: u8) -> PyResult<Vec<f32>> {
    // Lists of Python's numbers may be written without a point; they have no type.
    if let Ok(dtype) = value.getattr("dtype") {
        let kind: String = dtype.getattr("kind")?.extract()?;
        if kind != "f" {
            return Err(PyValueError::new_err(format!(
                "samples are {dtype}, allowed: floats of -1 to 1 (int16 divided by 32768)"
            )));
        }
    }
    let array: PyArrayLikeDyn<'_, f32, AllowTypeChange> = value.extract()?;
    let channels = usize::from(channels);
    // No flattening: a stereo array would become samples of twice the length.
    match *array.shape() {
        [_] if channels == 1 => Ok(array.as_array().iter().copied().collect()),
        [rows, _] if rows == channels && channels > 1 => {
            // Column by column: each has the samples of all channels.
            Ok(array.as_array().t().iter().copied().collect())
        }
        _ => {
            let allowed =
                if channels == 1 { "[samples]".to_owned() } else { format!("[{channels}, samples]") };
            let shape = array.shape();
            Err(PyValueError::new_err(format!("samples of shape {shape:?}, allowed: {allowed}")))
        }
    }
}

/// Interleaved samples as an array, `[samples]` or with several channels `[channels, samples]`.
pub(crate) fn samples_to_array<'py>(
    py: Python<'py>,
    pcm: Vec<f32>,
    channels: u8,
) -> PyResult<Bound<'py, PyAny>> {
    let channels = usize::from(channels.max(1));
    if channels == 1 {
        return Ok(PyArray1::from_vec(py, pcm).into_any());
    }
    let count = pcm.len() / channels;
    let planes: Vec<f32> =
        (0..channels).flat_map(|channel| pcm.iter().skip(channel).step_by(channels).copied()).collect();
    Ok(PyArray1::from_vec(py, planes).reshape([channels, count])?.into_any())
}

/// Reads the scales of segments.
pub(crate) fn read_scales(value: &Bound<'_, PyAny>) -> PyResult<Vec<f32>> {
    let array: PyArrayLikeDyn<'_, f32, AllowTypeChange> = value.extract()?;
    if array.ndim() != 1 {
        let shape = array.shape();
        return Err(PyValueError::new_err(format!("scales of shape {shape:?}, allowed: [segments]")));
    }
    Ok(array.as_array().iter().copied().collect())
}

/// Reads an array `[rows, columns]`, row after row, with its shape.
pub(crate) fn read_matrix(value: &Bound<'_, PyAny>, what: &str) -> PyResult<(Vec<f32>, [usize; 2])> {
    let array: PyArrayLikeDyn<'_, f32, AllowTypeChange> = value.extract()?;
    match *array.shape() {
        [rows, columns] => Ok((array.as_array().iter().copied().collect(), [rows, columns])),
        _ => Err(PyValueError::new_err(format!(
            "{what} of shape {:?}, two dimensions are allowed",
            array.shape()
        ))),
    }
}

/// Reads the integers of an array of any shape, in C order, and the shape. Floating point numbers are refused, since the
/// conversion would truncate them.
pub(crate) fn read_integers(value: &Bound<'_, PyAny>, what: &str) -> PyResult<(Vec<i64>, Vec<usize>)> {
    let array = value.py().import("numpy")?.call_method1("asarray", (value,))?;
    // The kind of the caller's own array, before a change of type hides it.
    let kind: String = array.getattr("dtype")?.getattr("kind")?.extract()?;
    let is_empty = array.getattr("size")?.extract::<usize>()? == 0;
    // An empty list is float64 to NumPy.
    if !matches!(kind.as_str(), "i" | "u") && !is_empty {
        let dtype = array.getattr("dtype")?;
        return Err(PyValueError::new_err(format!("{what} are {dtype}, allowed: integers")));
    }
    let array: PyArrayLikeDyn<'_, i64, AllowTypeChange> = array.extract()?;
    Ok((array.as_array().iter().copied().collect(), array.shape().to_vec()))
}

/// Reads the booleans of an array of any shape.
pub(crate) fn read_mask(value: &Bound<'_, PyAny>) -> PyResult<Vec<bool>> {
    let array: PyArrayLikeDyn<'_, bool, AllowTypeChange> = value.extract()?;
    Ok(array.as_array().iter().copied().collect())
}

/// Reads codes `[K, T]` as frames `[T, K]`, and K.
pub(crate) fn read_codes(value: &Bound<'_, PyAny>) -> PyResult<(Vec<u16>, usize)> {
    let (values, shape) = read_integers(value, "codes")?;
    let [codebooks, frames] = *shape.as_slice() else {
        return Err(PyValueError::new_err(format!("codes of shape {shape:?}, allowed: [K, T]")));
    };
    let mut out = Vec::with_capacity(values.len());
    for t in 0..frames {
        for k in 0..codebooks {
            let value = values[k * frames + t];
            // Negative and large values are named, where NumPy's own cast would wrap them.
            let code = u16::try_from(value).map_err(|_| {
                TokenError::new_err(format!("codes[{k}, {t}] is {value}, allowed: 0 to 65535"))
            })?;
            out.push(code);
        }
    }
    Ok((out, codebooks))
}

/// Converts frames `[T, K]` to an array `[K, T]`.
pub(crate) fn codes_to_array<'py>(
    py: Python<'py>,
    frames: &[u16],
    codebooks: usize,
) -> PyResult<Bound<'py, PyArray2<u16>>> {
    let count = frames.len() / codebooks.max(1);
    // Copied into C order, which files and most models expect; a transposed view would have other strides.
    let transposed: Vec<u16> =
        (0..codebooks).flat_map(|k| frames.iter().skip(k).step_by(codebooks).copied()).collect();
    PyArray1::from_vec(py, transposed).reshape([codebooks, count])
}
