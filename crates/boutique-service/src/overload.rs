//! Overload of a thread: so many tasks are ready that a new one has to wait for its turn, for longer than a burst or a
//! pause of the process lasts. Then the thread takes on as many requests as it has time for. Requests that wait for
//! another service do not count.

use std::sync::Arc;
use std::time::Duration;

use boutique_proto::services::Criticality;
use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use tokio::time::Instant;
use tonic::Status;

/// The longest round that is no sign of overload. A page takes several rounds.
const TARGET: Duration = Duration::from_millis(20);
/// The length of longer rounds, one after the other, that is taken for overload; none counts for more than a third of
/// it, because Linux may stop a process for long.
const BURST: Duration = Duration::from_millis(300);
/// The time of the processor in a single round that is taken for overload.
const LONGEST: Duration = Duration::from_millis(500);
/// The time between two measurements while no round is too long.
const PERIOD: Duration = Duration::from_millis(5);
/// The fewest requests that a round has room for.
const MIN_LIMIT: u32 = 32;
/// The time without a refusal after which rounds have no limit any more.
const RELEASE: Duration = Duration::from_secs(5);
/// The time after the refusal of a request that matters in which nothing is done that can be left out.
const PRESSED: Duration = Duration::from_secs(1);

thread_local! {
    static GATE: Arc<Mutex<Gate>> = Arc::default();
}

/// Returns true if this thread takes on a request that came `now`. Under overload those are refused first that matter
/// least.
pub(crate) fn admits(criticality: Criticality, now: Instant) -> bool {
    GATE.with(|gate| {
        let mut open = gate.lock();
        if open.begin_round(now, thread_time) {
            let gate = gate.clone();
            // It is polled after all that are ready now.
            tokio::spawn(async move { gate.lock().end_round(Instant::now()) });
        }
        open.admit(criticality, now, thread_time)
    })
}

/// The answer to what an overloaded thread does not take on.
pub(crate) fn refusal() -> Status {
    Status::resource_exhausted("overloaded")
}

/// Counts a request that is refused because this many wait for the thread, so that it is overloaded.
pub(crate) fn overflow(waiting: u32, criticality: Criticality, now: Instant) {
    GATE.with(|gate| gate.lock().overflow(waiting, criticality, now));
}

/// Makes the thread leave out for a while what can be left out, because it refused a request of this criticality.
pub(crate) fn press(criticality: Criticality, now: Instant) {
    GATE.with(|gate| gate.lock().press(criticality, now));
}

/// Returns true if this thread does what can be left out at the expense of requests that matter.
pub(crate) fn is_overloaded() -> bool {
    GATE.with(|gate| gate.lock().is_pressed(Instant::now()))
}

/// Returns the time that this thread has run.
fn thread_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// The requests of one thread. In a round all tasks that are ready have their turn once.
#[derive(Debug, Default)]
struct Gate {
    round: Option<Round>,
    /// The end of the last round that was measured.
    ended: Option<Instant>,
    /// The length of the rounds that were too long, one after the other.
    behind: Duration,
    /// The most requests of a round, under overload.
    limit: Option<u32>,
    refused_at: Option<Instant>,
    /// The last refusal of a request that is not sheddable.
    pressed_at: Option<Instant>,
    /// The requests refused since the overload began.
    refused: u64,
}

/// A round that is measured.
#[derive(Debug, Clone, Copy)]
struct Round {
    began: Instant,
    /// The time that the thread had run by then.
    thread_began: Duration,
    admitted: u32,
    /// True if it had no room for a request.
    is_full: bool,
}

impl Gate {
    /// Begins to measure a round, if it is time for that.
    fn begin_round(&mut self, now: Instant, thread_time: impl Fn() -> Duration) -> bool {
        let is_due = self.limit.is_some()
            || !self.behind.is_zero()
            || self.ended.is_none_or(|ended| now.saturating_duration_since(ended) >= PERIOD);
        if self.round.is_some() || !is_due {
            return false;
        }
        let thread_began = thread_time();
        self.round = Some(Round { began: now, thread_began, admitted: 0, is_full: false });
        true
    }

    fn admit(
        &mut self,
        criticality: Criticality,
        now: Instant,
        thread_time: impl Fn() -> Duration,
    ) -> bool {
        let Some(mut round) = self.round else { return true };
        let took = now.saturating_duration_since(round.began);
        // A round without an end in sight, which the thread did run through.
        if self.limit.is_none()
            && took >= LONGEST
            && thread_time().saturating_sub(round.thread_began) >= LONGEST
        {
            self.begin_overload(scaled(round.admitted, took), now);
            // What matters most still has room in it.
            round.admitted = self.limit.unwrap_or_default();
        }
        let room = self.limit.map(|limit| match criticality {
            Criticality::Sheddable if self.is_pressed(now) => 0,
            Criticality::Sheddable => limit / 2,
            Criticality::Critical => limit,
            Criticality::CriticalPlus => limit.saturating_mul(4),
        });
        let has_room = room.is_none_or(|room| round.admitted < room);
        if has_room {
            round.admitted += 1;
        } else {
            round.is_full = true;
            self.refuse(criticality, now);
        }
        self.round = Some(round);
        has_room
    }

    /// Takes the length of a round into account.
    fn end_round(&mut self, now: Instant) {
        let Some(round) = self.round.take() else { return };
        self.ended = Some(now);
        let took = now.saturating_duration_since(round.began);
        if took > TARGET {
            self.behind += took.min(BURST / 3);
            match self.limit {
                Some(limit) => self.limit = Some(scaled(limit, took).max(limit / 2)),
                None if self.behind >= BURST => {
                    self.begin_overload(scaled(round.admitted, took), now);
                }
                None => {}
            }
            return;
        }
        self.behind = Duration::ZERO;
        let Some(limit) = self.limit else { return };
        if round.is_full {
            self.limit = Some(limit.saturating_add(limit / 16 + 1));
        } else if self.refused_at.is_none_or(|at| now.saturating_duration_since(at) >= RELEASE) {
            self.limit = None;
            let refused = std::mem::take(&mut self.refused);
            tracing::info!(refused, "no longer overloaded: {refused} requests were refused");
        }
    }

    fn is_pressed(&self, now: Instant) -> bool {
        self.pressed_at.is_some_and(|at| now.saturating_duration_since(at) < PRESSED)
    }

    fn overflow(&mut self, waiting: u32, criticality: Criticality, now: Instant) {
        if self.limit.is_none() {
            self.begin_overload(waiting, now);
        }
        self.refuse(criticality, now);
    }

    fn refuse(&mut self, criticality: Criticality, now: Instant) {
        self.refused_at = Some(now);
        self.refused += 1;
        self.press(criticality, now);
    }

    fn press(&mut self, criticality: Criticality, now: Instant) {
        if criticality != Criticality::Sheddable {
            self.pressed_at = Some(now);
        }
    }

    fn begin_overload(&mut self, limit: u32, now: Instant) {
        self.limit = Some(limit);
        self.refused_at = Some(now);
        tracing::warn!("overloaded: refusing requests");
    }
}

/// The number of requests whose round would have taken [`TARGET`], if so many took this long.
fn scaled(requests: u32, took: Duration) -> u32 {
    let scaled = u128::from(requests) * TARGET.as_micros() / took.as_micros().max(1);
    u32::try_from(scaled).unwrap_or(u32::MAX).max(MIN_LIMIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The time of the thread that a request takes, and one that is refused.
    const WORK: Duration = Duration::from_micros(300);
    const REFUSAL: Duration = Duration::from_micros(10);

    /// A thread whose requests are all ready when it looks for them.
    struct Thread {
        gate: Gate,
        now: Instant,
        /// The time of its last look for requests.
        looked: Instant,
        thread_time: Duration,
        /// The requests per second for each criticality, and the parts of them that have not come yet.
        rates: [(Criticality, f64, f64); 3],
        taken: [u64; 3],
        refused: [u64; 3],
        longest: Duration,
    }

    impl Thread {
        fn new() -> Self {
            let rates = [Criticality::Sheddable, Criticality::Critical, Criticality::CriticalPlus];
            let rates = rates.map(|criticality| (criticality, 0.0, 0.0));
            let now = Instant::now();
            Self {
                gate: Gate::default(),
                now,
                looked: now,
                thread_time: Duration::ZERO,
                rates,
                taken: [0; 3],
                refused: [0; 3],
                longest: Duration::ZERO,
            }
        }

        /// Serves this many requests a second of each criticality for a time, and counts anew.
        fn serve(&mut self, rates: [f64; 3], duration: Duration) {
            (self.taken, self.refused, self.longest) = ([0; 3], [0; 3], Duration::ZERO);
            for (place, rate) in rates.into_iter().enumerate() {
                self.rates[place].1 = rate;
            }
            let end = self.now + duration;
            while self.now < end {
                let passed = self.now - self.looked;
                self.looked = self.now;
                let begins = self.gate.begin_round(self.now, || self.thread_time);
                for place in 0..self.rates.len() {
                    let (criticality, rate, due) = &mut self.rates[place];
                    *due += *rate * passed.as_secs_f64();
                    while *due >= 1.0 {
                        *due -= 1.0;
                        let is_taken = self.gate.admit(*criticality, self.now, || self.thread_time);
                        let took = if is_taken { WORK } else { REFUSAL };
                        (self.now, self.thread_time) = (self.now + took, self.thread_time + took);
                        let counted = if is_taken { &mut self.taken } else { &mut self.refused };
                        counted[place] += 1;
                    }
                }
                self.longest = self.longest.max(self.now - self.looked);
                self.now += Duration::from_micros(20);
                if begins {
                    self.gate.end_round(self.now);
                }
            }
        }
    }

    const CAPACITY: f64 = 1e6 / 300.0;

    #[test]
    fn nothing_is_refused_while_the_thread_keeps_up() {
        let mut thread = Thread::new();
        thread.serve([100.0, 0.8 * CAPACITY, 100.0], Duration::from_secs(10));
        assert_eq!(thread.refused, [0; 3]);
        // A container with a fifth of a core, which Linux stops for most of every tenth of a second.
        for _ in 0..100 {
            thread.serve([0.0, 0.18 * CAPACITY, 0.0], Duration::from_millis(20));
            assert_eq!(thread.refused, [0; 3]);
            thread.now += Duration::from_millis(80);
        }
    }

    #[test]
    fn overloaded_thread_does_what_it_can() {
        let mut thread = Thread::new();
        for load in [1.5, 3.0, 10.0] {
            thread.serve([0.0, load * CAPACITY, 0.0], Duration::from_secs(3));
            thread.serve([0.0, load * CAPACITY, 0.0], Duration::from_secs(10));
            let [_, taken, _] = thread.taken;
            // What refusals cost is lost.
            let lost = (load - 1.0) * REFUSAL.as_secs_f64() / (WORK - REFUSAL).as_secs_f64();
            let expected = 10.0 * CAPACITY * (1.0 - lost);
            assert!(taken as f64 > 0.95 * expected, "{load}: {taken} of {expected}");
            assert!(thread.longest < 3 * TARGET, "{load}: {:?}", thread.longest);
            thread.serve([0.0, 0.5 * CAPACITY, 0.0], Duration::from_secs(1));
            thread.serve([0.0, 0.8 * CAPACITY, 0.0], Duration::from_secs(10));
            assert_eq!(thread.refused, [0; 3], "{load}");
            assert_eq!(thread.gate.limit, None, "{load}");
        }
    }

    #[test]
    fn what_matters_least_is_refused_first() {
        let mut thread = Thread::new();
        thread.serve([0.7 * CAPACITY, 1.0 * CAPACITY, 0.3 * CAPACITY], Duration::from_secs(2));
        thread.serve([0.7 * CAPACITY, 1.0 * CAPACITY, 0.3 * CAPACITY], Duration::from_secs(10));
        let part = |place: usize| {
            let (taken, refused) = (thread.taken[place] as f64, thread.refused[place] as f64);
            refused / (taken + refused)
        };
        assert!(part(0) > 0.9 && part(1) > 0.2, "{:?} {:?}", thread.taken, thread.refused);
        assert_eq!(thread.refused[2], 0, "{:?}", thread.taken);
    }

    #[test]
    fn requests_that_wait_for_others_do_not_count() {
        let mut gate = Gate::default();
        let start = Instant::now();
        for step in 0..100_000 {
            let now = start + Duration::from_micros(step * 100);
            let thread_time = now - start;
            let begins = gate.begin_round(now, || thread_time);
            assert!(gate.admit(Criticality::Sheddable, now, || thread_time));
            if begins {
                gate.end_round(now + Duration::from_micros(50));
            }
        }
    }
}
