//! The one place where a failed request is logged.

use std::error::Error as StdError;
use std::sync::Arc;
use std::task::{Context, Poll};

use tonic::Status;
use tower::{Layer, Service};

use super::request::{Observed, Observer, is_server_error};
use super::{Ending, Reply, Request, RequestInfo};
use crate::grpc::with_source;

/// Adds [`Log`].
#[derive(Clone, Copy)]
pub(crate) struct LogLayer;

/// Logs a request that failed, once; at level debug, every RPC.
#[derive(Clone)]
pub(crate) struct Log<S>(S);

impl<S> Layer<S> for LogLayer {
    type Service = Log<S>;

    fn layer(&self, service: S) -> Self::Service {
        Log(service)
    }
}

impl<S, T> Service<Request<T>> for Log<S>
where
    S: Service<Request<T>, Response: Reply, Error = Status>,
{
    type Response = S::Response;
    type Error = Status;
    type Future = Observed<S::Future, Arc<RequestInfo>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Status>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<T>) -> Self::Future {
        let info = request.info.clone();
        Observed::new(self.0.call(request), Some(info))
    }
}

/// Logs a failed request; at level debug, every RPC.
impl Observer for Arc<RequestInfo> {
    fn observe(self, ending: &Ending<'_>) {
        match ending.http {
            Some(status) if !status.is_server_error() => {}
            Some(_) => log_http(&self, ending),
            None => log_rpc(&self, ending),
        }
    }
}

fn log_http(info: &RequestInfo, ending: &Ending<'_>) {
    let Some(cause) = ending.cause else { return };
    tracing::error!(
        http.route = ending.route,
        error = chain(cause),
        "failed to answer {} {}",
        info.method,
        ending.route.unwrap_or_default(),
    );
}

fn log_rpc(info: &RequestInfo, ending: &Ending<'_>) {
    let method = info.shown_path().trim_start_matches('/');
    let code = ending.code();
    // Computed only for a line that is written; reading the clock is not free.
    let duration_ms = || info.started.elapsed().as_secs_f64() * 1e3;
    match ending.cause {
        Some(status) if was_logged(status) => {}
        Some(status) if is_server_error(code) => tracing::error!(
            rpc.method = method,
            rpc.grpc.status_code = ?code,
            duration_ms = duration_ms(),
            error = chain(status),
            "failed to answer {method}",
        ),
        // A client's error is logged by its code alone: the text may repeat what the client sent.
        Some(_) => tracing::info!(
            rpc.method = method,
            rpc.grpc.status_code = ?code,
            duration_ms = duration_ms(),
            "refused {method}",
        ),
        None => tracing::debug!(
            rpc.method = method,
            rpc.grpc.status_code = ?code,
            duration_ms = duration_ms(),
            "answered {method}",
        ),
    }
}

/// The source of a status that has been logged with more detail than the shared layer has.
#[derive(Debug, thiserror::Error)]
#[error("logged before")]
struct AlreadyLogged;

/// Marks a status as logged, so that it is not logged again.
pub fn already_logged(status: Status) -> Status {
    with_source(status, AlreadyLogged)
}

fn was_logged(status: &Status) -> bool {
    status.source().is_some_and(|source| source.is::<AlreadyLogged>())
}

/// A status and its sources in one line.
fn chain(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut source = status.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
