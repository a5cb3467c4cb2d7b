//! Reports for people (a table, a page with plots) and for programs (JSON), and whether the
//! objectives were met.

pub(crate) mod html;
pub(crate) mod json;
pub(crate) mod plots;
pub(crate) mod text;

use std::process::ExitCode;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::load::Load;
use crate::options::Options;
use crate::stats::Inner;
use crate::verdict::Orders;

/// By convention 128 and the number of SIGINT.
const INTERRUPTED: u8 = 130;

/// A run that has ended.
pub(crate) struct Report {
    pub(crate) target: String,
    pub(crate) profile: &'static str,
    /// The description of the load.
    pub(crate) plan: String,
    pub(crate) seed: u64,
    pub(crate) took: Duration,
    pub(crate) stats: Inner,
    pub(crate) orders: Orders,
    /// True if totals could be recomputed.
    pub(crate) knows_prices: bool,
    /// HTTP requests, those that redirects took among them.
    pub(crate) http_requests: u64,
    /// CPU that this process took in all.
    pub(crate) cpu: Duration,
    pub(crate) capacity: Option<f64>,
    /// The objectives, and whether each was met.
    pub(crate) objectives: Vec<(String, bool)>,
    /// Stopped by a signal before its end.
    pub(crate) interrupted: bool,
}

impl Report {
    pub(crate) fn new(
        load: &Load,
        options: &Options,
        seed: u64,
        was_interrupted: bool,
        capacity: Option<f64>,
    ) -> Self {
        let (stats, orders) = (load.stats.snapshot(), load.verdict.orders());
        let objectives = objectives(options, &stats, &orders, capacity);
        Self {
            target: options.frontend_addr.clone().unwrap_or_else(|| "gRPC".to_owned()),
            profile: options.profile.name(),
            plan: plan(options),
            seed,
            took: load.stats.took(),
            stats,
            orders,
            knows_prices: load.prices.is_some(),
            http_requests: load.client.requests(),
            cpu: Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).unwrap_or_default(),
            capacity,
            objectives,
            interrupted: was_interrupted && options.has_end(),
        }
    }

    pub(crate) fn is_passed(&self) -> bool {
        self.objectives.iter().all(|(_, held)| *held)
    }

    pub(crate) fn exit_code(&self) -> ExitCode {
        match (self.interrupted, self.is_passed()) {
            (true, _) => ExitCode::from(INTERRUPTED),
            (false, true) => ExitCode::SUCCESS,
            (false, false) => ExitCode::FAILURE,
        }
    }

    /// Requests per second.
    pub(crate) fn rate(&self) -> f64 {
        self.stats.all.requests() as f64 / self.took.as_secs_f64().max(1e-9)
    }
}

fn plan(options: &Options) -> String {
    let users = options.users();
    match options.rps.as_slice() {
        [] => format!("closed loop, {users} users"),
        [first] if options.find_capacity => {
            format!("search for the capacity from {first} requests/s on")
        }
        rates => {
            let rates: Vec<_> = rates.iter().map(ToString::to_string).collect();
            format!("open loop, {} requests/s, {users} users in turn", rates.join(", then "))
        }
    }
}

fn objectives(
    options: &Options,
    stats: &Inner,
    orders: &Orders,
    capacity: Option<f64>,
) -> Vec<(String, bool)> {
    let mut all = vec![("every order was right".to_owned(), orders.wrong == 0)];
    if options.find_capacity {
        all.push(("a rate that can be held was found".to_owned(), capacity.is_some()));
        return all;
    }
    let abandoned = stats.steps.iter().map(|step| step.abandoned).sum::<u64>();
    let requests = stats.all.requests() + abandoned;
    let ratio = (stats.all.failures + abandoned) as f64 / requests.max(1) as f64;
    all.push((
        format!("at most {} % of the requests failed", options.max_error_ratio * 100.0),
        requests > 0 && ratio <= options.max_error_ratio,
    ));
    if let Some(bound) = options.p99 {
        let held = stats.all.millis(99.0) <= bound.as_secs_f64() * 1e3 && abandoned == 0;
        all.push((format!("99 % took no longer than {bound:?}"), held));
    }
    all
}
