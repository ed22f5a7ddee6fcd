//! Sessions that the streams of a process share.
//!
//! A session of the audio decoder takes 9 MB, since ONNX Runtime widens the weights to 32 bits for each; a stream's own
//! tensors take some kilobytes. Runs of one session must not overlap (`ort` takes `&mut` because execution providers
//! are not safe to run from two threads at once), so there are as many sessions as cores: more could not run at the
//! same time anyway.

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::available_parallelism;

use ort::session::Session;

use crate::kept;
use crate::runtime::options::RuntimeOptions;
use crate::runtime::provider::Provider;
use crate::{Error, Result};

/// What makes two sessions the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SessionKey {
    /// SHA-256 of the graph.
    graph: [u8; 32],
    provider: Provider,
    device: i32,
    threads: usize,
    engine_cache: Option<PathBuf>,
}

impl SessionKey {
    pub(super) fn new(options: &RuntimeOptions, graph: [u8; 32]) -> Self {
        let RuntimeOptions { provider, device, threads, engine_cache } = options.clone();
        Self { graph, provider, device, threads, engine_cache }
    }

    /// Sessions of a key that can run at the same time.
    fn max_sessions(&self) -> usize {
        available_parallelism().map_or(1, NonZero::get).div_ceil(self.threads.max(1))
    }
}

/// A session and the provider that runs it; none until it is open.
#[derive(Debug, Default)]
struct SharedSession {
    slot: Mutex<Option<(Session, Provider)>>,
    users: AtomicUsize,
}

static SESSIONS: Mutex<Vec<(SessionKey, Weak<SharedSession>)>> = Mutex::new(Vec::new());

/// A stream's part in a session.
#[derive(Debug)]
pub(super) struct SessionUser(Arc<SharedSession>);

impl Drop for SessionUser {
    fn drop(&mut self) {
        self.0.users.fetch_sub(1, Ordering::AcqRel);
    }
}

impl SessionUser {
    /// The session of a key that has the fewest users, and its provider; `open` opens another one where there are fewer
    /// than cores and none is without a user.
    ///
    /// # Errors
    /// What `open` returns.
    pub(super) fn acquire(
        key: &SessionKey,
        open: impl FnOnce() -> Result<(Session, Provider)>,
    ) -> Result<(Self, Provider)> {
        let session = Self::reserve(key);
        // Whoever shares it waits here: ten streams that start at once must not open ten.
        let mut slot = lock(&session.0.slot);
        let provider = match &*slot {
            Some((_, provider)) => *provider,
            // After a failure too, which each user then meets by himself.
            None => slot.insert(open()?).1,
        };
        drop(slot);
        Ok((session, provider))
    }

    fn reserve(key: &SessionKey) -> Self {
        let mut all = lock(&SESSIONS);
        all.retain(|(_, session)| session.strong_count() > 0);
        let own: Vec<_> = all.iter().filter(|(k, _)| k == key).filter_map(|(_, s)| s.upgrade()).collect();
        let count = own.len();
        // Users come under this lock only, so none comes in between; one that goes makes the session the better choice.
        let users = |session: &Arc<SharedSession>| session.users.load(Ordering::Acquire);
        let least = own.into_iter().min_by_key(users);
        let session = least.filter(|least| count >= key.max_sessions() || users(least) == 0);
        let session = session.unwrap_or_else(|| {
            let session = Arc::new(SharedSession::default());
            all.push((key.clone(), Arc::downgrade(&session)));
            kept::keep(&session, |session| session.users.load(Ordering::Acquire) > 0);
            session
        });
        session.users.fetch_add(1, Ordering::AcqRel);
        Self(session)
    }

    /// Does something with the session while nobody else does; `file` is the network's name in errors.
    ///
    /// # Errors
    /// [`Error::Network`] with what `work` returns.
    pub(super) fn with<R>(&self, file: &str, work: impl FnOnce(&mut Session) -> ort::Result<R>) -> Result<R> {
        match &mut *lock(&self.0.slot) {
            Some((session, _)) => work(session).map_err(|e| Error::network(file, e)),
            // `acquire` gives out open ones only.
            None => Err(Error::network(file, "the session is not open")),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A run that panicked leaves nothing half done in the session that the next would not replace.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::*;
    use crate::bundle::Bundle;
    use crate::runtime::onnx::library::shared_environment;
    use crate::runtime::onnx::step::OnnxNetwork;
    use crate::runtime::{GraphFile, HashedGraph};

    #[test]
    fn there_are_as_many_sessions_as_cores_and_none_without_users() {
        let environment = shared_environment().expect("ONNX Runtime");
        let bundle = Bundle::find("speech-24k").expect("the shipped bundle");
        let spec = &bundle.manifest().decoder;
        let graph = &bundle.file_bytes(&spec.file).expect("its graph");
        let graph = &HashedGraph::from_bytes(graph);
        // A key that no other test has.
        let options = RuntimeOptions { device: 7, provider: Provider::Cpu, ..Default::default() };
        let key = SessionKey::new(&options, graph.hash());
        let alive = || lock(&SESSIONS).iter().filter(|(k, s)| *k == key && s.strong_count() > 0).count();
        let cores = key.max_sessions();
        let streams: Vec<_> = std::thread::scope(|scope| {
            let open = || OnnxNetwork::new(environment, &options, spec, graph, 1).expect("a network");
            let threads: Vec<_> = (0..cores + 3).map(|_| scope.spawn(open)).collect();
            threads.into_iter().map(|t| t.join().expect("no panic")).collect()
        });
        assert_eq!(alive(), cores);
        drop(streams);
        assert_eq!(alive(), 0);
        // More threads of one session leave fewer sessions to run side by side.
        let wide = RuntimeOptions { threads: cores, ..options };
        assert_eq!(SessionKey::new(&wide, graph.hash()).max_sessions(), 1);
        // A session that cannot be opened is an error for each who asks, and is not kept.
        for _ in 0..2 {
            let none = HashedGraph::from_bytes(&[0x3a]);
            assert!(OnnxNetwork::new(environment, &wide, spec, &none, 1).is_err());
        }
    }

    #[test]
    fn a_graph_that_is_open_is_not_read_again() {
        let environment = shared_environment().expect("ONNX Runtime");
        let bundle = Bundle::find("speech-24k").expect("the shipped bundle");
        let spec = &bundle.manifest().decoder;
        let hash = HashedGraph::from_bytes(&bundle.file_bytes(&spec.file).expect("its graph")).hash();
        // A key that no other test has, and that one session serves.
        let threads = available_parallelism().map_or(1, NonZero::get);
        let options = RuntimeOptions { device: 8, provider: Provider::Cpu, threads, ..Default::default() };
        struct Counted<'a>(&'a Bundle, AtomicUsize);
        impl GraphFile for Counted<'_> {
            fn read_graph(&self) -> Result<Cow<'_, [u8]>> {
                self.1.fetch_add(1, Ordering::Relaxed);
                self.0.file_bytes(&self.0.manifest().decoder.file)
            }
        }
        let file = Counted(&bundle, AtomicUsize::new(0));
        let open = || {
            let graph = HashedGraph::from_file(hash, &file);
            OnnxNetwork::new(environment, &options, spec, &graph, 1).expect("a network")
        };
        let streams = [open(), open(), open()];
        assert_eq!(file.1.load(Ordering::Relaxed), 1);
        drop(streams);
        open();
        assert_eq!(file.1.load(Ordering::Relaxed), 2, "nobody had it open");
    }
}
