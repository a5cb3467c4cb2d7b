//! One connection: its protocol, its requests, and the bounds of how long a peer may take, stay, or delay a shutdown.

use std::convert::Infallible;
use std::io::Cursor;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use http::{HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, Chain, Join, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, interval_at, sleep, timeout};
use tokio_rustls::TlsAcceptor;

use super::listener::Listener;
use super::protocol::{Opening, detect, is_tls_handshake};
use crate::net::Peer;

/// How long a peer may take for its first bytes, for a TLS handshake, and for a request's header.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an HTTP/1 connection may wait for its next request: longer than the ten minutes of common load balancers.
const IDLE_TIMEOUT: Duration = Duration::from_secs(620);
/// The age at which an HTTP/2 connection is asked to be made anew, so that calls spread over new replicas; up to a
/// fifth more, so that not all are asked at once.
const MAX_AGE: Duration = Duration::from_secs(300);
/// How long a connection without requests may take to close once it is asked to.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest request header in bytes.
const MAX_HTTP1_HEADER: usize = 32 * 1024;
const MAX_HTTP2_HEADER_LIST: u32 = 16 * 1024;
const MAX_STREAMS: u32 = 256;

const CLOSE: HeaderValue = HeaderValue::from_static("close");

/// Serves a connection to its end.
pub(super) async fn serve(stream: std::net::TcpStream, address: IpAddr, listener: Listener) {
    let Ok(stream) = TcpStream::from_std(stream) else { return };
    let opened = tokio::select! {
        () = listener.shutdown.drained() => return,
        opened = timeout(HEADER_TIMEOUT, open(stream, &listener)) => opened,
    };
    // A peer that says nothing, or nothing that is understood, has its connection closed.
    let Ok(Ok(Opened { opening, io, activity, is_tls, is_trusted })) = opened else { return };
    let service = Requests {
        listener: listener.clone(),
        activity: activity.clone(),
        peer: Peer { address, is_tls },
        is_http1: opening == Opening::Http1,
        is_trusted,
    };
    // Boxed, because a connection lives long, and its two forms differ in size.
    match opening {
        Opening::Http2 => Box::pin(serve_http2(io, service, &listener, &activity)).await,
        Opening::Http1 => Box::pin(serve_http1(io, service, &listener, &activity)).await,
    }
}

/// A connection whose protocol is known.
struct Opened {
    opening: Opening,
    io: Io,
    activity: Arc<Activity>,
    is_tls: bool,
    /// Whether the peer came by what the port asks for.
    is_trusted: bool,
}

/// A connection with or without TLS, whose first bytes are read again.
type Io = TokioIo<Join<Counted<Chain<Cursor<Vec<u8>>, Reading>>, Writing>>;
type Reading = Box<dyn AsyncRead + Send + Unpin>;
type Writing = Box<dyn AsyncWrite + Send + Unpin>;

/// Reads the first bytes, behind a TLS handshake if there is one.
async fn open(mut stream: TcpStream, listener: &Listener) -> std::io::Result<Opened> {
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
    let activity = Arc::<Activity>::default();
    let reading = Counted { inner: Cursor::new(first).chain(reading), activity: activity.clone() };
    let io = TokioIo::new(tokio::io::join(reading, writing));
    Ok(Opened { opening, io, activity, is_tls, is_trusted })
}

/// The requests of a connection.
#[derive(Clone)]
struct Requests {
    listener: Listener,
    activity: Arc<Activity>,
    peer: Peer,
    is_http1: bool,
    is_trusted: bool,
}

impl Requests {
    async fn answer(self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let in_flight = InFlight::new(self.activity);
        let (endpoint, mut request) = (&self.listener.endpoint, request.map(Body::new));
        if endpoint.is_http() {
            request.extensions_mut().insert(self.peer);
        }
        let mut response = if self.is_trusted {
            endpoint.answer(request).await
        } else {
            endpoint.answer_without_tls(request).await
        };
        if self.is_http1 && self.listener.shutdown.is_announced() {
            response.headers_mut().insert(header::CONNECTION, CLOSE);
        }
        drop(in_flight);
        Ok(response)
    }
}

/// Spawns hyper's tasks, one for each call. They are boxed, because tokio moves a task several times before it runs,
/// and these have kilobytes.
#[derive(Clone)]
struct BoxingExecutor;

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for BoxingExecutor {
    fn execute(&self, task: F) {
        tokio::spawn(Box::pin(task));
    }
}

async fn serve_http2(io: Io, requests: Requests, listener: &Listener, activity: &Activity) {
    let service = hyper::service::service_fn(move |request| requests.clone().answer(request));
    let connection = http2::Builder::new(BoxingExecutor)
        .timer(TokioTimer::new())
        .max_header_list_size(MAX_HTTP2_HEADER_LIST)
        .max_concurrent_streams(MAX_STREAMS)
        .serve_connection(io, service);
    let mut connection = pin!(connection);
    let age = MAX_AGE.mul_f64(1.0 + jitter() / 5.0);
    // Errors of a connection surface on its requests.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = listener.shutdown.drained() => {}
        () = sleep(age) => {}
    }
    connection.as_mut().graceful_shutdown();
    close(connection, activity).await;
}

async fn serve_http1(io: Io, requests: Requests, listener: &Listener, activity: &Activity) {
    let service = hyper::service::service_fn(move |request| requests.clone().answer(request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_header_size(MAX_HTTP1_HEADER)
        .serve_connection(io, service);
    let mut connection = pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return,
        () = listener.shutdown.drained() => {}
        () = activity.header_overdue() => return,
        () = activity.quiet_for(IDLE_TIMEOUT) => {}
    }
    connection.as_mut().graceful_shutdown();
    close(connection, activity).await;
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

/// What a connection does: the bytes that it received, and the requests that are being answered.
#[derive(Debug, Default)]
struct Activity {
    read: AtomicU64,
    /// The value of `read` when the last request ended.
    read_at_rest: AtomicU64,
    in_flight: AtomicUsize,
}

impl Activity {
    /// Returns when a header has been incomplete for [`HEADER_TIMEOUT`].
    async fn header_overdue(&self) {
        self.holds_for(HEADER_TIMEOUT, |activity| {
            let at_rest = activity.read_at_rest.load(Ordering::Relaxed);
            (activity.read.load(Ordering::Relaxed) > at_rest).then_some(at_rest)
        })
        .await;
    }

    /// Returns when no request has come for this long.
    async fn quiet_for(&self, limit: Duration) {
        self.holds_for(limit, |activity| Some(activity.read_at_rest.load(Ordering::Relaxed))).await;
    }

    /// Returns when `state` has had the same value for `limit`, give or take a quarter, with no request in flight.
    async fn holds_for(&self, limit: Duration, state: impl Fn(&Self) -> Option<u64>) {
        let period = limit / 4;
        let mut ticks = interval_at(Instant::now() + period, period);
        let (mut before, mut held) = (None, 0);
        while held < 4 {
            ticks.tick().await;
            let is_busy = self.in_flight.load(Ordering::Relaxed) > 0;
            let now = if is_busy { None } else { state(self) };
            held = if now.is_some() && now == before { held + 1 } else { 0 };
            before = now;
        }
    }
}

/// A request that is being answered.
struct InFlight(Arc<Activity>);

impl InFlight {
    fn new(activity: Arc<Activity>) -> Self {
        activity.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(activity)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.read_at_rest.store(self.0.read.load(Ordering::Relaxed), Ordering::Relaxed);
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A reader that counts its bytes.
struct Counted<R> {
    inner: R,
    activity: Arc<Activity>,
}

impl<R: AsyncRead + Unpin> AsyncRead for Counted<R> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buffer);
        let read = (buffer.filled().len() - before) as u64;
        self.activity.read.fetch_add(read, Ordering::Relaxed);
        polled
    }
}
