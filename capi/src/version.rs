//! Which library this is.

use std::ffi::c_char;

/// Version of the interface that this header describes. A library with another number in `siskin_abi_version` does not fit.
pub const SISKIN_ABI_VERSION: u32 = 1;

/// The interface that the library has: to be compared with `SISKIN_ABI_VERSION`.
#[unsafe(no_mangle)]
pub extern "C" fn siskin_abi_version() -> u32 {
    SISKIN_ABI_VERSION
}

/// The library's version as text, such as "0.3.0".
#[unsafe(no_mangle)]
pub extern "C" fn siskin_version() -> *const c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}
