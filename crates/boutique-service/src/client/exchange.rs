//! A unary call over a transport, and what its failure says.

use std::sync::Arc;

use bytes::Bytes;
use tonic::{Code, Response, Status};
use tower::{Service, ServiceExt as _};

use super::connection::{BoxError, RequestBody, TransportError, TransportErrorKind};
use crate::grpc::{self, Lost, NotProcessed};
use crate::layers::{Request, RequestInfo, is_server_error};
use crate::net::Target;

/// The state of an endpoint, as one call shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It answers.
    Well,
    /// It answers, and cannot serve.
    Unwell,
    /// It does not answer.
    Silent,
}

/// The error of a call over a connection.
pub(super) struct CallError {
    pub(super) status: Status,
    /// `None` if the peer answered with this status, or no peer was called.
    pub(super) transport: Option<TransportErrorKind>,
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        Self { status, transport: None }
    }
}

impl From<CallError> for Status {
    fn from(error: CallError) -> Self {
        error.status
    }
}

impl CallError {
    pub(super) fn of_transport(info: &RequestInfo, error: TransportError) -> Self {
        let transport = Some(error.kind);
        let cause = match error.kind {
            TransportErrorKind::NotConnected | TransportErrorKind::Refused => {
                NotProcessed(Some(error.into_cause())).into()
            }
            TransportErrorKind::Reset | TransportErrorKind::Broken => {
                Lost(Some(error.into_cause())).into()
            }
        };
        Self { status: grpc::unavailable(info.rpc(), cause), transport }
    }

    /// Returns the state of the endpoint that gave this error.
    pub(super) fn verdict(&self) -> Verdict {
        match self.transport {
            Some(TransportErrorKind::NotConnected | TransportErrorKind::Broken) => Verdict::Silent,
            Some(TransportErrorKind::Refused | TransportErrorKind::Reset) => Verdict::Unwell,
            None if is_server_error(self.status.code()) => Verdict::Unwell,
            None if self.status.code() == Code::ResourceExhausted => Verdict::Unwell,
            None => Verdict::Well,
        }
    }
}

/// Sends an encoded message over a transport, and collects the message of the answer.
#[derive(Clone)]
pub(super) struct Exchange<T> {
    pub(super) target: Arc<Target>,
    pub(super) transport: T,
}

impl<T, B> Exchange<T>
where
    T: Service<http::Request<RequestBody>, Response = http::Response<B>, Error = TransportError>,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send,
{
    pub(super) async fn send(
        self,
        Request { info, message }: Request<Bytes>,
    ) -> Result<Response<Bytes>, CallError> {
        let request = info.to_http(&self.target, RequestBody::Message(message))?;
        let sent = self.transport.oneshot(request).await;
        let response = sent.map_err(|error| CallError::of_transport(&info, error))?;
        let (parts, body) = response.into_parts();
        Ok(grpc::collect_reply(info.rpc(), parts.status, parts.headers, body).await?)
    }
}
