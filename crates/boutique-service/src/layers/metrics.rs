//! Records the duration and the result of each request, on either side.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::StatusCode;
use tonic::{Code, Status};
use tower::{Layer, Service};

use super::request::{Observed, Observer, http_status};
use super::{Ending, Protocol, Reply, Request, RequestInfo};
use crate::context::ServiceContext;
use crate::metrics::{Calls, ServiceMetrics};

/// Adds [`Measure`].
#[derive(Clone)]
pub(crate) struct MetricsLayer(Option<Side>);

/// The side of a request, with its metrics.
#[derive(Clone)]
enum Side {
    Server(Arc<ServiceContext>),
    Client(Arc<Calls>),
}

impl Side {
    fn is_measuring(&self) -> bool {
        match self {
            Self::Server(context) => {
                context.metrics.as_ref().is_some_and(ServiceMetrics::is_measuring)
            }
            // Asked for each call.
            Self::Client(_) => true,
        }
    }
}

impl MetricsLayer {
    /// For the side that is called.
    pub(crate) fn server(context: &Arc<ServiceContext>) -> Self {
        Self(context.metrics.is_some().then(|| Side::Server(context.clone())))
    }

    /// For the side that calls a method with these metrics.
    pub(crate) fn client(calls: Option<&Arc<Calls>>) -> Self {
        Self(calls.cloned().map(Side::Client))
    }
}

/// Records the duration and the result of each request; of one that is dropped before its end, as cancelled.
#[derive(Clone)]
pub(crate) struct Measure<S> {
    side: Option<Side>,
    inner: S,
}

impl<S> Layer<S> for MetricsLayer {
    type Service = Measure<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Measure { side: self.0.clone(), inner }
    }
}

impl<S, T> Service<Request<T>> for Measure<S>
where
    S: Service<Request<T>, Response: Reply, Error = Status>,
{
    type Response = S::Response;
    type Error = Status;
    type Future = Observed<S::Future, Measurement>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<T>) -> Self::Future {
        let side = self.side.as_ref().filter(|side| !request.info.is_probe && side.is_measuring());
        let measurement = side.map(|side| Measurement::begin(side.clone(), request.info.clone()));
        Observed::new(self.inner.call(request), measurement)
    }
}

/// A request that is measured until it ends.
pub(crate) struct Measurement {
    side: Side,
    info: Arc<RequestInfo>,
    has_ended: bool,
}

impl Measurement {
    fn begin(side: Side, info: Arc<RequestInfo>) -> Self {
        if let Side::Server(context) = &side
            && let Some(metrics) = &context.metrics
        {
            metrics.active.inc();
        }
        Self { side, info, has_ended: false }
    }

    fn end(&mut self, code: Code, status: Option<StatusCode>, route: Option<&str>) {
        self.has_ended = true;
        let info = &self.info;
        let took = info.started.elapsed();
        let exemplar = info.trace.sampled_id().map(|id| vec![("trace_id", id)]);
        match &self.side {
            Side::Client(calls) => calls.observe(code, took, exemplar),
            Side::Server(context) => {
                let Some(metrics) = &context.metrics else { return };
                metrics.active.dec();
                match info.protocol {
                    Protocol::Grpc => metrics.answered_rpc(&info.path, code, took, exemplar),
                    Protocol::Http => {
                        metrics.answered_http(&info.method, route, status, took, exemplar);
                    }
                }
            }
        }
    }
}

impl Observer for Measurement {
    fn observe(mut self, ending: &Ending<'_>) {
        let status = ending.http.unwrap_or_else(|| http_status(ending.code()));
        self.end(ending.code(), Some(status), ending.route);
    }
}

impl Drop for Measurement {
    fn drop(&mut self) {
        if !self.has_ended {
            self.end(Code::Cancelled, None, None);
        }
    }
}
