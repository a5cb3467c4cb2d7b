//! Stores of carts. Both know the same operations and nothing of the wire.

mod memory;
mod redis;

use boutique_store::{Contact, StoreError};

use crate::change::Change;
use crate::domain::{Cart, NewLine, Refusal, UserId};

pub(crate) use self::memory::Memory;
pub(crate) use self::redis::Redis;

/// The reason why a cart was not changed or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CartError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A generation of a cart, by which its versions differ from those of an earlier cart of the same user.
fn generation() -> String {
    format!("{:016x}", rand::random::<u64>())
}

/// The version of a cart of this generation after so many changes.
fn version(generation: &str, changes: impl std::fmt::Display) -> String {
    format!("{generation}-{changes}")
}

/// The one store of a process.
pub(crate) enum Store {
    Memory(Memory),
    Redis(Box<Redis>),
}

impl Store {
    /// Adds a line to a user's cart, whole or not at all. Returns true if the cart was empty before.
    pub(crate) async fn add(
        &self,
        user: &UserId,
        line: NewLine,
        change: &Change,
    ) -> Result<bool, CartError> {
        match self {
            Self::Memory(memory) => Ok(memory.add(user, line, change)?),
            Self::Redis(redis) => redis.add(user, &line, change).await,
        }
    }

    /// The cart of a user, or nothing for a user who has none.
    pub(crate) async fn get(&self, user: &UserId) -> Result<Option<Cart>, CartError> {
        match self {
            Self::Memory(memory) => Ok(memory.get(user)),
            Self::Redis(redis) => redis.get(user).await,
        }
    }

    /// Takes quantities of products out of a user's cart, and returns its version without them.
    pub(crate) async fn remove(
        &self,
        user: &UserId,
        lines: &[NewLine],
        change: &Change,
    ) -> Result<Option<String>, CartError> {
        match self {
            Self::Memory(memory) => Ok(memory.remove(user, lines, change)?),
            Self::Redis(redis) => redis.remove(user, lines, change).await,
        }
    }

    /// Removes every line; the cart itself stays.
    pub(crate) async fn empty(&self, user: &UserId) -> Result<(), CartError> {
        match self {
            Self::Memory(memory) => {
                memory.empty(user);
                Ok(())
            }
            Self::Redis(redis) => redis.empty(user).await,
        }
    }

    /// Watches the contact with it.
    pub(crate) fn watch(&self) -> Contact {
        match self {
            Self::Memory(_) => Contact::here(),
            Self::Redis(redis) => redis.watch(),
        }
    }
}
