//! The parts of a request and of its reply that layers read.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use boutique_proto::services::Criticality;
use http::{HeaderValue, Method, StatusCode, header};
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::{Code, Status};

use crate::faults::Subject;
use crate::grpc;
use crate::net::Target;
use crate::propagation::TraceContext;

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
    pub(crate) criticality: Criticality,
    pub(crate) trace: TraceContext,
    /// Further metadata of an outgoing call.
    pub(crate) metadata: MetadataMap,
    /// The `user-agent` of the caller: of a call from inside the process, and where faults ask for it.
    pub(crate) user_agent: Option<HeaderValue>,
    /// True if the request asks for health; such requests are not traced.
    pub(crate) is_probe: bool,
    /// The names of the faults that were injected, for its span.
    pub(crate) faults: OnceLock<String>,
}

/// The most bytes of a path that are logged or traced.
const MAX_SHOWN: usize = 256;

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
        Self {
            protocol: Protocol::Grpc,
            method: Method::POST,
            path: path.into(),
            started,
            deadline,
            criticality: Criticality::default(),
            trace,
            metadata: MetadataMap::new(),
            user_agent: None,
            is_probe: false,
            faults: OnceLock::new(),
        }
    }

    /// Makes the HTTP request of this call: with the time left until its deadline, and its trace.
    pub(crate) fn to_http<B>(&self, target: &Target, body: B) -> Result<http::Request<B>, Status> {
        let left = self.deadline.map(|end| end.saturating_duration_since(Instant::now()));
        let mut request = grpc::request(target, self.path.clone(), left, body)
            .map_err(|error| Status::internal(error.to_string()))?;
        let headers = request.headers_mut();
        if self.criticality != Criticality::default() {
            let value = HeaderValue::from_static(self.criticality.as_str());
            headers.insert(Criticality::KEY, value);
        }
        if let Some(user_agent) = &self.user_agent {
            headers.insert(header::USER_AGENT, user_agent.clone());
        }
        self.trace.write_to(headers);
        headers.extend(self.metadata.clone().into_headers());
        Ok(request)
    }

    /// Returns `package.Service/Method`.
    pub(crate) fn rpc(&self) -> &str {
        self.path.trim_start_matches('/')
    }

    /// Returns the first word of the caller's `user-agent`: of our services, their name.
    fn caller(&self) -> Option<&str> {
        self.user_agent.as_ref()?.to_str().ok()?.split([' ', '/']).next()
    }

    /// Returns the request as faults see it; probes are none of theirs.
    pub(super) fn subject(&self) -> Option<Subject<'_>> {
        (!self.is_probe).then(|| Subject {
            is_http: self.protocol == Protocol::Http,
            method: &self.method,
            path: &self.path,
            caller: self.caller(),
            metadata: &self.metadata,
            trace: &self.trace,
        })
    }

    /// Returns the path for logs and spans.
    pub(crate) fn shown_path(&self) -> &str {
        shown(&self.path)
    }
}

/// Returns what logs and spans show of a path: it is cut, because anybody may write it.
pub(super) fn shown(path: &str) -> &str {
    &path[..path.floor_char_boundary(MAX_SHOWN)]
}

/// The route and the cause of an HTTP response, for the layers; a handler attaches it to the response's extensions.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    /// The route that matched, as in `/product/{id}`.
    pub route: Option<String>,
    /// The reason of an error response, for the log.
    pub cause: Option<Status>,
}

/// A reply, whatever its form. A reply that is an error has a cause.
pub(crate) trait Reply {
    /// Returns the result of the request.
    fn ending(&self) -> Ending<'_>;
}

/// The result of a request, as layers read it.
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
    /// Makes the ending of a reply or an error.
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

/// Reads the ending of a request, once.
pub(super) trait Observer {
    fn observe(self, ending: &Ending<'_>);
}

pin_project_lite::pin_project! {
    /// The future of a layer that does something with a request's ending.
    pub(crate) struct Observed<F, O> {
        #[pin]
        inner: F,
        observer: Option<O>,
    }
}

impl<F, O> Observed<F, O> {
    pub(super) fn new(inner: F, observer: Option<O>) -> Self {
        Self { inner, observer }
    }
}

impl<F, O, R> Future for Observed<F, O>
where
    F: Future<Output = Result<R, Status>>,
    O: Observer,
    R: Reply,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(cx));
        if let Some(observer) = this.observer.take() {
            observer.observe(&Ending::of(&result));
        }
        Poll::Ready(result)
    }
}

/// The response message of a call, encoded where it came over the network.
impl<M> Reply for tonic::Response<M> {
    fn ending(&self) -> Ending<'_> {
        Ending::default()
    }
}

/// Returns the HTTP status of a request that a layer refused with this code.
pub(crate) fn http_status(code: Code) -> StatusCode {
    if matches!(code, Code::ResourceExhausted | Code::DeadlineExceeded) {
        StatusCode::SERVICE_UNAVAILABLE
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    }
}

/// Returns true if an operator of the server has to look into an error, as opposed to its caller.
pub(crate) fn is_server_error(code: Code) -> bool {
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
