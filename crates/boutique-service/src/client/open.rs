//! A call of any kind, over a transport or inside the process.

use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::time::Instant;
use tonic::{Code, Status};
use tower::{Service, ServiceExt as _};

use super::balance::Balance;
use super::connection::{BoxError, RequestBody};
use super::exchange::{CallError, Exchange};
use crate::grpc::DeadlineBody;
use crate::layers::{Ending, Reply, Request, RequestInfo};
use crate::net::Target;
use crate::server::Endpoint;

/// A call of any kind, over a transport or inside the process. Its deadline covers its whole answer.
pub(super) enum Open {
    Network(Balance),
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

impl Service<Request<http::Request<tonic::body::Body>>> for Open {
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
            Self::Network(balance) => {
                let balance = balance.clone();
                Box::pin(async move {
                    let call = balance.start(deadline).await?;
                    let Exchange { target, transport } = call.endpoint.exchange();
                    let request = prepare(&target, &info)?;
                    let sent = transport.oneshot(request.map(RequestBody::Stream)).await;
                    let sent = sent.map_err(|error| CallError::of_transport(&info, error));
                    Ok(OpenReply::new(call.ended(sent)?, deadline))
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
