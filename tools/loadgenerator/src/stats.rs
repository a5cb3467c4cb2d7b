//! Statistics: counts, failures and latencies by request, by second and by step of the plan.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

/// The most different failures that are told apart.
const MOST_REASONS: usize = 20;
/// The most points of a time line; beyond, each becomes the worse of two.
const MOST_POINTS: usize = 1_200;
/// Latencies count in microseconds, up to a minute, with three digits.
const LONGEST: u64 = 60_000_000;

/// A request's kind: its method and the name it is counted under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) name: &'static str,
}

/// The due time and the time of sending of a request.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    /// The time that latency counts from.
    pub(crate) due: Instant,
    pub(crate) sent: Instant,
}

impl Start {
    /// A start outside of any schedule.
    pub(crate) fn now() -> Self {
        let now = Instant::now();
        Self { due: now, sent: now }
    }
}

/// Requests of one kind.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) failures: u64,
    /// Microseconds from when each was due to the end of its answer.
    pub(crate) latency: Histogram<u64>,
}

/// One second, or as many as `seconds` says.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    /// From the beginning.
    pub(crate) at: f64,
    pub(crate) seconds: f64,
    pub(crate) requests: u64,
    pub(crate) failures: u64,
    /// Microseconds.
    pub(crate) p50: u64,
    pub(crate) p90: u64,
    pub(crate) p99: u64,
    pub(crate) max: u64,
}

/// A part of the plan at one arrival rate.
#[derive(Debug, Clone)]
pub(crate) struct Step {
    pub(crate) rps: f64,
    pub(crate) seconds: f64,
    pub(crate) row: Row,
    /// Microseconds that failed requests took.
    pub(crate) failed: Histogram<u64>,
    /// Arrivals that were given up because the step had failed.
    pub(crate) abandoned: u64,
}

/// Everything that happened so far.
pub(crate) struct Stats {
    began: Cell<Instant>,
    inner: RefCell<Inner>,
}

#[derive(Clone)]
pub(crate) struct Inner {
    pub(crate) rows: BTreeMap<Route, Row>,
    pub(crate) all: Row,
    pub(crate) reasons: BTreeMap<String, u64>,
    pub(crate) points: Vec<Point>,
    pub(crate) steps: Vec<Step>,
    /// Microseconds that requests were sent later than they were due.
    pub(crate) lag: Histogram<u64>,
    second: Row,
    second_began: Instant,
}

impl Default for Row {
    fn default() -> Self {
        // The bounds are good; a histogram without any would be empty.
        let latency = Histogram::new_with_bounds(1, LONGEST, 3);
        Self { failures: 0, latency: latency.unwrap_or_else(|_| unreachable!("good bounds")) }
    }
}

impl Row {
    fn add(&mut self, micros: u64, failed: bool) {
        self.latency.saturating_record(micros);
        self.failures += u64::from(failed);
    }

    pub(crate) fn requests(&self) -> u64 {
        self.latency.len()
    }

    /// The share of failures, 0 to 1.
    pub(crate) fn error_ratio(&self) -> f64 {
        self.failures as f64 / self.requests().max(1) as f64
    }

    /// A percentile in milliseconds.
    pub(crate) fn millis(&self, percentile: f64) -> f64 {
        millis(&self.latency, percentile)
    }
}

/// A percentile in milliseconds.
pub(crate) fn millis(latency: &Histogram<u64>, percentile: f64) -> f64 {
    latency.value_at_percentile(percentile) as f64 / 1e3
}

impl Step {
    /// Microseconds that requests took that did not fail.
    pub(crate) fn succeeded(&self) -> Histogram<u64> {
        let mut latency = self.row.latency.clone();
        // Each of them was recorded in both.
        let _ = latency.subtract(&self.failed);
        latency
    }

    /// Requests per second that did not fail.
    pub(crate) fn goodput(&self) -> f64 {
        (self.row.requests() - self.row.failures) as f64 / self.seconds.max(1e-9)
    }
}

impl Stats {
    pub(crate) fn new() -> Self {
        let began = Instant::now();
        let inner = Inner {
            rows: BTreeMap::new(),
            all: Row::default(),
            reasons: BTreeMap::new(),
            points: Vec::new(),
            steps: Vec::new(),
            lag: Row::default().latency,
            second: Row::default(),
            second_began: began,
        };
        Self { began: Cell::new(began), inner: RefCell::new(inner) }
    }

    /// Time counts from now.
    pub(crate) fn begin(&self) {
        self.began.set(Instant::now());
        self.inner.borrow_mut().second_began = self.began.get();
    }

    /// Returns the time since the begin.
    pub(crate) fn took(&self) -> Duration {
        self.began.get().elapsed()
    }

    /// One request, ended now.
    pub(crate) fn note(&self, route: Route, start: Start, outcome: &anyhow::Result<()>) {
        let micros = |since: Duration| u64::try_from(since.as_micros()).unwrap_or(LONGEST);
        let (latency, failed) = (micros(start.due.elapsed()), outcome.is_err());
        let mut inner = self.inner.borrow_mut();
        inner.rows.entry(route).or_default().add(latency, failed);
        inner.all.add(latency, failed);
        inner.second.add(latency, failed);
        inner.lag.saturating_record(micros(start.sent.saturating_duration_since(start.due)));
        if let Some(step) = inner.steps.last_mut() {
            step.row.add(latency, failed);
            if failed {
                step.failed.saturating_record(latency);
            }
        }
        if let Err(error) = outcome {
            let reason = format!("{} {}: {error:#}", route.method, route.name);
            if inner.reasons.len() < MOST_REASONS || inner.reasons.contains_key(&reason) {
                *inner.reasons.entry(reason).or_default() += 1;
            }
        }
    }

    /// Ends the last second, if it has anything to tell.
    pub(crate) fn last_tick(&self) {
        if self.inner.borrow().second.requests() > 0 {
            self.tick();
        }
    }

    /// Ends a second, and answers it.
    pub(crate) fn tick(&self) -> Point {
        let mut inner = self.inner.borrow_mut();
        let now = Instant::now();
        let at = |percentile| inner.second.latency.value_at_percentile(percentile);
        let point = Point {
            at: self.took().as_secs_f64(),
            seconds: (now - inner.second_began).as_secs_f64(),
            requests: inner.second.requests(),
            failures: inner.second.failures,
            p50: at(50.0),
            p90: at(90.0),
            p99: at(99.0),
            max: inner.second.latency.max(),
        };
        inner.second.latency.reset();
        inner.second.failures = 0;
        inner.second_began = now;
        inner.points.push(point);
        if inner.points.len() > MOST_POINTS {
            inner.points = inner.points.chunks(2).map(worse).collect();
        }
        point
    }

    /// Begins a part of the plan; what ends from now on belongs to it.
    pub(crate) fn begin_step(&self, rps: f64) {
        let (row, failed) = (Row::default(), Row::default().latency);
        let step = Step { rps, seconds: 0.0, row, failed, abandoned: 0 };
        self.inner.borrow_mut().steps.push(step);
    }

    /// Ends it.
    pub(crate) fn end_step(&self, took: Duration, abandoned: u64) -> Option<Step> {
        let mut inner = self.inner.borrow_mut();
        let step = inner.steps.last_mut()?;
        (step.seconds, step.abandoned) = (took.as_secs_f64(), abandoned);
        Some(step.clone())
    }

    pub(crate) fn failures(&self) -> u64 {
        self.inner.borrow().all.failures
    }

    /// Everything, as it stands.
    pub(crate) fn snapshot(&self) -> Inner {
        self.inner.borrow().clone()
    }
}

/// Two seconds as one that is as bad as the worse.
fn worse(pair: &[Point]) -> Point {
    let fold = |one: Point, other: &Point| Point {
        at: other.at,
        seconds: one.seconds + other.seconds,
        requests: one.requests + other.requests,
        failures: one.failures + other.failures,
        p50: one.p50.max(other.p50),
        p90: one.p90.max(other.p90),
        p99: one.p99.max(other.p99),
        max: one.max.max(other.max),
    };
    pair.iter().skip(1).fold(pair[0], fold)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_time_line_becomes_coarser_and_loses_nothing() {
        let stats = Stats::new();
        let route = Route { method: "GET", name: "/" };
        for _ in 0..=MOST_POINTS {
            let now = Instant::now();
            stats.note(route, Start { due: now, sent: now }, &Ok(()));
            stats.tick();
        }
        let points = stats.snapshot().points;
        assert_eq!(points.len(), MOST_POINTS / 2 + 1);
        assert_eq!(points.iter().map(|point| point.requests).sum::<u64>(), MOST_POINTS as u64 + 1);
    }
}
