//! Carts in this process's memory, each for as long as it is written to within the TTL.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::{self, Line, NewLine, Refusal, UserId};

pub(crate) struct Memory {
    ttl: Duration,
    carts: Mutex<Carts>,
}

#[derive(Default)]
struct Carts {
    by_user: HashMap<String, Cart>,
    /// How many carts the last sweep left; the next one comes at twice as many.
    swept: usize,
}

#[derive(Default)]
struct Cart {
    lines: Vec<Line>,
    expires: Option<Instant>,
}

impl Memory {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self { ttl, carts: Mutex::default() }
    }

    pub(crate) fn add(&self, user: &UserId, line: NewLine) -> Result<(), Refusal> {
        let now = Instant::now();
        let mut carts = self.lock();
        carts.sweep(now);
        let cart = carts.by_user.entry(user.as_str().to_owned()).or_default();
        if cart.has_expired(now) {
            cart.lines.clear();
        }
        domain::add(&mut cart.lines, line)?;
        cart.expires = now.checked_add(self.ttl);
        Ok(())
    }

    pub(crate) fn get(&self, user: &UserId) -> Option<Vec<Line>> {
        let carts = self.lock();
        let cart =
            carts.by_user.get(user.as_str()).filter(|cart| !cart.has_expired(Instant::now()))?;
        Some(cart.lines.clone())
    }

    pub(crate) fn empty(&self, user: &UserId) {
        if let Some(cart) = self.lock().by_user.get_mut(user.as_str()) {
            cart.lines.clear();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Carts> {
        self.carts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Carts {
    /// Forgets expired carts whenever their number has doubled, which costs a constant per add.
    fn sweep(&mut self, now: Instant) {
        if self.by_user.len() > 2 * self.swept.max(1024) {
            self.by_user.retain(|_, cart| !cart.has_expired(now));
            self.swept = self.by_user.len();
        }
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
        let memory = Memory::new(Duration::ZERO);
        for number in 0..10_000 {
            let user = user(&number.to_string());
            memory.add(&user, line("a")).unwrap();
            assert_eq!(memory.get(&user), None);
        }
        assert!(memory.lock().by_user.len() <= 2 * 1024 + 1);
    }

    #[test]
    fn emptied_cart_is_still_there() {
        let memory = Memory::new(Duration::from_secs(60));
        memory.add(&user("u"), line("a")).unwrap();
        memory.empty(&user("u"));
        memory.empty(&user("nobody"));
        assert_eq!(memory.get(&user("u")), Some(vec![]));
        assert_eq!(memory.get(&user("nobody")), None);
    }
}
