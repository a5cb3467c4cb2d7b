//! A cache of answers with a time to live; concurrent requests for the same answer share one call.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

use crate::env::{Env, EnvError};

/// The most entries; beyond it, expired ones are dropped, or all if none is.
const MAX_ENTRIES: usize = 16 * 1024;

/// Answers by key, kept for `CACHE_TTL`; without that setting nothing is kept.
#[derive(Debug)]
pub struct Cache<K, V> {
    ttl: Duration,
    entries: Mutex<HashMap<K, Arc<Entry<V>>>>,
}

#[derive(Debug)]
struct Entry<V> {
    born: Instant,
    answer: OnceCell<V>,
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    /// A cache for as long as `CACHE_TTL` says; off when that is absent or 0.
    pub fn from_env(env: &Env) -> Result<Self, EnvError> {
        let ttl = env.duration("CACHE_TTL")?.unwrap_or_default();
        Ok(Self { ttl, entries: Mutex::default() })
    }

    /// Returns true if anything is kept.
    pub fn is_on(&self) -> bool {
        !self.ttl.is_zero()
    }

    /// Returns the answer that is kept for `question`, or calls `ask`. Errors are not kept. A call that is in flight is
    /// waited for; if it fails or is cancelled, one of those who wait calls again.
    pub async fn get<Q, E>(
        &self,
        question: &Q,
        ask: impl AsyncFnOnce() -> Result<V, E>,
    ) -> Result<V, E>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        // Boxed, because a page asks for much at a time and would carry all of that with it.
        if !self.is_on() {
            return Box::pin(ask()).await;
        }
        let entry = self.entry(question);
        if let Some(answer) = entry.answer.get() {
            return Ok(answer.clone());
        }
        Box::pin(entry.answer.get_or_try_init(|| ask())).await.cloned()
    }

    fn entry<Q>(&self, question: &Q) -> Arc<Entry<V>>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
    {
        let now = Instant::now();
        let is_fresh = |entry: &Arc<Entry<V>>| now.duration_since(entry.born) < self.ttl;
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = entries.get(question).filter(|entry| is_fresh(entry)) {
            return entry.clone();
        }
        if entries.len() >= MAX_ENTRIES {
            entries.retain(|_, entry| is_fresh(entry));
            if entries.len() >= MAX_ENTRIES {
                entries.clear();
            }
        }
        let entry = Arc::new(Entry { born: now, answer: OnceCell::new() });
        entries.insert(question.to_owned(), entry.clone());
        entry
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    fn cache(ttl: &str) -> Cache<String, usize> {
        Cache::from_env(&Env::from([("CACHE_TTL", ttl)])).unwrap()
    }

    /// Answers how often it was asked.
    async fn ask(asked: &AtomicUsize) -> Result<usize, ()> {
        tokio::task::yield_now().await;
        Ok(asked.fetch_add(1, Ordering::SeqCst) + 1)
    }

    #[tokio::test]
    async fn concurrent_requests_share_one_call() {
        let (cache, asked) = (cache("1h"), AtomicUsize::new(0));
        let all = join_all((0..9).map(|_| cache.get("a", async || ask(&asked).await))).await;
        assert_eq!(all, [Ok(1); 9]);
        assert_eq!(cache.get("b", async || ask(&asked).await).await, Ok(2));
    }

    #[tokio::test]
    async fn answer_expires() {
        let (cache, asked) = (cache("20ms"), AtomicUsize::new(0));
        let began = Instant::now();
        while cache.get("a", async || ask(&asked).await).await != Ok(2) {
            assert!(began.elapsed() < Duration::from_secs(10));
        }
        assert!(began.elapsed() >= Duration::from_millis(20));
    }

    #[tokio::test]
    async fn error_is_not_kept() {
        let (cache, asked) = (cache("1h"), AtomicUsize::new(0));
        assert_eq!(cache.get("a", async || Err(())).await, Err(()));
        assert_eq!(cache.get("a", async || ask(&asked).await).await, Ok(1));
    }

    #[tokio::test]
    async fn nothing_is_kept_without_a_time_to_live() {
        let cache: Cache<String, usize> = Cache::from_env(&Env::default()).unwrap();
        let asked = AtomicUsize::new(0);
        assert_eq!(cache.get("a", async || ask(&asked).await).await, Ok(1));
        assert_eq!(cache.get("a", async || ask(&asked).await).await, Ok(2));
        assert!(!cache.is_on());
    }

    #[tokio::test]
    async fn size_is_bounded() {
        let cache: Cache<u32, usize> = Cache::from_env(&Env::from([("CACHE_TTL", "1h")])).unwrap();
        for question in 0..40_000 {
            let answer: Result<usize, ()> = cache.get(&question, async || Ok(1)).await;
            assert_eq!(answer, Ok(1));
        }
        assert!(cache.entries.lock().unwrap().len() <= MAX_ENTRIES);
    }
}
