//! Commands that a request gives to a store, as metrics.

use std::time::Instant;

use crate::context::RequestContext;

/// A command to a store that has begun.
#[derive(Debug)]
pub struct Operation {
    system: &'static str,
    name: &'static str,
    started: Instant,
}

impl Operation {
    /// Begins a command: `system` is OpenTelemetry's name of the store, as in `redis`, and `name` that of the command.
    pub fn begin(system: &'static str, name: &'static str) -> Self {
        Self { system, name, started: Instant::now() }
    }

    /// Records its end, as of the service whose request it belongs to. `error` is a kind of failure, from a table and
    /// never from a reply.
    pub fn end(self, error: Option<&'static str>) {
        let took = self.started.elapsed();
        RequestContext::with(|context| {
            let Some(metrics) = &context.service.metrics else { return };
            let exemplar = context.trace.sampled_id().map(|id| vec![("trace_id", id)]);
            metrics.operated(self.system, self.name, error, took, exemplar);
        });
    }
}
