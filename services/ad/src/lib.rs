#![doc = include_str!("../README.md")]
//! Chooses text ads for a context.

mod domain;
mod grpc;

use boutique_proto::ad_service;
use boutique_service::{App, Env, Service};

/// The workload's name, default port and address setting, as upstream has them.
pub const SERVICE: Service = Service { name: "adservice", port: 9555, addr_key: "AD_SERVICE_ADDR" };

/// Everything this service answers, ready to be served.
pub async fn routes(_env: &Env) -> anyhow::Result<App> {
    Ok(App::grpc(ad_service::answered_by(grpc::Ads)))
}
