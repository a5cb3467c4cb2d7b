//! Whose turn it is: at once in a closed loop, and in an open one at the times of a schedule that no
//! answer can delay.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Gives turns to users.
#[derive(Default)]
pub(crate) struct Scheduler {
    is_open: bool,
    over: CancellationToken,
    tasks_left: Cell<Option<u64>>,
    /// Arrivals that no user has taken.
    due: RefCell<VecDeque<Instant>>,
    /// Users without anything to do, in the order they became so: those in the middle of a task, and
    /// those about to begin one.
    waiting: RefCell<[VecDeque<oneshot::Sender<Instant>>; 2]>,
}

impl Scheduler {
    /// Users go as fast as they can, for so many tasks or without end.
    pub(crate) fn closed(tasks: Option<u64>) -> Self {
        Self { tasks_left: Cell::new(tasks), ..Self::default() }
    }

    /// Users wait for arrivals.
    pub(crate) fn open(tasks: Option<u64>) -> Self {
        Self { is_open: true, ..Self::closed(tasks) }
    }

    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    /// Takes one of the tasks that are left.
    pub(crate) fn take_task(&self) -> bool {
        match self.tasks_left.get() {
            None => !self.is_over(),
            Some(0) => false,
            Some(left) => {
                self.tasks_left.set(Some(left - 1));
                !self.is_over()
            }
        }
    }

    /// Waits for a turn and answers when it was due; nothing once all turns are over. Who is in the
    /// middle of a task comes before those who begin one.
    pub(crate) async fn turn(&self, begins: bool) -> Option<Instant> {
        if let Some(due) = self.due.borrow_mut().pop_front() {
            return Some(due);
        }
        if self.is_over() {
            return None;
        }
        if !self.is_open {
            return Some(Instant::now());
        }
        let (give, turn) = oneshot::channel();
        self.waiting.borrow_mut()[usize::from(begins)].push_back(give);
        turn.await.ok()
    }

    /// A turn that is due; it waits if all users are busy.
    fn arrive(&self, due: Instant) {
        let next = self.waiting.borrow_mut().iter_mut().find_map(VecDeque::pop_front);
        // A user who is gone takes no turn.
        let Some(due) = next.map_or(Some(due), |user| user.send(due).err()) else { return };
        self.due.borrow_mut().push_back(due);
    }

    /// Arrivals that nobody has taken so far.
    pub(crate) fn backlog(&self) -> usize {
        self.due.borrow().len()
    }

    /// The number of idle users.
    pub(crate) fn idle_users(&self) -> usize {
        self.waiting.borrow().iter().map(VecDeque::len).sum()
    }

    /// Gives up the arrivals that nobody has taken, and answers how many.
    pub(crate) fn abandon(&self) -> u64 {
        std::mem::take(&mut *self.due.borrow_mut()).len() as u64
    }

    /// No more turns but those that are due.
    pub(crate) fn end(&self) {
        self.over.cancel();
        *self.waiting.borrow_mut() = [VecDeque::new(), VecDeque::new()];
    }

    fn is_over(&self) -> bool {
        self.over.is_cancelled()
    }

    /// Waits, unless turns are over before.
    pub(crate) async fn pause(&self, seconds: f64) {
        if seconds > 0.0 {
            let sleep = tokio::time::sleep(Duration::from_secs_f64(seconds));
            self.over.run_until_cancelled(sleep).await;
        }
    }

    /// Lets so many arrive per second, evenly, for a while.
    pub(crate) async fn arrivals(&self, rps: f64, duration: Duration) -> anyhow::Result<()> {
        let alarm = Alarm::new()?;
        let (began, mut arrived) = (Instant::now(), 0_u64);
        loop {
            let offset = Duration::from_secs_f64(arrived as f64 / rps);
            if offset >= duration || self.is_over() {
                return Ok(());
            }
            let due = began + offset;
            let wait = due.saturating_duration_since(Instant::now());
            if !wait.is_zero() {
                alarm.sleep(wait).await?;
            }
            self.arrive(due);
            arrived += 1;
        }
    }
}

/// A timer of the kernel's own precision; the runtime's counts in milliseconds.
struct Alarm(AsyncFd<OwnedFd>);

impl Alarm {
    #[expect(deprecated, reason = "an OwnedFd stays what it is, and unsafe code is forbidden")]
    fn new() -> anyhow::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        Ok(Self(AsyncFd::new(timerfd_create(TimerfdClockId::Monotonic, flags)?)?))
    }

    async fn sleep(&self, wait: Duration) -> anyhow::Result<()> {
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let once = Itimerspec { it_interval: never, it_value: Timespec::try_from(wait)? };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        loop {
            let mut ready = self.0.readable().await?;
            // Reading is what makes it wait again; how often it has rung does not matter.
            let read = |alarm: &AsyncFd<OwnedFd>| Ok(rustix::io::read(alarm, &mut [0; 8])?);
            if let Ok(rang) = ready.try_io(read) {
                rang?;
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::*;

    #[tokio::test]
    async fn arrivals_are_due_by_the_schedule_whoever_is_busy() {
        let scheduler = Rc::new(Scheduler::open(None));
        scheduler.arrivals(1_000.0, Duration::from_millis(20)).await.unwrap();
        scheduler.end();
        // Nobody was there in time, and still each has its own time.
        assert_eq!(scheduler.backlog(), 20);
        let first = scheduler.turn(true).await.unwrap();
        for place in 1..20_u32 {
            assert_eq!(scheduler.turn(true).await, Some(first + Duration::from_millis(1) * place));
        }
        assert_eq!(scheduler.turn(true).await, None);
    }

    #[tokio::test]
    async fn nobody_arrives_before_the_time() {
        let alarm = Alarm::new().unwrap();
        for _ in 0..3 {
            let (began, wait) = (Instant::now(), Duration::from_millis(3));
            alarm.sleep(wait).await.unwrap();
            assert!(began.elapsed() >= wait);
        }
    }

    #[tokio::test]
    async fn users_take_turns() {
        let scheduler = Rc::new(Scheduler::open(None));
        let local = tokio::task::LocalSet::new();
        let order = Rc::new(RefCell::new(Vec::new()));
        for user in 0..3 {
            let (scheduler, order) = (scheduler.clone(), order.clone());
            local.spawn_local(async move {
                while scheduler.turn(true).await.is_some() {
                    order.borrow_mut().push(user);
                }
            });
        }
        let driven = async {
            while scheduler.idle_users() < 3 {
                tokio::task::yield_now().await;
            }
            for _ in 0..9 {
                scheduler.arrive(Instant::now());
                while scheduler.idle_users() < 3 {
                    tokio::task::yield_now().await;
                }
            }
            scheduler.end();
        };
        local.run_until(driven).await;
        local.await;
        assert_eq!(*order.borrow(), [0, 1, 2].repeat(3));
    }

    #[tokio::test]
    async fn a_closed_loop_ends_with_its_tasks() {
        let scheduler = Scheduler::closed(Some(2));
        assert!(scheduler.turn(true).await.is_some());
        assert_eq!(
            [scheduler.take_task(), scheduler.take_task(), scheduler.take_task()],
            [true, true, false]
        );
        scheduler.end();
        assert_eq!(scheduler.turn(true).await, None);
    }
}
