//! What every handler needs.

use crate::clients::Clients;
use crate::config::Config;
use crate::deployment::Deployment;

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
