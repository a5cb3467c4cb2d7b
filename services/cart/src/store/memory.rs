//! Carts in this process's memory, each for as long as it is written to within the TTL. Where they take more than they
//! may, those give way that were written and never looked at again.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quick_cache::Weighter;
use quick_cache::unsync::Cache;

use crate::domain::{self, Line, NewLine, Refusal, UserId};

/// The bytes of a cart beside its lines, and of a line beside its product's id.
const CART: usize = 192;
const LINE: usize = 48;

pub(crate) struct Memory {
    ttl: Duration,
    carts: Mutex<Cache<String, Cart, Size>>,
}

#[derive(Clone, Default)]
struct Cart {
    lines: Vec<Line>,
    expires: Option<Instant>,
}

#[derive(Clone)]
struct Size;

impl Weighter<String, Cart> for Size {
    fn weight(&self, user: &String, cart: &Cart) -> u64 {
        let lines = cart.lines.iter().map(|line| LINE + line.product_id.len());
        (CART + user.len() + lines.sum::<usize>()) as u64
    }
}

impl Memory {
    /// Keeps carts of so many bytes in all.
    pub(crate) fn new(ttl: Duration, max_bytes: usize) -> Self {
        let carts = Cache::with_weighter(max_bytes / (2 * CART), max_bytes as u64, Size);
        Self { ttl, carts: Mutex::new(carts) }
    }

    pub(crate) fn add(&self, user: &UserId, line: NewLine) -> Result<(), Refusal> {
        let now = Instant::now();
        let mut carts = self.lock();
        let kept = carts.get(user.as_str()).filter(|cart| !cart.has_expired(now));
        let mut cart = kept.cloned().unwrap_or_default();
        domain::add(&mut cart.lines, line)?;
        cart.expires = now.checked_add(self.ttl);
        carts.insert(user.as_str().to_owned(), cart);
        Ok(())
    }

    pub(crate) fn get(&self, user: &UserId) -> Option<Vec<Line>> {
        let mut carts = self.lock();
        let cart = carts.get(user.as_str())?;
        if cart.has_expired(Instant::now()) {
            carts.remove(user.as_str());
            return None;
        }
        Some(cart.lines.clone())
    }

    pub(crate) fn empty(&self, user: &UserId) {
        if let Some(mut cart) = self.lock().get_mut(user.as_str()) {
            cart.lines.clear();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Cache<String, Cart, Size>> {
        self.carts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cart {
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
            memory.add(&user, line("a")).unwrap();
            assert_eq!(memory.get(&user), None);
        }
        assert_eq!(memory.lock().len(), 0);
    }

    #[test]
    fn carts_that_are_looked_at_outlast_those_that_are_not() {
        let memory = Memory::new(Duration::from_secs(60), 1 << 20);
        let customer = user("customer");
        memory.add(&customer, line("kept")).unwrap();
        for number in 0..100_000 {
            memory.add(&user(&format!("{number:036}")), line("OLJCESPC7Z")).unwrap();
            if number % 100 == 0 {
                let lines = memory.get(&customer).unwrap();
                assert_eq!(lines[0].product_id, "kept", "{number}");
            }
        }
        assert!(memory.lock().weight() <= 1 << 20);
    }

    #[test]
    fn emptied_cart_is_still_there() {
        let memory = Memory::new(Duration::from_secs(60), 1 << 20);
        memory.add(&user("u"), line("a")).unwrap();
        memory.empty(&user("u"));
        memory.empty(&user("nobody"));
        assert_eq!(memory.get(&user("u")), Some(vec![]));
        assert_eq!(memory.get(&user("nobody")), None);
    }
}
