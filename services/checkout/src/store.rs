//! Stores of orders. Both know the same operations and nothing of what an order has others do.

mod entry;
mod memory;
mod redis;

use std::time::Duration;

use boutique_proto::ext::StoredOrder;
use boutique_service::{Env, EnvError};
use boutique_store::{Contact, StoreError};

pub(crate) use self::entry::{Entry, Next, Opened, VERSION, holds_cart};
use self::entry::{MAX_LISTED, MAX_STUCK};
use self::memory::Memory;
use self::redis::Redis;

/// The one store of a process: the Redis that `ORDER_STORE_ADDR` names, or memory.
pub(crate) enum OrderStore {
    Memory(Box<Memory>),
    Redis(Box<Redis>),
}

impl OrderStore {
    /// Reads `ORDER_STORE_ADDR`.
    pub(crate) fn from_env(env: &Env) -> Result<Self, EnvError> {
        Ok(match boutique_store::Redis::of_orders(env)? {
            None => Self::Memory(Box::default()),
            Some(redis) => Self::Redis(Box::new(Redis::new(redis))),
        })
    }

    /// Watches the contact with it.
    pub(crate) fn watch(&self) -> Contact {
        match self {
            Self::Memory(_) => Contact::here(),
            Self::Redis(redis) => redis.watch(),
        }
    }

    /// Stores a new order, which is due after `lease`, unless its user has one with its key, or one that holds the cart.
    pub(crate) async fn open(
        &self,
        order: StoredOrder,
        lease: Duration,
    ) -> Result<Opened, StoreError> {
        match self {
            Self::Memory(memory) => memory.open(order, lease),
            Self::Redis(redis) => redis.open(order, lease).await,
        }
    }

    /// Stores a change of an order, and counts it. Returns false if the order was changed by somebody else.
    pub(crate) async fn save(&self, entry: &mut Entry, next: Next) -> Result<bool, StoreError> {
        let is_saved = match self {
            Self::Memory(memory) => memory.save(entry, next),
            Self::Redis(redis) => redis.save(entry, next).await?,
        };
        entry.revision += u64::from(is_saved);
        Ok(is_saved)
    }

    /// Forgets an order that nothing was done for. Returns false if the order was changed by somebody else.
    pub(crate) async fn forget(&self, entry: &Entry) -> Result<bool, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.forget(entry)),
            Self::Redis(redis) => redis.forget(entry).await,
        }
    }

    /// Returns the order of a user with this key.
    pub(crate) async fn find(&self, user: &str, key: &str) -> Result<Option<Entry>, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.find(user, |order| order.key == key)),
            Self::Redis(redis) => redis.find(user, key).await,
        }
    }

    /// Returns a user's order by its id.
    pub(crate) async fn get(&self, user: &str, id: &str) -> Result<Option<Entry>, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.find(user, |order| entry::id(order) == id)),
            Self::Redis(redis) => redis.get(user, id).await,
        }
    }

    /// Returns the latest orders of a user, at most `count`, the latest first.
    pub(crate) async fn list(&self, user: &str, count: usize) -> Result<Vec<Entry>, StoreError> {
        let count = count.min(MAX_LISTED);
        match self {
            Self::Memory(memory) => Ok(memory.list(user, count)),
            Self::Redis(redis) => redis.list(user, count).await,
        }
    }

    /// Takes at most `count` orders that are due, which are due again after `lease`. Whoever had them before can change
    /// them no more.
    pub(crate) async fn take(
        &self,
        count: usize,
        lease: Duration,
    ) -> Result<Vec<Entry>, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.take(count, lease)),
            Self::Redis(redis) => redis.take(count, lease).await,
        }
    }

    /// Makes open orders due at once, for whoever takes them: this process ends before they do.
    pub(crate) async fn hand_over(&self, ids: &[String]) -> Result<(), StoreError> {
        match self {
            // It ends with this process.
            Self::Memory(_) => Ok(()),
            Self::Redis(redis) => redis.hand_over(ids).await,
        }
    }

    /// Returns the orders that are stuck, the longest known first.
    pub(crate) async fn stuck(&self) -> Result<Vec<Entry>, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.stuck(MAX_STUCK)),
            Self::Redis(redis) => redis.stuck(MAX_STUCK).await,
        }
    }
}
