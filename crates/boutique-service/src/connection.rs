//! The one way in, for gRPC and HTTP alike: accepts connections, tells the two protocols apart,
//! and bounds how long a peer may take, stay or keep a drain waiting.

use std::convert::Infallible;
use std::io::Cursor;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use http::{HeaderValue, Request, Response, header};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{Instant, interval_at, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::layer::Served;

/// Connections at one time; more are closed as they come.
const MAX_CONNECTIONS: usize = 8192;
/// How long a peer may take for its first bytes, and for a request's header.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an HTTP/1 connection may wait for its next request: more than the ten minutes that
/// common load balancers keep theirs.
const IDLE_TIMEOUT: Duration = Duration::from_secs(620);
/// How long an HTTP/2 connection lives before its peer is asked to make a new one, so that calls
/// spread over new replicas; up to a fifth more, so that not all ask at once.
const MAX_AGE: Duration = Duration::from_secs(300);
/// How long a connection without a request may take to close once asked to.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a peer may leave sent bytes unacknowledged before it counts as gone.
const USER_TIMEOUT: Duration = Duration::from_secs(15);
/// A request's header on HTTP/1, and a header list on HTTP/2.
const MAX_HTTP1_HEADER: usize = 32 * 1024;
const MAX_HTTP2_HEADER_LIST: u32 = 16 * 1024;
const MAX_STREAMS: u32 = 256;

const CLOSE: HeaderValue = HeaderValue::from_static("close");
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The life of a listener and its connections: accepting, leaving, draining, over.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lifetime {
    leaving: Arc<AtomicBool>,
    draining: CancellationToken,
    over: CancellationToken,
    pub(crate) connections: TaskTracker,
}

impl Lifetime {
    /// Everything is served on, but on HTTP/1 each answer is its connection's last: who is told so
    /// sends no request into a connection that the drain closes.
    pub(crate) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// No new connections; those that are there finish what is in flight.
    pub(crate) fn drain(&self) {
        self.connections.close();
        self.draining.cancel();
    }

    /// Everything stops where it is.
    pub(crate) fn end(&self) {
        self.drain();
        self.over.cancel();
    }
}

/// Accepts connections until the drain and hands them to the workers in turn, or keeps them on
/// this runtime where there are none.
pub(crate) async fn accept(
    listener: TcpListener,
    workers: Vec<Handle>,
    served: Arc<Served>,
    lifetime: Lifetime,
) {
    let here = Handle::current();
    let mut turns = workers.iter().chain([&here]).cycle();
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            biased;
            () = lifetime.draining.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted.and_then(|(stream, _peer)| prepare(stream)) {
            Ok(stream) => stream,
            Err(error) => {
                // Most likely out of file descriptors, which only time gives back.
                tracing::warn!(error = %error, "cannot accept a connection");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Ok(permit) = permits.clone().try_acquire_owned() else { continue };
        let connection = serve(stream, served.clone(), lifetime.clone());
        let over = lifetime.over.clone();
        let task = async move {
            over.run_until_cancelled_owned(connection).await;
            drop(permit);
        };
        lifetime.connections.spawn_on(task, turns.next().unwrap_or(&here));
    }
}

fn prepare(stream: TcpStream) -> std::io::Result<std::net::TcpStream> {
    tune(&stream)?;
    // The runtime that serves it registers it anew.
    stream.into_std()
}

/// Runs hyper's tasks, one a call. Boxed, because tokio moves a task several times before it runs,
/// and these are kilobytes.
#[derive(Clone)]
struct BoxingExecutor;

impl<F: Future<Output: Send> + Send + 'static> hyper::rt::Executor<F> for BoxingExecutor {
    fn execute(&self, task: F) {
        tokio::spawn(Box::pin(task));
    }
}

/// Sends small messages at once, and notices a peer that is gone.
pub(crate) fn tune(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(
        &TcpKeepalive::new().with_time(USER_TIMEOUT).with_interval(Duration::from_secs(5)),
    )?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}

async fn serve(stream: std::net::TcpStream, served: Arc<Served>, lifetime: Lifetime) {
    let Ok(mut stream) = TcpStream::from_std(stream) else { return };
    let first = tokio::select! {
        () = lifetime.draining.cancelled() => return,
        first = timeout(HEADER_TIMEOUT, first_bytes(&mut stream)) => first,
    };
    let Ok(Ok(first)) = first else { return };
    let is_http2 = first == HTTP2_PREFACE;
    let activity = Arc::new(Activity::default());
    let (reading, writing) = stream.into_split();
    let reading = Counted { inner: Cursor::new(first).chain(reading), activity: activity.clone() };
    let io = TokioIo::new(tokio::io::join(reading, writing));
    let (counting, leaving) = (activity.clone(), lifetime.leaving.clone());
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (served, request_in_flight) = (served.clone(), InFlight::new(counting.clone()));
        let leaving = leaving.clone();
        async move {
            let mut response = served.answer(request.map(Body::new)).await;
            if !is_http2 && leaving.load(Ordering::Relaxed) {
                response.headers_mut().insert(header::CONNECTION, CLOSE);
            }
            drop(request_in_flight);
            Ok::<Response<Body>, Infallible>(response)
        }
    });
    // How a connection ends, a broken peer's included, is told by its requests.
    if is_http2 {
        let connection = http2::Builder::new(BoxingExecutor)
            .timer(TokioTimer::new())
            .max_header_list_size(MAX_HTTP2_HEADER_LIST)
            .max_concurrent_streams(MAX_STREAMS)
            .serve_connection(io, service);
        let mut connection = pin!(connection);
        let age = MAX_AGE.mul_f64(1.0 + f64::from(jitter()) / 5.0);
        tokio::select! {
            _ = connection.as_mut() => return,
            () = lifetime.draining.cancelled() => {}
            () = sleep(age) => {}
        }
        connection.as_mut().graceful_shutdown();
        close(connection, &activity).await;
    } else {
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(None)
            .max_header_size(MAX_HTTP1_HEADER)
            .serve_connection(io, service);
        let mut connection = pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => return,
            () = lifetime.draining.cancelled() => {}
            () = activity.header_overdue() => return,
            () = activity.quiet_for(IDLE_TIMEOUT) => {}
        }
        connection.as_mut().graceful_shutdown();
        close(connection, &activity).await;
    }
}

/// Lets what is in flight end, and waits no longer for a peer that has nothing in flight.
async fn close(connection: impl Future, activity: &Activity) {
    tokio::select! {
        _ = connection => {}
        () = activity.quiet_for(CLOSE_TIMEOUT) => {}
    }
}

/// Reads just enough to know HTTP/2 by its preface.
async fn first_bytes(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut first = Vec::with_capacity(HTTP2_PREFACE.len());
    while first.len() < HTTP2_PREFACE.len() && HTTP2_PREFACE.starts_with(&first) {
        let missing = (HTTP2_PREFACE.len() - first.len()) as u64;
        if (&mut *stream).take(missing).read_buf(&mut first).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(first)
}

/// A number in 0..1 that differs from connection to connection; nothing depends on its quality.
fn jitter() -> f32 {
    let nanos = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    nanos.map_or(0.0, |since| since.subsec_micros() as f32 / 1e6)
}

/// What a connection is doing, told by counting: bytes that came in, and requests being answered.
#[derive(Debug, Default)]
struct Activity {
    read: AtomicU64,
    /// How much had been read when the last request ended.
    read_at_rest: AtomicU64,
    in_flight: AtomicUsize,
}

impl Activity {
    /// Returns when a header has been under way for `HEADER_TIMEOUT` without becoming a request.
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

    /// Returns when `state` has given the same answer for as long as `limit`, give or take a
    /// quarter, with no request in flight.
    async fn holds_for(&self, limit: Duration, state: impl Fn(&Self) -> Option<u64>) {
        let period = limit / 4;
        let mut ticks = interval_at(Instant::now() + period, period);
        let (mut before, mut held) = (None, 0);
        while held < 4 {
            ticks.tick().await;
            let busy = self.in_flight.load(Ordering::Relaxed) > 0;
            let now = if busy { None } else { state(self) };
            held = if now.is_some() && now == before { held + 1 } else { 0 };
            before = now;
        }
    }
}

/// A request being answered.
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

/// A reader whose bytes are counted.
struct Counted<R> {
    inner: R,
    activity: Arc<Activity>,
}

impl<R: AsyncRead + Unpin> AsyncRead for Counted<R> {
    fn poll_read(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        let before = buffer.filled().len();
        let polled = std::pin::Pin::new(&mut self.inner).poll_read(cx, buffer);
        let read = (buffer.filled().len() - before) as u64;
        self.activity.read.fetch_add(read, Ordering::Relaxed);
        polled
    }
}
