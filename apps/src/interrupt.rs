//! Ctrl-C, SIGTERM and SIGHUP: the half-written output goes, then the program. Work that takes hours keeps what is whole.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::keyboard;

/// What a shell adds to the number of the signal that ended a command.
// As POSIX shells report it, so that scripts and `make` see an interrupt as one.
const SIGNAL_BASE: i32 = 128;
/// How long the main thread gets to end by itself; it may be waiting for input that does not come.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long it gets where it has a file to end.
// A step of a fit at large sizes, and the index of a long file, take seconds.
const PATIENCE_WITH_OUTPUT: Duration = Duration::from_secs(30);

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// The signal that came.
// Ctrl-C until another one says otherwise.
static SIGNAL: AtomicI32 = AtomicI32::new(SIGINT);
/// Whether what has been written is worth keeping: the main thread then ends the file.
static KEEP: AtomicBool = AtomicBool::new(false);
static TEMPORARY: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// The error of work that was interrupted.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// Installs the handler; it runs in a thread of its own, so it may do what signal handlers may not.
pub(crate) fn install_handler() {
    // What `nohup` has the program ignore stays ignored.
    let wanted = [SIGINT, SIGTERM, SIGHUP].into_iter().filter(|&signal| !is_ignored(signal));
    // Without the handler the default action ends the program and leaves a temporary file: worth no failure.
    let Ok(mut signals) = Signals::new(wanted) else { return };
    std::thread::spawn(move || {
        // Only the first: whoever presses Ctrl-C again gains nothing, as the program is on its way out.
        if let Some(signal) = signals.forever().next() {
            end(signal);
        }
    });
}

/// Ends the program for a signal, once the main thread has had its time.
fn end(signal: i32) {
    SIGNAL.store(signal, Ordering::SeqCst);
    // After the signal, which the main thread reads once it sees this.
    INTERRUPTED.store(true, Ordering::SeqCst);
    if KEEP.load(Ordering::SeqCst) {
        std::thread::sleep(PATIENCE_WITH_OUTPUT);
    }
    // The lock is held to the end, so that no output is renamed into place from here on.
    let temporary = TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner);
    for path in &*temporary {
        // It may have been renamed or removed already.
        std::fs::remove_file(path).ok();
    }
    // Ending the process under a running network would pull its library away from it.
    std::thread::sleep(PATIENCE);
    keyboard::restore_terminal();
    eprintln!("siskin: {Interrupted}");
    std::process::exit(exit_code().into());
}

/// Whether whoever started the program wants it to ignore a signal.
fn is_ignored(signal: i32) -> bool {
    // Read as text, since `sigaction` cannot be called from safe code. Elsewhere than on Linux nothing counts as
    // ignored.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// The exit code of a shell command that the signal ended: 130, 143 or 129.
pub(crate) fn exit_code() -> u8 {
    u8::try_from(SIGNAL_BASE + SIGNAL.load(Ordering::SeqCst)).unwrap_or(1)
}

/// To be called now and then by work that takes long.
///
/// # Errors
/// [`Interrupted`] once the user has had enough.
pub(crate) fn check_interrupt() -> Result<()> {
    if is_due() { Err(Interrupted.into()) } else { Ok(()) }
}

/// Whether the user has had enough, for work that ends in its own way.
pub(crate) fn is_due() -> bool {
    INTERRUPTED.load(Ordering::Relaxed)
}

/// From here on an interrupt leaves the output to the main thread, which ends it at the next chance.
pub(crate) fn keep_output() {
    KEEP.store(true, Ordering::SeqCst);
}

/// Names a file to be removed on an interrupt.
pub(crate) fn guard_file(path: &Path) {
    TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner).push(path.to_owned());
}

/// Runs `last` without an interrupt in between, after which the file at `path` is not to be removed any more.
pub(crate) fn release_file<T>(path: &Path, last: impl FnOnce() -> T) -> T {
    // Held while `last` renames: the handler waits for it and then finds nothing to remove.
    let mut temporary = TEMPORARY.lock().unwrap_or_else(PoisonError::into_inner);
    let result = last();
    temporary.retain(|p| p != path);
    result
}
