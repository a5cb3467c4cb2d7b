//! Admission of connections: as many as memory allows. If there is no room, the connection that was idle longest is
//! closed; a reserve of connections answers health alone.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio_util::sync::CancellationToken;

use super::activity::Activity;
use crate::env::{Env, EnvError};
use crate::log::Occurrences;
use crate::memory;

/// The most connections, whatever the memory.
const MAX_CONNECTIONS: usize = 8192;
/// The memory of an idle connection, with room: 24 to 27 kB were measured.
const CONNECTION: usize = 32 * 1024;
/// Further connections that reach health and nothing else. The oldest gives way to a new one.
const RESERVE: usize = 32;

/// The bounds of a port's connections.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ConnectionLimits {
    max: usize,
    per_address: usize,
}

impl ConnectionLimits {
    /// `MAX_CONNECTIONS`, by default as many as fit into half of the memory limit, at most 8,192; and
    /// `MAX_CONNECTIONS_PER_ADDRESS`, by default as many.
    pub(crate) fn from_env(env: &Env) -> Result<Self, EnvError> {
        let parse = |name: &str| -> Result<Option<usize>, EnvError> {
            match env.parse(name, "a number of connections, at least 1")? {
                Some(0) => Err(EnvError::new(name, "must be a number of connections, at least 1")),
                number => Ok(number),
            }
        };
        let limit = memory::limit(env)?;
        let by_memory = limit.map_or(MAX_CONNECTIONS, |limit| limit / 2 / CONNECTION);
        let max = parse("MAX_CONNECTIONS")?.unwrap_or(by_memory.clamp(64, MAX_CONNECTIONS));
        Ok(Self { max, per_address: parse("MAX_CONNECTIONS_PER_ADDRESS")?.unwrap_or(max) })
    }

    /// A port that has at most `max` connections.
    pub(crate) fn at_most(max: usize) -> Self {
        Self { max, per_address: max }
    }
}

/// The open connections of one port.
#[derive(Debug)]
pub(super) struct Connections {
    limits: ConnectionLimits,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    all: HashMap<u64, Entry>,
    reserve: HashMap<u64, CancellationToken>,
    /// The connections closed or refused.
    turned_away: Occurrences,
}

#[derive(Debug)]
struct Entry {
    address: IpAddr,
    activity: Arc<Activity>,
    evicted: CancellationToken,
}

/// The place of one connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    id: u64,
    connections: Arc<Connections>,
    /// Cancelled when the connection has to give way.
    pub(super) evicted: CancellationToken,
    /// True if it may ask for health only.
    pub(super) is_reserve: bool,
}

impl Connections {
    pub(super) fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self { limits, open: Mutex::default() })
    }

    /// Finds a place for a new connection.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr, activity: &Arc<Activity>) -> Slot {
        let evicted = CancellationToken::new();
        let mut open = self.lock();
        open.next += 1;
        let id = open.next;
        let has_room = open.make_room(self.limits, address);
        if has_room {
            let (activity, evicted) = (activity.clone(), evicted.clone());
            open.all.insert(id, Entry { address, activity, evicted });
        } else {
            // Ids grow, so the smallest is the oldest.
            let oldest =
                open.reserve.keys().min().copied().filter(|_| open.reserve.len() >= RESERVE);
            if let Some(oldest) = oldest.and_then(|oldest| open.reserve.remove(&oldest)) {
                oldest.cancel();
            }
            open.reserve.insert(id, evicted.clone());
        }
        Slot { id, connections: self.clone(), evicted, is_reserve: !has_room }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock()
    }
}

impl Open {
    /// Returns true if there is room, if need be by closing the connection that has been idle for longest.
    fn make_room(&mut self, limits: ConnectionLimits, address: IpAddr) -> bool {
        let is_capped = limits.per_address < limits.max;
        let of_address = |entry: &Entry| entry.address == address;
        let crowded = is_capped
            && self.all.values().filter(|entry| of_address(entry)).count() >= limits.per_address;
        if !crowded && self.all.len() < limits.max {
            return true;
        }
        let idle = self.all.iter().filter(|(_, entry)| !crowded || of_address(entry));
        let idle = idle.filter_map(|(id, entry)| Some((entry.activity.idle_since()?, *id)));
        let oldest = idle.min().map(|(_, id)| id);
        if let Some(count) = self.turned_away.add() {
            tracing::warn!(
                connections.max = limits.max,
                connections.turned_away = count,
                "no room for more connections: closing those that are idle",
            );
        }
        match oldest.and_then(|id| self.all.remove(&id)) {
            Some(entry) => {
                entry.evicted.cancel();
                true
            }
            None => false,
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.connections.lock();
        open.all.remove(&self.id);
        open.reserve.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn connections(max: usize, per_address: usize) -> Arc<Connections> {
        Connections::new(ConnectionLimits { max, per_address })
    }

    #[test]
    fn longest_idle_connection_gives_way() {
        let connections = connections(2, 2);
        let busy = Arc::<Activity>::default();
        let _in_flight = busy.start();
        let first = connections.admit(HERE, &busy);
        let idle = connections.admit(HERE, &Arc::default());
        let third = connections.admit(HERE, &Arc::default());
        assert!(!first.evicted.is_cancelled() && idle.evicted.is_cancelled());
        assert!(!third.is_reserve);
        drop((idle, third));
        assert!(!connections.admit(HERE, &Arc::default()).is_reserve);
    }

    #[test]
    fn where_all_are_busy_health_has_a_reserve() {
        let connections = connections(1, 1);
        let busy = Arc::<Activity>::default();
        let _in_flight = busy.start();
        let _first = connections.admit(HERE, &busy);
        let reserve: Vec<_> =
            (0..=RESERVE).map(|_| connections.admit(HERE, &Arc::default())).collect();
        assert!(reserve.iter().all(|slot| slot.is_reserve));
        let evicted = reserve.iter().filter(|slot| slot.evicted.is_cancelled()).count();
        assert!(reserve[0].evicted.is_cancelled() && evicted == 1);
    }

    #[test]
    fn one_address_gives_way_to_itself() {
        let connections = connections(10, 2);
        let other = connections.admit(IpAddr::from([10, 0, 0, 1]), &Arc::default());
        let mine: Vec<_> = (0..3).map(|_| connections.admit(HERE, &Arc::default())).collect();
        assert!(!other.evicted.is_cancelled() && mine[0].evicted.is_cancelled());
        assert!(mine.iter().all(|slot| !slot.is_reserve));
    }
}
