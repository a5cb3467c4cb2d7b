//! Chooses an endpoint for each call: of two at random the one with less load ("power of two choices"), among those that
//! are connected and answer. It is always ready: where no endpoint answers, calls fail at once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};
use tonic::{Response, Status};
use tower::Service;

use super::endpoint::{Endpoint, verdict_of_drop};
use super::exchange::{CallError, Verdict};
use super::peer::Peer;
use super::resolve::{Found, Place, Resolver};
use crate::grpc::not_processed;
use crate::layers::Request;
use crate::metrics::PeerMetrics;
use crate::tls::Tls;

/// The longest time in which calls count as made together, and the number in flight that no other call joins. Among three
/// endpoints, 4 ms save a tenth of the CPU time per request that 200 µs take.
const BURST: Duration = Duration::from_millis(4);
const MAX_BURST: u32 = 16;
/// The time that a connection to a preferred endpoint has before the next ones are tried, too.
const HEAD_START: Duration = Duration::from_millis(50);
/// The pause before an endpoint that is out is checked. It doubles with each check.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause where no other endpoint answers.
const MAX_PAUSE_ALONE: Duration = Duration::from_millis(400);
/// The longest pause where another endpoint answers.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// The endpoints of a service as one runtime calls them; cheap to clone.
#[derive(Clone)]
pub(super) struct Balance(Arc<Inner>);

struct Inner {
    /// The workload that is called.
    peer: Arc<Peer>,
    resolver: Arc<Resolver>,
    tls: Option<Arc<Tls>>,
    members: Mutex<Members>,
    /// An endpoint was connected, taken out or taken in.
    changed: Notify,
    /// The average time of an answer, in nanoseconds.
    typical: AtomicU64,
}

struct Members {
    found: watch::Receiver<Found>,
    tiers: Vec<Vec<Arc<Endpoint>>>,
    burst: Option<Burst>,
}

/// Calls that are made together, as those of a page: they go to one endpoint while it has calls in flight, because what is
/// written and read together costs less.
struct Burst {
    endpoint: Arc<Endpoint>,
    began: Instant,
}

/// A choice among endpoints.
enum Choice {
    Take(Arc<Endpoint>),
    /// None is connected, but one may be soon.
    Wait,
    None(Status),
}

impl Balance {
    pub(super) fn new(peer: Arc<Peer>, resolver: Arc<Resolver>, tls: Option<Arc<Tls>>) -> Self {
        let members = Members { found: resolver.subscribe(), tiers: Vec::new(), burst: None };
        Self(Arc::new(Inner {
            peer,
            resolver,
            tls,
            members: Mutex::new(members),
            changed: Notify::new(),
            typical: AtomicU64::new(0),
        }))
    }

    /// Chooses an endpoint for a call, and counts the call.
    pub(super) async fn start(&self, deadline: Option<Instant>) -> Result<Started, Status> {
        let endpoint = match self.choose(0) {
            Choice::Take(endpoint) => endpoint,
            Choice::None(status) => return Err(status),
            Choice::Wait => Box::pin(self.wait()).await?,
        };
        endpoint.start();
        let (balance, started) = (self.clone(), Instant::now());
        Ok(Started { balance, endpoint, started, deadline, verdict: None })
    }

    /// Returns the average time of an answer, whichever endpoint gives it.
    pub(super) fn typical(&self) -> Duration {
        Duration::from_nanos(self.0.typical.load(Ordering::Relaxed))
    }

    fn observe(&self, took: Duration) {
        let typical = self.0.typical.load(Ordering::Relaxed);
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.0.typical.store(typical - typical / 8 + took / 8, Ordering::Relaxed);
    }

    /// Waits until an endpoint is connected: first of the preferred ones, then of any.
    async fn wait(&self) -> Result<Arc<Endpoint>, Status> {
        self.0.resolver.start();
        let mut found = self.lock().found.clone();
        let mut extra_tiers = 0;
        loop {
            let mut changed = std::pin::pin!(self.0.changed.notified());
            changed.as_mut().enable();
            found.mark_unchanged();
            match self.choose(extra_tiers) {
                Choice::Take(endpoint) => return Ok(endpoint),
                Choice::None(status) => return Err(status),
                Choice::Wait => {}
            }
            tokio::select! {
                () = changed => {}
                _ = found.changed() => {}
                () = sleep(HEAD_START) => extra_tiers += 1,
            }
        }
    }

    /// Chooses an endpoint. Where none is connected, those of the first tier and of `extra_tiers` more are told to connect.
    fn choose(&self, extra_tiers: usize) -> Choice {
        let mut members = self.lock();
        members.update(&self.0.tls);
        if let [tier] = members.tiers.as_slice()
            && let [only] = tier.as_slice()
        {
            self.watch(only);
            if only.is_out() { Choice::None(self.no_answer()) } else { Choice::Take(only.clone()) }
        } else if members.tiers.is_empty() {
            match &members.found.borrow().error {
                Some(error) => Choice::None(not_processed(Status::unavailable(&**error))),
                None => Choice::Wait,
            }
        } else if let Some(endpoint) = members.next_of_burst() {
            Choice::Take(endpoint)
        } else {
            let choice = self.choose_of(&members.tiers, extra_tiers);
            if let Choice::Take(endpoint) = &choice {
                let (endpoint, began) = (endpoint.clone(), Instant::now());
                members.burst = Some(Burst { endpoint, began });
            }
            choice
        }
    }

    fn choose_of(&self, tiers: &[Vec<Arc<Endpoint>>], extra_tiers: usize) -> Choice {
        let mut connecting = 0;
        for tier in tiers {
            if let Some(best) = self.best(tier) {
                return Choice::Take(best);
            }
            if connecting <= extra_tiers && tier.iter().any(|endpoint| !endpoint.is_out()) {
                connecting += 1;
                tier.iter().for_each(|endpoint| self.connect(endpoint));
            }
        }
        if connecting > 0 { Choice::Wait } else { Choice::None(self.no_answer()) }
    }

    /// The better of two endpoints; where one of them is not available, the best of all.
    fn best(&self, tier: &[Arc<Endpoint>]) -> Option<Arc<Endpoint>> {
        if let [_, _, ..] = tier {
            let first = fastrand::usize(..tier.len());
            let second = (first + fastrand::usize(1..tier.len())) % tier.len();
            let (first, second) = (&tier[first], &tier[second]);
            if first.is_available() && second.is_available() {
                self.watch(first);
                self.watch(second);
                return Some(if first.cost() <= second.cost() { first } else { second }.clone());
            }
        }
        tier.iter().for_each(|endpoint| self.watch(endpoint));
        let available = tier.iter().filter(|endpoint| endpoint.is_available());
        let best = available.min_by(|a, b| a.cost().total_cmp(&b.cost()))?;
        tier.iter().for_each(|endpoint| self.connect(endpoint));
        Some(best.clone())
    }

    /// Connects to an endpoint that is neither connected nor out, beside all calls.
    fn connect(&self, endpoint: &Arc<Endpoint>) {
        if !endpoint.needs_connection() {
            return;
        }
        let (balance, endpoint) = (self.clone(), endpoint.clone());
        tokio::spawn(async move {
            if endpoint.connect().await {
                balance.0.changed.notify_waiters();
            } else {
                balance.take_out(&endpoint);
            }
        });
    }

    /// Checks an endpoint that has been silent for too long.
    fn watch(&self, endpoint: &Arc<Endpoint>) {
        if endpoint.is_silent() {
            self.check(endpoint);
        }
    }

    /// Checks an endpoint, and takes it out if it is not healthy, or answers no calls although it is.
    fn check(&self, endpoint: &Arc<Endpoint>) {
        let (balance, endpoint) = (self.clone(), endpoint.clone());
        tokio::spawn(async move {
            if !endpoint.check().await || endpoint.has_failed() {
                balance.take_out(&endpoint);
            } else {
                balance.0.changed.notify_waiters();
            }
        });
    }

    /// Takes an endpoint out, and checks it until it answers again or is not known any more.
    fn take_out(&self, endpoint: &Arc<Endpoint>) {
        if !endpoint.take_out() {
            return;
        }
        let ejected = self.metrics().map(PeerMetrics::eject);
        self.0.resolver.refresh();
        self.0.changed.notify_waiters();
        if endpoint.was_connected() {
            let (name, address) = (self.0.peer.name, endpoint.place.to_string());
            tracing::warn!(
                server.address = address,
                "{name} does not answer at {address}: it is not called until it does"
            );
        }
        let recovery = recover(Arc::downgrade(&self.0), Arc::downgrade(endpoint));
        tokio::spawn(async move {
            recovery.await;
            drop(ejected);
        });
    }

    /// Returns the metrics of the calls, if anybody reads them.
    pub(super) fn metrics(&self) -> Option<&PeerMetrics> {
        self.0.peer.metrics()
    }

    fn no_answer(&self) -> Status {
        not_processed(Status::unavailable(format!("{} does not answer", self.0.peer.name)))
    }

    fn has_available(&self) -> bool {
        self.lock().tiers.iter().flatten().any(|endpoint| endpoint.is_available())
    }

    fn lock(&self) -> MutexGuard<'_, Members> {
        self.0.members.lock()
    }
}

impl Members {
    /// Takes over what the resolver found. Endpoints that stay keep what is known of them.
    fn update(&mut self, tls: &Option<Arc<Tls>>) {
        if !self.found.has_changed().unwrap_or(false) {
            return;
        }
        self.burst = None;
        let found = self.found.borrow_and_update();
        let known: Vec<_> = self.tiers.drain(..).flatten().collect();
        let endpoint = |place: &Place| {
            let same = known.iter().find(|endpoint| endpoint.place == *place).cloned();
            same.unwrap_or_else(|| Arc::new(Endpoint::new(place.clone(), tls.clone())))
        };
        self.tiers = found.tiers.iter().map(|tier| tier.iter().map(endpoint).collect()).collect();
    }

    /// Returns the endpoint of the last call, if this one is made together with it.
    fn next_of_burst(&self) -> Option<Arc<Endpoint>> {
        let Burst { endpoint, began } = self.burst.as_ref()?;
        let goes_on = (1..MAX_BURST).contains(&endpoint.pending())
            && began.elapsed() < BURST
            && endpoint.is_available();
        goes_on.then(|| endpoint.clone())
    }
}

/// Checks an endpoint that is out, until it answers or is gone.
async fn recover(balance: Weak<Inner>, endpoint: Weak<Endpoint>) {
    let mut pause = FIRST_PAUSE;
    let mut waited = Duration::ZERO;
    loop {
        // In steps, because the others may go out meanwhile.
        let step = pause.min(MAX_PAUSE_ALONE).mul_f64(0.8 + 0.4 * fastrand::f64());
        sleep(step).await;
        waited += step;
        let (Some(inner), Some(endpoint)) = (balance.upgrade(), endpoint.upgrade()) else { return };
        let balance = Balance(inner);
        if waited < pause && balance.has_available() {
            continue;
        }
        if endpoint.check().await {
            endpoint.take_in();
            balance.0.changed.notify_waiters();
            if endpoint.was_connected() {
                let (name, address) = (balance.0.peer.name, endpoint.place.to_string());
                tracing::info!(server.address = address, "{name} answers at {address}");
            }
            return;
        }
        (pause, waited) = ((2 * pause).min(MAX_PAUSE), Duration::ZERO);
    }
}

/// A call that has begun. Dropping it ends it.
pub(super) struct Started {
    balance: Balance,
    pub(super) endpoint: Arc<Endpoint>,
    started: Instant,
    deadline: Option<Instant>,
    verdict: Option<Verdict>,
}

impl Started {
    /// Takes the result of the call into account.
    pub(super) fn ended<T>(mut self, result: Result<T, CallError>) -> Result<T, CallError> {
        let verdict = match &result {
            Ok(_) => Verdict::Well,
            Err(error) => error.verdict(),
        };
        if verdict == Verdict::Well {
            self.balance.observe(self.started.elapsed());
        }
        self.verdict = Some(verdict);
        result
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let verdict = self.verdict.or_else(|| verdict_of_drop(self.started, self.deadline));
        if matches!(verdict, Some(Verdict::Unwell | Verdict::Silent)) {
            // The next call may be this one again.
            self.balance.lock().burst = None;
        }
        if self.endpoint.end(self.started.elapsed(), verdict) {
            self.balance.check(&self.endpoint);
        }
    }
}

/// A unary call to whichever endpoint is chosen.
impl Service<Request<Bytes>> for Balance {
    type Response = Response<Bytes>;
    type Error = CallError;
    type Future = BoxFuture<'static, Result<Response<Bytes>, CallError>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let balance = self.clone();
        Box::pin(async move {
            let call = balance.start(request.info.deadline).await?;
            let result = call.endpoint.exchange().send(request).await;
            call.ended(result)
        })
    }
}
