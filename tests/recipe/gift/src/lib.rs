#![doc = include_str!("../README.md")]
//! Writes cards that go with a gift.

mod domain;
mod grpc;

use boutique_proto::ext::gifts;
use boutique_proto::services::{self, ServiceSpec};
use boutique_service::{Env, Registry, Router};

/// The service's row in the table: names, default port, address setting and methods.
pub const SERVICE: ServiceSpec = services::GIFT;

/// Everything this service answers, ready to be served.
pub async fn routes(_env: &Env, _registry: &Registry) -> anyhow::Result<Router> {
    Ok(Router::grpc(gifts::into_server(grpc::Cards)))
}
