//! gRPC health by tonic-health: one status for all names of a service, and the name `liveness`, which is SERVING for as
//! long as the process answers.

use boutique_proto::Rpc;
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
}

impl Health {
    /// NOT_SERVING under all names but `liveness`.
    pub(crate) async fn new(mut names: Vec<&'static str>) -> Self {
        names.push("");
        let health = Self { reporter: HealthReporter::new(), names };
        health.reporter.set_service_status(LIVENESS, ServingStatus::Serving).await;
        health.set(ServingStatus::NotServing).await;
        health
    }

    /// The gRPC service that answers with these statuses.
    pub(crate) fn server(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }

    /// Sets the status of all names but `liveness`, and tells those who watch.
    pub(crate) async fn set(&self, status: ServingStatus) {
        for name in &self.names {
            self.reporter.set_service_status(name, status).await;
        }
    }

    /// Ends every Watch. From then on no name is known.
    pub(crate) async fn end_watches(mut self) {
        for name in self.names.iter().chain(&[LIVENESS]) {
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
