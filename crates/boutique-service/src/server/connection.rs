//! One connection: its protocol, its requests, and the bounds of how long a peer may take, stay, or delay a shutdown.

use std::convert::Infallible;
use std::io::Cursor;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::Body;
use http::{HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, Chain, Join};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::activity::{Activity, Counted};
use super::admission::Slot;
use super::budget::Budget;
use super::endpoint::Reach;
use super::flood::{FloodGuard, Guard, HeaderGuard};
use super::listener::Listener;
use super::outgoing::Outgoing;
use super::protocol::{Opening, detect, is_tls_handshake};
use super::reply::Answer;
use crate::net::Peer;

/// The longest time that a peer may take for its first bytes, for a TLS handshake, and for a request's header.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest time that an HTTP/1 connection may wait for its next request: longer than the ten minutes of common load balancers.
const IDLE_TIMEOUT: Duration = Duration::from_secs(620);
/// The age at which an HTTP/2 connection is asked to be made anew, so that calls spread over new replicas; up to a
/// fifth more, so that not all are asked at once.
const MAX_AGE: Duration = Duration::from_secs(300);
/// The longest time that a connection without requests may take to close once it is asked to.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest request header in bytes.
const MAX_HTTP1_HEADER: usize = 32 * 1024;
const MAX_HTTP2_HEADER_LIST: u32 = 16 * 1024;
const MAX_STREAMS: u32 = 128;
/// The size of HPACK's table of the headers of calls, in bytes: those that repeat, and the `traceparent` of eight requests,
/// among which a caller of ours looks for each.
const RPC_HEADER_TABLE: u32 = 1024;
/// The most checks of health at one time; probes send one.
const MAX_PROBES: usize = 2;
/// The flow-control windows in bytes: the most that a connection takes beside its requests.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;
/// The time that an evicted connection has to send GOAWAY.
const EVICTION_TIMEOUT: Duration = Duration::from_millis(100);

const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// Serves a connection to its end.
pub(super) async fn serve(
    stream: std::net::TcpStream,
    address: IpAddr,
    listener: Listener,
    (slot, activity): (Slot, Arc<Activity>),
) {
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    let opened = tokio::select! {
        () = listener.shutdown.drained() => return,
        () = slot.evicted.cancelled() => return,
        opened = timeout(HEADER_TIMEOUT, open(stream, &listener, activity.clone())) => opened,
    };
    // A peer that says nothing, or nothing that is understood, has its connection closed.
    let Ok(Ok(Opened { opening, io, is_tls, is_trusted })) = opened else { return };
    let service = Requests {
        listener: listener.clone(),
        activity: activity.clone(),
        peer: Peer { address, is_tls },
        probes: Budget::of_rpcs(MAX_PROBES),
        is_http1: opening == Opening::Http1,
        reach: match (is_trusted, slot.is_reserve) {
            (true, false) => Reach::Everything,
            (false, _) => Reach::HealthWithoutTls,
            (true, true) => Reach::HealthInReserve,
        },
    };
    match opening {
        Opening::Http2 => Box::pin(serve_http2(io, service, &listener, &slot)).await,
        Opening::Http1 => Box::pin(serve_http1(io, service, &listener, &slot)).await,
    }
}

/// A connection whose protocol is known.
struct Opened {
    opening: Opening,
    io: Io,
    is_tls: bool,
    /// True if the peer meets the TLS mode of the port.
    is_trusted: bool,
}

/// A connection with or without TLS, whose first bytes are read again.
type Io = TokioIo<Join<Counted<Chain<Cursor<Vec<u8>>, Reading>>, Writing>>;
type Reading = Box<dyn AsyncRead + Send + Unpin>;
type Writing = Box<dyn AsyncWrite + Send + Unpin>;

/// Reads the first bytes, behind a TLS handshake if there is one.
async fn open(
    mut stream: TcpStream,
    listener: &Listener,
    activity: Arc<Activity>,
) -> std::io::Result<Opened> {
    let tls = listener.tls.server(listener.mode).map_err(std::io::Error::other)?;
    let is_tls = tls.is_some() && is_tls_handshake(&stream).await?;
    let is_trusted = is_tls || tls.is_none();
    let (opening, first, reading, writing): (_, _, Reading, Writing) = match tls {
        Some(config) if is_tls => {
            let mut stream =
                TlsAcceptor::from(config).accept(stream).await.inspect_err(|error| {
                    tracing::debug!(error = %error, "a TLS handshake failed");
                })?;
            let (opening, first) = detect(&mut stream).await?;
            let (reading, writing) = tokio::io::split(stream);
            (opening, first, Box::new(reading), Box::new(writing))
        }
        Some(_) | None => {
            let (opening, first) = detect(&mut stream).await?;
            let (reading, writing) = stream.into_split();
            (opening, first, Box::new(reading), Box::new(writing))
        }
    };
    let budget = listener.endpoint.budget().clone();
    let guard = match opening {
        Opening::Http2 => Guard::Http2(FloodGuard::new(budget)),
        Opening::Http1 => Guard::Http1(HeaderGuard::new(budget)),
    };
    let reading = Counted { inner: Cursor::new(first).chain(reading), activity, guard };
    let io = TokioIo::new(tokio::io::join(reading, writing));
    Ok(Opened { opening, io, is_tls, is_trusted })
}

/// The requests of a connection.
#[derive(Clone)]
struct Requests {
    listener: Listener,
    activity: Arc<Activity>,
    peer: Peer,
    /// The budget of its checks of health.
    probes: Arc<Budget>,
    is_http1: bool,
    reach: Reach,
}

impl Requests {
    async fn answer(
        self,
        request: Request<Incoming>,
    ) -> Result<Response<Outgoing<Body>>, Infallible> {
        let in_flight = self.activity.start();
        let (endpoint, mut request) = (&self.listener.endpoint, request.map(Body::new));
        if endpoint.is_http() {
            request.extensions_mut().insert(self.peer);
        }
        let answer = match self.reach {
            Reach::Everything => {
                let goes_on = self.activity.is_redirected.swap(false, Ordering::Relaxed);
                endpoint.answer(request, &self.probes, goes_on).await
            }
            Reach::HealthWithoutTls | Reach::HealthInReserve => {
                endpoint.answer_health(request, &self.probes, self.reach).await
            }
        };
        let is_last = self.listener.shutdown.is_announced() || self.reach == Reach::HealthInReserve;
        let Answer::Response(mut response, share) = answer else {
            self.activity.dropped.notify_one();
            return std::future::pending().await;
        };
        // The status first, because most answers are no redirects.
        if response.status().is_redirection() && response.headers().contains_key(header::LOCATION) {
            self.activity.is_redirected.store(true, Ordering::Relaxed);
        }
        if self.is_http1 && is_last {
            response.headers_mut().insert(header::CONNECTION, CLOSE);
        }
        drop(in_flight);
        Ok(response.map(|body| Outgoing::new(body, share)))
    }
}

/// Spawns hyper's tasks, one for each call, boxed.
#[derive(Clone)]
struct BoxingExecutor;

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for BoxingExecutor {
    fn execute(&self, task: F) {
        tokio::spawn(Box::pin(task));
    }
}

async fn serve_http2(io: Io, requests: Requests, listener: &Listener, slot: &Slot) {
    let activity = requests.activity.clone();
    let table = (!listener.endpoint.is_http()).then_some(RPC_HEADER_TABLE);
    let service = hyper::service::service_fn(move |request| requests.clone().answer(request));
    let connection = http2::Builder::new(BoxingExecutor)
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HTTP2_HEADER_LIST)
        .max_concurrent_streams(MAX_STREAMS)
        .header_table_size(table)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .serve_connection(io, service);
    let mut connection = pin!(connection);
    let age = MAX_AGE.mul_f64(1.0 + jitter() / 5.0);
    // Errors of a connection surface on its requests.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = activity.dropped.notified() => return,
        () = listener.shutdown.drained() => {}
        () = sleep(age) => {}
        () = give_way(slot, &activity) => {
            connection.as_mut().graceful_shutdown();
            // Time enough to say so.
            let _ = timeout(EVICTION_TIMEOUT, connection).await;
            return;
        }
    }
    connection.as_mut().graceful_shutdown();
    close(connection, &activity).await;
}

/// Returns when a connection has to make room for others, or floods.
async fn give_way(slot: &Slot, activity: &Activity) {
    tokio::select! {
        () = slot.evicted.cancelled() => {}
        () = activity.flooded.notified() => {
            tracing::debug!("closing a connection that sends too much without a request");
        }
    }
}

async fn serve_http1(io: Io, requests: Requests, listener: &Listener, slot: &Slot) {
    let activity = requests.activity.clone();
    let service = hyper::service::service_fn(move |request| requests.clone().answer(request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_header_size(MAX_HTTP1_HEADER)
        .serve_connection(io, service);
    let mut connection = pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = activity.dropped.notified() => return,
        () = listener.shutdown.drained() => {}
        () = give_way(slot, &activity) => return,
        () = activity.header_overdue(HEADER_TIMEOUT) => return,
        () = activity.quiet_for(IDLE_TIMEOUT) => {}
    }
    connection.as_mut().graceful_shutdown();
    close(connection, &activity).await;
}

/// Lets what is in flight end, and waits no longer for a peer that has nothing in flight.
async fn close(connection: impl Future, activity: &Activity) {
    tokio::select! {
        _ = connection => {}
        () = activity.quiet_for(CLOSE_TIMEOUT) => {}
    }
}

/// A number in 0..1 that differs from connection to connection; nothing depends on its quality.
fn jitter() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0.0, |since| f64::from(since.subsec_micros()) / 1e6)
}
