//! The parts of a request and of its reply that layers read.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, StatusCode};
use tokio::time::Instant;
use tonic::{Code, Status};

use crate::trace::TraceContext;

/// A request: its message in any form, and its information, which is shared because every layer passes it on.
#[derive(Clone)]
pub(crate) struct Request<T> {
    pub(crate) info: Arc<RequestInfo>,
    pub(crate) message: T,
}

/// The information of a request, whatever its message.
#[derive(Clone)]
pub(crate) struct RequestInfo {
    pub(crate) protocol: Protocol,
    pub(crate) method: Method,
    /// The path of the URI; of a gRPC method `/package.Service/Method`.
    pub(crate) path: Cow<'static, str>,
    pub(crate) started: Instant,
    pub(crate) deadline: Option<Instant>,
    pub(crate) trace: TraceContext,
    /// Whether the request asks for health; such requests are not traced.
    pub(crate) is_probe: bool,
}

/// The protocol of a request's semantics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    Grpc,
    Http,
}

impl<T> Request<T> {
    pub(crate) fn new(info: RequestInfo, message: T) -> Self {
        Self { info: Arc::new(info), message }
    }
}

impl RequestInfo {
    /// The information of an outgoing gRPC call.
    pub(crate) fn grpc(
        path: impl Into<Cow<'static, str>>,
        started: Instant,
        deadline: Option<Instant>,
        trace: TraceContext,
    ) -> Self {
        let (protocol, method) = (Protocol::Grpc, Method::POST);
        Self { protocol, method, path: path.into(), started, deadline, trace, is_probe: false }
    }

    /// Returns `package.Service/Method`.
    pub(crate) fn rpc(&self) -> &str {
        self.path.trim_start_matches('/')
    }
}

/// What a handler tells the layers about an HTTP response; it attaches one to the response's extensions.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The route that matched, as in `/product/{id}`.
    pub route: Option<String>,
    /// The reason of an error response, for the log.
    pub cause: Option<Status>,
}

/// A reply, whatever its form. A reply that is an error has a cause.
pub(crate) trait Reply {
    /// Returns how the request ended.
    fn ending(&self) -> Ending<'_>;
}

/// How a request ended.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ending<'a> {
    /// The reason why it failed.
    pub(crate) cause: Option<&'a Status>,
    /// The route that matched, of an HTTP response.
    pub(crate) route: Option<&'a str>,
    /// The status code, of an HTTP response.
    pub(crate) http: Option<StatusCode>,
}

impl<'a> Ending<'a> {
    /// Returns how a request ended, by its result.
    pub(crate) fn of<T: Reply>(result: &'a Result<T, Status>) -> Self {
        match result {
            Ok(reply) => reply.ending(),
            Err(status) => Self { cause: Some(status), ..Self::default() },
        }
    }

    /// Returns the gRPC status code.
    pub(crate) fn code(&self) -> Code {
        self.cause.map_or(Code::Ok, Status::code)
    }
}

/// The response message of a call inside the process.
impl<M> Reply for tonic::Response<M> {
    fn ending(&self) -> Ending<'_> {
        Ending::default()
    }
}

/// The encoded response message of a call over the network.
impl Reply for Bytes {
    fn ending(&self) -> Ending<'_> {
        Ending::default()
    }
}

/// Returns true if an operator of the server has to look into an error, as opposed to its caller.
pub(super) fn is_server_error(code: Code) -> bool {
    match code {
        Code::Unknown
        | Code::DeadlineExceeded
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => true,
        Code::Ok
        | Code::Cancelled
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unauthenticated => false,
    }
}
