//! Turns of pages: while its thread has no time to spare, a page waits until few others are being made. Made all at
//! once they would take longer together, because what they hold outgrows the caches of the processor and of malloc.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use boutique_proto::services::Criticality;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tonic::Status;

use crate::overload;

/// The pages that a thread makes at a time without time to spare.
const AT_A_TIME: usize = 32;
/// The pages that begin without a turn in the first period in which it has time to spare; twice as many in each further.
const AT_FIRST: u32 = 64;
/// The most pages that wait for their turn.
const MAX_WAITING: u32 = 512;
/// The time between two looks at the thread's time.
const PERIOD: Duration = Duration::from_millis(50);
/// The part of the time that a thread without time to spare is running or ready to run.
const BUSY: f64 = 0.95;

thread_local! {
    static TURNS: Arc<Turns> = Arc::new(Turns::new(ThreadTime::of_this_thread()));
}

/// The turn of a page, until it is dropped.
pub(super) type Turn = OwnedSemaphorePermit;

/// Waits until this thread begins another page. Pages need no turn while it has time for all, and those that matter most
/// never do. Fails if too many wait.
pub(super) async fn turn(criticality: Criticality, now: Instant) -> Result<Option<Turn>, Status> {
    if criticality == Criticality::CriticalPlus {
        return Ok(None);
    }
    let turns = TURNS.with(Arc::clone);
    if let Ok(turn) = turns.free.clone().try_acquire_owned() {
        return Ok(Some(turn));
    }
    if !turns.has_queue() && turns.begins_another(now) {
        return Ok(None);
    }
    Box::pin(turns.wait(criticality)).await
}

/// The turns of one thread.
#[derive(Debug)]
struct Turns {
    free: Arc<Semaphore>,
    waiting: Semaphore,
    time: Mutex<ThreadTime>,
}

impl Turns {
    fn new(time: ThreadTime) -> Self {
        let free = Arc::new(Semaphore::new(AT_A_TIME));
        Self { free, waiting: Semaphore::new(MAX_WAITING as usize), time: Mutex::new(time) }
    }

    fn has_queue(&self) -> bool {
        self.waiting.available_permits() < MAX_WAITING as usize
    }

    /// Counts another page that begins without a turn; returns false if the thread has no time for it.
    fn begins_another(&self, now: Instant) -> bool {
        self.time.lock().begins_another(now)
    }

    async fn wait(&self, criticality: Criticality) -> Result<Option<Turn>, Status> {
        let Ok(_place) = self.waiting.try_acquire() else {
            overload::overflow(MAX_WAITING, criticality, Instant::now());
            return Err(overload::refusal());
        };
        let mut turn = pin!(self.free.clone().acquire_owned());
        loop {
            match timeout(PERIOD, &mut turn).await {
                Ok(turn) => return Ok(turn.ok()),
                // All that are being made wait for a service.
                Err(_elapsed) if self.begins_another(Instant::now()) => return Ok(None),
                Err(_elapsed) => {}
            }
        }
    }
}

/// The time of a thread.
#[derive(Debug)]
struct ThreadTime {
    /// The times in nanoseconds that it has run and waited for the processor; none where Linux does not tell.
    schedstat: Option<File>,
    looked: Instant,
    taken: Duration,
    /// The end of the last period without time to spare.
    busy_until: Option<Instant>,
    /// The pages that begin without a turn until the next look.
    left: u32,
}

impl ThreadTime {
    fn of_this_thread() -> Self {
        let schedstat = File::open("/proc/thread-self/schedstat").ok();
        let taken = schedstat.as_ref().and_then(read).unwrap_or_default();
        Self { schedstat, looked: Instant::now(), taken, busy_until: None, left: u32::MAX }
    }

    /// See [`Turns::begins_another`].
    fn begins_another(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.looked);
        if passed >= PERIOD {
            let taken = self.schedstat.as_ref().and_then(read).unwrap_or_default();
            let part = taken.saturating_sub(self.taken).as_secs_f64() / passed.as_secs_f64();
            (self.looked, self.taken) = (now, taken);
            if part >= BUSY {
                self.busy_until = Some(now);
            }
            self.left = self.busy_until.map_or(u32::MAX, |until| begun_by(now - until));
        }
        let has_time = self.left > 0;
        self.left = self.left.saturating_sub(1);
        has_time
    }
}

/// Reads the time that a thread has run or was ready to run.
fn read(schedstat: &File) -> Option<Duration> {
    let mut buffer = [0; 64];
    let length = schedstat.read_at(&mut buffer, 0).ok()?;
    let times = std::str::from_utf8(&buffer[..length]).ok()?;
    let times = times.split_ascii_whitespace().take(2).map(str::parse::<u64>);
    Some(Duration::from_nanos(times.sum::<Result<u64, _>>().ok()?))
}

/// The pages that begin without a turn in a period, this long after the last one without time to spare.
fn begun_by(spare: Duration) -> u32 {
    // Soon they are more than can come.
    let periods = u32::try_from(spare.as_millis() / PERIOD.as_millis()).unwrap_or(u32::MAX);
    match periods.min(20) {
        0 => 0,
        periods => AT_FIRST << (periods - 1),
    }
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::Poll;

    use super::*;

    type Waited = Result<Option<Turn>, Status>;

    async fn turn_now() -> Waited {
        turn(Criticality::Critical, Instant::now()).await
    }

    /// Looks whether a turn has come, without waiting for it.
    async fn look(waiting: &mut Pin<&mut impl Future<Output = Waited>>) -> Poll<Waited> {
        std::future::poll_fn(|cx| Poll::Ready(waiting.as_mut().poll(cx))).await
    }

    /// Takes all turns of this thread, and leaves it no time to spare.
    async fn take_all() -> Vec<Turn> {
        let mut taken = Vec::new();
        while let Some(turn) = turn_now().await.unwrap() {
            taken.push(turn);
        }
        while TURNS.with(|turns| turns.begins_another(Instant::now())) {}
        taken
    }

    #[tokio::test]
    async fn page_waits_for_its_turn_while_the_thread_is_busy() {
        let mut taken = take_all().await;
        assert_eq!(taken.len(), AT_A_TIME);
        let (mut first, mut second) = (pin!(turn_now()), pin!(turn_now()));
        assert!(look(&mut first).await.is_pending() && look(&mut second).await.is_pending());
        let order = turn(Criticality::CriticalPlus, Instant::now()).await;
        assert!(order.unwrap().is_none(), "an order does not wait");
        taken.pop();
        assert!(look(&mut second).await.is_pending(), "the first is first");
        let Poll::Ready(Ok(Some(turn))) = look(&mut first).await else { panic!("has no turn") };
        drop(turn);
        assert!(matches!(look(&mut second).await, Poll::Ready(Ok(Some(_)))));
    }

    #[tokio::test]
    async fn no_page_waits_for_pages_that_wait_for_a_service() {
        let _taken = take_all().await;
        let mut waiting = pin!(turn_now());
        assert!(look(&mut waiting).await.is_pending());
        assert!(waiting.await.unwrap().is_none());
        assert!(turn_now().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn too_many_pages_do_not_wait() {
        let _taken = take_all().await;
        let mut waiting: Vec<_> = (0..MAX_WAITING).map(|_| Box::pin(turn_now())).collect();
        for page in &mut waiting {
            assert!(look(&mut page.as_mut()).await.is_pending());
        }
        assert!(!overload::is_overloaded());
        let refused = turn_now().await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        assert!(overload::is_overloaded());
        waiting.pop();
        let mut next = pin!(turn_now());
        assert!(look(&mut next).await.is_pending());
    }
    #[test]
    fn work_before_the_first_look_does_not_count() {
        let began = Instant::now();
        while began.elapsed() < 10 * PERIOD {}
        let mut time = ThreadTime::of_this_thread();
        let now = time.looked + 8 * PERIOD;
        assert!(time.begins_another(now));
    }

    #[test]
    fn thread_with_time_again_begins_more_from_period_to_period() {
        let now = Instant::now();
        let (looked, taken, busy_until) = (now, Duration::ZERO, Some(now));
        let mut time = ThreadTime { schedstat: None, looked, taken, busy_until, left: 0 };
        assert!(!time.begins_another(now));
        for (periods, begun) in [(1, 64), (2, 128), (3, 256), (7, 4096)] {
            let now = now + periods * PERIOD;
            assert_eq!((0..10_000).take_while(|_| time.begins_another(now)).count(), begun);
        }
        let now = now + 100 * PERIOD;
        assert!((0..100_000).all(|_| time.begins_another(now)), "it has time for all");
    }
}
