//! Callers: a [`Channel`] to another service, over the network or inside the process, with the
//! deadline of each edge and the trace passed on.

use std::cell::Cell;
use std::error::Error as StdError;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Collected, Limited};
use opentelemetry::KeyValue;
use opentelemetry::trace::{Span as _, SpanKind, Status as SpanStatus, Tracer as _};
use opentelemetry_sdk::trace::Span;
use tokio::time::Instant;
use tonic::body::Body;
use tonic::{Code, Status};
use tower::Service;

use crate::call::Call;
use crate::deadline::{Late, within};
use crate::env::{Env, EnvError};
use crate::layer::{MAX_MESSAGE, Served, rpc_attributes};
use crate::peer::Peer;

/// How long a call may take by default, in milliseconds, and the setting that says otherwise. A
/// caller with less time left makes it less. The budgets of the whole shop are drawn so that the
/// sum along every path stays inside the budget of the page it serves.
const EDGES: [(&str, &str, u64); 17] = [
    ("hipstershop.AdService/GetAds", "AD_TIMEOUT", 100),
    ("hipstershop.CartService/AddItem", "CART_ADD_TIMEOUT", 800),
    ("hipstershop.CartService/GetCart", "CART_TIMEOUT", 500),
    ("hipstershop.CartService/EmptyCart", "CART_TIMEOUT", 500),
    ("hipstershop.CheckoutService/PlaceOrder", "CHECKOUT_TIMEOUT", 8_000),
    ("hipstershop.CurrencyService/Convert", "CURRENCY_TIMEOUT", 300),
    ("hipstershop.CurrencyService/GetSupportedCurrencies", "CURRENCY_TIMEOUT", 300),
    ("hipstershop.EmailService/SendOrderConfirmation", "EMAIL_TIMEOUT", 2_000),
    ("hipstershop.PaymentService/Charge", "PAYMENT_TIMEOUT", 3_000),
    ("hipstershop.ProductCatalogService/GetProduct", "PRODUCT_CATALOG_TIMEOUT", 500),
    ("hipstershop.ProductCatalogService/ListProducts", "PRODUCT_CATALOG_TIMEOUT", 500),
    ("hipstershop.ProductCatalogService/SearchProducts", "PRODUCT_CATALOG_TIMEOUT", 500),
    ("hipstershop.RecommendationService/ListRecommendations", "RECOMMENDATION_TIMEOUT", 200),
    ("hipstershop.ShippingService/GetQuote", "SHIPPING_QUOTE_TIMEOUT", 500),
    ("hipstershop.ShippingService/ShipOrder", "SHIPPING_TIMEOUT", 2_000),
    ("grpc.health.v1.Health/Check", "HEALTH_TIMEOUT", 1_000),
    ("grpc.health.v1.Health/List", "HEALTH_TIMEOUT", 1_000),
];

/// What a caller keeps of its own time for the way back, so that a late answer is told apart from
/// a lost one.
const RESERVE: Duration = Duration::from_millis(10);
/// The limit of a call that the table does not name.
const OTHER_EDGES: Duration = Duration::from_secs(1);

thread_local! {
    /// Which of the process's runtimes this thread drives.
    static WORKER: Cell<usize> = const { Cell::new(0) };
}

/// Tells a thread which of the process's runtimes it drives.
pub(crate) fn set_worker(index: usize) {
    WORKER.set(index);
}

/// A way to call one service; cheap to clone. Made by [`channel`].
#[derive(Clone)]
pub struct Channel {
    route: Route,
    timeouts: Arc<[(&'static str, Duration)]>,
}

#[derive(Clone)]
enum Route {
    /// One connection for each runtime of the process: calls of a page that are issued together
    /// share a connection, and no runtime waits for another.
    Network(Arc<[Peer]>),
    /// A function call.
    Inproc(Arc<Served>),
}

/// A channel to the address that the setting `addr_key` holds: `host:port`, `http://host:port`,
/// `dns:///host:port`, or `inproc:name` for a service of this process. It connects at the first
/// call, so services start in any order.
pub fn channel(env: &Env, addr_key: &str) -> Result<Channel, EnvError> {
    let address = env.require(addr_key)?;
    let route = match address.strip_prefix("inproc:") {
        Some(name) => {
            let served = env.inproc.get(name);
            Route::Inproc(served.cloned().ok_or_else(|| {
                EnvError::new(addr_key, "must name a service of this process after inproc:")
            })?)
        }
        None => network(env, addr_key, address)?,
    };
    let mut timeouts = Vec::with_capacity(EDGES.len());
    for (method, setting, default) in EDGES {
        let default = Duration::from_millis(default);
        timeouts.push((method, env.duration(setting)?.unwrap_or(default)));
    }
    Ok(Channel { route, timeouts: timeouts.into() })
}

fn network(env: &Env, addr_key: &str, address: &str) -> Result<Route, EnvError> {
    let authority = ["dns:///", "http://"]
        .iter()
        .find_map(|scheme| address.strip_prefix(scheme))
        .unwrap_or(address)
        .trim_end_matches('/');
    let wrong = || EnvError::new(addr_key, "must be host:port");
    let parsed: http::uri::Authority = authority.parse().map_err(|_| wrong())?;
    if parsed.port_u16().is_none() {
        return Err(wrong());
    }
    let peers = (0..=env.workers.len()).map(|_| Peer::new(parsed.clone()));
    Ok(Route::Network(peers.collect()))
}

impl Service<Request<Body>> for Channel {
    type Response = Response<Body>;
    type Error = Status;
    type Future = BoxFuture<'static, Result<Response<Body>, Status>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let channel = self.clone();
        Box::pin(async move { channel.send(request).await })
    }
}

impl Channel {
    async fn send(&self, mut request: Request<Body>) -> Result<Response<Body>, Status> {
        let method = request.uri().path().trim_start_matches('/').to_owned();
        let timeout = self.timeout(&method)?;
        let span = trace_call(&method, &mut request);
        request.headers_mut().insert("grpc-timeout", timeout_header(timeout));

        let exchange = pin!(self.exchange(&method, request));
        let outcome = match within(Instant::now() + timeout, exchange).await {
            Ok(outcome) => outcome,
            Err(Late) => Err(Status::deadline_exceeded(format!("{method} took too long"))),
        };
        if let Some(span) = span {
            finish(span, &outcome);
        }
        outcome.map(|answer| answer.map(Body::new))
    }

    /// The edge's own limit, or what the caller has left where that is less.
    fn timeout(&self, method: &str) -> Result<Duration, Status> {
        let edge = self.timeouts.iter().find(|(name, _)| *name == method);
        let limit = edge.map_or(OTHER_EDGES, |(_, limit)| *limit);
        let Some(deadline) = Call::peek(|call| call.deadline).flatten() else { return Ok(limit) };
        let left = deadline.saturating_duration_since(Instant::now()).saturating_sub(RESERVE);
        if left.is_zero() {
            return Err(Status::deadline_exceeded(format!("no time left to call {method}")));
        }
        Ok(limit.min(left))
    }

    async fn exchange(&self, method: &str, request: Request<Body>) -> Result<Answer, Status> {
        let response = match &self.route {
            Route::Inproc(served) => {
                let request = request.map(axum::body::Body::new);
                // Boxed, because a service's future would make that of every call as large.
                Box::pin(served.answer(request)).await.map(Body::new)
            }
            Route::Network(peers) => {
                let (parts, body) = request.into_parts();
                let body = body.collect().await?.to_bytes();
                let peer = &peers[WORKER.get() % peers.len()];
                let answer = peer.call(Request::from_parts(parts, body)).await;
                answer.map_err(|cause| unreachable_peer(method, cause))?.map(Body::new)
            }
        };
        // All of it, so that the deadline covers the whole answer and the span knows its end.
        let (parts, body) = response.into_parts();
        let body = Limited::new(body, MAX_MESSAGE).collect().await.map_err(|error| match error
            .downcast::<Status>(
        ) {
            Ok(status) => *status,
            Err(error) => unreachable_peer(method, error),
        })?;
        Ok(Response::from_parts(parts, body))
    }
}

type Answer = Response<Collected<Bytes>>;

fn unreachable_peer(method: &str, cause: Box<dyn StdError + Send + Sync>) -> Status {
    let mut status = Status::unavailable(format!("cannot reach {method}"));
    status.set_source(cause.into());
    status
}

/// Writes the trace into the request; starts a span of its own where this service records.
fn trace_call(method: &str, request: &mut Request<Body>) -> Option<Span> {
    let call = Call::current()?;
    let Some(tracing) = &call.identity.tracing else {
        call.trace.write_to(request.headers_mut());
        return None;
    };
    let builder = tracing
        .tracer
        .span_builder(method.to_owned())
        .with_kind(SpanKind::Client)
        .with_attributes(rpc_attributes(method));
    let span = tracing.tracer.build_with_context(builder, &call.trace.parent());
    call.trace.under(span.span_context().clone()).write_to(request.headers_mut());
    Some(span)
}

fn finish(mut span: Span, outcome: &Result<Answer, Status>) {
    let code = match outcome {
        Err(status) => status.code(),
        Ok(answer) => {
            let trailers = answer.body().trailers().unwrap_or(answer.headers());
            Status::from_header_map(trailers).map_or(Code::Ok, |status| status.code())
        }
    };
    span.set_attribute(KeyValue::new("rpc.grpc.status_code", code as i64));
    if code != Code::Ok {
        span.set_status(SpanStatus::error(""));
    }
    span.end();
}

/// gRPC's notation has at most eight digits; microseconds hold 99 seconds, milliseconds a day.
fn timeout_header(timeout: Duration) -> HeaderValue {
    let (value, unit) = match timeout.as_micros() {
        micros @ ..=99_999_999 => (micros, 'u'),
        micros => ((micros / 1000).min(99_999_999), 'm'),
    };
    HeaderValue::try_from(format!("{value}{unit}"))
        .unwrap_or_else(|_| HeaderValue::from_static("1S"))
}
