//! Timeouts that cost next to nothing while they are not reached. A timer of the runtime for each call wakes the runtime
//! for each call; here the calls of a thread share one timer. It is set to the earliest deadline, and stays set when that
//! call ends: it finds nothing to do, and is set to the next.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// The error of work that was cancelled at its deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the deadline has passed")]
pub struct Elapsed;

/// Bounds work to a deadline, if there is one.
pub(crate) fn timeout_at<F: Future>(deadline: impl Into<Option<Instant>>, work: F) -> TimeoutAt<F> {
    TimeoutAt { work, timer: deadline.into().map(|deadline| Timer { deadline, set: None }) }
}

pin_project_lite::pin_project! {
    /// The future of [`timeout_at`]. An `async fn` would hold the work twice.
    #[project = Projected]
    pub(crate) struct TimeoutAt<F> {
        #[pin]
        work: F,
        timer: Option<Timer>,
    }
}

impl<F: Future> Future for TimeoutAt<F> {
    type Output = Result<F::Output, Elapsed>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Projected { work, timer } = self.project();
        match work.poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending if timer.as_mut().is_some_and(|timer| timer.has_fired(cx)) => {
                Poll::Ready(Err(Elapsed))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

thread_local! {
    static QUEUE: RefCell<Option<(Arc<TimerQueue>, JoinHandle<()>)>> = const { RefCell::new(None) };
}

/// The timers of a thread, which share one timer of its runtime.
#[derive(Default)]
struct TimerQueue {
    timers: Mutex<Timers>,
    /// Notified when a timer comes before the one that is waited for.
    sooner: Notify,
}

#[derive(Default)]
struct Timers {
    /// By deadline, and by number where deadlines are equal.
    wakers: BTreeMap<(Instant, u64), Waker>,
    numbers: u64,
    waiting_for: Option<Instant>,
}

/// One deadline; forgotten when it is dropped.
struct Timer {
    deadline: Instant,
    set: Option<(Arc<TimerQueue>, u64)>,
}

impl Timer {
    /// Returns true if the deadline has passed; if not, the task is woken when it does.
    fn has_fired(&mut self, cx: &Context<'_>) -> bool {
        let Some((queue, number)) = &self.set else {
            if self.deadline <= Instant::now() {
                return true;
            }
            let queue = queue();
            let number = queue.set(self.deadline, cx.waker().clone());
            self.set = Some((queue, number));
            return false;
        };
        // What has fired is no longer kept.
        match queue.lock().wakers.get_mut(&(self.deadline, *number)) {
            Some(waker) => {
                waker.clone_from(cx.waker());
                false
            }
            None => true,
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        if let Some((queue, number)) = &self.set {
            queue.lock().wakers.remove(&(self.deadline, *number));
        }
    }
}

impl TimerQueue {
    fn lock(&self) -> MutexGuard<'_, Timers> {
        self.timers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, deadline: Instant, waker: Waker) -> u64 {
        let mut timers = self.lock();
        timers.numbers += 1;
        let number = timers.numbers;
        timers.wakers.insert((deadline, number), waker);
        if timers.waiting_for.is_none_or(|earliest| deadline < earliest) {
            timers.waiting_for = Some(deadline);
            self.sooner.notify_one();
        }
        number
    }

    /// Fires the timers that are due, and returns the next deadline.
    fn fire(&self) -> Option<Instant> {
        let mut timers = self.lock();
        let now = Instant::now();
        while let Some(first) = timers.wakers.first_entry()
            && first.key().0 <= now
        {
            first.remove().wake();
        }
        timers.waiting_for = timers.wakers.first_key_value().map(|((deadline, _), _)| *deadline);
        timers.waiting_for
    }

    async fn run(&self) {
        loop {
            match self.fire() {
                Some(next) => tokio::select! {
                    () = sleep_until(next) => {}
                    () = self.sooner.notified() => {}
                },
                None => self.sooner.notified().await,
            }
        }
    }
}

/// Returns this thread's queue, on this thread's runtime.
fn queue() -> Arc<TimerQueue> {
    QUEUE.with_borrow_mut(|kept| match kept {
        Some((queue, task)) if !task.is_finished() => queue.clone(),
        // There is none, or it ended with the runtime it was on.
        _ => {
            let queue = Arc::<TimerQueue>::default();
            let driven = queue.clone();
            let task = tokio::spawn(async move { driven.run().await });
            *kept = Some((queue.clone(), task));
            queue
        }
    })
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

        let (late, later, in_time, sooner) = tokio::join!(
            timeout_at(at(300), sleep(1_000)),
            timeout_at(at(300), std::future::pending::<()>()),
            timeout_at(at(500), sleep(400)),
            async {
                sleep(10).await;
                let given_up = timeout_at(at(50), std::future::pending::<()>()).await;
                (given_up, began.elapsed())
            },
        );

        assert_eq!((late, later, in_time), (Err(Elapsed), Err(Elapsed), Ok(())));
        assert_eq!(sooner.0, Err(Elapsed));
        assert!(sooner.1 < Duration::from_millis(60), "{:?}", sooner.1);
        assert!(began.elapsed() < Duration::from_millis(510));
        assert_eq!(timeout_at(at(0), std::future::pending::<()>()).await, Err(Elapsed));
        assert_eq!(timeout_at(at(0), async { 1 }).await, Ok(1));
        assert_eq!(timeout_at(None, sleep(20)).await, Ok(()));
        assert!(queue().lock().wakers.is_empty(), "what has ended is forgotten");
    }

    #[test]
    fn thread_may_have_one_runtime_after_another() {
        for _ in 0..3 {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let gave_up = runtime.block_on(async {
                let deadline = Instant::now() + Duration::from_millis(5);
                timeout_at(deadline, std::future::pending::<()>()).await
            });
            assert_eq!(gave_up, Err(Elapsed));
        }
    }
}
