//! Events that are counted and logged once a minute.

use std::time::{Duration, Instant};

/// The interval between log lines about events of one kind.
const INTERVAL: Duration = Duration::from_secs(60);

/// Counts events of one kind.
#[derive(Debug, Default)]
pub(crate) struct Occurrences {
    /// Those since the last log line.
    count: u64,
    logged: Option<Instant>,
}

impl Occurrences {
    /// Counts an event. Returns the number to log, if it is time for a log line.
    pub(crate) fn add(&mut self) -> Option<u64> {
        self.add_at(Instant::now())
    }

    fn add_at(&mut self, now: Instant) -> Option<u64> {
        self.count += 1;
        if self.logged.is_some_and(|logged| now.saturating_duration_since(logged) < INTERVAL) {
            return None;
        }
        self.logged = Some(now);
        Some(std::mem::take(&mut self.count))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_event_is_logged_and_the_others_once_a_minute() {
        let (mut events, start) = (Occurrences::default(), Instant::now());
        assert_eq!(events.add_at(start), Some(1));
        assert_eq!(events.add_at(start), None);
        assert_eq!(events.add_at(start + INTERVAL / 2), None);
        assert_eq!(events.add_at(start + INTERVAL), Some(3));
        assert_eq!(events.add_at(start + INTERVAL), None);
    }
}
