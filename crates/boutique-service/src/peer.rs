//! One HTTP/2 connection to another service: made at the first call, made anew when it is gone, and
//! a unary call over it that is repeated only if it was certainly never processed.

use std::error::Error as StdError;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::{Reason, RecvStream};
use http::uri::Authority;
use http::{Request, Response};
use http_body::{Body, Frame};
use tokio::net::TcpStream;

use crate::connection;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How much a peer may send ahead: a message of the largest size, and several such calls.
const WINDOW: u32 = 4 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * WINDOW;

type Sender = SendRequest<Bytes>;
type BoxError = Box<dyn StdError + Send + Sync>;

/// A peer, and the connection to it.
pub(crate) struct Peer {
    authority: Authority,
    sender: Mutex<Option<Sender>>,
    /// One connects, the others wait for it.
    connecting: tokio::sync::Mutex<()>,
}

/// A call that failed, and whether it certainly never reached a handler.
struct Failed {
    cause: BoxError,
    never_processed: bool,
}

impl Peer {
    pub(crate) fn new(authority: Authority) -> Self {
        Self { authority, sender: Mutex::default(), connecting: tokio::sync::Mutex::default() }
    }

    /// Sends a call, and once more if the first try was certainly never processed. `head` makes what stands
    /// before the message.
    pub(crate) async fn call(
        &self,
        head: impl Fn(&Authority) -> Result<Request<()>, http::Error>,
        message: Bytes,
    ) -> Result<Response<Received>, BoxError> {
        match self.attempt(head(&self.authority)?, message.clone()).await {
            Err(failed) if failed.never_processed => {
                // Boxed like every step that is rare, so that a call's future stays small.
                Box::pin(self.attempt(head(&self.authority)?, message)).await
            }
            outcome => outcome,
        }
        .map_err(|failed| failed.cause)
    }

    /// Header and message go to the connection together, so that they leave in one write.
    async fn attempt(
        &self,
        head: Request<()>,
        message: Bytes,
    ) -> Result<Response<Received>, Failed> {
        let unsent = |cause: BoxError| Failed { cause, never_processed: true };
        let mut sender = match self.open() {
            Some(sender) => sender,
            None => Box::pin(self.connect_once()).await.map_err(unsent)?,
        };
        let sent = sender.send_request(head, false);
        let (response, mut stream) = sent.map_err(|error| unsent(error.into()))?;
        let failed =
            |error: h2::Error| Failed { never_processed: was_refused(&error), cause: error.into() };
        stream.send_data(message, true).map_err(failed)?;
        Ok(response.await.map_err(failed)?.map(Received))
    }

    /// Connects, or waits for the one who does.
    async fn connect_once(&self) -> Result<Sender, BoxError> {
        let _connecting = self.connecting.lock().await;
        if let Some(sender) = self.open() {
            return Ok(sender);
        }
        let sender = tokio::time::timeout(CONNECT_TIMEOUT, self.connect()).await??;
        *self.locked() = Some(sender.clone());
        Ok(sender)
    }

    /// The connection, if there is one that takes calls.
    fn open(&self) -> Option<Sender> {
        self.locked().clone().filter(takes_calls)
    }

    fn locked(&self) -> MutexGuard<'_, Option<Sender>> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Result<Sender, BoxError> {
        let stream = TcpStream::connect(self.authority.as_str()).await?;
        connection::tune(&stream)?;
        let (sender, driver) = Builder::new()
            .enable_push(false)
            .initial_window_size(WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .handshake(stream)
            .await?;
        // How it ends is told by its calls.
        tokio::spawn(async move { driver.await.is_ok() });
        Ok(sender)
    }
}

/// Whether neither side has said that the connection ends.
fn takes_calls(sender: &Sender) -> bool {
    // It says so at once: what it would wait for is a call of its own, and this one has none.
    let polled = sender.clone().poll_ready(&mut Context::from_waker(Waker::noop()));
    matches!(polled, Poll::Ready(Ok(())))
}

/// Whether the peer refused the stream, or said in its GOAWAY that it will not be served.
fn was_refused(error: &h2::Error) -> bool {
    error.is_remote()
        && (error.reason() == Some(Reason::REFUSED_STREAM)
            || (error.is_go_away() && error.reason() == Some(Reason::NO_ERROR)))
}

/// The body of an answer as it arrives.
pub(crate) struct Received(RecvStream);

impl Body for Received {
    type Data = Bytes;
    type Error = h2::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if let Some(data) = ready!(self.0.poll_data(cx)) {
            let data = data?;
            // What has arrived makes room for more.
            self.0.flow_control().release_capacity(data.len())?;
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let trailers = ready!(self.0.poll_trailers(cx))?;
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }
}
