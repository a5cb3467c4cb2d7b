//! Turns a panic into INTERNAL, so that one bad request never ends a connection or a process.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use futures_util::future::{CatchUnwind, Map};
use tonic::Status;
use tower::{Layer, Service};

use super::Request;

/// Adds [`CatchPanic`].
#[derive(Clone, Copy)]
pub(crate) struct CatchPanicLayer;

/// Answers INTERNAL where the inner service panics.
#[derive(Clone)]
pub(crate) struct CatchPanic<S>(S);

type Caught<R> = Result<Result<R, Status>, Box<dyn Any + Send>>;

impl<S> Layer<S> for CatchPanicLayer {
    type Service = CatchPanic<S>;

    fn layer(&self, service: S) -> Self::Service {
        CatchPanic(service)
    }
}

impl<S, T> Service<Request<T>> for CatchPanic<S>
where
    S: Service<Request<T>, Error = Status>,
{
    type Response = S::Response;
    type Error = Status;
    type Future = Map<
        CatchUnwind<AssertUnwindSafe<S::Future>>,
        fn(Caught<S::Response>) -> Result<S::Response, Status>,
    >;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<T>) -> Self::Future {
        let caught = AssertUnwindSafe(self.0.call(request)).catch_unwind();
        caught.map(|caught| caught.unwrap_or_else(|_panic| Err(Status::internal("internal error"))))
    }
}
