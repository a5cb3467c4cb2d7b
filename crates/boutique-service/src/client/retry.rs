//! Calls that are made once more.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tonic::{Code, Response};
use tower::retry::Policy;
use tower::retry::budget::{Budget as _, TpsBudget};

use super::balance::Balance;
use super::connection::TransportErrorKind;
use super::exchange::CallError;
use crate::grpc;
use crate::layers::Request;

/// Makes a call once more: one that was certainly never processed, and one that may be repeated if its peer was
/// UNAVAILABLE. All but those that a peer refused to begin with are within a budget, so that retries never multiply the
/// load of a peer that fails.
#[derive(Clone)]
pub(super) struct Retry {
    balance: Balance,
    budget: Arc<TpsBudget>,
    is_repeatable: bool,
    retries_left: u32,
    /// True if an attempt may have been processed.
    may_be_processed: bool,
}

impl Retry {
    pub(super) fn new(balance: Balance, budget: Arc<TpsBudget>, is_repeatable: bool) -> Self {
        Self { balance, budget, is_repeatable, retries_left: 1, may_be_processed: false }
    }

    /// A tenth of the calls of ten seconds, and 3 a second.
    pub(super) fn budget() -> Arc<TpsBudget> {
        Arc::new(TpsBudget::new(Duration::from_secs(10), 3, 0.1))
    }

    fn allows(&self, request: &Request<Bytes>, error: &CallError) -> bool {
        let time_left = || {
            let left = |deadline: Instant| deadline.saturating_duration_since(Instant::now());
            request.info.deadline.is_none_or(|end| left(end) > self.balance.typical().mul_f64(1.5))
        };
        match error.transport {
            Some(TransportErrorKind::Refused) => true,
            Some(TransportErrorKind::NotConnected) => time_left() && self.budget.withdraw(),
            Some(TransportErrorKind::Reset | TransportErrorKind::Broken) | None => {
                self.is_repeatable
                    && error.status.code() == Code::Unavailable
                    && time_left()
                    && self.budget.withdraw()
            }
        }
    }
}

impl Policy<Request<Bytes>, Response<Bytes>, CallError> for Retry {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        request: &mut Request<Bytes>,
        result: &mut Result<Response<Bytes>, CallError>,
    ) -> Option<Ready<()>> {
        match result {
            Ok(_) => {
                self.budget.deposit();
                None
            }
            Err(error) => {
                if self.may_be_processed {
                    grpc::may_be_processed(&mut error.status);
                }
                self.may_be_processed |= !grpc::was_not_processed(&error.status);
                (self.retries_left > 0 && self.allows(request, error)).then(|| {
                    self.retries_left -= 1;
                    if let Some(metrics) = self.balance.metrics() {
                        metrics.retries.increment();
                    }
                    ready(())
                })
            }
        }
    }

    /// Always, because the result of a request without a clone is not shown to the policy.
    fn clone_request(&mut self, request: &Request<Bytes>) -> Option<Request<Bytes>> {
        Some(request.clone())
    }
}
