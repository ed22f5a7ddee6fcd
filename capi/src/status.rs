//! What functions return, and the reason in words.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use siskin_core::Error;

/// What a function came to. Errors are negative.
#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(non_camel_case_types, reason = "names as C writes them")]
pub enum SiskinStatus {
    /// It worked.
    SISKIN_OK = 0,
    /// Nothing more: no packet is ready yet, or the file is at its end.
    SISKIN_END = 1,
    /// An argument is not allowed: a null pointer, a number out of its range, a call out of order.
    SISKIN_ERROR_PARAMETER = -1,
    /// The model bundle was not found, is damaged, or is another than the stream needs.
    SISKIN_ERROR_MODEL = -2,
    /// ONNX Runtime was not found, or a network failed in it.
    SISKIN_ERROR_RUNTIME = -3,
    /// A packet, header or file is damaged, or no stream of Siskin.
    SISKIN_ERROR_DATA = -4,
    /// A file cannot be opened, read or written.
    SISKIN_ERROR_IO = -5,
    /// A fault of the library. The object is not to be used any more, only freed.
    SISKIN_ERROR_INTERNAL = -6,
}

/// A status with the reason in words.
#[derive(Debug)]
pub(crate) struct Failure {
    status: SiskinStatus,
    reason: String,
}

impl Failure {
    pub(crate) fn parameter(reason: impl Into<String>) -> Self {
        Self { status: SiskinStatus::SISKIN_ERROR_PARAMETER, reason: reason.into() }
    }

    pub(crate) fn io(path: &str, error: &std::io::Error) -> Self {
        Self { status: SiskinStatus::SISKIN_ERROR_IO, reason: format!("{path}: {error}") }
    }

    /// What cannot be, and was all the same.
    pub(crate) fn internal(reason: impl Into<String>) -> Self {
        Self { status: SiskinStatus::SISKIN_ERROR_INTERNAL, reason: reason.into() }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        use SiskinStatus as S;
        let status = match &error {
            Error::Parameter { .. } => S::SISKIN_ERROR_PARAMETER,
            Error::WrongBundle { .. } | Error::BundleNotFound { .. } | Error::BadBundle { .. } => {
                S::SISKIN_ERROR_MODEL
            }
            Error::Provider { .. } | Error::RuntimeLibrary { .. } | Error::Network { .. } => {
                S::SISKIN_ERROR_RUNTIME
            }
            Error::Io { .. } => S::SISKIN_ERROR_IO,
            // Packets, containers and codes.
            _ => S::SISKIN_ERROR_DATA,
        };
        Self { status, reason: error.with_sources() }
    }
}

thread_local! {
    static LAST_ERROR: RefCell<CString> = RefCell::default();
}

/// Runs what a function does; keeps the reason of a failure, and stops panics.
pub(crate) fn guarded(work: impl FnOnce() -> Result<SiskinStatus, Failure>) -> SiskinStatus {
    // A panic may leave an object half changed, which is why it is only to be freed then.
    let result = catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(Failure::internal("a fault of the library; stderr has its place")));
    match result {
        Ok(status) => status,
        Err(failure) => {
            // A zero byte in a file's name would end the text there.
            let text = CString::new(failure.reason.replace('\0', " ")).unwrap_or_default();
            LAST_ERROR.with_borrow_mut(|last| *last = text);
            failure.status
        }
    }
}

/// As [`guarded`], for what is done or fails.
pub(crate) fn guarded_unit(work: impl FnOnce() -> Result<(), Failure>) -> SiskinStatus {
    guarded(|| work().map(|()| SiskinStatus::SISKIN_OK))
}

/// The reason of the last error of this thread in UTF-8, empty if there was none. Valid until the next error of this thread.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_last_error() -> *const c_char {
    LAST_ERROR.with_borrow(|last| last.as_ptr())
}

/// The name of a status, such as "SISKIN_ERROR_DATA", for logs; "unknown" for a number that is none.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_status_name(status: i32) -> *const c_char {
    let name: &CStr = match status {
        0 => c"SISKIN_OK",
        1 => c"SISKIN_END",
        -1 => c"SISKIN_ERROR_PARAMETER",
        -2 => c"SISKIN_ERROR_MODEL",
        -3 => c"SISKIN_ERROR_RUNTIME",
        -4 => c"SISKIN_ERROR_DATA",
        -5 => c"SISKIN_ERROR_IO",
        -6 => c"SISKIN_ERROR_INTERNAL",
        _ => c"unknown",
    };
    name.as_ptr()
}
