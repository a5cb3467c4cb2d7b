//! A service as its callers reach it, over a connection or inside the process: its routes below one stack of layers.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use boutique_proto::services::Criticality;
use boutique_proto::{Handlers, Rpc};
use http::{HeaderMap, HeaderValue, StatusCode, Version, header};
use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::{Code, Extensions, Status};
use tower::{Service, ServiceBuilder, ServiceExt as _, service_fn};

use super::budget::{self, Budget, Holding, Metered, Reservation};
use super::class::{Class, Classes};
use super::reply::{Answer, WireReply};
use super::router::Router;
use super::turns::{Turn, turn};
use crate::compression::inflate;
use crate::context::ServiceContext;
use crate::faults::{self, ServiceFaults};
use crate::grpc::{self, DeadlineBody};
use crate::layers::{
    AlterableReply, CatchPanicLayer, ContextLayer, DeadlineLayer, FaultLayer, LogLayer,
    MetricsLayer, Protocol, Reply, Request, RequestInfo, TraceLayer, http_status,
};
use crate::log::Occurrences;
use crate::net::Target;
use crate::overload;
use crate::timeout::timeout_at;

/// The longest time that the message of a unary call may take to arrive, whatever its deadline.
const MESSAGE_TIMEOUT: Duration = Duration::from_secs(10);
/// The same for a question for health, and its most bytes.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_PROBE: usize = 4096;

/// A service's routes, and the stack of layers around every request.
pub(crate) struct Endpoint {
    context: Arc<ServiceContext>,
    routes: axum::Router,
    handlers: Handlers,
    names: Vec<&'static str>,
    classes: Classes,
    is_http: bool,
    sheds: bool,
    budget: Arc<Budget>,
    /// The requests that found no memory.
    refused: Mutex<Occurrences>,
}

/// The share of memory of a request that is being answered, and its turn.
type Admitted = (Arc<Reservation>, Option<Turn>);

/// The routes that the requests of a connection reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Everything,
    /// Health, because it came without TLS to a port that asks for it.
    HealthWithoutTls,
    /// Health, because there is no room for more connections.
    HealthInReserve,
}

/// The layers around every request, first to last. Further ones belong here.
fn stack<S, T>(
    context: &Arc<ServiceContext>,
    service: S,
) -> impl Service<Request<T>, Response = S::Response, Error = Status, Future: Send>
where
    S: Service<Request<T>, Response: Reply + AlterableReply, Error = Status, Future: Send>,
{
    ServiceBuilder::new()
        .layer(TraceLayer::server(context))
        .layer(MetricsLayer::server(context))
        .layer(ContextLayer(context.clone()))
        .layer(LogLayer)
        .layer(DeadlineLayer::SERVER)
        .layer(FaultLayer(context.clone()))
        .layer(CatchPanicLayer)
        .service(service)
}

impl Endpoint {
    /// Makes the endpoint of a process that may have this much memory, in bytes. If it `sheds`, it refuses requests while
    /// its thread is overloaded.
    pub(crate) fn new(
        context: ServiceContext,
        router: Router,
        memory: Option<usize>,
        sheds: bool,
    ) -> Self {
        Self {
            context: Arc::new(context),
            classes: Classes::new(&router),
            // `with_state` makes axum build the final router now instead of at every call.
            routes: router.routes.with_state(()),
            handlers: router.handlers,
            names: router.names,
            is_http: router.is_http,
            sheds,
            budget: Budget::of_process(memory),
            refused: Mutex::default(),
        }
    }

    pub(crate) fn name(&self) -> &'static str {
        self.context.name
    }

    /// Returns true if it has HTTP routes.
    pub(crate) fn is_http(&self) -> bool {
        self.is_http
    }

    pub(crate) fn context(&self) -> &Arc<ServiceContext> {
        &self.context
    }

    /// The budget that all requests share.
    pub(super) fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// Answers a request. Checks of health have a budget of their connection, so that no other connection can spend it. A
    /// request that goes on with what another one has begun, as the page after a form does, is refused as late as an order.
    pub(super) async fn answer(
        &self,
        request: http::Request<Body>,
        probes: &Arc<Budget>,
        goes_on: bool,
    ) -> Answer {
        if request.version() == Version::HTTP_11 && !has_one_host(request.headers()) {
            return Answer::Response(empty(StatusCode::BAD_REQUEST), None);
        }
        let (mut class, started) = (self.classes.of(&request), Instant::now());
        if goes_on {
            class.criticality = Criticality::CriticalPlus;
        }
        let (protocol, kind) = (class.protocol, self.kind(class, request.uri().path()));
        // A Watch stays, so that it is no probe.
        let is_probe = class.is_probe && !matches!(kind, Kind::Stream);
        // Before the layers, because what a refusal costs is what an overloaded process has not got.
        let admitted = if is_probe {
            let reservation = probes.admit(budget::RPC, Criticality::CriticalPlus);
            reservation.map(|reservation| (reservation, None))
        } else {
            self.admit(class, started).await
        };
        let (reservation, _turn) = match admitted {
            Ok(admitted) => admitted,
            Err(refusal) => return Answer::Response(error_response(protocol, refusal), None),
        };
        let mut info = class.info(&request, started);
        if self.context.faults.as_ref().is_some_and(ServiceFaults::reads_headers) {
            info.user_agent = request.headers().get(header::USER_AGENT).cloned();
            info.metadata = MetadataMap::from_headers(request.headers().clone());
        }
        let answer =
            |request| Box::pin(route(self.routes.clone(), kind, request, reservation.clone()));
        let answered =
            stack(&self.context, service_fn(answer)).call(Request::new(info, request)).await;
        let response = match answered {
            Ok(reply) => reply.response,
            Err(status) if faults::is_dropped(&status) => return Answer::Close,
            Err(status) => error_response(protocol, status),
        };
        // An answer about health is a few bytes.
        Answer::Response(response, (!is_probe).then_some(reservation))
    }

    /// Takes a request on, unless the thread has no time for it or the process no memory.
    async fn admit(&self, class: Class, started: Instant) -> Result<Admitted, Status> {
        let admitted = self.try_admit(class, started).await;
        if admitted.is_err()
            && let Some(metrics) = &self.context.metrics
        {
            metrics.shed(class.criticality);
        }
        admitted
    }

    async fn try_admit(&self, class: Class, started: Instant) -> Result<Admitted, Status> {
        let sheds = self.sheds && !class.is_probe;
        if sheds && !overload::admits(class.criticality, started) {
            return Err(overload::refusal());
        }
        let (bytes, is_page) = match class.protocol {
            Protocol::Grpc => (budget::RPC, false),
            Protocol::Http => (budget::PAGE, true),
        };
        let turn = if sheds && is_page { turn(class.criticality, started).await? } else { None };
        // Only now, because a page that waits for its turn holds little.
        let reservation = self.budget.admit(bytes, class.criticality).inspect_err(|_| {
            if sheds {
                overload::press(class.criticality, started);
            }
            self.log_spent();
        })?;
        Ok((reservation, turn))
    }

    fn log_spent(&self) {
        if let Some(refused) = self.refused.lock().add() {
            tracing::warn!(
                service.name = self.context.name,
                refused,
                "too many requests for the memory: refusing some"
            );
        }
    }

    /// Answers a request from inside the process.
    pub(crate) async fn answer_inproc(&self, request: http::Request<Body>) -> http::Response<Body> {
        let protocol = self.classes.of(&request).protocol;
        let path = request.uri().path().to_owned();
        match self.answer(request, &self.budget, false).await {
            Answer::Response(response, _) => response,
            Answer::Close => error_response(protocol, faults::as_lost(&path)),
        }
    }

    /// Answers requests for health alone: those without TLS, because the probes of Kubernetes know no certificates, and
    /// those on the reserve of connections.
    pub(super) async fn answer_health(
        &self,
        request: http::Request<Body>,
        probes: &Arc<Budget>,
        reach: Reach,
    ) -> Answer {
        let class = self.classes.of(&request);
        if class.is_probe {
            return self.answer(request, probes, false).await;
        }
        let is_full = reach == Reach::HealthInReserve;
        let refusal = match class.protocol {
            Protocol::Grpc if is_full => Status::unavailable("too many connections").into_http(),
            Protocol::Grpc => Status::unauthenticated("this port requires TLS").into_http(),
            Protocol::Http if is_full => overloaded(),
            Protocol::Http => empty(StatusCode::BAD_REQUEST),
        };
        Answer::Response(refusal, None)
    }

    /// Answers a unary call from inside the process, as it would be answered over a connection.
    pub(crate) async fn call<R: Rpc>(
        &self,
        request: Request<R::Request>,
    ) -> Result<tonic::Response<R::Response>, Status> {
        let Some(handler) = self.handlers.get::<R>() else {
            return Box::pin(self.call_encoded::<R>(request)).await;
        };
        let handle = |Request { info, message }: Request<R::Request>| {
            let metadata = info.metadata.clone();
            let request = tonic::Request::from_parts(metadata, Extensions::default(), message);
            handler.handle(request)
        };
        match stack(&self.context, service_fn(handle)).call(request).await {
            Ok(response) => Ok(response),
            Err(status) if faults::is_dropped(&status) => Err(faults::as_lost(R::PATH)),
            // Without its source, which must not cross the service boundary.
            Err(mut status) => {
                let metadata = std::mem::take(status.metadata_mut());
                Err(Status::with_metadata(status.code(), status.message(), metadata))
            }
        }
    }

    /// The same through the routes, for a service without handlers.
    async fn call_encoded<R: Rpc>(
        &self,
        Request { info, message }: Request<R::Request>,
    ) -> Result<tonic::Response<R::Response>, Status> {
        let request = info.to_http(&Target::local(), Body::from(grpc::encode(&message)))?;
        let (parts, body) = self.answer_inproc(request).await.into_parts();
        let reply = grpc::collect_reply(info.rpc(), parts.status, parts.headers, body).await?;
        grpc::decode(info.rpc(), reply)
    }

    fn kind(&self, class: Class, path: &str) -> Kind {
        let service = path.trim_start_matches('/').split('/').next().unwrap_or_default();
        match class.protocol {
            Protocol::Http => Kind::Http,
            Protocol::Grpc if !self.is_http && !self.names.contains(&service) => Kind::Unknown,
            Protocol::Grpc if self.handlers.has(path) || path == super::Check::PATH => Kind::Unary,
            Protocol::Grpc => Kind::Stream,
        }
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Endpoint").field(&self.context.name).finish()
    }
}

/// The kind of a request, which decides how it is routed.
#[derive(Clone, Copy)]
enum Kind {
    Http,
    /// gRPC with one message in and one out.
    Unary,
    /// gRPC with any number of messages.
    Stream,
    /// gRPC of a service that is not here.
    Unknown,
}

/// The innermost part for requests over a connection.
async fn route(
    routes: axum::Router,
    kind: Kind,
    Request { info, message: request }: Request<http::Request<Body>>,
    reservation: Arc<Reservation>,
) -> Result<WireReply, Status> {
    let answer = async |request| match routes.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    match kind {
        Kind::Unknown => Err(Status::unimplemented("")),
        Kind::Unary => {
            let request = one_message(&info, metered(request, &reservation), &reservation).await?;
            Ok(WireReply::of_grpc(answer(request).await))
        }
        Kind::Stream => {
            let mut reply = WireReply::of_grpc(answer(request).await);
            if let Some(deadline) = info.deadline {
                let end = |body| Body::new(DeadlineBody::new(body, deadline));
                reply.response = reply.response.map(end);
            }
            let hold = |body| Body::new(Holding::new(body, reservation));
            reply.response = reply.response.map(hold);
            Ok(reply)
        }
        Kind::Http => {
            // Most have no body.
            let request = if http_body::Body::is_end_stream(request.body()) {
                request
            } else {
                metered(request, &reservation)
            };
            Ok(WireReply::answered_http(answer(request).await))
        }
    }
}

/// Takes what the body holds from the budget.
fn metered(request: http::Request<Body>, reservation: &Arc<Reservation>) -> http::Request<Body> {
    request.map(|body| Body::new(Metered::new(body, reservation.clone())))
}

/// Waits for the message of a unary call.
async fn one_message(
    info: &RequestInfo,
    request: http::Request<Body>,
    reservation: &Reservation,
) -> Result<http::Request<Body>, Status> {
    let (mut parts, body) = request.into_parts();
    // A question for health is a name, and comes with its header.
    let (timeout, max) = if info.is_probe {
        (PROBE_TIMEOUT, MAX_PROBE)
    } else {
        (MESSAGE_TIMEOUT, grpc::MAX_MESSAGE)
    };
    // A call that ends sooner by itself needs no other bound for its message.
    let latest = info.started + timeout;
    let bound = Some(latest).filter(|latest| info.deadline.is_none_or(|own| own > *latest));
    let message = timeout_at(bound, grpc::collect_request(body, max)).await;
    let message = message
        .unwrap_or_else(|_elapsed| Err(Status::deadline_exceeded("the message took too long")))?;
    let collected = message.len();
    let message = inflate(&mut parts.headers, message, max)?;
    reservation.take_body(message.len().saturating_sub(collected))?;
    Ok(http::Request::from_parts(parts, Body::from(message)))
}

fn error_response(protocol: Protocol, status: Status) -> http::Response<Body> {
    match protocol {
        Protocol::Grpc => status.into_http(),
        Protocol::Http if status.code() == Code::ResourceExhausted => overloaded(),
        Protocol::Http => empty(http_status(status.code())),
    }
}

/// Asks to come back later.
fn overloaded() -> http::Response<Body> {
    let mut response = empty(StatusCode::SERVICE_UNAVAILABLE);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn has_one_host(headers: &HeaderMap) -> bool {
    headers.get_all(header::HOST).iter().count() == 1
}

fn empty(code: StatusCode) -> http::Response<Body> {
    let mut response = http::Response::new(Body::empty());
    *response.status_mut() = code;
    response
}
