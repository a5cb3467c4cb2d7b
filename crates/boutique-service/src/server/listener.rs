//! The shared state of one port's connections: the endpoint, the TLS mode, and the shutdown.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::admission::ConnectionLimits;
use super::endpoint::Endpoint;
use super::router::Stopping;
use crate::tls::{ServerTls, Tls};

/// The phases of a server's shutdown, for its listener and its connections.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shutdown {
    /// The same for the task beside requests; it begins with the announcement.
    pub(crate) stopping: Stopping,
    draining: CancellationToken,
    pub(super) aborted: CancellationToken,
    pub(crate) connections: TaskTracker,
}

impl Shutdown {
    /// Serves on, but ends each HTTP/1 connection with its next response, which says so: a client that is told sends
    /// no request into a connection that is about to close.
    pub(crate) fn announce(&self) {
        self.stopping.begun.cancel();
    }

    pub(super) fn is_announced(&self) -> bool {
        self.stopping.begun.is_cancelled()
    }

    /// Accepts no new connections, and lets those that are open finish what is in flight.
    pub(crate) fn drain(&self) {
        self.connections.close();
        self.draining.cancel();
    }

    pub(super) async fn drained(&self) {
        self.draining.cancelled().await;
    }

    /// Drops all connections.
    pub(crate) fn abort(&self) {
        self.announce();
        self.stopping.given_up.cancel();
        self.drain();
        self.aborted.cancel();
    }
}

/// The endpoint, TLS, limits and shutdown of one port.
#[derive(Clone)]
pub(crate) struct Listener {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) tls: Arc<Tls>,
    pub(crate) mode: ServerTls,
    pub(crate) limits: ConnectionLimits,
    pub(crate) shutdown: Shutdown,
}
