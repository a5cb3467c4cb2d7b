//! Work that is bounded to a deadline, if there is one.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

/// The error of work that was cancelled at its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the deadline has passed")]
pub struct Elapsed;

/// Bounds work to a deadline, if there is one.
pub(crate) fn timeout_at<F: Future>(deadline: impl Into<Option<Instant>>, work: F) -> TimeoutAt<F> {
    TimeoutAt { work, timer: deadline.into().map(sleep_until) }
}

pin_project_lite::pin_project! {
    /// The future of [`timeout_at`]. An `async fn` would hold the work twice.
    #[project = Projected]
    pub(crate) struct TimeoutAt<F> {
        #[pin]
        work: F,
        #[pin]
        timer: Option<Sleep>,
    }
}

impl<F: Future> Future for TimeoutAt<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Projected { work, timer } = self.project();
        if let Poll::Ready(output) = work.poll(cx) {
            return Poll::Ready(Ok(output));
        }
        match timer.as_pin_mut() {
            Some(timer) => timer.poll(cx).map(|()| Err(Elapsed)),
            None => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_is_cancelled_at_its_deadline_and_not_before() {
        let began = Instant::now();
        let at = |millis| began + Duration::from_millis(millis);
        let sleep = |millis| tokio::time::sleep(Duration::from_millis(millis));

        let (late, in_time) =
            tokio::join!(timeout_at(at(300), sleep(1_000)), timeout_at(at(500), sleep(400)));

        assert_eq!((late, in_time), (Err(Elapsed), Ok(())));
        assert!(began.elapsed() < Duration::from_millis(510));
        assert_eq!(timeout_at(at(0), std::future::pending::<()>()).await, Err(Elapsed));
        assert_eq!(timeout_at(at(0), async { 1 }).await, Ok(1));
        assert_eq!(timeout_at(None, sleep(20)).await, Ok(()));
    }
}
