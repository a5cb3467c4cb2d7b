//! Which requests are recorded.

use opentelemetry::trace::{Link, SpanKind, TraceId};
use opentelemetry::{Context, KeyValue};
use opentelemetry_sdk::trace::{Sampler, SamplingDecision, SamplingResult, ShouldSample};

use crate::env::Env;

/// The sampler of `OTEL_TRACES_SAMPLER` with its argument.
pub(super) fn sampler(env: &Env, decides: bool, records_errors: bool) -> EdgeSampler {
    let ratio = || {
        let ratio = env.get("OTEL_TRACES_SAMPLER_ARG").and_then(|arg| arg.trim().parse().ok());
        let ratio = ratio.filter(|ratio| (0.0..=1.0).contains(ratio));
        Sampler::TraceIdRatioBased(ratio.unwrap_or_else(|| {
            let why = "it must be a ratio of 0 to 1; all traces are sampled";
            env.warn_ignored("OTEL_TRACES_SAMPLER_ARG", why);
            1.0
        }))
    };
    let name = env.get("OTEL_TRACES_SAMPLER").unwrap_or("parentbased_always_on").trim();
    let (root, is_parent_based) = match name.strip_prefix("parentbased_") {
        Some(root) => (root, true),
        None => (name, false),
    };
    let root = match root {
        "always_on" => Sampler::AlwaysOn,
        "always_off" => Sampler::AlwaysOff,
        "traceidratio" => ratio(),
        _ => {
            let why = "it names no sampler that is here; all traces are sampled";
            env.warn_ignored("OTEL_TRACES_SAMPLER", why);
            Sampler::AlwaysOn
        }
    };
    let inner =
        if is_parent_based { Sampler::ParentBased(Box::new(root.clone())) } else { root.clone() };
    EdgeSampler { root, inner, decides, records_errors }
}

/// Decides for the requests of strangers by itself, and for all else by its parent.
#[derive(Debug, Clone)]
pub(super) struct EdgeSampler {
    root: Sampler,
    inner: Sampler,
    decides: bool,
    /// True if the spans that are not sampled are recorded, because they may end with an error.
    records_errors: bool,
}

impl EdgeSampler {
    /// Returns true if what a caller does not sample is not sampled.
    pub(super) fn obeys(&self) -> bool {
        !self.decides && matches!(self.inner, Sampler::ParentBased(_))
    }
}

impl ShouldSample for EdgeSampler {
    fn should_sample(
        &self,
        parent: Option<&Context>,
        trace_id: TraceId,
        name: &str,
        kind: &SpanKind,
        attributes: &[KeyValue],
        links: &[Link],
    ) -> SamplingResult {
        let is_edge = self.decides && *kind == SpanKind::Server;
        let sampler = if is_edge { &self.root } else { &self.inner };
        let mut result = sampler.should_sample(parent, trace_id, name, kind, attributes, links);
        if self.records_errors && result.decision == SamplingDecision::Drop {
            result.decision = SamplingDecision::RecordOnly;
        }
        result
    }
}
