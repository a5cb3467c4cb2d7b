//! One address of a service: its connection, its load, and whether it answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use boutique_proto::Rpc as _;
use prost::Message as _;
use tokio::time::{Instant, timeout};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::connection::Connection;
use super::exchange::{Exchange, Verdict};
use super::load::Load;
use super::resolve::Place;
use crate::layers::{Request, RequestInfo};
use crate::propagation::TraceContext;
use crate::server::Check;
use crate::tls::Tls;

/// The number of calls without an answer, one after the other, after which an endpoint is out although it is healthy.
const MAX_FAILURES: u32 = 5;
/// The time without any answer after which an endpoint that has calls is checked.
const MAX_SILENCE: Duration = Duration::from_secs(1);
/// The least time between two checks of an endpoint that is not out.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The timeout of a health check, its connection included.
const CHECK_TIMEOUT: Duration = Duration::from_millis(500);
/// A call that waited less than this before its deadline says nothing about the endpoint.
const MIN_PATIENCE: Duration = Duration::from_millis(50);

/// An address that calls can go to. It outlives its removal for as long as it is called.
pub(super) struct Endpoint {
    pub(super) place: Place,
    connection: Connection,
    load: Load,
    born: Instant,
    /// Calls without an answer since the last answer.
    failures: AtomicU32,
    /// Nanoseconds after `born`: the last answer, or the start of a call where none was in flight.
    heard: AtomicU64,
    /// Nanoseconds after `born`: the start of the last check.
    checked: AtomicU64,
    is_out: AtomicBool,
    /// True if it is healthy and has answered no call since it was out: it gets one at a time.
    is_on_trial: AtomicBool,
    /// True while it is checked because it left a call without an answer: others are called first.
    is_suspect: AtomicBool,
    is_connecting: AtomicBool,
    is_checking: AtomicBool,
}

impl Endpoint {
    pub(super) fn new(place: Place, tls: Option<Arc<Tls>>) -> Self {
        Self {
            connection: Connection::new(place.clone(), tls),
            place,
            load: Load::default(),
            born: Instant::now(),
            failures: AtomicU32::new(0),
            heard: AtomicU64::new(0),
            checked: AtomicU64::new(0),
            is_out: AtomicBool::new(false),
            is_on_trial: AtomicBool::new(false),
            is_suspect: AtomicBool::new(false),
            is_connecting: AtomicBool::new(false),
            is_checking: AtomicBool::new(false),
        }
    }

    /// Sends calls over its connection, which is made if need be.
    pub(super) fn exchange(&self) -> Exchange<Connection> {
        Exchange { target: self.place.target.clone(), transport: self.connection.clone() }
    }

    /// Returns true if it gets no call now.
    pub(super) fn is_out(&self) -> bool {
        self.is_out.load(Ordering::Relaxed)
            || (self.is_on_trial.load(Ordering::Relaxed) && self.load.pending() > 0)
    }

    /// Returns true if a call can be sent now.
    pub(super) fn is_available(&self) -> bool {
        !self.is_out() && !self.is_suspect.load(Ordering::Relaxed) && self.connection.is_open()
    }

    /// Returns the number of calls in flight.
    pub(super) fn pending(&self) -> u32 {
        self.load.pending()
    }

    /// Returns true if it had a connection at any time.
    pub(super) fn was_connected(&self) -> bool {
        self.connection.was_open()
    }

    /// Returns the cost of a call more.
    pub(super) fn cost(&self) -> f64 {
        self.load.cost(self.born.elapsed())
    }

    /// Returns true for the first who asks, until [`Self::connect`] has ended: that one has to call it.
    pub(super) fn needs_connection(&self) -> bool {
        !self.is_out()
            && !self.connection.is_open()
            && !self.is_connecting.swap(true, Ordering::Relaxed)
    }

    /// Makes its connection, before a call needs it. Returns false if that is not possible.
    pub(super) async fn connect(&self) -> bool {
        let is_connected = self.connection.connect().await.is_ok();
        self.is_connecting.store(false, Ordering::Relaxed);
        is_connected
    }

    /// Returns true if calls have waited in silence for too long: who asks has to call [`Self::check`].
    pub(super) fn is_silent(&self) -> bool {
        self.load.pending() > 0
            && !self.is_out()
            && self.since(&self.heard) > MAX_SILENCE
            && self.may_check()
    }

    /// Returns true for the first who asks, once in a while.
    fn may_check(&self) -> bool {
        let is_due =
            self.checked.load(Ordering::Relaxed) == 0 || self.since(&self.checked) > CHECK_INTERVAL;
        is_due && !self.is_checking.swap(true, Ordering::Relaxed)
    }

    /// Asks for its health over a new connection, which is the connection from then on if it is well. A server that
    /// does not know the question is well; one that is not SERVING is not.
    pub(super) async fn check(&self) -> bool {
        self.checked.store(self.nanos(), Ordering::Relaxed);
        let fresh = self.connection.another();
        let exchange = Exchange { target: self.place.target.clone(), transport: fresh.clone() };
        let now = Instant::now();
        let deadline = Some(now + CHECK_TIMEOUT);
        let info = RequestInfo::grpc(Check::PATH, now, deadline, TraceContext::default());
        let message = crate::grpc::encode(&HealthCheckRequest::default());
        let answer = timeout(CHECK_TIMEOUT, exchange.send(Request::new(info, message))).await;
        let is_well = match answer {
            Ok(Ok(answer)) => HealthCheckResponse::decode(answer.into_inner())
                .is_ok_and(|answer| answer.status() == ServingStatus::Serving),
            Ok(Err(error)) => error.verdict() == Verdict::Well,
            Err(_elapsed) => false,
        };
        self.is_checking.store(false, Ordering::Relaxed);
        self.is_suspect.store(false, Ordering::Relaxed);
        if is_well {
            self.connection.replace_with(&fresh);
            self.hear();
        }
        is_well
    }

    /// Takes it out. Returns true for the first who does: that one has to check it until it is back.
    pub(super) fn take_out(&self) -> bool {
        !self.is_out.swap(true, Ordering::Relaxed)
    }

    /// Takes it in again, with a load like a new one; on trial if it has left many calls without an answer.
    pub(super) fn take_in(&self) {
        self.load.reset();
        self.is_on_trial.store(self.has_failed(), Ordering::Relaxed);
        self.is_out.store(false, Ordering::Relaxed);
    }

    /// Returns true if it has left many calls in a row without an answer.
    pub(super) fn has_failed(&self) -> bool {
        self.failures.load(Ordering::Relaxed) >= MAX_FAILURES
    }

    /// Counts a call that begins. Its end has to be told by [`Self::end`].
    pub(super) fn start(&self) {
        if self.load.start() == 0 {
            self.hear();
        }
    }

    /// Counts the end of a call; without a verdict, of one that was cancelled. Returns true if the endpoint has to be
    /// checked.
    pub(super) fn end(&self, took: Duration, verdict: Option<Verdict>) -> bool {
        self.load.end();
        let Some(verdict) = verdict else { return false };
        let now = self.born.elapsed();
        match verdict {
            Verdict::Well => self.load.observe(now, took),
            Verdict::Unwell | Verdict::Silent => self.load.observe_failure(now),
        }
        if verdict == Verdict::Silent {
            self.failures.fetch_add(1, Ordering::Relaxed);
            let has_to_check = !self.is_out.load(Ordering::Relaxed) && self.may_check();
            if has_to_check {
                self.is_suspect.store(true, Ordering::Relaxed);
            }
            return has_to_check;
        }
        self.failures.store(0, Ordering::Relaxed);
        self.is_on_trial.store(false, Ordering::Relaxed);
        self.hear();
        false
    }

    fn hear(&self) {
        self.heard.store(self.nanos(), Ordering::Relaxed);
    }

    fn nanos(&self) -> u64 {
        u64::try_from(self.born.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// The time since an instant that is stored as nanoseconds after `born`.
    fn since(&self, nanos: &AtomicU64) -> Duration {
        self.born.elapsed().saturating_sub(Duration::from_nanos(nanos.load(Ordering::Relaxed)))
    }
}

/// Returns what a call that had no answer when it was dropped says: nothing, unless its deadline has passed.
pub(super) fn verdict_of_drop(started: Instant, deadline: Option<Instant>) -> Option<Verdict> {
    let now = Instant::now();
    let is_late = deadline.is_some_and(|deadline| now >= deadline);
    (is_late && now - started >= MIN_PATIENCE).then_some(Verdict::Silent)
}
