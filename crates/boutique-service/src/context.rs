//! The context of the request that a task serves: the service, the deadline and the trace, for whatever the request
//! does, however deep.

use std::sync::Arc;
use std::time::Duration;

use boutique_proto::services::Criticality;
use http::HeaderValue;
use tokio::task::futures::TaskLocalFuture;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::faults::ServiceFaults;
use crate::metrics::ServiceMetrics;
use crate::propagation::TraceContext;
use crate::timeout::{Elapsed, timeout_at};
use crate::trace::ServiceTracer;

tokio::task_local! {
    static CONTEXT: RequestContext;
}

/// A running service as its requests see it.
#[derive(Debug)]
pub(crate) struct ServiceContext {
    /// The workload's name.
    pub(crate) name: &'static str,
    /// The recorder of its spans, if it exports any.
    pub(crate) tracer: Option<ServiceTracer>,
    /// Its metrics, if anybody reads them.
    pub(crate) metrics: Option<ServiceMetrics>,
    /// The faults that can be injected into its requests; the admin port has none.
    pub(crate) faults: Option<ServiceFaults>,
    /// The `user-agent` of its calls.
    pub(crate) user_agent: Option<HeaderValue>,
    /// Work that outlives its request; a graceful shutdown waits for it.
    pub(crate) tasks: TaskTracker,
}

/// The context of one request.
#[derive(Clone)]
pub(crate) struct RequestContext {
    pub(crate) service: Arc<ServiceContext>,
    pub(crate) deadline: Option<Instant>,
    pub(crate) criticality: Criticality,
    pub(crate) trace: TraceContext,
}

impl ServiceContext {
    /// Returns the recorder of spans, if one below `trace` is to be recorded now.
    pub(crate) fn recorder(&self, trace: &TraceContext) -> Option<&ServiceTracer> {
        self.tracer.as_ref().filter(|tracer| tracer.is_wanted(trace))
    }
}

impl RequestContext {
    /// The context of what a service does by itself: without a deadline, and without a trace.
    pub(crate) fn of_service(service: Arc<ServiceContext>) -> Self {
        let (criticality, trace) = (Criticality::default(), TraceContext::default());
        Self { service, deadline: None, criticality, trace }
    }

    /// Returns the context of the current task, if it serves a request.
    pub(crate) fn current() -> Option<Self> {
        Self::with(Self::clone)
    }

    /// Reads the current context without cloning it.
    pub(crate) fn with<T>(read: impl FnOnce(&Self) -> T) -> Option<T> {
        CONTEXT.try_with(read).ok()
    }

    /// Runs `work` in this context.
    pub(crate) fn scope<F: Future>(self, work: F) -> TaskLocalFuture<Self, F> {
        CONTEXT.scope(self, work)
    }
}

/// Returns the id of the current request's trace, if it has one.
pub fn trace_id() -> Option<String> {
    RequestContext::with(|context| context.trace.id()).flatten()
}

/// Returns the `x-request-id` that a proxy or a mesh gave the current request, if it has one.
pub fn request_id() -> Option<String> {
    RequestContext::with(|context| context.trace.request_id().map(str::to_owned)).flatten()
}

/// Bounds `work` and every call it makes to `limit`, or to the time left to the request if that is less.
pub async fn with_deadline<F: Future>(limit: Duration, work: F) -> Result<F::Output, Elapsed> {
    let mut deadline = Instant::now() + limit;
    let Some(mut context) = RequestContext::current() else {
        return timeout_at(deadline, work).await;
    };
    if let Some(sooner) = context.deadline {
        deadline = deadline.min(sooner);
    }
    context.deadline = Some(deadline);
    timeout_at(deadline, context.scope(work)).await
}

/// Spawns work that goes on when its request is cancelled: under the same trace, without the request's deadline. A
/// graceful shutdown waits for it.
pub fn detach<F>(work: F) -> tokio::task::JoinHandle<F::Output>
where
    F: Future<Output: Send> + Send + 'static,
{
    match RequestContext::current() {
        None => tokio::spawn(work),
        Some(mut context) => {
            context.deadline = None;
            let tasks = context.service.tasks.clone();
            tasks.spawn(context.scope(Box::pin(work)))
        }
    }
}

/// Returns the time left to the current request, if it has a deadline.
pub fn time_left() -> Option<Duration> {
    let deadline = RequestContext::with(|context| context.deadline).flatten()?;
    Some(deadline.saturating_duration_since(Instant::now()))
}
