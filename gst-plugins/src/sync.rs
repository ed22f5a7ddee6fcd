use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks whatever happened before: nothing here is left half changed by a panic, and the bindings have already
/// turned that into an element error.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
