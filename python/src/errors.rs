//! Errors of the core as Python's exceptions.

use pyo3::PyErr;
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyOSError, PyValueError};

create_exception!(siskin, Error, PyException, "An error of the codec, with the reason.");
create_exception!(
    siskin,
    TokenError,
    Error,
    "Bad tokens or codes, with their position and the allowed range."
);

/// Converts an error to a Python exception.
pub(crate) fn to_py_err(error: siskin_core::Error) -> PyErr {
    use siskin_core::Error as E;
    let text = error.with_sources();
    match error {
        E::Token(_) => TokenError::new_err(text),
        E::Parameter { .. } => PyValueError::new_err(text),
        E::Io { .. } => PyOSError::new_err(text),
        _ => Error::new_err(text),
    }
}
