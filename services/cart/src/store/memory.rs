//! Carts in this process's memory, each for as long as it is written to within the TTL. Where they take more than they
//! may, those give way that were written and never looked at again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use quick_cache::Weighter;
use quick_cache::unsync::Cache;

use super::{generation, version};
use crate::change::Change;
use crate::domain::{self, Cart, Line, NewLine, Refusal, UserId};

/// The bytes of a cart beside its lines, and of a line beside its product's id.
const CART: usize = 256;
const LINE: usize = 48;
/// The bytes of a change's key beside its text.
const KEY: usize = 72;
/// The number of changes of either kind whose keys a cart remembers.
const MAX_KEYS: usize = 16;

pub(crate) struct Memory {
    ttl: Duration,
    carts: Mutex<Cache<String, Kept, Size>>,
}

#[derive(Clone)]
struct Kept {
    lines: Vec<Line>,
    expires: Option<Instant>,
    generation: String,
    changes: u64,
    /// The last additions and removals that have keys, the first the oldest.
    added: VecDeque<Change>,
    removed: VecDeque<Change>,
}

#[derive(Clone)]
struct Size;

impl Weighter<String, Kept> for Size {
    fn weight(&self, user: &String, cart: &Kept) -> u64 {
        let lines = cart.lines.iter().map(|line| LINE + line.product_id.len());
        let keys = cart.added.iter().chain(&cart.removed).map(|change| KEY + change.key.len());
        (CART + user.len() + lines.sum::<usize>() + keys.sum::<usize>()) as u64
    }
}

impl Memory {
    /// Keeps carts of so many bytes in all.
    pub(crate) fn new(ttl: Duration, max_bytes: usize) -> Self {
        let carts = Cache::with_weighter(max_bytes / (2 * CART), max_bytes as u64, Size);
        Self { ttl, carts: Mutex::new(carts) }
    }

    pub(crate) fn add(
        &self,
        user: &UserId,
        line: NewLine,
        change: &Change,
    ) -> Result<bool, Refusal> {
        let now = Instant::now();
        let mut carts = self.lock();
        let kept = carts.get(user.as_str()).filter(|cart| !cart.has_expired(now));
        let mut cart = kept.cloned().unwrap_or_else(Kept::new);
        if !Kept::begin(&mut cart.added, change)? {
            return Ok(false);
        }
        let was_empty = cart.lines.is_empty();
        domain::add(&mut cart.lines, line)?;
        cart.changes += 1;
        cart.expires = now.checked_add(self.ttl);
        carts.insert(user.as_str().to_owned(), cart);
        Ok(was_empty)
    }

    pub(crate) fn get(&self, user: &UserId) -> Option<Cart> {
        let mut carts = self.lock();
        let cart = carts.get(user.as_str())?;
        if cart.has_expired(Instant::now()) {
            carts.remove(user.as_str());
            return None;
        }
        let version = Some(version(&cart.generation, cart.changes));
        Some(Cart { lines: cart.lines.clone(), version })
    }

    pub(crate) fn remove(
        &self,
        user: &UserId,
        lines: &[NewLine],
        change: &Change,
    ) -> Result<Option<String>, Refusal> {
        let mut carts = self.lock();
        let Some(mut cart) = carts.get_mut(user.as_str()) else { return Ok(None) };
        if Kept::begin(&mut cart.removed, change)? {
            domain::remove(&mut cart.lines, lines);
            cart.changes += 1;
        }
        Ok(Some(version(&cart.generation, cart.changes)))
    }

    pub(crate) fn empty(&self, user: &UserId) {
        if let Some(mut cart) = self.lock().get_mut(user.as_str()) {
            cart.changes += 1;
            cart.lines.clear();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Cache<String, Kept, Size>> {
        self.carts.lock()
    }
}

impl Kept {
    fn new() -> Self {
        Self {
            lines: Vec::new(),
            expires: None,
            generation: generation(),
            changes: 0,
            added: VecDeque::new(),
            removed: VecDeque::new(),
        }
    }

    /// Begins a change. Returns false if it is among those that were made before.
    fn begin(made: &mut VecDeque<Change>, change: &Change) -> Result<bool, Refusal> {
        if change.key.is_empty() {
            return Ok(true);
        }
        if let Some(known) = made.iter().find(|known| known.key == change.key) {
            return if known == change { Ok(false) } else { Err(Refusal::OtherChange) };
        }
        if made.len() == MAX_KEYS {
            made.pop_front();
        }
        made.push_back(change.clone());
        Ok(true)
    }

    fn has_expired(&self, now: Instant) -> bool {
        self.expires.is_some_and(|at| at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(product_id: &str) -> NewLine {
        NewLine::parse(product_id.to_owned(), 1).unwrap()
    }

    fn user(id: &str) -> UserId {
        UserId::parse(id.to_owned()).unwrap()
    }

    #[test]
    fn expired_carts_are_forgotten() {
        let memory = Memory::new(Duration::ZERO, 1 << 20);
        for number in 0..10_000 {
            let user = user(&number.to_string());
            memory.add(&user, line("a"), &Change::default()).unwrap();
            assert_eq!(memory.get(&user), None);
        }
        assert_eq!(memory.lock().len(), 0);
    }

    #[test]
    fn carts_that_are_looked_at_outlast_those_that_are_not() {
        let memory = Memory::new(Duration::from_secs(60), 1 << 20);
        let customer = user("customer");
        memory.add(&customer, line("kept"), &Change::default()).unwrap();
        for number in 0..100_000 {
            memory
                .add(&user(&format!("{number:036}")), line("OLJCESPC7Z"), &Change::default())
                .unwrap();
            if number % 100 == 0 {
                let lines = memory.get(&customer).unwrap().lines;
                assert_eq!(lines[0].product_id, "kept", "{number}");
            }
        }
        assert!(memory.lock().weight() <= 1 << 20);
    }

    #[test]
    fn emptied_cart_is_still_there() {
        let memory = Memory::new(Duration::from_secs(60), 1 << 20);
        memory.add(&user("u"), line("a"), &Change::default()).unwrap();
        memory.empty(&user("u"));
        memory.empty(&user("nobody"));
        assert_eq!(memory.get(&user("u")).unwrap().lines, []);
        assert_eq!(memory.get(&user("nobody")), None);
    }
}
