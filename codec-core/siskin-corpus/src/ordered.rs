//! Work on several threads whose results come in order.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError, mpsc};

/// Items that may be worked on ahead of the one that is due, for each worker: one recording of ten hours holds up the others, and
/// what is finished behind it stays in memory.
const AHEAD: usize = 4;

/// What the workers share.
struct State {
    next: usize,
    /// Items whose results have been consumed.
    consumed: usize,
    is_stopped: bool,
}

/// How the work on an item ended.
pub(crate) enum Ended<T, E> {
    /// With a result.
    Done(T),
    /// The worker panicked; it goes on with a new tool.
    Panicked,
    /// There is no tool, so no worker can go on.
    NoTool(E),
}

/// Runs `work` on the items `0..count` with `workers` threads, each with a tool of its own from `make`, and calls `consume` with
/// the results in the order of the items, on the calling thread. An error of `consume` ends the run.
pub(crate) fn run_ordered<W, T: Send, E: Send>(
    count: usize,
    workers: usize,
    make: impl Fn() -> Result<W, E> + Sync,
    work: impl Fn(&mut W, usize) -> T + Sync,
    mut consume: impl FnMut(usize, Ended<T, E>) -> Result<(), E>,
) -> Result<(), E> {
    let state = Mutex::new(State { next: 0, consumed: 0, is_stopped: false });
    let moved = Condvar::new();
    let workers = workers.clamp(1, count.max(1));
    std::thread::scope(|scope| {
        let (told, heard) = mpsc::channel();
        for _ in 0..workers {
            let (told, state, moved, make, work) = (told.clone(), &state, &moved, &make, &work);
            scope.spawn(move || {
                // Made with the first item, because networks take a second to open and cannot be shared.
                let mut tool = None;
                while let Some(at) = next_item(state, moved, count, workers * AHEAD) {
                    let mut ready = match tool.take().map_or_else(make, Ok) {
                        Ok(ready) => ready,
                        Err(error) => {
                            // Nobody left to hear it: the run has ended.
                            let _ = told.send((at, Ended::NoTool(error)));
                            return;
                        }
                    };
                    // A panic is a fault of ours in one recording; the others shall not be lost with it.
                    let ended = match catch_unwind(AssertUnwindSafe(|| work(&mut ready, at))) {
                        Ok(result) => {
                            tool = Some(ready);
                            Ended::Done(result)
                        }
                        Err(_) => Ended::Panicked,
                    };
                    if told.send((at, ended)).is_err() {
                        return;
                    }
                }
            });
        }
        // Otherwise the loop below would wait for a sender that never sends.
        drop(told);
        let (mut waiting, mut due) = (BTreeMap::new(), 0);
        for (at, ended) in heard {
            waiting.insert(at, ended);
            while let Some(ended) = waiting.remove(&due) {
                let consumed = consume(due, ended);
                due += 1;
                let mut state = lock(&state);
                state.consumed = due;
                state.is_stopped |= consumed.is_err();
                drop(state);
                moved.notify_all();
                // The scope still waits for the workers, which end after the item at hand.
                consumed?;
            }
        }
        Ok(())
    })
}

/// The next item for a worker, once it is within `ahead` of what has been consumed; `None` when there is no more.
fn next_item(state: &Mutex<State>, moved: &Condvar, count: usize, ahead: usize) -> Option<usize> {
    let mut state = lock(state);
    loop {
        if state.is_stopped || state.next >= count {
            return None;
        }
        if state.next < state.consumed + ahead {
            state.next += 1;
            return Some(state.next - 1);
        }
        state = moved.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    // Nothing panics while it is held; a number is valid in any case.
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_whatever_takes_longest() {
        for workers in [1, 3, 16] {
            let mut seen = Vec::new();
            let work = |(): &mut (), at: usize| {
                std::thread::sleep(std::time::Duration::from_millis((at as u64 * 7) % 5));
                at * at
            };
            let result: Result<(), String> = run_ordered(
                40,
                workers,
                || Ok(()),
                work,
                |at, ended| {
                    let Ended::Done(square) = ended else { return Err("no result".into()) };
                    seen.push((at, square));
                    Ok(())
                },
            );
            assert_eq!(result, Ok(()));
            assert_eq!(seen, (0..40).map(|n| (n, n * n)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_worker_that_panics_costs_its_item_alone() {
        let (made, mut panicked) = (std::sync::atomic::AtomicUsize::new(0), Vec::new());
        let make = || Ok(made.fetch_add(1, std::sync::atomic::Ordering::SeqCst));
        let work = |_: &mut usize, at: usize| assert!(at % 10 != 3, "item {at}");
        let result: Result<(), String> = run_ordered(30, 2, make, work, |at, ended| {
            panicked.extend(matches!(ended, Ended::Panicked).then_some(at));
            Ok(())
        });
        assert_eq!((result, panicked), (Ok(()), vec![3, 13, 23]));
        assert!(made.load(std::sync::atomic::Ordering::SeqCst) >= 4, "a new tool after each panic");
    }

    #[test]
    fn errors_end_the_run() {
        let result = run_ordered(
            1000,
            4,
            || Ok(()),
            |(): &mut (), at| at,
            |at, _| {
                if at == 5 { Err("enough") } else { Ok(()) }
            },
        );
        assert_eq!(result, Err("enough"));
        let no_tool = run_ordered(
            9,
            4,
            || Err::<(), _>("no network"),
            |(), at| at,
            |_, ended| match ended {
                Ended::NoTool(error) => Err(error),
                _ => Ok(()),
            },
        );
        assert_eq!(no_tool, Err("no network"));
    }
}
