//! The transport: one HTTP/2 connection to another service, with or without TLS, made at the first call and again when it
//! is gone. A `tower::Service` like any other: what is above knows nothing of h2.

use std::error::Error as StdError;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use h2::client::{Builder, SendRequest};
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt as _;
use parking_lot::Mutex;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;
use tower::Service;

use super::resolve::Place;
use crate::net::tune;
use crate::tls::Tls;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The flow-control windows in bytes: a message of the largest size, and several such calls.
const WINDOW: u32 = 4 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * WINDOW;

type Sender = SendRequest<Bytes>;
pub(super) type BoxError = Box<dyn StdError + Send + Sync>;

/// The error of a call that has no answer.
#[derive(Debug)]
pub(super) struct TransportError {
    cause: BoxError,
    pub(super) kind: TransportErrorKind,
}

/// The way in which a call failed that has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TransportErrorKind {
    /// There is no connection; the call was certainly never processed.
    NotConnected,
    /// The peer takes no more calls on this connection; the call was certainly never processed.
    Refused,
    /// The peer ended the call; it may have been processed.
    Reset,
    /// The connection broke; the call may have been processed.
    Broken,
}

impl TransportError {
    fn not_connected(cause: impl Into<BoxError>) -> Self {
        Self { cause: cause.into(), kind: TransportErrorKind::NotConnected }
    }

    fn of_stream(error: h2::Error) -> Self {
        let kind = if was_refused(&error) {
            TransportErrorKind::Refused
        } else if error.is_reset() && error.is_remote() {
            TransportErrorKind::Reset
        } else {
            TransportErrorKind::Broken
        };
        Self { cause: error.into(), kind }
    }

    pub(super) fn into_cause(self) -> BoxError {
        self.cause
    }
}

/// The body of a request.
pub(super) enum RequestBody {
    /// One message with its frame header, sent in one write with the request's header.
    Message(Bytes),
    /// Any number of messages.
    Stream(tonic::body::Body),
}

/// A connection, and all that it takes to make it again; cheap to clone.
#[derive(Clone)]
pub(super) struct Connection(Arc<Inner>);

struct Inner {
    place: Place,
    tls: Option<Arc<Tls>>,
    sender: Mutex<Option<Sender>>,
    /// One caller connects, the others wait for it.
    connecting: tokio::sync::Mutex<()>,
    /// True once there was a connection.
    was_open: AtomicBool,
    /// The TLS error that was logged last, until a connection succeeds.
    logged: Arc<Mutex<Option<String>>>,
}

impl Service<Request<RequestBody>> for Connection {
    type Response = Response<Received>;
    type Error = TransportError;
    type Future = BoxFuture<'static, Result<Self::Response, TransportError>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<RequestBody>) -> Self::Future {
        let inner = self.0.clone();
        Box::pin(async move { inner.send(request).await })
    }
}

impl Connection {
    pub(super) fn new(place: Place, tls: Option<Arc<Tls>>) -> Self {
        Self::of(place, tls, Arc::default())
    }

    /// A connection to the same peer, not yet open.
    pub(super) fn another(&self) -> Self {
        let Inner { place, tls, logged, .. } = &*self.0;
        Self::of(place.clone(), tls.clone(), logged.clone())
    }

    fn of(place: Place, tls: Option<Arc<Tls>>, logged: Arc<Mutex<Option<String>>>) -> Self {
        Self(Arc::new(Inner {
            place,
            tls,
            sender: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            was_open: AtomicBool::new(false),
            logged,
        }))
    }

    /// Returns true if it takes calls.
    pub(super) fn is_open(&self) -> bool {
        self.0.open().is_some()
    }

    /// Returns true if it took calls at any time.
    pub(super) fn was_open(&self) -> bool {
        self.0.was_open.load(Ordering::Relaxed)
    }

    /// Connects, unless it is open.
    pub(super) async fn connect(&self) -> Result<(), TransportError> {
        self.0.clone().connect_once().await.map(|_| ())
    }

    /// Takes over the open connection of `other`. Calls in flight end on the old one.
    pub(super) fn replace_with(&self, other: &Self) {
        if let Some(sender) = other.0.open() {
            self.0.set(sender);
        }
    }
}

impl Inner {
    /// Sends a request, and waits for the head of its answer.
    async fn send(
        self: Arc<Self>,
        request: Request<RequestBody>,
    ) -> Result<Response<Received>, TransportError> {
        let mut sender = match self.open() {
            Some(sender) => sender,
            None => Box::pin(self.clone().connect_once()).await?,
        };
        let (head, body) = request.into_parts();
        let sent = sender.send_request(Request::from_parts(head, ()), false);
        let (response, mut stream) = sent.map_err(|error| TransportError {
            cause: error.into(),
            kind: TransportErrorKind::Refused,
        })?;
        let sending = match body {
            RequestBody::Message(message) => {
                stream.send_data(message, true).map_err(TransportError::of_stream)?;
                None
            }
            RequestBody::Stream(body) => {
                Some(AbortOnDropHandle::new(tokio::spawn(send_body(body, stream))))
            }
        };
        let response = response.await.map_err(|error| self.explained(error))?;
        if self.tls.is_some() {
            *self.logged.lock() = None;
        }
        Ok(response.map(|body| Received { body, _sending: sending }))
    }

    /// Connects, or waits for the caller that does.
    async fn connect_once(self: Arc<Self>) -> Result<Sender, TransportError> {
        let _connecting = self.connecting.lock().await;
        if let Some(sender) = self.open() {
            return Ok(sender);
        }
        let connected = tokio::time::timeout(CONNECT_TIMEOUT, self.clone().connect()).await;
        let sender = connected.map_err(TransportError::not_connected)??;
        self.set(sender.clone());
        Ok(sender)
    }

    fn set(&self, sender: Sender) {
        *self.sender.lock() = Some(sender);
        self.was_open.store(true, Ordering::Relaxed);
    }

    /// Returns the connection, if there is one that takes calls.
    fn open(&self) -> Option<Sender> {
        self.sender.lock().clone().filter(takes_calls)
    }

    async fn connect(self: Arc<Self>) -> Result<Sender, TransportError> {
        let target = &self.place.target;
        let stream = match self.place.address {
            Some(address) => TcpStream::connect(address).await,
            None => TcpStream::connect(target.authority.as_str()).await,
        };
        let stream = stream.map_err(TransportError::not_connected)?;
        tune(&stream).map_err(TransportError::not_connected)?;
        let Some(tls) = &self.tls else { return self.handshake(stream).await };
        let name = ServerName::try_from(target.host().to_owned())
            .map_err(TransportError::not_connected)?;
        let config = tls.client().map_err(TransportError::not_connected)?;
        let encrypted = TlsConnector::from(config).connect(name, stream).await;
        let encrypted = encrypted.map_err(|error| self.tls_error(&error))?;
        self.handshake(encrypted).await
    }

    async fn handshake(
        self: Arc<Self>,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    ) -> Result<Sender, TransportError> {
        let (sender, driver) = Builder::new()
            .enable_push(false)
            .initial_window_size(WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake(stream)
            .await
            .map_err(TransportError::not_connected)?;
        // Errors of a connection surface on its calls.
        tokio::spawn(async move { driver.await.is_ok() });
        Ok(sender)
    }

    /// The error of a call on this connection. With TLS 1.3 a server refuses a client's certificate only after the
    /// handshake, as an error of the first call.
    fn explained(&self, error: h2::Error) -> TransportError {
        match error.get_io() {
            Some(io) if self.tls.is_some() && is_tls(io) => self.tls_error(io),
            Some(_) | None => TransportError::of_stream(error),
        }
    }

    /// Logs why there is no TLS connection, once for as long as the reason stays; the calls say no more than that.
    fn tls_error(&self, error: &std::io::Error) -> TransportError {
        let reason = error.to_string();
        let mut logged = self.logged.lock();
        if logged.as_ref() != Some(&reason) {
            let address = &self.place.target.authority;
            tracing::error!(server.address = %address, error = reason, "no TLS connection to {address}");
            *logged = Some(reason);
        }
        TransportError::not_connected("there is no TLS connection")
    }
}

fn is_tls(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(|cause| cause.is::<rustls::Error>())
}

/// Returns true if neither side has announced the end of the connection.
fn takes_calls(sender: &Sender) -> bool {
    // It is ready at once: what it would wait for is a call of its own, and this clone has none.
    let polled = sender.clone().poll_ready(&mut Context::from_waker(Waker::noop()));
    matches!(polled, Poll::Ready(Ok(())))
}

/// Returns true if the peer refused the stream, or said in its GOAWAY that it will not be served.
fn was_refused(error: &h2::Error) -> bool {
    error.is_remote()
        && (error.reason() == Some(Reason::REFUSED_STREAM)
            || (error.is_go_away() && error.reason() == Some(Reason::NO_ERROR)))
}

/// Sends the messages of a stream as fast as the peer takes them.
async fn send_body(body: tonic::body::Body, mut stream: SendStream<Bytes>) {
    let mut body = pin!(body);
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return stream.send_reset(Reason::CANCEL);
        };
        // A client sends no trailers.
        let Ok(mut data) = frame.into_data() else { continue };
        while !data.is_empty() {
            stream.reserve_capacity(data.len());
            let granted = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
            let Some(Ok(capacity)) = granted else { return };
            let part = data.split_to(capacity.min(data.len()));
            if stream.send_data(part, false).is_err() {
                return;
            }
        }
    }
    // The peer may have ended the stream already.
    let _ = stream.send_data(Bytes::new(), true);
}

/// The body of an answer as it arrives. Dropping it ends the sending of the request's messages, too.
pub(super) struct Received {
    body: RecvStream,
    _sending: Option<AbortOnDropHandle<()>>,
}

impl Body for Received {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if let Some(data) = ready!(self.body.poll_data(cx)) {
            let data = data?;
            // What has arrived makes room for more.
            self.body.flow_control().release_capacity(data.len())?;
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let trailers = ready!(self.body.poll_trailers(cx))?;
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }
}
