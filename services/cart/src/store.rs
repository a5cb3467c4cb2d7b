//! Stores of carts. Both know the same three operations and nothing of the wire.

mod memory;
mod redis;

use boutique_store::{Contact, StoreError};

use crate::domain::{Line, NewLine, Refusal, UserId};

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

/// The one store of a process.
pub(crate) enum Store {
    Memory(Memory),
    Redis(Box<Redis>),
}

impl Store {
    /// Adds a line to a user's cart, whole or not at all.
    pub(crate) async fn add(&self, user: &UserId, line: NewLine) -> Result<(), CartError> {
        match self {
            Self::Memory(memory) => Ok(memory.add(user, line)?),
            Self::Redis(redis) => redis.add(user, line).await,
        }
    }

    /// The lines of a user's cart, or nothing for a user who has none.
    pub(crate) async fn get(&self, user: &UserId) -> Result<Option<Vec<Line>>, CartError> {
        match self {
            Self::Memory(memory) => Ok(memory.get(user)),
            Self::Redis(redis) => redis.get(user).await,
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
