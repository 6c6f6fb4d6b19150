//! Nonces of notifications that were believed, for as long as their time stamps would be believed again. Bounded in time
//! and in number: what is forgotten too early could be replayed, which changes nothing, because a notice is inserted once.

use std::{
    collections::HashSet,
    hash::{BuildHasher as _, RandomState},
    sync::{Mutex, PoisonError},
};

/// Nonces of one generation; there are two.
const AT_MOST: usize = 500_000;

/// The nonces that were seen.
pub(super) struct Nonces {
    /// A generation is younger than this, in microseconds; what it holds is remembered at least as long.
    span_us: u64,
    at_most: usize,
    inner: Mutex<Inner>,
    hashers: [RandomState; 2],
}

#[derive(Default)]
struct Inner {
    now: HashSet<u128>,
    before: HashSet<u128>,
    since_us: u64,
    /// How often a generation was over before its time.
    crowded: u64,
}

impl Nonces {
    /// Remembers each nonce for at least so many microseconds, unless there are too many.
    pub(super) fn new(span_us: u64) -> Self {
        Self::holding(AT_MOST, span_us)
    }

    fn holding(at_most: usize, span_us: u64) -> Self {
        Self { span_us, at_most, inner: Mutex::default(), hashers: [RandomState::new(), RandomState::new()] }
    }

    /// Whether the nonce is new; it is remembered from now on.
    pub(super) fn is_new(&self, nonce: &str, now_us: u64) -> bool {
        let digest = self.digest(nonce);
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let is_full = inner.now.len() >= self.at_most;
        if is_full || now_us.saturating_sub(inner.since_us) >= self.span_us {
            inner.crowded += u64::from(is_full && now_us.saturating_sub(inner.since_us) < self.span_us);
            inner.before = std::mem::take(&mut inner.now);
            inner.since_us = now_us;
        }
        !inner.before.contains(&digest) && inner.now.insert(digest)
    }

    /// The message that brought it was not stored: its sender may send the very same again.
    pub(super) fn forget(&self, nonce: &str) {
        let digest = self.digest(nonce);
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.now.remove(&digest);
        inner.before.remove(&digest);
    }

    /// How many are remembered, and how often there were too many.
    pub(super) fn stats(&self) -> (usize, u64) {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        (inner.now.len() + inner.before.len(), inner.crowded)
    }

    fn digest(&self, nonce: &str) -> u128 {
        let [high, low] = self.hashers.each_ref().map(|hasher| u128::from(hasher.hash_one(nonce)));
        high << 64 | low
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_nonce_is_new_once_in_its_span(nonces in prop::collection::vec(("[a-c]{1,2}", 0_u64..30), 1..200)) {
            let store = Nonces::holding(1_000, 100);
            let mut seen: std::collections::HashMap<String, u64> = std::collections::HashMap::new();
            let mut now_us = 0;
            for (nonce, later_us) in nonces {
                now_us += later_us;
                let last = seen.get(&nonce).copied();
                let is_new = store.is_new(&nonce, now_us);
                match last {
                    None => prop_assert!(is_new),
                    Some(last_us) if now_us - last_us < 100 => prop_assert!(!is_new),
                    // Remembered or not: two generations, and the waits that end them, are the end of it.
                    Some(last_us) => prop_assert!(is_new || now_us - last_us < 260),
                }
                if is_new {
                    seen.insert(nonce, now_us);
                }
            }
        }

        #[test]
        fn it_never_holds_more_than_two_generations(nonces in prop::collection::vec(any::<u16>(), 1..500)) {
            let store = Nonces::holding(16, 1_000_000);
            for nonce in nonces {
                store.is_new(&nonce.to_string(), 1);
                prop_assert!(store.stats().0 <= 32);
            }
        }
    }

    #[test]
    fn what_was_forgotten_is_new_again() {
        let store = Nonces::new(1_000);
        assert!(store.is_new("a", 1) && !store.is_new("a", 2));
        store.forget("a");
        assert!(store.is_new("a", 3));
    }
}
