//! One HTTP/2 connection to another service: made at the first call, made anew when it is gone, and
//! a unary call over it that is repeated only if it was certainly never processed.

use std::error::Error as StdError;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;

use crate::connection;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("grpc-rust-boutique/", env!("CARGO_PKG_VERSION")));

type Sender = SendRequest<Full<Bytes>>;
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

    /// Sends a request, and once more if the first try was certainly never processed.
    pub(crate) async fn call(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, BoxError> {
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.into_parts().path_and_query;
        let mut uri = http::uri::Parts::default();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(self.authority.clone());
        uri.path_and_query = Some(path.unwrap_or(PathAndQuery::from_static("/")));
        parts.uri = Uri::from_parts(uri)?;
        parts.headers.insert(header::USER_AGENT, USER_AGENT);

        let again = Request::from_parts(parts.clone(), body.clone());
        match self.attempt(Request::from_parts(parts, body)).await {
            // Boxed like every step that is rare, so that a call's future stays small.
            Err(failed) if failed.never_processed => Box::pin(self.attempt(again)).await,
            outcome => outcome,
        }
        .map_err(|failed| failed.cause)
    }

    async fn attempt(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failed> {
        let mut sender = match self.open() {
            Some(sender) => sender,
            None => Box::pin(self.connect_once())
                .await
                .map_err(|cause| Failed { cause, never_processed: true })?,
        };
        sender.try_send_request(request).await.map_err(|mut error| {
            // What was not sent comes back.
            let unsent = error.take_message().is_some();
            let error = error.into_error();
            Failed { never_processed: unsent || was_refused(&error), cause: error.into() }
        })
    }

    /// Connects, or waits for the one who does.
    async fn connect_once(&self) -> Result<Sender, BoxError> {
        let _connecting = self.connecting.lock().await;
        if let Some(sender) = self.open() {
            return Ok(sender);
        }
        let sender = tokio::time::timeout(CONNECT_TIMEOUT, self.connect()).await??;
        *self.sender.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender.clone());
        Ok(sender)
    }

    /// The connection, if there is one that takes calls.
    fn open(&self) -> Option<Sender> {
        let sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        sender.as_ref().filter(|sender| !sender.is_closed()).cloned()
    }

    async fn connect(&self) -> Result<Sender, BoxError> {
        let stream = TcpStream::connect(self.authority.as_str()).await?;
        connection::tune(&stream)?;
        let (sender, driver) = Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .handshake(TokioIo::new(stream))
            .await?;
        // How it ends is told by its calls.
        tokio::spawn(async move { driver.await.is_ok() });
        Ok(sender)
    }
}

/// Whether the peer refused the stream, or said in its GOAWAY that it will not be served.
fn was_refused(error: &hyper::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<h2::Error>() {
            return error.reason() == Some(h2::Reason::REFUSED_STREAM)
                || (error.is_go_away()
                    && error.is_remote()
                    && error.reason() == Some(h2::Reason::NO_ERROR));
        }
        cause = error.source();
    }
    // The connection was closing, and the call had not begun.
    error.is_canceled()
}
