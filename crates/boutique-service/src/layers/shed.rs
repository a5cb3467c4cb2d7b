//! Leaves out calls while the thread is overloaded.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use boutique_proto::services::Criticality;
use tonic::Status;
use tower::{Layer, Service};

use super::Request;
use crate::metrics::Calls;
use crate::overload;

/// Adds [`Shed`].
#[derive(Clone)]
pub(crate) struct ShedLayer(pub(crate) Option<Arc<Calls>>);

/// Answers RESOURCE_EXHAUSTED at once to calls that can be left out, while they would be at the expense of others.
#[derive(Clone)]
pub(crate) struct Shed<S> {
    calls: Option<Arc<Calls>>,
    inner: S,
}

impl<S> Layer<S> for ShedLayer {
    type Service = Shed<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Shed { calls: self.0.clone(), inner }
    }
}

impl<S, T> Service<Request<T>> for Shed<S>
where
    S: Service<Request<T>, Error = Status>,
{
    type Response = S::Response;
    type Error = Status;
    type Future = ShedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<T>) -> Self::Future {
        let is_sheddable = request.info.criticality == Criticality::Sheddable;
        let is_shed = is_sheddable && overload::is_overloaded();
        if is_shed && let Some(calls) = &self.calls {
            calls.shed();
        }
        ShedFuture { inner: (!is_shed).then(|| self.inner.call(request)) }
    }
}

pin_project_lite::pin_project! {
    /// The future of [`Shed`]; without an inner one if the call is left out.
    pub(crate) struct ShedFuture<F> {
        #[pin]
        inner: Option<F>,
    }
}

impl<F, R> Future for ShedFuture<F>
where
    F: Future<Output = Result<R, Status>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        match self.project().inner.as_pin_mut() {
            Some(inner) => inner.poll(cx),
            None => Poll::Ready(Err(overload::refusal())),
        }
    }
}
