//! What streams have in common may outlive its last user for a while: a player that opens the next file, or the same one again,
//! then does not load it anew.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// A value that is kept, and for how many rounds nobody has used it.
struct Kept {
    is_used: Box<dyn Fn() -> bool + Send>,
    idle_rounds: u32,
}

struct State {
    duration: Duration,
    values: Vec<Kept>,
    has_thread: bool,
}

static STATE: Mutex<State> =
    Mutex::new(State { duration: Duration::ZERO, values: Vec::new(), has_thread: false });

/// Rounds without a user until a value is dropped. With more rounds values would go closer to their time, and the thread that
/// counts them would wake up more often.
const ROUNDS: u32 = 4;

/// Keeps bundles' files, codebooks, entropy tables and sessions for about `duration` (a fifth more at most) after their last
/// user is gone, for what is opened from now on. Without this call they go with their last user, and no thread runs.
///
/// It is the session that costs: in release builds the preroll of a player fell from 285 to 580 ms to 90 to 250 ms with it.
pub fn keep_unused_for(duration: Duration) {
    lock().duration = duration;
}

/// Keeps a value if values are kept; `is_used` says whether others have it.
pub(crate) fn keep<T: Send + Sync + 'static>(
    value: &Arc<T>,
    is_used: impl Fn(&Arc<T>) -> bool + Send + 'static,
) {
    let mut state = lock();
    if state.duration.is_zero() {
        return;
    }
    let own = value.clone();
    state.values.push(Kept { is_used: Box::new(move || is_used(&own)), idle_rounds: 0 });
    if !state.has_thread {
        // Without a thread nothing is kept: values must not stay forever.
        state.has_thread = thread::Builder::new().name("siskin-kept".into()).spawn(drop_unused).is_ok();
        if !state.has_thread {
            state.values.clear();
        }
    }
}

/// Drops what has been without users for long enough, until nothing is left.
fn drop_unused() {
    loop {
        let round = lock().duration / ROUNDS;
        // Never a busy loop, whatever the duration was set to meanwhile.
        thread::sleep(round.max(Duration::from_millis(10)));
        let mut state = lock();
        for value in &mut state.values {
            value.idle_rounds = if (value.is_used)() { 0 } else { value.idle_rounds + 1 };
        }
        let (old, kept): (Vec<_>, Vec<_>) =
            std::mem::take(&mut state.values).into_iter().partition(|value| value.idle_rounds > ROUNDS);
        state.values = kept;
        let is_done = state.values.is_empty();
        state.has_thread = !is_done;
        drop(state);
        // Without the lock: closing a session takes milliseconds, for which a stream that opens must not wait.
        drop(old);
        if is_done {
            return;
        }
    }
}

fn lock() -> MutexGuard<'static, State> {
    // A panic of `is_used` leaves a count that is one round old.
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}
