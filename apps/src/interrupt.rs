//! Ctrl-C and SIGTERM: the half-written output goes, then the program.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// Exit code of a shell command that SIGINT ended.
const INTERRUPTED: i32 = 130;

static TEMPORARY: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Installs the handler; it runs in a thread of its own, so it may do what signal handlers may not.
pub(crate) fn install() {
    let installed = ctrlc::set_handler(|| {
        // The lock is held to the end, so that no output is renamed into place from here on.
        let temporary = TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = &*temporary {
            std::fs::remove_file(path).ok();
        }
        eprintln!("siskin: interrupted");
        std::process::exit(INTERRUPTED);
    });
    // Without the handler the default action ends the program and leaves a temporary file: worth no failure.
    installed.ok();
}

/// Names the file to be removed on an interrupt.
pub(crate) fn guard(path: &Path) {
    *TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner) = Some(path.to_owned());
}

/// Runs `last` without an interrupt in between, after which nothing is left to be removed.
pub(crate) fn release<T>(last: impl FnOnce() -> T) -> T {
    let mut temporary = TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner);
    let result = last();
    *temporary = None;
    result
}
