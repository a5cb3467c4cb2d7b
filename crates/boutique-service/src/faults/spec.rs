//! The description of one fault.

use std::collections::BTreeMap;
use std::time::Duration;

use boutique_proto::services::{MethodSpec, ServiceSpec};
use boutique_proto::{WrongData, wrong_data};
use http::HeaderName;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::values::{Delay, FaultStatus, Moment, Percentage, Route, Rpc, Service, Size, Span};

/// The most threads that one fault may keep busy.
const MAX_THREADS: usize = 64;

/// One fault: the requests that match it, and its effects.
#[derive(Debug, Clone)]
pub(crate) struct Spec {
    pub(super) name: String,
    pub(super) is_enabled: bool,
    /// The service that has it; without one, all have.
    pub(super) service: Option<&'static str>,
    pub(super) requests: Requests,
    /// The share of those requests, in percent.
    pub(super) percentage: f64,
    pub(super) seed: Option<u64>,
    pub(super) from: Option<Moment>,
    pub(super) until: Option<Moment>,
    pub(super) action: Action,
}

/// The conditions on requests, all of which have to hold.
#[derive(Debug, Clone, Default)]
pub(super) struct Requests {
    pub(super) rpc: Option<&'static MethodSpec>,
    pub(super) route: Option<Route>,
    /// The first word of the caller's `user-agent`; of our services, their name.
    pub(super) caller: Option<String>,
    pub(super) headers: Vec<(HeaderName, String)>,
    pub(super) baggage: Vec<(String, String)>,
}

/// The effects of a fault, in the order in which they happen.
#[derive(Debug, Clone, Default)]
pub(super) struct Action {
    /// Time for which the request keeps its thread busy.
    pub(super) cpu: Option<Duration>,
    /// Bytes that stay allocated until the fault is off.
    pub(super) memory: Option<usize>,
    pub(super) delay: Option<Delay>,
    /// The end of a request that is not processed.
    pub(super) ending: Option<Ending>,
    pub(super) wrong_data: Option<WrongData>,
    /// Time for each KiB of the answer.
    pub(super) slow_body: Option<Duration>,
    /// True if the connection is closed once the request has been answered, without the answer.
    pub(super) drops_answer: bool,
    /// Of the process: health is NOT_SERVING.
    pub(super) is_unready: bool,
    /// Of the process: threads that compute for as long as the fault is on.
    pub(super) busy_threads: usize,
}

/// The end of a request that is not processed.
#[derive(Debug, Clone, Copy)]
pub(super) enum Ending {
    Status(FaultStatus),
    /// The connection is closed.
    Drop,
    /// Nothing, until the caller gives up.
    Hang,
    /// The process ends.
    Crash,
}

/// A fault as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    #[serde(default = "yes")]
    enabled: bool,
    service: Option<Service>,
    rpc: Option<Rpc>,
    route: Option<Route>,
    caller: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    baggage: BTreeMap<String, String>,
    percentage: Option<Percentage>,
    seed: Option<u64>,
    from: Option<Moment>,
    until: Option<Moment>,
    delay: Option<Delay>,
    status: Option<FaultStatus>,
    drop: Option<Drop>,
    #[serde(default)]
    hang: bool,
    slow_body: Option<Span>,
    cpu: Option<Span>,
    memory: Option<Size>,
    #[serde(default)]
    crash: bool,
    #[serde(default)]
    wrong_data: bool,
    #[serde(default)]
    not_ready: bool,
    #[serde(default)]
    busy_threads: usize,
}

/// The time at which a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Drop {
    /// Before the request is processed.
    Request,
    /// After it.
    Answer,
}

fn yes() -> bool {
    true
}

// serde would borrow the name of the service.
impl<'de> Deserialize<'de> for Spec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(Written::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl TryFrom<Written> for Spec {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let name = written.name.clone();
        let in_fault = |problem: String| format!("fault {name:?}: {problem}");
        if name.is_empty() || name.len() > 100 || name.chars().any(char::is_control) {
            return Err(in_fault("a name has 1 to 100 characters".to_owned()));
        }
        let action = written.action().map_err(in_fault)?;
        let service = written.service().map_err(in_fault)?;
        let of_process = action.is_unready || action.busy_threads > 0;
        let requests = written.requests().map_err(in_fault)?;
        if of_process && (!requests.are_all() || written.percentage.is_some()) {
            let problem = "not_ready and busy_threads are for a process, and not for some requests";
            return Err(in_fault(problem.to_owned()));
        }
        Ok(Self {
            name: written.name,
            is_enabled: written.enabled,
            service,
            requests,
            percentage: written.percentage.map_or(100.0, |Percentage(percent)| percent),
            seed: written.seed,
            from: written.from,
            until: written.until,
            action,
        })
    }
}

impl Written {
    fn action(&self) -> Result<Action, String> {
        let status = self.status.map(Ending::Status);
        let drop = (self.drop == Some(Drop::Request)).then_some(Ending::Drop);
        let hang = self.hang.then_some(Ending::Hang);
        let crash = self.crash.then_some(Ending::Crash);
        let mut endings = [status, drop, hang, crash].into_iter().flatten();
        let ending = endings.next();
        if endings.next().is_some() {
            return Err("it has one of status, drop, hang and crash".to_owned());
        }
        let wrong_data = match (self.wrong_data, self.rpc) {
            (false, _) => None,
            (true, Some(Rpc(method))) => {
                let none = || format!("there is no wrong data of {}", method.name());
                Some(wrong_data(method.path).ok_or_else(none)?)
            }
            (true, None) => return Err("wrong_data needs an rpc".to_owned()),
        };
        if self.busy_threads > MAX_THREADS {
            return Err(format!("busy_threads are at most {MAX_THREADS}"));
        }
        let action = Action {
            cpu: self.cpu.map(|Span(span)| span),
            memory: self.memory.map(|Size(bytes)| bytes),
            delay: self.delay.clone(),
            ending,
            wrong_data,
            slow_body: self.slow_body.map(|Span(span)| span),
            drops_answer: self.drop == Some(Drop::Answer),
            is_unready: self.not_ready,
            busy_threads: self.busy_threads,
        };
        if action.kinds().is_empty() {
            return Err("it does nothing: give it a delay, a status, or another effect".to_owned());
        }
        Ok(action)
    }

    fn service(&self) -> Result<Option<&'static str>, String> {
        let named = self.service.map(|Service(spec)| spec.name);
        let Some(Rpc(method)) = self.rpc else { return Ok(named) };
        let own = ServiceSpec::of_grpc(method.grpc_service()).map(|spec| spec.name);
        match (named, own) {
            (Some(named), Some(own)) if named != own => {
                Err(format!("{} is an RPC of {own}", method.name()))
            }
            _ => Ok(own),
        }
    }

    fn requests(&self) -> Result<Requests, String> {
        if self.rpc.is_some() && self.route.is_some() {
            return Err("it has an rpc or a route".to_owned());
        }
        let header = |(name, value): (&String, &String)| match name.parse() {
            Ok(name) => Ok((name, value.clone())),
            Err(_) => Err(format!("{name:?} is no name of a header")),
        };
        Ok(Requests {
            rpc: self.rpc.map(|Rpc(method)| method),
            route: self.route.clone(),
            caller: self.caller.clone(),
            headers: self.headers.iter().map(header).collect::<Result<_, String>>()?,
            baggage: self.baggage.clone().into_iter().collect(),
        })
    }
}

impl Requests {
    fn are_all(&self) -> bool {
        let Self { rpc, route, caller, headers, baggage } = self;
        let is_narrow = rpc.is_some() || route.is_some() || caller.is_some();
        !is_narrow && headers.is_empty() && baggage.is_empty()
    }

    /// Returns true if headers decide.
    pub(super) fn read_headers(&self) -> bool {
        self.caller.is_some() || !self.headers.is_empty()
    }
}

impl Action {
    /// Returns true if it does something to requests.
    pub(super) fn is_of_requests(&self) -> bool {
        self.kinds().iter().any(|kind| !["not_ready", "busy_threads"].contains(kind))
    }

    /// Returns the names of what it does.
    pub(super) fn kinds(&self) -> Vec<&'static str> {
        let ending = self.ending.map(|ending| match ending {
            Ending::Status(_) => "status",
            Ending::Drop => "drop",
            Ending::Hang => "hang",
            Ending::Crash => "crash",
        });
        let own = [
            self.cpu.map(|_| "cpu"),
            self.memory.map(|_| "memory"),
            self.delay.as_ref().map(|_| "delay"),
            ending,
            self.wrong_data.map(|_| "wrong_data"),
            self.slow_body.map(|_| "slow_body"),
            self.drops_answer.then_some("drop"),
            self.is_unready.then_some("not_ready"),
            (self.busy_threads > 0).then_some("busy_threads"),
        ];
        own.into_iter().flatten().collect()
    }
}

impl Spec {
    /// A delay of every request of a service, which a setting of its own asks for.
    pub(super) fn delay(name: &str, service: &'static str, delay: Duration) -> Self {
        Self {
            name: name.to_owned(),
            is_enabled: true,
            service: Some(service),
            requests: Requests::default(),
            percentage: 100.0,
            seed: None,
            from: None,
            until: None,
            action: Action { delay: Some(Delay::fixed(delay)), ..Action::default() },
        }
    }
}
