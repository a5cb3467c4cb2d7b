//! The faults of one service, as its requests and its health see them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{CHECK_INTERVAL, Fault, Faults, Spec, Subject, Switches};
use crate::metrics::{CounterBy, Meter};

/// The fault of a service that delays each of its requests, under the name of the setting that asks for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ExtraLatency {
    pub(crate) setting: &'static str,
    pub(crate) delay: Duration,
}

/// The faults of one service.
pub(crate) struct ServiceFaults {
    faults: Arc<Faults>,
    switches: Switches,
    injected: CounterBy,
}

impl ServiceFaults {
    /// Takes the faults of the process that are for this service.
    pub(crate) fn new(
        faults: &Arc<Faults>,
        service: &'static str,
        latency: Option<ExtraLatency>,
        meter: &Meter,
    ) -> Self {
        let injected =
            meter.counter_by("faults.injected", "Faults injected into requests", "fault_name", &[]);
        let own =
            latency.map(|ExtraLatency { setting, delay }| Spec::delay(setting, service, delay));
        Self { faults: faults.clone(), switches: faults.add(service, own), injected }
    }

    /// Returns true if there are faults, or can be some.
    pub(crate) fn are_possible(&self) -> bool {
        self.faults.are_possible()
    }

    /// Returns true if a request has to bring its headers.
    pub(crate) fn reads_headers(&self) -> bool {
        self.switches.reads_headers.load(Ordering::Relaxed)
    }

    /// Returns the faults that are to be injected into this request, and counts them.
    pub(crate) fn draw(&self, request: Subject<'_>) -> Vec<Arc<Fault>> {
        if !self.switches.has_any.load(Ordering::Relaxed) {
            return Vec::new();
        }
        let mut faults = self.faults.on(self.switches.service);
        faults.retain(|fault| fault.spec.action.is_of_requests() && fault.is_drawn_for(request));
        for fault in &faults {
            self.injected.increment(fault.name().to_owned());
        }
        faults
    }

    /// Returns true if health is to be NOT_SERVING.
    pub(crate) fn is_unready(&self) -> bool {
        let faults = self.faults.on(self.switches.service);
        faults.iter().any(|fault| fault.spec.action.is_unready)
    }

    /// Waits until faults have been switched, or may have come or gone by their times.
    pub(crate) async fn changed(&self) {
        let mut changes = self.faults.changes.subscribe();
        let _ = tokio::time::timeout(CHECK_INTERVAL, changes.changed()).await;
        self.faults.refresh();
    }
}

impl std::fmt::Debug for ServiceFaults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ServiceFaults").field(&self.switches.service).finish()
    }
}
