//! The metrics of the calls to one service.

use std::sync::OnceLock;

use boutique_proto::services::ServiceSpec;

use crate::context::RequestContext;
use crate::metrics::PeerMetrics;

/// A service that is called, and the metrics of those calls. They are those of the service whose request makes the first
/// call: a channel belongs to one service.
pub(super) struct Peer {
    /// The workload that is called.
    pub(super) name: &'static str,
    paths: Vec<&'static str>,
    metrics: OnceLock<PeerMetrics>,
}

impl Peer {
    pub(super) fn new(spec: &ServiceSpec) -> Self {
        let paths = spec.methods.iter().map(|method| method.path).collect();
        Self { name: spec.name, paths, metrics: OnceLock::new() }
    }

    /// Returns the metrics for a call that begins now, if anybody reads them.
    pub(super) fn begin(&self) -> Option<&PeerMetrics> {
        if let Some(known) = self.metrics.get() {
            return Some(known);
        }
        let service = RequestContext::with(|context| context.service.clone())?;
        let caller = service.metrics.as_ref()?;
        Some(self.metrics.get_or_init(|| caller.peer(self.name, self.paths.iter().copied())))
    }

    /// Returns the metrics, if a call has begun.
    pub(super) fn metrics(&self) -> Option<&PeerMetrics> {
        self.metrics.get()
    }
}
