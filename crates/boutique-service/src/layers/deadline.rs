//! Cancels a request at its deadline.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tonic::Status;
use tower::{Layer, Service};

use super::{Request, RequestInfo};
use crate::timeout::{TimeoutAt, timeout_at};

/// Adds [`Deadline`].
#[derive(Clone, Copy)]
pub(crate) struct DeadlineLayer {
    names_method: bool,
}

impl DeadlineLayer {
    /// For the side that calls: the error names the method.
    pub(crate) const CLIENT: Self = Self { names_method: true };
    /// For the side that is called.
    pub(crate) const SERVER: Self = Self { names_method: false };
}

/// Answers DEADLINE_EXCEEDED at the request's deadline.
#[derive(Clone)]
pub(crate) struct Deadline<S> {
    names_method: bool,
    inner: S,
}

impl<S> Layer<S> for DeadlineLayer {
    type Service = Deadline<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Deadline { names_method: self.names_method, inner }
    }
}

impl<S, T> Service<Request<T>> for Deadline<S>
where
    S: Service<Request<T>, Error = Status>,
{
    type Response = S::Response;
    type Error = Status;
    type Future = DeadlineFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<T>) -> Self::Future {
        let named = self.names_method.then(|| request.info.clone());
        let deadline = request.info.deadline;
        DeadlineFuture { inner: timeout_at(deadline, self.inner.call(request)), named }
    }
}

pin_project_lite::pin_project! {
    /// The future of [`Deadline`].
    pub(crate) struct DeadlineFuture<F> {
        #[pin]
        inner: TimeoutAt<F>,
        named: Option<Arc<RequestInfo>>,
    }
}

impl<F, R> Future for DeadlineFuture<F>
where
    F: Future<Output = Result<R, Status>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        Poll::Ready(ready!(this.inner.poll(cx)).unwrap_or_else(|_elapsed| {
            Err(match this.named {
                None => Status::deadline_exceeded("deadline exceeded"),
                Some(info) => Status::deadline_exceeded(format!("{} took too long", info.rpc())),
            })
        }))
    }
}
