//! The whole shop through its web UI: in this process, in one process of its own, and in ten.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod alerts;
mod bad_input;
mod browse;
mod cached;
mod canary;
mod checkout;
mod degraded;
mod faults;
mod lifecycle;
mod load;
mod log_export;
mod metrics;
mod orders;
mod own_catalog;
mod proxy;
mod scenarios;
mod shopping;
mod static_files;
mod tls;
mod topology;
mod traces;
mod wire;

use boutique_service::{Env, Registry};
use boutique_test::Visitor;

/// Opens the shop in this process; returns its first visitor, and the settings and services to open more with.
async fn open(settings: &Env) -> anyhow::Result<(Visitor, boutique::Shop, Env, Registry)> {
    let mut env = settings.clone();
    env.set("PORT", "0");
    let mut registry = Registry::default();
    let shop = boutique::open(&mut env, &mut registry).await?;
    let base = format!("http://{}", shop.address().unwrap());
    Ok((Visitor::new(base), shop, env, registry))
}
