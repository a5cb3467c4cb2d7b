//! The way of spans to the collector: in batches, and not at all while it takes none.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use opentelemetry::Context;
use opentelemetry::trace::{SpanContext, Status};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::{OTelSdkError, OTelSdkResult};
use opentelemetry_sdk::trace::{BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor};
use tonic::Code;

use super::otlp;
use crate::collector::Collector;

/// The interval of the requests that are recorded while the collector takes no spans, to find out whether it does again.
const TRIAL_INTERVAL: Duration = Duration::from_secs(1);

/// The time after which an export that is under way counts as an outage: what is recorded meanwhile only fills a queue.
const PATIENCE: Duration = Duration::from_secs(1);

/// The pauses before an export is repeated.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(200), Duration::from_millis(400)];

/// The state of the collector, as a service's exports find it.
#[derive(Debug)]
pub(super) struct Outage {
    service: String,
    is_out: AtomicBool,
    began: Instant,
    /// The time of the export under way, in milliseconds since `began`, or [`NONE`].
    exporting_since: AtomicU64,
    /// The time of the next trial, in milliseconds since `began`.
    next_trial: AtomicU64,
}

const NONE: u64 = u64::MAX;

impl Outage {
    pub(super) fn new(service: &str) -> Self {
        Self {
            service: service.to_owned(),
            is_out: AtomicBool::new(false),
            began: Instant::now(),
            exporting_since: AtomicU64::new(NONE),
            next_trial: AtomicU64::new(0),
        }
    }

    /// The milliseconds since it was made.
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(NONE - 1)
    }

    /// Returns true if a request is worth recording: the collector takes spans, or one is due to try.
    pub(super) fn is_worth_it(&self) -> bool {
        let exporting_since = self.exporting_since.load(Ordering::Relaxed);
        let is_out = self.is_out.load(Ordering::Relaxed);
        if !is_out && exporting_since == NONE {
            return true;
        }
        let now = self.now();
        if !is_out && now.saturating_sub(exporting_since) < PATIENCE.as_millis() as u64 {
            return true;
        }
        let due = self.next_trial.load(Ordering::Relaxed);
        let next = now + TRIAL_INTERVAL.as_millis() as u64;
        now >= due
            && self
                .next_trial
                .compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    fn note(&self, is_out: bool) {
        if self.is_out.swap(is_out, Ordering::Relaxed) == is_out {
            return;
        }
        let service = &self.service;
        if is_out {
            tracing::warn!(
                service.name = service,
                "the collector takes no spans of {service} for now"
            );
        } else {
            tracing::info!(service.name = service, "the collector takes spans of {service} again");
        }
    }
}

/// Sends spans to the collector, and tells of its outages.
#[derive(Debug)]
pub(super) struct Exporter {
    pub(super) collector: Collector,
    pub(super) outage: Arc<Outage>,
    pub(super) resource: Resource,
}

impl Exporter {
    /// Exports a request, and again where the collector may take it soon.
    async fn send(&self, request: Bytes) -> Result<(), tonic::Status> {
        let began = Instant::now();
        let mut pauses = PAUSES.into_iter();
        loop {
            let result = self.collector.export(request.clone()).await;
            let Err(status) = &result else { return result };
            match pauses.next() {
                Some(pause)
                    if may_pass(status.code())
                        && began.elapsed() + pause < self.collector.timeout() =>
                {
                    // The SDK has a thread for exports, which has no other timer.
                    std::thread::sleep(pause);
                }
                _ => return result,
            }
        }
    }
}

/// Returns true if the specification of OTLP lets a request be repeated after this.
fn may_pass(code: Code) -> bool {
    matches!(
        code,
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
    )
}

impl SpanExporter for Exporter {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        self.outage.exporting_since.store(self.outage.now(), Ordering::Relaxed);
        let request = otlp::request(&self.resource, &batch);
        drop(batch);
        let result = self.send(request.into()).await;
        self.outage.exporting_since.store(NONE, Ordering::Relaxed);
        self.outage.note(result.is_err());
        result.map_err(|status| OTelSdkError::InternalFailure(status.code().to_string()))
    }
}

/// Batches of the spans that are sampled, and of those that failed although they are not.
#[derive(Debug)]
pub(super) struct ErrorsToo(pub(super) BatchSpanProcessor);

impl SpanProcessor for ErrorsToo {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.0.on_start(span, context);
    }

    fn on_end(&self, mut span: SpanData) {
        if !span.span_context.is_sampled() {
            if !matches!(span.status, Status::Error { .. }) {
                return;
            }
            let own = &span.span_context;
            span.span_context = SpanContext::new(
                own.trace_id(),
                own.span_id(),
                own.trace_flags().with_sampled(true),
                own.is_remote(),
                own.trace_state().clone(),
            );
        }
        self.0.on_end(span);
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.0.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.0.shutdown_with_timeout(timeout)
    }
}
