//! Deadlines that cost next to nothing while they are met. A timer of the runtime for each call wakes
//! the runtime for each call; here the calls of a thread share one timer, which is set to the earliest
//! deadline and left where it is when that call ends: it finds nothing to do, and moves on.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// The deadline came before the work was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the deadline has passed")]
pub struct Late;

/// Does the work, or gives it up at its deadline, if it has one.
pub(crate) fn within<F: Future>(deadline: impl Into<Option<Instant>>, work: F) -> Within<F> {
    Within { work, alarm: deadline.into().map(|deadline| Alarm { deadline, set: None }) }
}

pin_project_lite::pin_project! {
    /// Work within a deadline. By hand, because an `async fn` would hold the work twice.
    #[project = Projected]
    pub(crate) struct Within<F> {
        #[pin]
        work: F,
        alarm: Option<Alarm>,
    }
}

impl<F: Future> Future for Within<F> {
    type Output = Result<F::Output, Late>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Projected { work, alarm } = self.project();
        match work.poll(cx) {
            Poll::Ready(output) => Poll::Ready(Ok(output)),
            Poll::Pending if alarm.as_mut().is_some_and(|alarm| alarm.has_rung(cx)) => {
                Poll::Ready(Err(Late))
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

thread_local! {
    static KEEPER: RefCell<Option<(Arc<Keeper>, JoinHandle<()>)>> = const { RefCell::new(None) };
}

/// The alarms of a thread.
#[derive(Default)]
struct Keeper {
    alarms: Mutex<Alarms>,
    /// Told when an alarm comes before the one that is waited for.
    sooner: Notify,
}

#[derive(Default)]
struct Alarms {
    /// By deadline, and by number where deadlines are equal.
    wakers: BTreeMap<(Instant, u64), Waker>,
    numbers: u64,
    waiting_for: Option<Instant>,
}

/// One deadline; forgotten when it is dropped.
struct Alarm {
    deadline: Instant,
    set: Option<(Arc<Keeper>, u64)>,
}

impl Alarm {
    /// Whether the deadline has passed; if not, the task is woken when it does.
    fn has_rung(&mut self, cx: &Context<'_>) -> bool {
        let Some((keeper, number)) = &self.set else {
            if self.deadline <= Instant::now() {
                return true;
            }
            let keeper = keeper();
            let number = keeper.set(self.deadline, cx.waker().clone());
            self.set = Some((keeper, number));
            return false;
        };
        // What has rung is no longer kept.
        match keeper.lock().wakers.get_mut(&(self.deadline, *number)) {
            Some(waker) => {
                waker.clone_from(cx.waker());
                false
            }
            None => true,
        }
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        if let Some((keeper, number)) = &self.set {
            keeper.lock().wakers.remove(&(self.deadline, *number));
        }
    }
}

impl Keeper {
    fn lock(&self) -> MutexGuard<'_, Alarms> {
        self.alarms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, deadline: Instant, waker: Waker) -> u64 {
        let mut alarms = self.lock();
        alarms.numbers += 1;
        let number = alarms.numbers;
        alarms.wakers.insert((deadline, number), waker);
        if alarms.waiting_for.is_none_or(|earliest| deadline < earliest) {
            alarms.waiting_for = Some(deadline);
            self.sooner.notify_one();
        }
        number
    }

    /// Rings what is due, and tells what comes next.
    fn ring(&self) -> Option<Instant> {
        let mut alarms = self.lock();
        let now = Instant::now();
        while let Some(first) = alarms.wakers.first_entry()
            && first.key().0 <= now
        {
            first.remove().wake();
        }
        alarms.waiting_for = alarms.wakers.first_key_value().map(|((deadline, _), _)| *deadline);
        alarms.waiting_for
    }

    async fn keep(&self) {
        loop {
            match self.ring() {
                Some(next) => tokio::select! {
                    () = sleep_until(next) => {}
                    () = self.sooner.notified() => {}
                },
                None => self.sooner.notified().await,
            }
        }
    }
}

/// This thread's keeper, on this thread's runtime.
fn keeper() -> Arc<Keeper> {
    KEEPER.with_borrow_mut(|kept| match kept {
        Some((keeper, task)) if !task.is_finished() => keeper.clone(),
        // There is none, or it ended with the runtime it was on.
        _ => {
            let keeper = Arc::<Keeper>::default();
            let kept_here = keeper.clone();
            let task = tokio::spawn(async move { kept_here.keep().await });
            *kept = Some((keeper.clone(), task));
            keeper
        }
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_ends_at_its_deadline_and_not_before() {
        let began = Instant::now();
        let at = |millis| began + Duration::from_millis(millis);
        let sleep = |millis| tokio::time::sleep(Duration::from_millis(millis));

        let (late, later, in_time, sooner) = tokio::join!(
            within(at(300), sleep(1_000)),
            within(at(300), std::future::pending::<()>()),
            within(at(500), sleep(400)),
            async {
                sleep(10).await;
                let given_up = within(at(50), std::future::pending::<()>()).await;
                (given_up, began.elapsed())
            },
        );

        assert_eq!((late, later, in_time), (Err(Late), Err(Late), Ok(())));
        assert_eq!(sooner.0, Err(Late));
        assert!(sooner.1 < Duration::from_millis(60), "{:?}", sooner.1);
        assert!(began.elapsed() < Duration::from_millis(510));
        assert_eq!(within(at(0), std::future::pending::<()>()).await, Err(Late));
        assert_eq!(within(at(0), async { 1 }).await, Ok(1));
        assert_eq!(within(None, sleep(20)).await, Ok(()));
        assert!(keeper().lock().wakers.is_empty(), "what has ended is forgotten");
    }

    #[test]
    fn a_thread_may_have_one_runtime_after_another() {
        for _ in 0..3 {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let gave_up = runtime.block_on(async {
                let deadline = Instant::now() + Duration::from_millis(5);
                within(deadline, std::future::pending::<()>()).await
            });
            assert_eq!(gave_up, Err(Late));
        }
    }
}
