//! Bounds on the requests of one client address and of one session (`RATE_LIMIT_PER_ADDRESS`, `RATE_LIMIT_PER_SESSION`).

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The most keys that are remembered, in some megabytes. With more, counting begins anew.
const MAX_REMEMBERED: usize = 65_536;
/// The time whose requests may come all at once.
const BURST: Duration = Duration::from_secs(1);

/// A token bucket for each key: a rate, and as many requests at once as come in a second.
pub(crate) struct RateLimit<K> {
    /// The time that one request is worth.
    interval: Duration,
    /// The time at which the bucket of a key is full again.
    full_at: Mutex<HashMap<K, Instant>>,
}

impl<K: Eq + Hash> RateLimit<K> {
    /// Takes this many requests per second of each key.
    pub(crate) fn new(per_second: u32) -> Self {
        Self { interval: BURST / per_second.max(1), full_at: Mutex::default() }
    }

    /// Returns false if a request of this key is one too many.
    pub(crate) fn admit(&self, key: K, now: Instant) -> bool {
        let mut full_at = self.full_at.lock();
        if full_at.len() >= MAX_REMEMBERED {
            full_at.retain(|_, full_at| *full_at > now);
            if full_at.len() >= MAX_REMEMBERED {
                full_at.clear();
            }
        }
        let full = full_at.entry(key).or_insert(now);
        let next = (*full).max(now) + self.interval;
        let is_admitted = next - now <= BURST;
        if is_admitted {
            *full = next;
        }
        is_admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rate_is_exact_and_each_key_has_its_own() {
        let (limit, began) = (RateLimit::new(50), Instant::now());
        let at_once = (0..200).filter(|_| limit.admit("a", began)).count();
        assert_eq!(at_once, 50);
        assert!(limit.admit("b", began));
        // Ten times the rate for ten seconds.
        let admitted =
            (1..=5_000).filter(|n| limit.admit("a", began + Duration::from_millis(2) * *n)).count();
        assert!((495..=505).contains(&admitted), "{admitted}");
    }

    #[test]
    fn memory_is_bounded() {
        let (limit, now) = (RateLimit::new(1), Instant::now());
        for number in 0..2 * MAX_REMEMBERED {
            assert!(limit.admit(number, now));
        }
        assert!(limit.full_at.lock().len() <= MAX_REMEMBERED);
    }
}
