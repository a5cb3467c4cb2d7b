//! Orders in this process's memory. Those that are closed give way where they take more than they may.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use boutique_proto::ext::StoredOrder;
use boutique_store::StoreError;
use parking_lot::{Mutex, MutexGuard};
use prost::Message as _;
use quick_cache::Weighter;
use quick_cache::unsync::Cache;

use super::entry::{Entry, MAX_LISTED, Next, ORDER_TTL, Opened, is_behind};

/// The most orders that are open at a time; further ones are refused before anything is charged.
const MAX_OPEN: usize = 10_000;
/// The memory in bytes of all closed orders: some 20,000, and a quarter of a pod's memory.
const MEMORY: u64 = 16 * 1024 * 1024;
/// The bytes of an order beside its text.
const ORDER: usize = 400;
/// The number of users that room is made for at first.
const EXPECTED: usize = 1000;

pub(crate) struct Memory(Mutex<Orders>);

struct Orders {
    /// By id.
    open: HashMap<String, Open>,
    /// By user, the latest last.
    closed: Cache<String, Vec<Closed>, Size>,
}

struct Open {
    entry: Entry,
    opened: Instant,
    due: Due,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Due {
    At(Instant),
    Stuck,
}

#[derive(Clone)]
struct Closed {
    entry: Entry,
    expires: Instant,
}

#[derive(Clone)]
struct Size;

impl Weighter<String, Vec<Closed>> for Size {
    fn weight(&self, user: &String, orders: &Vec<Closed>) -> u64 {
        let orders = orders.iter().map(|closed| ORDER + closed.entry.order.encoded_len());
        (user.len() + orders.sum::<usize>()) as u64
    }
}

impl Default for Memory {
    fn default() -> Self {
        let closed = Cache::with_weighter(EXPECTED, MEMORY, Size);
        Self(Mutex::new(Orders { open: HashMap::new(), closed }))
    }
}

impl Memory {
    pub(super) fn open(&self, order: StoredOrder, lease: Duration) -> Result<Opened, StoreError> {
        let mut orders = self.lock();
        if let Some(known) = orders.find(&order.user_id, |known| known.key == order.key) {
            return Ok(Opened::Known(known));
        }
        if let Some(busy) =
            orders.find(&order.user_id, |other| is_behind(&order.cart_version, other))
        {
            return Ok(Opened::Busy(busy));
        }
        if orders.open.len() >= MAX_OPEN {
            return Err(StoreError::Full);
        }
        let (entry, now) = (Entry { order, revision: 1 }, Instant::now());
        let open = Open { entry: entry.clone(), opened: now, due: Due::At(now + lease) };
        orders.open.insert(entry.id().to_owned(), open);
        Ok(Opened::New(entry))
    }

    pub(super) fn save(&self, entry: &Entry, next: Next) -> bool {
        let mut orders = self.lock();
        let Some(open) = orders.current(entry) else { return false };
        open.entry = Entry { order: entry.order.clone(), revision: entry.revision + 1 };
        match next {
            Next::Due(after) => open.due = Due::At(Instant::now() + after),
            Next::Stuck => open.due = Due::Stuck,
            Next::Closed => orders.close(entry.id(), false),
            Next::Freed => orders.close(entry.id(), true),
        }
        true
    }

    pub(super) fn forget(&self, entry: &Entry) -> bool {
        let mut orders = self.lock();
        orders.current(entry).is_some() && orders.open.remove(entry.id()).is_some()
    }

    pub(super) fn find(
        &self,
        user: &str,
        is_wanted: impl Fn(&StoredOrder) -> bool,
    ) -> Option<Entry> {
        self.lock().find(user, is_wanted)
    }

    pub(super) fn list(&self, user: &str, count: usize) -> Vec<Entry> {
        let mut orders = self.lock();
        let is_users = |open: &&Open| open.entry.order.user_id == user;
        let mut open: Vec<&Open> = orders.open.values().filter(is_users).collect();
        open.sort_by_key(|open| std::cmp::Reverse(open.opened));
        let mut entries: Vec<Entry> = open.into_iter().map(|open| open.entry.clone()).collect();
        entries.extend(orders.closed_of(user).rev().map(|closed| closed.entry.clone()));
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.order.placed_at));
        entries.truncate(count);
        entries
    }

    pub(super) fn take(&self, count: usize, lease: Duration) -> Vec<Entry> {
        let now = Instant::now();
        let mut orders = self.lock();
        let is_due = |open: &&mut Open| matches!(open.due, Due::At(at) if at <= now);
        let due = orders.open.values_mut().filter(is_due).take(count);
        due.map(|open| {
            open.due = Due::At(now + lease);
            open.entry.revision += 1;
            open.entry.clone()
        })
        .collect()
    }

    pub(super) fn stuck(&self, count: usize) -> Vec<Entry> {
        let orders = self.lock();
        let mut stuck: Vec<&Open> =
            orders.open.values().filter(|open| open.due == Due::Stuck).collect();
        stuck.sort_by_key(|open| open.opened);
        stuck.into_iter().take(count).map(|open| open.entry.clone()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Orders> {
        self.0.lock()
    }
}

impl Orders {
    /// The open order that `entry` is, unless it was changed since that was read.
    fn current(&mut self, entry: &Entry) -> Option<&mut Open> {
        self.open.get_mut(entry.id()).filter(|open| open.entry.revision == entry.revision)
    }

    fn find(&mut self, user: &str, is_wanted: impl Fn(&StoredOrder) -> bool) -> Option<Entry> {
        let is_wanted = |order: &StoredOrder| order.user_id == user && is_wanted(order);
        let open = self.open.values().map(|open| &open.entry).find(|e| is_wanted(&e.order));
        if open.is_some() {
            return open.cloned();
        }
        let closed = self.closed_of(user).rev().map(|closed| &closed.entry);
        closed.into_iter().find(|entry| is_wanted(&entry.order)).cloned()
    }

    fn closed_of(&mut self, user: &str) -> impl DoubleEndedIterator<Item = &Closed> {
        let now = Instant::now();
        let closed = self.closed.get(user).into_iter().flatten();
        closed.filter(move |closed| closed.expires > now)
    }

    fn close(&mut self, id: &str, frees_key: bool) {
        let Some(Open { mut entry, .. }) = self.open.remove(id) else { return };
        if frees_key {
            entry.order.key.clear();
        }
        let user = entry.order.user_id.clone();
        let closed = Closed { entry, expires: Instant::now() + ORDER_TTL };
        let mut all: Vec<Closed> = self.closed_of(&user).cloned().collect();
        if all.len() == MAX_LISTED {
            all.remove(0);
        }
        all.push(closed);
        self.closed.insert(user, all);
    }
}
