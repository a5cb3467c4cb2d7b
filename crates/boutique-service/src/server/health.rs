//! gRPC health by tonic-health: one status for all names of a service, and the name `liveness`, which is SERVING for as
//! long as the process answers.

use boutique_proto::Rpc;
use tokio::sync::watch;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_health::server::{HealthReporter, HealthService};

/// The name whose status does not depend on readiness.
const LIVENESS: &str = "liveness";

/// The health of one service: the empty name, its gRPC names and its workload's name share one status.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    reporter: HealthReporter,
    names: Vec<&'static str>,
    /// Names with a status of their own.
    others: Vec<&'static str>,
    is_serving: watch::Sender<bool>,
}

impl Health {
    /// NOT_SERVING under all names but `liveness`; `others` have a status of their own.
    pub(crate) async fn new(mut names: Vec<&'static str>, others: Vec<&'static str>) -> Self {
        names.push("");
        let (reporter, is_serving) = (HealthReporter::new(), watch::Sender::new(false));
        let health = Self { reporter, names, others, is_serving };
        health.reporter.set_service_status(LIVENESS, ServingStatus::Serving).await;
        health.set(ServingStatus::NotServing).await;
        for name in &health.others {
            health.reporter.set_service_status(name, ServingStatus::NotServing).await;
        }
        health
    }

    /// Returns true while the service is SERVING.
    pub(crate) fn is_serving(&self) -> watch::Receiver<bool> {
        self.is_serving.subscribe()
    }

    /// Keeps the status of one of the other names as `is_well` says.
    pub(crate) async fn follow(self, name: &'static str, mut is_well: watch::Receiver<bool>) {
        loop {
            let is_serving = *is_well.borrow_and_update();
            let status =
                if is_serving { ServingStatus::Serving } else { ServingStatus::NotServing };
            self.reporter.set_service_status(name, status).await;
            if is_well.changed().await.is_err() {
                return;
            }
        }
    }

    /// The gRPC service that answers with these statuses.
    pub(crate) fn server(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }

    /// Sets the status of all names but `liveness` and the others, and tells those who watch.
    pub(crate) async fn set(&self, status: ServingStatus) {
        self.is_serving.send_replace(status == ServingStatus::Serving);
        for name in &self.names {
            self.reporter.set_service_status(name, status).await;
        }
    }

    /// Ends every Watch. From then on no name is known.
    pub(crate) async fn end_watches(mut self) {
        for name in self.names.iter().chain(&self.others).chain(&[LIVENESS]) {
            self.reporter.clear_service_status(name).await;
        }
    }
}

/// `grpc.health.v1.Health/Check`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Check;

impl Rpc for Check {
    const PATH: &'static str = "/grpc.health.v1.Health/Check";
    type Request = HealthCheckRequest;
    type Response = HealthCheckResponse;
}
