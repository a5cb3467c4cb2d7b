//! The load of an endpoint, as its caller sees it: a moving average of its answer times, and the calls in flight.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// The part of each second by which an average falls: what was slow for a moment is used again after a moment, and what
/// answers a second late is tried every ten seconds.
const FALL: f64 = 0.05;
/// The part of an answer slower than the average that the average takes over.
const RISE: f64 = 0.5;
/// The average after a failure, at least: an endpoint that fails fast must not look fast.
const PENALTY: Duration = Duration::from_millis(500);
/// Averages below this count as equal, because the noise of a machine is as large. It is that of a new endpoint, too.
const FLOOR: Duration = Duration::from_millis(5);

/// The load of one endpoint. Times are since any fixed instant.
#[derive(Debug, Default)]
pub(super) struct Load {
    /// The average in nanoseconds, as of `observed`.
    average: AtomicU64,
    observed: AtomicU64,
    pending: AtomicU32,
}

impl Load {
    /// Returns the cost of a call more: the average answer time in seconds, once for each call in flight and this one.
    pub(super) fn cost(&self, now: Duration) -> f64 {
        let pending = f64::from(self.pending());
        self.average(now).max(FLOOR.as_secs_f64()) * (pending + 1.0)
    }

    /// Returns the average answer time in seconds.
    fn average(&self, now: Duration) -> f64 {
        let average = self.average.load(Ordering::Relaxed);
        let observed = Duration::from_nanos(self.observed.load(Ordering::Relaxed));
        let age = now.saturating_sub(observed).as_secs_f64();
        (Duration::from_nanos(average).as_secs_f64() - FALL * age).max(0.0)
    }

    /// Returns the number of calls in flight.
    pub(super) fn pending(&self) -> u32 {
        self.pending.load(Ordering::Relaxed)
    }

    /// Counts a call in flight, and returns how many there were before.
    pub(super) fn start(&self) -> u32 {
        self.pending.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes back a call in flight.
    pub(super) fn end(&self) {
        self.pending.fetch_sub(1, Ordering::Relaxed);
    }

    /// Takes an answer into the average. Faster ones let it fall with time.
    pub(super) fn observe(&self, now: Duration, took: Duration) {
        let (average, took) = (self.average(now), took.as_secs_f64());
        self.set(now, if took > average { average + RISE * (took - average) } else { average });
    }

    /// Takes a failure into the average.
    pub(super) fn observe_failure(&self, now: Duration) {
        self.set(now, self.average(now).max(PENALTY.as_secs_f64()));
    }

    /// Forgets what was observed.
    pub(super) fn reset(&self) {
        self.average.store(0, Ordering::Relaxed);
    }

    fn set(&self, now: Duration, average: f64) {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.average.store(nanos(Duration::from_secs_f64(average)), Ordering::Relaxed);
        self.observed.store(nanos(now), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn cost_is_the_average_for_each_call() {
        let load = Load::default();
        let idle = load.cost(millis(0));
        load.start();
        load.start();
        assert!((load.cost(millis(0)) / idle - 3.0).abs() < 1e-9);
        load.end();
        load.end();
        for call in 0..20 {
            load.observe(millis(call), millis(100));
        }
        assert!((0.09..=0.1).contains(&load.cost(millis(20))), "{}", load.cost(millis(20)));
        // What was slow is tried again after a while.
        assert!(load.cost(millis(1_000)) < 0.06);
        assert!((load.cost(millis(10_000)) - idle).abs() < 1e-9);
    }

    #[test]
    fn noise_leaves_endpoints_equal_and_failing_fast_does_not_pay() {
        let (quick, quicker, failing) = (Load::default(), Load::default(), Load::default());
        quick.observe(millis(1), Duration::from_micros(900));
        quicker.observe(millis(1), Duration::from_micros(90));
        failing.observe_failure(millis(1));
        let now = millis(2);
        assert!((quick.cost(now) - quicker.cost(now)).abs() < 1e-9);
        assert!(failing.cost(now) > 50.0 * quick.cost(now));
        failing.reset();
        assert!((failing.cost(now) - quick.cost(now)).abs() < 1e-9);
    }
}
