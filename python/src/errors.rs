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
    // All causes in one line, as Python's exceptions here have no chain of their own.
    let text = error.with_sources();
    match error {
        E::Token(_) => TokenError::new_err(text),
        // Python's own classes where it has one for the case, so that callers need not import ours.
        E::Parameter { .. } => PyValueError::new_err(text),
        E::Io { .. } => PyOSError::new_err(text),
        _ => Error::new_err(text),
    }
}
