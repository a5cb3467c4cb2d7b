//! Replies to requests over a connection.

use std::sync::Arc;

use axum::body::Body;
use futures_util::future::BoxFuture;
use http::{Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tonic::Status;

use super::outgoing::Share;
use crate::faults::{Fault, SlowBody};
use crate::grpc;
use crate::layers::{AlterableReply, Ending, Outcome, Reply, changed};

/// An HTTP response, and how it came about.
pub(super) struct WireReply {
    pub(super) response: Response<Body>,
    is_http: bool,
    outcome: Outcome,
}

impl WireReply {
    /// tonic leaves the status of a call that failed with the response.
    pub(super) fn of_grpc(mut response: Response<Body>) -> Self {
        let cause = response.extensions_mut().remove::<Status>();
        Self { response, is_http: false, outcome: Outcome { route: None, cause } }
    }

    pub(super) fn answered_http(mut response: Response<Body>) -> Self {
        let outcome = response.extensions_mut().remove::<Outcome>().unwrap_or_default();
        Self { response, is_http: true, outcome }
    }
}

impl Reply for WireReply {
    fn ending(&self) -> Ending<'_> {
        Ending {
            cause: self.outcome.cause.as_ref(),
            route: self.outcome.route.as_deref(),
            http: self.is_http.then(|| self.response.status()),
        }
    }
}

/// The outcome of a request over a connection.
pub(super) enum Answer {
    /// It writes a response, which keeps the share until that is done.
    Response(Response<Body>, Share),
    /// It is closed, because a fault says so.
    Close,
}

impl AlterableReply for WireReply {
    fn of_http(status: StatusCode) -> Option<Self> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status;
        Some(Self { response, is_http: true, outcome: Outcome::default() })
    }

    fn alter(
        mut self,
        path: String,
        faults: Vec<Arc<Fault>>,
    ) -> BoxFuture<'static, Result<Self, Status>> {
        Box::pin(async move {
            for fault in faults {
                if let Some(change) = fault.wrong_data()
                    && self.outcome.cause.is_none()
                {
                    self.response = with_message(&path, self.response, change).await?;
                }
                if let Some(pace) = fault.slow_body() {
                    self.response = self.response.map(|body| Body::new(SlowBody::new(body, pace)));
                }
                fault.drop_answer()?;
            }
            Ok(self)
        })
    }
}

/// Puts another message in the place of the one of a unary answer.
async fn with_message(
    path: &str,
    response: Response<Body>,
    change: boutique_proto::WrongData,
) -> Result<Response<Body>, Status> {
    let (parts, body) = response.into_parts();
    let collected = body.collect().await.map_err(|_| Status::internal("the answer was lost"))?;
    let trailers = collected.trailers().cloned();
    let collected = Body::from(collected.to_bytes());
    let reply =
        grpc::collect_reply(path, parts.status, trailers.clone().unwrap_or_default(), collected)
            .await?;
    let message = changed(change, reply.get_ref())?;
    let mut frame = grpc::begin_frame(message.len());
    frame.extend_from_slice(&message);
    let frames = [Some(Frame::data(frame.freeze())), trailers.map(Frame::trailers)];
    let frames = frames.into_iter().flatten().map(Ok::<_, std::convert::Infallible>);
    let body = Body::new(StreamBody::new(futures_util::stream::iter(frames)));
    Ok(Response::from_parts(parts, body))
}
