//! Whether a stream lives: by its callbacks, not by the errors that drivers report.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cpal::ErrorKind;
use crossbeam::queue::ArrayQueue;

/// A stream that never called back is dead after so long, one that stands still after this, and one that reports errors
/// meanwhile after the last.
// A sound server takes a second or two to wake a device. ALSA's PulseAudio plugin reports an I/O error at some xruns and
// goes on within a period; when its server is gone it repeats the error without end.
const DEAD: (Duration, Duration, Duration) =
    (Duration::from_secs(5), Duration::from_secs(2), Duration::from_millis(500));
/// Errors without a callback in between, from which on the reporting thread is slowed.
// It would take a whole core: a broken stream is polled without a wait.
const STORM: u64 = 3;
const NAP: Duration = Duration::from_millis(10);

/// What a stream's callbacks leave for the thread that watches. Atomics and a queue, since device threads write it.
#[derive(Debug)]
pub(crate) struct Health {
    calls: AtomicU64,
    /// Errors from which the stream went on, and those since the last callback.
    recovered: AtomicU64,
    errors_in_a_row: AtomicU64,
    /// Microseconds that the samples of the last callback wait before they sound.
    delay_us: AtomicU64,
    /// The first error that ends the stream. A full queue holds one already, and one is enough.
    fatal: ArrayQueue<cpal::Error>,
    /// The latest other error.
    latest: ArrayQueue<cpal::Error>,
}

impl Health {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            calls: AtomicU64::new(0),
            recovered: AtomicU64::new(0),
            errors_in_a_row: AtomicU64::new(0),
            delay_us: AtomicU64::new(0),
            fatal: ArrayQueue::new(1),
            latest: ArrayQueue::new(1),
        })
    }

    /// Notes a callback whose samples sound after `delay`.
    pub(super) fn note_call(&self, delay: Duration) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.errors_in_a_row.store(0, Ordering::Relaxed);
        self.delay_us.store(delay.as_micros() as u64, Ordering::Relaxed);
    }

    /// Notes an error that `cpal` reports.
    pub(crate) fn note_error(&self, error: cpal::Error) {
        match error.kind() {
            // Nothing was lost.
            ErrorKind::RealtimeDenied | ErrorKind::DeviceChanged => {}
            // `cpal` ends the stream with these.
            ErrorKind::DeviceNotAvailable | ErrorKind::StreamInvalidated | ErrorKind::HostUnavailable => {
                drop(self.fatal.push(error));
            }
            // All others may pass: it goes on from an xrun by itself, and from an error that it does not know it goes
            // on polling. Whether that helps, the callbacks tell.
            _ => {
                self.recovered.fetch_add(1, Ordering::Relaxed);
                self.latest.force_push(error);
                if self.errors_in_a_row.fetch_add(1, Ordering::Relaxed) >= STORM {
                    std::thread::sleep(NAP);
                }
            }
        }
    }

    /// Errors so far from which the stream went on, most of them xruns.
    pub(super) fn recovered_errors(&self) -> u64 {
        let pending = self.errors_in_a_row.load(Ordering::Relaxed);
        self.recovered.load(Ordering::Relaxed).saturating_sub(pending)
    }

    /// How long the samples of the last callback wait before they sound.
    pub(super) fn delay(&self) -> Duration {
        Duration::from_micros(self.delay_us.load(Ordering::Relaxed))
    }
}

/// Watches a stream's health.
#[derive(Debug)]
pub(super) struct Watch {
    calls: u64,
    /// When the last callback was noticed, or the stream was opened.
    since: Instant,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self { calls: 0, since: Instant::now() }
    }

    /// Why the stream is taken for dead, if it is.
    pub(super) fn find_failure(&mut self, health: &Health) -> Option<String> {
        if let Some(error) = health.fatal.pop() {
            return Some(error.to_string());
        }
        let calls = health.calls.load(Ordering::Relaxed);
        if calls != self.calls {
            (self.calls, self.since) = (calls, Instant::now());
            return None;
        }
        let still = self.since.elapsed();
        let errors = health.errors_in_a_row.load(Ordering::Relaxed) > 0;
        let dead = match (calls, errors) {
            (0, false) => still > DEAD.0,
            (_, false) => still > DEAD.1,
            (_, true) => still > DEAD.2,
        };
        let reason = || match health.latest.pop().filter(|_| errors) {
            Some(error) => error.to_string(),
            // A device that was pulled out often reports no error and just stops asking.
            None => "it stands still".to_owned(),
        };
        dead.then(reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_between_callbacks_are_counted_and_those_without_callbacks_are_a_failure() {
        let (health, mut watch) = (Health::new(), Watch::new());
        let error = |kind| health.note_error(cpal::Error::new(kind));
        health.note_call(Duration::from_millis(30));
        error(ErrorKind::BackendError);
        assert_eq!(watch.find_failure(&health), None);
        assert_eq!(health.recovered_errors(), 0, "not before it went on");
        health.note_call(Duration::from_millis(30));
        error(ErrorKind::RealtimeDenied);
        assert_eq!((watch.find_failure(&health), health.recovered_errors()), (None, 1));
        assert_eq!(health.delay(), Duration::from_millis(30));
        watch.since -= Duration::from_millis(600);
        assert_eq!(watch.find_failure(&health), None, "no error, so it gets two seconds");
        error(ErrorKind::BackendError);
        assert!(watch.find_failure(&health).is_some_and(|r| r.contains("unclassified")));
    }

    #[test]
    fn a_stream_that_stands_still_or_says_so_has_failed() {
        let (health, mut watch) = (Health::new(), Watch::new());
        watch.since -= Duration::from_secs(3);
        assert_eq!(watch.find_failure(&health), None, "servers start devices slowly");
        watch.since -= Duration::from_secs(3);
        assert_eq!(watch.find_failure(&health).as_deref(), Some("it stands still"));
        health.note_call(Duration::ZERO);
        assert_eq!(watch.find_failure(&health), None);
        health.note_error(cpal::Error::new(ErrorKind::DeviceNotAvailable));
        assert!(watch.find_failure(&health).is_some());
    }
}
