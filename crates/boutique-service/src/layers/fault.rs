//! Injects faults into requests on the side that is called.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use boutique_proto::WrongData;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use prost::Message;
use tonic::Status;
use tower::{Layer, Service};

use super::{Protocol, Reply, Request, RequestInfo};
use crate::context::ServiceContext;
use crate::faults::{Fault, Refusal, slow_duration};

/// Adds [`Inject`].
#[derive(Clone)]
pub(crate) struct FaultLayer(pub(crate) Arc<ServiceContext>);

/// Injects the faults that match a request.
#[derive(Clone)]
pub(crate) struct Inject<S> {
    context: Arc<ServiceContext>,
    inner: S,
}

/// A reply that faults can alter.
pub(crate) trait AlterableReply: Reply + Sized + Send + 'static {
    /// Makes the reply to an HTTP request with this status, if it is a reply to one.
    fn of_http(status: http::StatusCode) -> Option<Self>;

    /// Has the effects of these faults on the answer to `path`.
    fn alter(
        self,
        path: String,
        faults: Vec<Arc<Fault>>,
    ) -> BoxFuture<'static, Result<Self, Status>>;
}

impl<S> Layer<S> for FaultLayer {
    type Service = Inject<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Inject { context: self.0.clone(), inner }
    }
}

impl<S, T> Service<Request<T>> for Inject<S>
where
    S: Service<Request<T>, Response: AlterableReply, Error = Status>,
{
    type Response = S::Response;
    type Error = Status;
    type Future = FaultFuture<S::Future, S::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<T>) -> Self::Future {
        let injection = self.context.faults.as_ref().and_then(|faults| {
            let faults = faults.draw(request.info.subject()?);
            (!faults.is_empty()).then(|| {
                let names = faults.iter().map(|fault| fault.name()).collect::<Vec<_>>().join(",");
                let _ = request.info.faults.set(names);
                let (info, before) = (request.info.clone(), Some(inject(faults.clone())));
                Box::new(Injection { info, faults, before, after: None })
            })
        });
        // Nothing is processed before the future is polled.
        FaultFuture { inner: self.inner.call(request), injection }
    }
}

/// Has the effects of faults before a request is processed.
fn inject(faults: Vec<Arc<Fault>>) -> BoxFuture<'static, Result<(), Refusal>> {
    Box::pin(async move {
        for fault in faults {
            fault.inject().await?;
        }
        Ok(())
    })
}

/// The answer of a call inside the process, which takes as long as it would over a connection.
impl<M: Message + Default + 'static> AlterableReply for tonic::Response<M> {
    fn of_http(_status: http::StatusCode) -> Option<Self> {
        None
    }

    fn alter(
        mut self,
        _path: String,
        faults: Vec<Arc<Fault>>,
    ) -> BoxFuture<'static, Result<Self, Status>> {
        let altered = alter_message(self.get_ref().encode_to_vec(), faults);
        let put = move |message: Result<Vec<u8>, Status>| {
            *self.get_mut() = M::decode(&*message?).map_err(|_| unreadable())?;
            Ok(self)
        };
        Box::pin(altered.map(put))
    }
}

/// Has the effects of faults on an encoded message; not generic, because each method would have its own.
fn alter_message(
    mut message: Vec<u8>,
    faults: Vec<Arc<Fault>>,
) -> BoxFuture<'static, Result<Vec<u8>, Status>> {
    Box::pin(async move {
        for fault in faults {
            if let Some(change) = fault.wrong_data() {
                message = changed(change, &message)?;
            }
            if let Some(pace) = fault.slow_body() {
                tokio::time::sleep(slow_duration(message.len(), pace)).await;
            }
            fault.drop_answer()?;
        }
        Ok(message)
    })
}

/// Makes a wrong message of a right one.
pub(crate) fn changed(change: WrongData, message: &[u8]) -> Result<Vec<u8>, Status> {
    change(message).map_err(|_| unreadable())
}

fn unreadable() -> Status {
    Status::internal("cannot read the answer that a fault is to change")
}

/// The faults of one request.
pub(crate) struct Injection<R> {
    faults: Vec<Arc<Fault>>,
    info: Arc<RequestInfo>,
    before: Option<BoxFuture<'static, Result<(), Refusal>>>,
    after: Option<BoxFuture<'static, Result<R, Status>>>,
}

pin_project_lite::pin_project! {
    /// The future of [`Inject`].
    pub(crate) struct FaultFuture<F, R> {
        #[pin]
        inner: F,
        // Boxed, so that a request without faults carries nothing.
        injection: Option<Box<Injection<R>>>,
    }
}

impl<F, R> Future for FaultFuture<F, R>
where
    F: Future<Output = Result<R, Status>>,
    R: AlterableReply,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let Some(injection) = this.injection else { return this.inner.poll(cx) };
        if let Some(before) = &mut injection.before {
            let refused = ready!(before.as_mut().poll(cx)).err();
            injection.before = None;
            match refused {
                None => {}
                Some(Refusal::Status(status)) => return Poll::Ready(Err(status)),
                Some(Refusal::Http(status, error)) => {
                    let reply =
                        R::of_http(status).filter(|_| injection.info.protocol == Protocol::Http);
                    return Poll::Ready(reply.ok_or(error));
                }
            }
        }
        if injection.after.is_none() {
            let reply = ready!(this.inner.poll(cx))?;
            injection.faults.retain(|fault| fault.alters_answers());
            if injection.faults.is_empty() {
                return Poll::Ready(Ok(reply));
            }
            let path = injection.info.path.clone().into_owned();
            injection.after = Some(reply.alter(path, std::mem::take(&mut injection.faults)));
        }
        let Some(after) = &mut injection.after else { return Poll::Pending };
        after.as_mut().poll(cx)
    }
}
