//! Runs a request in its [`RequestContext`].

use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::task::futures::TaskLocalFuture;
use tower::{Layer, Service};

use super::Request;
use crate::context::{RequestContext, ServiceContext};

/// Adds [`InContext`].
#[derive(Clone)]
pub(crate) struct ContextLayer(pub(crate) Arc<ServiceContext>);

/// Runs the inner service with the request's service, deadline and trace as the task's context.
#[derive(Clone)]
pub(crate) struct InContext<S> {
    context: Arc<ServiceContext>,
    inner: S,
}

impl<S> Layer<S> for ContextLayer {
    type Service = InContext<S>;

    fn layer(&self, inner: S) -> Self::Service {
        InContext { context: self.0.clone(), inner }
    }
}

impl<S, T> Service<Request<T>> for InContext<S>
where
    S: Service<Request<T>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = TaskLocalFuture<RequestContext, S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<T>) -> Self::Future {
        let context = RequestContext {
            service: self.context.clone(),
            deadline: request.info.deadline,
            criticality: request.info.criticality,
            trace: request.info.trace.clone(),
        };
        context.scope(self.inner.call(request))
    }
}
