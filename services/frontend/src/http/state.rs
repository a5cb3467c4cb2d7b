//! The state that every handler has.

use std::net::IpAddr;
use std::sync::Arc;

use super::carts::CartsByAddress;
use super::rate::RateLimit;
use crate::clients::Clients;
use crate::config::Config;
use crate::deployment::Deployment;
use crate::topology::Topology;

/// The settings, the clients, and what is known of the deployment.
pub(crate) struct Shop {
    pub(crate) config: Config,
    pub(crate) clients: Clients,
    pub(crate) deployment: Deployment,
    /// The page about the services behind the shop, if it is on.
    pub(crate) topology: Option<Arc<Topology>>,
    /// The bound of `MAX_CARTS_PER_ADDRESS`, if it is set.
    pub(crate) carts: Option<CartsByAddress>,
    /// The bound of `RATE_LIMIT_PER_ADDRESS`, if it is set.
    pub(crate) by_address: Option<RateLimit<IpAddr>>,
    /// The bound of `RATE_LIMIT_PER_SESSION`, if it is set.
    pub(crate) by_session: Option<RateLimit<String>>,
}

impl Shop {
    /// Returns a path below the base URL.
    pub(super) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.config.base_url)
    }
}
