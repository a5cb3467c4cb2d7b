//! A [`Channel`] to another service: its address, its deadlines, and the stack of layers around every call.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use boutique_proto::services::{Criticality, ServiceSpec};
use boutique_proto::{Rpc, TypedClient, UnaryChannel};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::HeaderValue;
use tokio::time::Instant;
use tonic::{Response, Status};
use tower::retry::RetryLayer;
use tower::retry::budget::TpsBudget;
use tower::{Service, ServiceBuilder, service_fn};

use super::address;
use super::balance::Balance;
use super::open::Open;
use super::peer::Peer;
use super::resolve::Resolver;
use super::retry::Retry;
use crate::context::RequestContext;
use crate::env::{Env, EnvError};
use crate::grpc;
use crate::idempotency::IdempotencyKey;
use crate::layers::{
    DeadlineLayer, MetricsLayer, Reply, Request, RequestInfo, ShedLayer, TraceLayer,
};
use crate::metrics::Calls;
use crate::propagation::TraceContext;
use crate::registry::{INPROC, Registry};
use crate::server::Endpoint;

/// The part of its own time that a caller keeps, so that a late answer is told apart from a lost one.
const DEADLINE_MARGIN: Duration = Duration::from_millis(10);
/// The deadline of a method that the table of services does not have.
const FALLBACK_TIMEOUT: Duration = Duration::from_secs(1);

thread_local! {
    /// The index of the runtime that this thread drives.
    static WORKER: Cell<usize> = const { Cell::new(0) };
}

/// Sets the index of the runtime that this thread drives.
pub(crate) fn set_worker(index: usize) {
    WORKER.set(index);
}

/// A way to call one service; cheap to clone. Made by [`client`] and [`channel`]. Beside unary calls by typed clients it
/// takes the clients that tonic generates, for methods of any kind.
#[derive(Clone)]
pub struct Channel {
    route: Route,
    methods: Arc<[Method]>,
    peer: Arc<Peer>,
}

/// A method as this channel calls it.
struct Method {
    path: &'static str,
    timeout: Duration,
    is_repeatable: bool,
    criticality: Criticality,
}

#[derive(Clone)]
enum Route {
    /// The endpoints for each runtime of the process, with connections of its own: calls of a page that are made together
    /// share a connection, and no runtime waits for another.
    Network {
        balances: Arc<[Balance]>,
        budget: Arc<TpsBudget>,
        /// True once a reply has confirmed the idempotency key of its request.
        confirms_keys: Arc<AtomicBool>,
    },
    /// A function call.
    Local(Arc<Endpoint>),
}

/// The layers around every call, first to last. Further ones belong here.
fn stack<S, T>(
    calls: Option<&Arc<Calls>>,
    service: S,
) -> impl Service<Request<T>, Response = S::Response, Error = Status, Future: Send>
where
    S: Service<Request<T>, Response: Reply, Error = Status, Future: Send>,
{
    ServiceBuilder::new()
        .layer(TraceLayer::CLIENT)
        .layer(MetricsLayer::client(calls))
        .layer(ShedLayer(calls.cloned()))
        .layer(DeadlineLayer::CLIENT)
        .service(service)
}

/// Makes a typed client of the service that the type names, at the address that its setting holds.
pub fn client<T>(env: &Env, registry: &Registry) -> Result<T, EnvError>
where
    T: TypedClient<Channel = Channel>,
{
    let unknown = || EnvError::new(T::GRPC_SERVICE, "is not in the table of services");
    Ok(T::new(channel(env, registry, T::spec().ok_or_else(unknown)?)?))
}

/// Makes a channel to the address that the service's setting holds: `host:port`, `http://host:port`, `https://host:port`,
/// `dns:///host:port`, several of them with `,` (equal ones) and `;` (the next best) between them, or `inproc:name` for a
/// service of this process. It connects at the first call, so services start in any order. Calls are spread over all
/// addresses that a name has, unless `CLIENT_LOAD_BALANCING` is off, as where a mesh does that.
pub fn channel(env: &Env, registry: &Registry, spec: &ServiceSpec) -> Result<Channel, EnvError> {
    let (address, peer) = (env.require(spec.addr_key)?, Arc::new(Peer::new(spec)));
    let route = match address.strip_prefix(INPROC) {
        Some(name) => {
            let problem = "must name a service of this process after inproc:";
            let endpoint = registry.get(name);
            Route::Local(endpoint.ok_or_else(|| EnvError::new(spec.addr_key, problem))?.clone())
        }
        None => {
            let names = address::parse(address)
                .ok_or_else(|| EnvError::new(spec.addr_key, "must be host:port"))?;
            let is_tls = names.iter().flatten().any(|target| target.is_tls);
            let tls = if is_tls { Some(registry.tls(env)?) } else { None };
            let resolver = Resolver::new(names, env.flag("CLIENT_LOAD_BALANCING")?.unwrap_or(true));
            let balance = |_| Balance::new(peer.clone(), resolver.clone(), tls.clone());
            let balances = (0..=registry.workers.len()).map(balance).collect();
            Route::Network { balances, budget: Retry::budget(), confirms_keys: Arc::default() }
        }
    };
    let reads = read_timeout(env)?;
    let methods = spec.methods.iter().map(|method| {
        let default = match reads {
            Some(reads) if method.idempotent => reads,
            // An effect that reads first needs that much more.
            Some(reads) => method.timeout.saturating_add(reads),
            None => method.timeout,
        };
        let timeout = env.duration(method.timeout_key)?.unwrap_or(default);
        let (path, criticality) = (method.path, method.criticality);
        Ok(Method { path, timeout, is_repeatable: method.idempotent, criticality })
    });
    Ok(Channel { route, methods: methods.collect::<Result<_, EnvError>>()?, peer })
}

/// Returns the deadline of every read, where one is set for all of them: `READ_TIMEOUT`, or where the settings have
/// `EXTRA_LATENCY`, which slows a service down on purpose, enough for its answers to arrive.
pub fn read_timeout(env: &Env) -> Result<Option<Duration>, EnvError> {
    if let Some(timeout) = env.duration("READ_TIMEOUT")? {
        return Ok(Some(timeout));
    }
    // A read may wait for another one.
    let latency = env.duration("EXTRA_LATENCY")?.filter(|latency| !latency.is_zero());
    Ok(latency.map(|latency| latency.saturating_mul(2).saturating_add(FALLBACK_TIMEOUT)))
}

impl UnaryChannel for Channel {
    fn unary<R: Rpc>(
        &self,
        request: tonic::Request<R::Request>,
    ) -> impl Future<Output = Result<Response<R::Response>, Status>> + Send {
        self.call::<R>(request)
    }
}

impl Channel {
    async fn call<R: Rpc>(
        &self,
        request: tonic::Request<R::Request>,
    ) -> Result<Response<R::Response>, Status> {
        let (metadata, _, message) = request.into_parts();
        let info = RequestInfo { metadata, ..self.info(R::PATH)? };
        let calls = self.peer.begin().and_then(|metrics| metrics.method(R::PATH));
        match &self.route {
            Route::Local(endpoint) => {
                let call = async |request| endpoint.call::<R>(request).await;
                stack(calls, service_fn(call)).call(Request::new(info, message)).await
            }
            Route::Network { balances, budget, confirms_keys } => {
                let message = grpc::encode(&message);
                let has_key = info.metadata.contains_key(IdempotencyKey::METADATA);
                let is_repeatable = self.method(R::PATH).is_some_and(|known| known.is_repeatable)
                    || (has_key && confirms_keys.load(Ordering::Relaxed));
                let balance = of_this_thread(balances);
                let retry = Retry::new(balance.clone(), budget.clone(), is_repeatable);
                let request = Request::new(info, message);
                // Boxed, so that calls inside the process do not carry it with them.
                let answer = Box::pin(call_over(calls, balance, retry, request)).await?;
                if has_key && answer.metadata().contains_key(IdempotencyKey::METADATA) {
                    confirms_keys.store(true, Ordering::Relaxed);
                }
                grpc::decode(R::PATH.trim_start_matches('/'), answer)
            }
        }
    }

    fn method(&self, path: &str) -> Option<&Method> {
        self.methods.iter().find(|method| method.path == path)
    }

    /// The information of a call that begins now: within the deadline of its method, or the time left to the current
    /// request if that is less.
    fn info(&self, path: &'static str) -> Result<RequestInfo, Status> {
        let now = Instant::now();
        let method = self.method(path);
        let mut limit = method.map_or(FALLBACK_TIMEOUT, |method| method.timeout);
        let Current { deadline: own, criticality, trace, user_agent } = current();
        if let Some(own) = own {
            let left = own.saturating_duration_since(now).saturating_sub(DEADLINE_MARGIN);
            if left.is_zero() {
                let method = path.trim_start_matches('/');
                let status = Status::deadline_exceeded(format!("no time left to call {method}"));
                return Err(grpc::not_processed(status));
            }
            limit = limit.min(left);
        }
        let criticality =
            method.map_or(criticality, |method| method.criticality.within(criticality));
        let info = RequestInfo::grpc(path, now, Some(now + limit), trace);
        Ok(RequestInfo { criticality, user_agent, ..info })
    }
}

/// The context of a call, which is that of the current request if there is one.
#[derive(Default)]
struct Current {
    deadline: Option<Instant>,
    criticality: Criticality,
    trace: TraceContext,
    /// Of the service whose request it is.
    user_agent: Option<HeaderValue>,
}

fn current() -> Current {
    let of = |context: &RequestContext| Current {
        deadline: context.deadline,
        criticality: context.criticality,
        trace: context.trace.clone(),
        user_agent: context.service.user_agent.clone(),
    };
    RequestContext::with(of).unwrap_or_default()
}

fn of_this_thread(balances: &[Balance]) -> Balance {
    balances[WORKER.get() % balances.len()].clone()
}

/// A unary call over the network: the stack, below it what makes a call once more, and below that the choice of an
/// endpoint for each of them.
async fn call_over(
    calls: Option<&Arc<Calls>>,
    balance: Balance,
    retry: Retry,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, Status> {
    let balance =
        ServiceBuilder::new().map_err(Status::from).layer(RetryLayer::new(retry)).service(balance);
    stack(calls, balance).call(request).await
}

/// Calls of any kind, as the clients that tonic generates make them. Such a call has the deadline of its `grpc-timeout`,
/// or that of the current request if that is sooner.
impl Service<http::Request<tonic::body::Body>> for Channel {
    type Response = http::Response<tonic::body::Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, message: http::Request<tonic::body::Body>) -> Self::Future {
        let (now, current) = (Instant::now(), current());
        let Current { deadline: own, criticality, trace, user_agent } = current;
        let asked = grpc::timeout_of(message.headers()).map(|timeout| now + timeout);
        let deadline = own.into_iter().chain(asked).min();
        let path = message.uri().path().to_owned();
        let info = RequestInfo::grpc(path, now, deadline, trace);
        let info = RequestInfo { criticality, user_agent, ..info };
        let request = Request::new(info, message);
        let open = match &self.route {
            Route::Local(endpoint) => Open::Local(endpoint.clone()),
            Route::Network { balances, .. } => Open::Network(of_this_thread(balances)),
        };
        Box::pin(async move { Ok(stack(None, open).call(request).await?.response) })
    }
}
