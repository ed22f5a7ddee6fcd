//! What the streams of a process have in common is held once.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::kept;

/// Values by key, each held for as long as somebody uses it, and as [`keep_unused_for`](crate::keep_unused_for) says longer.
///
/// ```
/// use siskin_model::SharedCache;
/// use std::sync::Arc;
///
/// static TEXTS: SharedCache<u32, String> = SharedCache::new();
/// let first = TEXTS.share(7, || Ok::<_, ()>("weights".into()))?;
/// let second = TEXTS.share(7, || Ok::<_, ()>("never made".into()))?;
/// assert!(Arc::ptr_eq(&first, &second));
/// # Ok::<(), ()>(())
/// ```
#[derive(Debug)]
pub struct SharedCache<K, V>(Mutex<Vec<(K, Weak<V>)>>);

impl<K: PartialEq, V: Send + Sync + 'static> SharedCache<K, V> {
    /// An empty cache.
    pub const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// The value of a key: the one in use, or else what `make` returns. Two threads that make one at the same time
    /// both get the one that is ready first.
    ///
    /// # Errors
    /// What `make` returns.
    pub fn share<E>(&self, key: K, make: impl FnOnce() -> Result<V, E>) -> Result<Arc<V>, E> {
        if let Some(value) = self.find(&key) {
            return Ok(value);
        }
        // Without the lock: others' values must not wait for this one.
        let made = Arc::new(make()?);
        let mut values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let other = values.iter().find(|(k, _)| *k == key).and_then(|(_, value)| value.upgrade());
        Ok(other.unwrap_or_else(|| {
            values.retain(|(k, value)| *k != key && value.strong_count() > 0);
            values.push((key, Arc::downgrade(&made)));
            // One is the keeper's own.
            kept::keep(&made, |value| Arc::strong_count(value) > 1);
            made
        }))
    }

    /// The value of a key, if it is in use or kept.
    pub(crate) fn find(&self, key: &K) -> Option<Arc<V>> {
        let values = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        values.iter().find(|(k, _)| k == key).and_then(|(_, value)| value.upgrade())
    }
}

impl<K: PartialEq, V: Send + Sync + 'static> Default for SharedCache<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lives_as_long_as_its_users() {
        let cache = SharedCache::new();
        let make = |text: &str| Ok::<_, ()>(text.to_owned());
        let first = cache.share(1, || make("a")).expect("made");
        assert_eq!(*cache.share(1, || make("b")).expect("shared"), "a");
        assert_eq!(*cache.share(2, || make("c")).expect("made"), "c");
        drop(first);
        assert_eq!(*cache.share(1, || make("d")).expect("made anew"), "d");
        assert_eq!(cache.share(3, || Err::<String, _>("no")), Err("no"));
        assert_eq!(cache.0.lock().expect("not poisoned").len(), 1, "dead entries go");
    }
}
