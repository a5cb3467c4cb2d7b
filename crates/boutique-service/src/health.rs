//! gRPC health: SERVING once the service is ready, NOT_SERVING from the moment the drain begins. The name
//! `liveness` is SERVING for as long as the process answers.

use boutique_proto::health::health_check_response::ServingStatus;
use boutique_proto::health::health_server::{Health, HealthServer};
use boutique_proto::health::{
    HealthCheckRequest, HealthCheckResponse, HealthListRequest, HealthListResponse,
};
use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use tokio::sync::watch;
use tonic::{Request, Response, Status};

/// The name whose state depends on nothing.
const LIVENESS: &str = "liveness";

/// Answers for one service: for its own names and for the empty one, which all share one state, and
/// for its liveness.
pub(crate) struct ServiceHealth {
    names: Vec<&'static str>,
    status: watch::Receiver<ServingStatus>,
}

impl ServiceHealth {
    /// The health service for these names, and the switch of its state; dropping the switch ends
    /// every `Watch`.
    pub(crate) fn new(
        names: Vec<&'static str>,
        first: ServingStatus,
    ) -> (HealthServer<Self>, watch::Sender<ServingStatus>) {
        let (switch, status) = watch::channel(first);
        (HealthServer::new(Self { names, status }), switch)
    }

    fn knows(&self, name: &str) -> bool {
        name.is_empty() || name == LIVENESS || self.names.contains(&name)
    }

    fn status_of(&self, name: &str) -> ServingStatus {
        if name == LIVENESS { ServingStatus::Serving } else { *self.status.borrow() }
    }
}

#[tonic::async_trait]
impl Health for ServiceHealth {
    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !self.knows(&request.get_ref().service) {
            return Err(Status::not_found("unknown service"));
        }
        Ok(Response::new(answer(self.status_of(&request.get_ref().service))))
    }

    async fn list(
        &self,
        _request: Request<HealthListRequest>,
    ) -> Result<Response<HealthListResponse>, Status> {
        let names = self.names.iter().chain(&["", LIVENESS]);
        let statuses =
            names.map(|name| ((*name).to_owned(), answer(self.status_of(name)))).collect();
        Ok(Response::new(HealthListResponse { statuses }))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let name = &request.get_ref().service;
        let known = self.knows(name);
        let changes = known && name != LIVENESS;
        let mut status = self.status.clone();
        status.mark_unchanged();
        let first = if known { self.status_of(name) } else { ServingStatus::ServiceUnknown };
        let later = stream::unfold(status, move |mut status| async move {
            loop {
                status.changed().await.ok()?;
                // The protocol keeps the stream of an unknown name open and silent.
                if changes {
                    let now = *status.borrow_and_update();
                    return Some((now, status));
                }
            }
        });
        let states = stream::iter([first]).chain(later);
        Ok(Response::new(states.map(|status| Ok(answer(status))).boxed()))
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}
