//! Commands that a request gives to a store, as metrics and spans.

use std::time::Instant;

use opentelemetry_sdk::trace::Span;

use crate::context::RequestContext;
use crate::span::{end_operation, operation};

/// A command to a store that has begun.
#[derive(Debug)]
pub struct Operation {
    system: &'static str,
    name: &'static str,
    started: Instant,
    span: Option<Box<Span>>,
}

impl Operation {
    /// Begins a command: `system` is OpenTelemetry's name of the store, as in `redis`, and `name` that of the command.
    pub fn begin(system: &'static str, name: &'static str) -> Self {
        Self { system, name, started: Instant::now(), span: operation(system, name) }
    }

    /// Records its end, as of the service whose request it belongs to. `error` is a kind of failure, from a table and
    /// never from a reply.
    pub fn end(self, error: Option<&'static str>) {
        let took = self.started.elapsed();
        if let Some(span) = self.span {
            end_operation(span, error);
        }
        RequestContext::with(|context| {
            let Some(metrics) = &context.service.metrics else { return };
            let exemplar = context.trace.sampled_id().map(|id| vec![("trace_id", id)]);
            metrics.operated(self.system, self.name, error, took, exemplar);
        });
    }
}
