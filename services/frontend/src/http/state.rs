//! What every handler needs.

use std::time::Duration;

use crate::clients::Clients;
use crate::config::Config;
use crate::deployment::Deployment;

/// How long a page may take, everything included.
pub(super) const PAGE: Duration = Duration::from_secs(3);
/// How long a change of the cart may take.
pub(super) const CHANGE: Duration = Duration::from_secs(2);
/// How long an order may take.
pub(super) const ORDER: Duration = Duration::from_secs(8);

/// The settings, the clients, and what is known of the deployment.
pub(crate) struct Shop {
    pub(crate) config: Config,
    pub(crate) clients: Clients,
    pub(crate) deployment: Deployment,
}

impl Shop {
    /// Returns a path below the base URL.
    pub(super) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.config.base_url)
    }
}
