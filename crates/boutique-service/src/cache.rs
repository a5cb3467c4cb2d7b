//! A cache of answers with a time to live and a bounded size; concurrent requests for the same answer share one call.

use std::hash::Hash;
use std::time::{Duration, Instant};

use quick_cache::sync::{Cache as Entries, EntryAction, EntryResult};
use quick_cache::{Equivalent, OptionsBuilder, Weighter};

use crate::env::{Env, EnvError};
use crate::metrics::{Counter, Meter};

/// The most bytes of all answers of one cache with their keys, as its `weigh` counts them.
const MAX_BYTES: u64 = 4 * 1024 * 1024;
/// The bytes of an entry beside its key and its answer.
const ENTRY: u64 = 64;

/// Answers by key, kept for a while; those that are asked for least give way to others.
#[derive(Debug)]
pub struct Cache<K, V> {
    ttl: Duration,
    entries: Entries<K, Entry<V>, Weigh<K, V>>,
    hits: Counter,
    misses: Counter,
}

#[derive(Debug, Clone)]
struct Entry<V> {
    born: Instant,
    answer: V,
}

/// Returns how many bytes a key and its answer take, beside their own size.
type WeighFn<K, V> = fn(&K, &V) -> usize;

#[derive(Debug)]
struct Weigh<K, V>(WeighFn<K, V>);

impl<K, V> Clone for Weigh<K, V> {
    fn clone(&self) -> Self {
        Self(self.0)
    }
}

impl<K, V> Weighter<K, Entry<V>> for Weigh<K, V> {
    fn weight(&self, key: &K, entry: &Entry<V>) -> u64 {
        ENTRY + (self.0)(key, &entry.answer) as u64
    }
}

impl<K: Eq + Hash, V: Clone> Cache<K, V> {
    /// A cache for as long as `CACHE_TTL` says; off when that is absent or 0. `weigh` returns the bytes that a key and
    /// an answer have on the heap.
    pub fn from_env(env: &Env, meter: &Meter, weigh: WeighFn<K, V>) -> Result<Self, EnvError> {
        Ok(Self::new(env.duration("CACHE_TTL")?.unwrap_or_default(), meter, weigh))
    }

    /// A cache for this long; off when that is 0.
    pub fn new(ttl: Duration, meter: &Meter, weigh: WeighFn<K, V>) -> Self {
        let mut options = OptionsBuilder::new();
        // One shard, so that one answer may take all of the room.
        options.shards(1).estimated_items_capacity(64).weight_capacity(MAX_BYTES);
        let weigh = Weigh(weigh);
        let entries = match options.build() {
            Ok(options) => Entries::with_options(
                options,
                weigh,
                quick_cache::DefaultHashBuilder::default(),
                quick_cache::sync::DefaultLifecycle::default(),
            ),
            Err(_) => Entries::with_weighter(64, MAX_BYTES, weigh),
        };
        let hits = meter.counter("cache.hits", "Answers that were taken from a cache");
        let misses = meter.counter("cache.misses", "Answers that were not in a cache");
        Self { ttl, entries, hits, misses }
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
        Q: Hash + Equivalent<K> + ToOwned<Owned = K> + ?Sized,
    {
        if !self.is_on() {
            return Box::pin(ask()).await;
        }
        let is_fresh = |entry: &Entry<V>| entry.born.elapsed() < self.ttl;
        if let Some(entry) = self.entries.get(question).filter(is_fresh) {
            self.hits.increment();
            return Ok(entry.answer);
        }
        Box::pin(async {
            let kept = self.entries.entry_async(question, |_, entry| {
                if is_fresh(entry) {
                    EntryAction::Retain(entry.answer.clone())
                } else {
                    EntryAction::ReplaceWithGuard
                }
            });
            let place = match kept.await {
                EntryResult::Retained(answer) => {
                    self.hits.increment();
                    return Ok(answer);
                }
                EntryResult::Vacant(place) | EntryResult::Replaced(place, _) => Some(place),
                // Neither is asked for above.
                EntryResult::Removed(..) | EntryResult::Timeout => None,
            };
            self.misses.increment();
            let answer = ask().await?;
            if let Some(place) = place {
                // It fails only if the entry was removed meanwhile.
                let _ = place.insert(Entry { born: Instant::now(), answer: answer.clone() });
            }
            Ok(answer)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;
    use crate::{Registry, ServiceSpec};

    fn meter() -> Meter {
        Registry::default().meter(&ServiceSpec::unlisted("test", "TEST_ADDR"))
    }

    fn cache(ttl: &str) -> Cache<String, usize> {
        Cache::from_env(&Env::from([("CACHE_TTL", ttl)]), &meter(), |key: &String, _| key.len())
            .unwrap()
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
        let cache: Cache<String, usize> =
            Cache::from_env(&Env::default(), &meter(), |_, _| 0).unwrap();
        let asked = AtomicUsize::new(0);
        assert_eq!(cache.get("a", async || ask(&asked).await).await, Ok(1));
        assert_eq!(cache.get("a", async || ask(&asked).await).await, Ok(2));
        assert!(!cache.is_on());
    }

    #[tokio::test]
    async fn bytes_are_bounded_and_what_is_asked_for_stays() {
        let (cache, asked) = (cache("1h"), AtomicUsize::new(0));
        for round in 0..2_000 {
            assert_eq!(cache.get("often", async || ask(&asked).await).await, Ok(1), "{round}");
            let once = format!("{round:020000}");
            let answer: Result<usize, ()> = cache.get(once.as_str(), async || Ok(1)).await;
            assert_eq!(answer, Ok(1));
        }
        assert!(cache.entries.weight() <= MAX_BYTES);
        assert!(cache.entries.len() <= 210, "{}", cache.entries.len());
    }

    #[tokio::test]
    async fn keys_of_failed_calls_are_not_kept() {
        let cache = cache("1h");
        for question in 0..1_000 {
            let question = format!("{question:024000}");
            assert_eq!(cache.get(question.as_str(), async || Err(())).await, Err(()));
        }
        assert_eq!((cache.entries.len(), cache.entries.weight()), (0, 0));
    }
}
