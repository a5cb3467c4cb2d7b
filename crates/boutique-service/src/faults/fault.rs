//! A fault that can be switched: when it is on, the requests that match it, and its effects before and after they are
//! processed.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use boutique_proto::WrongData;
use http::Method;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use super::spec::{Ending, Spec};
use super::values::FaultStatus;
use crate::grpc;
use crate::propagation::TraceContext;

/// A fault of this process.
pub(crate) struct Fault {
    pub(super) spec: Spec,
    is_enabled: AtomicBool,
    /// The time when it was switched on last.
    since: Mutex<SystemTime>,
    seed: u64,
    /// The number of requests that matched.
    draws: AtomicU64,
    injected: AtomicU64,
    /// The memory that requests left behind.
    memory: Mutex<Vec<Vec<u8>>>,
}

/// A request as faults see it.
#[derive(Clone, Copy)]
pub(crate) struct Subject<'a> {
    pub(crate) is_http: bool,
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) caller: Option<&'a str>,
    pub(crate) metadata: &'a MetadataMap,
    pub(crate) trace: &'a TraceContext,
}

/// The error of a request that is not processed.
#[derive(Debug)]
pub(crate) enum Refusal {
    Status(Status),
    /// The status of an HTTP request, and the error for what is no HTTP request.
    Http(http::StatusCode, Status),
}

impl Fault {
    pub(super) fn new(spec: Spec) -> Self {
        Self {
            is_enabled: AtomicBool::new(spec.is_enabled),
            since: Mutex::new(SystemTime::now()),
            seed: spec.seed.unwrap_or_else(|| fastrand::u64(..)),
            draws: AtomicU64::new(0),
            injected: AtomicU64::new(0),
            memory: Mutex::default(),
            spec,
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.spec.name
    }

    /// Switches it on, from now, or off, which gives back the memory that it took.
    pub(super) fn switch(&self, on: bool) {
        self.is_enabled.store(on, Ordering::Relaxed);
        *self.since.lock() = SystemTime::now();
        if !on {
            self.memory.lock().clear();
        }
    }

    pub(super) fn is_enabled(&self) -> bool {
        self.is_enabled.load(Ordering::Relaxed)
    }

    /// Returns true if it is switched on and within its time.
    pub(super) fn is_on(&self) -> bool {
        if !self.is_enabled() {
            return false;
        }
        let Spec { from, until, .. } = &self.spec;
        if from.is_none() && until.is_none() {
            return true;
        }
        let since = *self.since.lock();
        let now = SystemTime::now();
        from.is_none_or(|from| from.has_come(since, now))
            && !until.is_some_and(|until| until.has_come(since, now))
    }

    /// Returns true if a service has it.
    pub(super) fn is_of(&self, service: &str) -> bool {
        self.spec.service.is_none_or(|own| own == service)
    }

    /// Returns true if it is to be injected into this request, and counts that. With a seed, into the same ones of a sequence.
    pub(super) fn is_drawn_for(&self, request: Subject<'_>) -> bool {
        if !self.matches(request) {
            return false;
        }
        let draw = self.draws.fetch_add(1, Ordering::Relaxed);
        let chance = fastrand::Rng::with_seed(self.seed.wrapping_add(draw)).f64() * 100.0;
        let is_drawn = chance < self.spec.percentage;
        if is_drawn {
            self.injected.fetch_add(1, Ordering::Relaxed);
        }
        is_drawn
    }

    fn matches(&self, request: Subject<'_>) -> bool {
        let requests = &self.spec.requests;
        let has = |name: &str, value: &str| {
            let mut found = request.metadata.get_all(name).iter();
            found.any(|found| found.to_str().is_ok_and(|found| found == value))
        };
        // gRPC knows no segments: a route is for HTTP.
        requests.rpc.is_none_or(|rpc| rpc.path == request.path)
            && requests
                .route
                .as_ref()
                .is_none_or(|route| request.is_http && route.has(request.method, request.path))
            && requests.caller.as_ref().is_none_or(|caller| request.caller == Some(caller.as_str()))
            && requests.headers.iter().all(|(name, value)| has(name.as_str(), value))
            && requests.baggage.iter().all(|(key, value)| request.trace.has_baggage(key, value))
    }

    /// Has its effects before the request is processed. On an error the request is not processed.
    pub(crate) async fn inject(&self) -> Result<(), Refusal> {
        let action = &self.spec.action;
        if let Some(time) = action.cpu {
            burn(time);
        }
        if let Some(bytes) = action.memory {
            // Written to, so that the system has to provide it.
            let taken = vec![1; bytes];
            self.memory.lock().push(taken);
        }
        if let Some(delay) = &action.delay {
            tokio::time::sleep(delay.at(fastrand::f64())).await;
        }
        match action.ending {
            None => Ok(()),
            Some(Ending::Status(FaultStatus::Grpc(code))) => {
                Err(Refusal::Status(Status::new(code, self.message())))
            }
            Some(Ending::Status(FaultStatus::Http(status))) => {
                let code = if status == 503 { Code::Unavailable } else { Code::Unknown };
                Err(Refusal::Http(status, Status::new(code, self.message())))
            }
            Some(Ending::Drop) => Err(Refusal::Status(self.dropped())),
            Some(Ending::Hang) => std::future::pending().await,
            Some(Ending::Crash) => {
                eprintln!("crashed by the fault {}", self.spec.name);
                std::process::abort();
            }
        }
    }

    /// Returns true if it has effects on answers.
    pub(crate) fn alters_answers(&self) -> bool {
        let action = &self.spec.action;
        action.wrong_data.is_some() || action.slow_body.is_some() || action.drops_answer
    }

    /// Returns what makes an answer wrong, if anything.
    pub(crate) fn wrong_data(&self) -> Option<WrongData> {
        self.spec.action.wrong_data
    }

    /// Returns how long a KiB of an answer takes, if that is slow.
    pub(crate) fn slow_body(&self) -> Option<Duration> {
        self.spec.action.slow_body
    }

    /// Fails where the connection is closed in place of the answer.
    pub(crate) fn drop_answer(&self) -> Result<(), Status> {
        if self.spec.action.drops_answer { Err(self.dropped()) } else { Ok(()) }
    }

    /// The error of a request whose connection is closed.
    fn dropped(&self) -> Status {
        grpc::with_source(Status::unavailable(self.message()), Dropped)
    }

    fn message(&self) -> String {
        format!("injected by the fault {}", self.spec.name)
    }

    /// Returns its state for people and programs.
    pub(super) fn to_json(&self) -> Value {
        let Spec { requests, percentage, action, .. } = &self.spec;
        let route = requests.route.as_ref().map(ToString::to_string);
        json!({
            "name": self.spec.name,
            "enabled": self.is_enabled(),
            "on": self.is_on(),
            "service": self.spec.service,
            "requests": requests.rpc.map(|rpc| rpc.name().to_owned()).or(route),
            "percentage": percentage,
            "effects": action.kinds(),
            "injected": self.injected.load(Ordering::Relaxed),
        })
    }
}

/// The source of the error of a request whose connection is closed in place of an answer.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed on purpose")]
struct Dropped;

/// Returns true if the connection of the request that ended like this is to be closed.
pub(crate) fn is_dropped(status: &Status) -> bool {
    std::error::Error::source(status).is_some_and(|source| source.is::<Dropped>())
}

/// The error that a caller inside the process sees of a closed connection.
pub(crate) fn as_lost(method: &str) -> Status {
    grpc::unavailable(method, grpc::Lost(None).into())
}

/// Keeps the thread busy.
fn burn(time: Duration) {
    let end = Instant::now() + time;
    while Instant::now() < end {
        std::hint::spin_loop();
    }
}
