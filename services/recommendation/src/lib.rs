#![doc = include_str!("../README.md")]
//! Suggests other products.

mod clients;
mod domain;
mod grpc;

use boutique_proto::recommendation_service;
use boutique_service::{App, Env, Service};

/// The workload's name, default port and address setting, as upstream has them.
pub const SERVICE: Service =
    Service { name: "recommendationservice", port: 8080, addr_key: "RECOMMENDATION_SERVICE_ADDR" };

/// Everything this service answers, ready to be served.
pub async fn routes(env: &Env) -> anyhow::Result<App> {
    let catalog = clients::Catalog::from_env(env)?;
    Ok(App::grpc(recommendation_service::answered_by(grpc::Recommendation::new(catalog))))
}
