//! Where carts are kept. Both stores know the same three operations and nothing of the wire.

mod memory;
mod redis;

use crate::domain::{Line, Refusal};

pub(crate) use self::memory::Memory;
pub(crate) use self::redis::Redis;

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoreError {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("cannot reach the cart store")]
    Unreachable(#[source] ::redis::RedisError),
    #[error("the stored cart cannot be read")]
    Unreadable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The one store of a process.
pub(crate) enum Store {
    Memory(Memory),
    Redis(Redis),
}

impl Store {
    /// Adds a line to a user's cart, whole or not at all.
    pub(crate) async fn add(&self, user_id: &str, line: Line) -> Result<(), StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.add(user_id, line)?),
            Self::Redis(redis) => redis.add(user_id, line).await,
        }
    }

    /// The lines of a user's cart, or nothing for a user who has none.
    pub(crate) async fn get(&self, user_id: &str) -> Result<Option<Vec<Line>>, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.get(user_id)),
            Self::Redis(redis) => redis.get(user_id).await,
        }
    }

    /// Removes every line; the cart itself stays.
    pub(crate) async fn empty(&self, user_id: &str) -> Result<(), StoreError> {
        match self {
            Self::Memory(memory) => {
                memory.empty(user_id);
                Ok(())
            }
            Self::Redis(redis) => redis.empty(user_id).await,
        }
    }
}
