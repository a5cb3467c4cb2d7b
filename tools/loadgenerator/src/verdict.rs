//! Checks of every order, as far as a client can see.

use std::cell::RefCell;
use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};

use serde::Serialize;

use crate::history::{History, Listed};

/// Counts of orders by their outcome.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Orders {
    /// The shop said that they are placed.
    pub(crate) acknowledged: u64,
    /// Of these, those whose total was worked out anew.
    pub(crate) recomputed: u64,
    /// Of these, those after which the cart was looked at.
    pub(crate) carts_checked: u64,
    /// Refused by the shop, which must leave the cart as it was.
    pub(crate) refused: u64,
    /// Neither acknowledged nor refused: nobody can tell from outside.
    pub(crate) unknown: u64,
    /// Acknowledged orders that the shop's lists of orders have as complete, of the latest 20 of each user.
    pub(crate) listed: u64,
    /// Orders of an unknown outcome that are in those lists and not voided.
    pub(crate) unknown_listed: u64,
    /// Acknowledged and not right, refused and not left alone, or acknowledged against all reason.
    pub(crate) wrong: u64,
}

/// Collects what the orders' answers said.
#[derive(Default)]
pub(crate) struct Verdict {
    orders: RefCell<Orders>,
    seen: RefCell<HashSet<(u8, u64, u64)>>,
}

impl Verdict {
    /// An order that was acknowledged under these ids with this total; `expected` is what it had to
    /// cost, where that is known. Answers what is wrong with it.
    pub(crate) fn acknowledge(
        &self,
        order_id: &str,
        tracking_id: &str,
        total: &str,
        expected: Option<String>,
    ) -> anyhow::Result<()> {
        self.orders.borrow_mut().acknowledged += 1;
        let unique = [("order id", order_id, 0), ("tracking id", tracking_id, 1)];
        for (what, id, kind) in unique {
            if id.is_empty() || !self.seen.borrow_mut().insert(fingerprint(kind, id)) {
                return Err(self.wrong(&format!("the {what} is empty or was given before")));
            }
        }
        let Some(expected) = expected else { return Ok(()) };
        self.orders.borrow_mut().recomputed += 1;
        if total == expected {
            return Ok(());
        }
        Err(self.wrong(&format!("the order's total is {total}, and had to be {expected}")))
    }

    /// Compares a user's orders with the shop's list of them.
    pub(crate) fn witness(&self, history: &History, listed: &[Listed]) -> anyhow::Result<()> {
        let found = history.compare(listed).map_err(|why| self.wrong(&why))?;
        let mut orders = self.orders.borrow_mut();
        orders.listed += found.acknowledged;
        orders.unknown_listed += found.unknown;
        Ok(())
    }

    /// Something is wrong with an order.
    pub(crate) fn wrong(&self, why: &str) -> anyhow::Error {
        self.orders.borrow_mut().wrong += 1;
        anyhow::anyhow!("wrong order: {why}")
    }

    pub(crate) fn refused(&self) {
        self.orders.borrow_mut().refused += 1;
    }

    pub(crate) fn unknown(&self) {
        self.orders.borrow_mut().unknown += 1;
    }

    pub(crate) fn cart_checked(&self) {
        self.orders.borrow_mut().carts_checked += 1;
    }

    pub(crate) fn orders(&self) -> Orders {
        self.orders.borrow().clone()
    }
}

/// 128 bits instead of the text: millions of orders fit.
fn fingerprint(kind: u8, id: &str) -> (u8, u64, u64) {
    let hash = |seed: u8| {
        let mut hasher = DefaultHasher::new();
        (seed, id).hash(&mut hasher);
        hasher.finish()
    };
    (kind, hash(1), hash(2))
}
