//! The innermost services of a channel: a unary call over a transport, and a call of any kind.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tonic::{Code, Status};
use tower::retry::Policy;
use tower::{Service, ServiceExt as _};

use super::connection::{BoxError, RequestBody, TransportError};
use crate::grpc::{self, DeadlineBody};
use crate::layers::{Ending, Reply, Request, RequestInfo};
use crate::net::Target;
use crate::server::Endpoint;

/// The error of a call over a connection.
pub(super) struct CallError {
    status: Status,
    /// True if the call was certainly never processed.
    is_retryable: bool,
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        Self { status, is_retryable: false }
    }
}

impl From<CallError> for Status {
    fn from(error: CallError) -> Self {
        error.status
    }
}

impl CallError {
    fn of_transport(info: &RequestInfo, error: TransportError) -> Self {
        let is_retryable = error.is_retryable;
        Self { status: grpc::unavailable(info.rpc(), error.into_cause()), is_retryable }
    }
}

/// gRPC's transparent retry: one, of a call that was certainly never processed.
#[derive(Clone)]
pub(super) struct TransparentRetry {
    retries_left: u32,
}

impl Default for TransparentRetry {
    fn default() -> Self {
        Self { retries_left: 1 }
    }
}

impl Policy<Request<Bytes>, Bytes, CallError> for TransparentRetry {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _request: &mut Request<Bytes>,
        result: &mut Result<Bytes, CallError>,
    ) -> Option<Ready<()>> {
        let is_retryable = result.as_ref().is_err_and(|error| error.is_retryable);
        (is_retryable && self.retries_left > 0).then(|| {
            self.retries_left -= 1;
            ready(())
        })
    }

    fn clone_request(&mut self, request: &Request<Bytes>) -> Option<Request<Bytes>> {
        (self.retries_left > 0).then(|| request.clone())
    }
}

/// Sends an encoded message over a transport, and collects the message of the answer.
#[derive(Clone)]
pub(super) struct Exchange<T> {
    pub(super) target: Arc<Target>,
    pub(super) transport: T,
}

impl<T, B> Service<Request<Bytes>> for Exchange<T>
where
    T: Service<http::Request<RequestBody>, Response = http::Response<B>, Error = TransportError>,
    T: Clone + Send + 'static,
    T::Future: Send,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send,
{
    type Response = Bytes;
    type Error = CallError;
    type Future = BoxFuture<'static, Result<Bytes, CallError>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, Request { info, message }: Request<Bytes>) -> Self::Future {
        let Self { target, transport } = self.clone();
        Box::pin(async move {
            let body = RequestBody::Message(message);
            let request = info.to_http(&target, body)?;
            let sent = transport.oneshot(request).await;
            let response = sent.map_err(|error| CallError::of_transport(&info, error))?;
            let (parts, body) = response.into_parts();
            Ok(grpc::collect_reply(info.rpc(), parts.status, &parts.headers, body).await?)
        })
    }
}

/// A call of any kind, over a transport or inside the process. Its deadline covers its whole answer.
pub(super) enum Open<T> {
    Network(Exchange<T>),
    Local(Arc<Endpoint>),
}

/// The head of an answer, and what it says if it is an error.
pub(super) struct OpenReply {
    pub(super) response: http::Response<tonic::body::Body>,
    cause: Option<Status>,
}

impl Reply for OpenReply {
    fn ending(&self) -> Ending<'_> {
        Ending { cause: self.cause.as_ref(), ..Ending::default() }
    }
}

impl<T, B> Service<Request<http::Request<tonic::body::Body>>> for Open<T>
where
    T: Service<http::Request<RequestBody>, Response = http::Response<B>, Error = TransportError>,
    T: Clone + Send + 'static,
    T::Future: Send,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = OpenReply;
    type Error = Status;
    type Future = BoxFuture<'static, Result<OpenReply, Status>>;

    fn poll_ready(&mut self, _cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(
        &mut self,
        Request { info, message }: Request<http::Request<tonic::body::Body>>,
    ) -> Self::Future {
        // The caller's metadata stays, every value of it; what a call must have is ours.
        let prepare = move |target: &Target, info: &RequestInfo| {
            let (parts, body) = message.into_parts();
            let mut request = info.to_http(target, body)?;
            let own = std::mem::replace(request.headers_mut(), parts.headers);
            request.headers_mut().extend(own);
            Ok::<_, Status>(request)
        };
        let deadline = info.deadline;
        match self {
            Self::Network(exchange) => {
                let Exchange { target, transport } = exchange.clone();
                Box::pin(async move {
                    let request = prepare(&target, &info)?;
                    let sent = transport.oneshot(request.map(RequestBody::Stream)).await;
                    let response =
                        sent.map_err(|error| Status::from(CallError::of_transport(&info, error)))?;
                    Ok(OpenReply::new(response, deadline))
                })
            }
            Self::Local(endpoint) => {
                let endpoint = endpoint.clone();
                Box::pin(async move {
                    let request = prepare(&Target::local(), &info)?;
                    Ok(OpenReply::new(
                        endpoint.answer_inproc(request.map(Body::new)).await,
                        deadline,
                    ))
                })
            }
        }
    }
}

impl OpenReply {
    fn new<B>(response: http::Response<B>, deadline: Option<Instant>) -> Self
    where
        B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        let cause = Status::from_header_map(response.headers());
        let response = response.map(|body| match deadline {
            Some(deadline) => tonic::body::Body::new(DeadlineBody::new(body, deadline)),
            None => tonic::body::Body::new(body),
        });
        Self { response, cause: cause.filter(|status| status.code() != Code::Ok) }
    }
}
