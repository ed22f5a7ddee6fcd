//! Pointers of the caller's as references and slices, checked as far as they can be.

use std::ffi::{CStr, c_char};

use crate::status::Failure;

fn check<T>(pointer: *const T, name: &str) -> Result<(), Failure> {
    if pointer.is_null() {
        return Err(Failure::parameter(format!("{name} is null")));
    }
    if !pointer.is_aligned() {
        return Err(Failure::parameter(format!("{name} is not aligned")));
    }
    Ok(())
}

/// What a pointer leads to.
///
/// # Safety
/// A pointer that is not null leads to a `T` that nobody changes while the reference lives.
pub(crate) unsafe fn shared<'a, T>(pointer: *const T, name: &str) -> Result<&'a T, Failure> {
    check(pointer, name)?;
    // SAFETY: neither null nor misaligned; the rest is the caller's promise.
    Ok(unsafe { &*pointer })
}

/// What a pointer leads to, to be changed.
///
/// # Safety
/// A pointer that is not null leads to a `T` that nobody else uses while the reference lives.
pub(crate) unsafe fn exclusive<'a, T>(pointer: *mut T, name: &str) -> Result<&'a mut T, Failure> {
    check(pointer, name)?;
    // SAFETY: neither null nor misaligned; the rest is the caller's promise.
    Ok(unsafe { &mut *pointer })
}

/// The `length` values from `pointer` on, which may be null for none.
///
/// # Safety
/// So many values lie there, and nobody changes them while the slice lives.
pub(crate) unsafe fn slice<'a, T>(pointer: *const T, length: usize, name: &str) -> Result<&'a [T], Failure> {
    if length == 0 {
        return Ok(&[]);
    }
    check(pointer, name)?;
    // More than that no slice may have; a negative length of C's comes out so.
    if length > isize::MAX as usize / size_of::<T>().max(1) {
        return Err(Failure::parameter(format!("{name} has {length} values, more than there can be")));
    }
    // SAFETY: neither null nor misaligned nor too long; the rest is the caller's promise.
    Ok(unsafe { std::slice::from_raw_parts(pointer, length) })
}

/// A text of the caller's; none for a null pointer.
///
/// # Safety
/// A pointer that is not null leads to a text that ends with a zero byte, and nobody changes it while the reference lives.
pub(crate) unsafe fn text<'a>(pointer: *const c_char, name: &str) -> Result<Option<&'a str>, Failure> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: not null; the rest is the caller's promise.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str().map(Some).map_err(|_| Failure::parameter(format!("{name} is not UTF-8")))
}

/// Puts a new object on the heap and its address where the caller wants it.
pub(crate) fn hand_out<T>(out: &mut *mut T, object: T) {
    *out = Box::into_raw(Box::new(object));
}

/// Frees an object that [`hand_out`] gave; does nothing for a null pointer.
///
/// # Safety
/// A pointer that is not null comes from [`hand_out`], and is used by nobody now and later.
pub(crate) unsafe fn free<T>(object: *mut T) {
    if !object.is_null() {
        // SAFETY: of `Box::into_raw`, and given back once: the caller's promise.
        drop(unsafe { Box::from_raw(object) });
    }
}
