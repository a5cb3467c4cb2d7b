//! Where carts are kept. Both stores know the same three operations and nothing of the wire.

mod memory;
mod redis;

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::domain::{Line, NewLine, Refusal, UserId};

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
    Redis(Box<Redis>),
}

impl Store {
    /// Adds a line to a user's cart, whole or not at all.
    pub(crate) async fn add(&self, user: &UserId, line: NewLine) -> Result<(), StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.add(user, line)?),
            Self::Redis(redis) => redis.add(user, line).await,
        }
    }

    /// The lines of a user's cart, or nothing for a user who has none.
    pub(crate) async fn get(&self, user: &UserId) -> Result<Option<Vec<Line>>, StoreError> {
        match self {
            Self::Memory(memory) => Ok(memory.get(user)),
            Self::Redis(redis) => redis.get(user).await,
        }
    }

    /// Removes every line; the cart itself stays.
    pub(crate) async fn empty(&self, user: &UserId) -> Result<(), StoreError> {
        match self {
            Self::Memory(memory) => {
                memory.empty(user);
                Ok(())
            }
            Self::Redis(redis) => redis.empty(user).await,
        }
    }
}

/// How often a store that has not answered yet is asked.
const ASK_AGAIN: Duration = Duration::from_millis(500);

/// Whether the store has answered once, by the command that every cart is read with. What keeps it
/// from it (an address, a password) is told in one line.
pub(crate) fn first_contact(store: Arc<Store>) -> watch::Receiver<bool> {
    let (answered, ready) = watch::channel(matches!(*store, Store::Memory(_)));
    if !*ready.borrow() {
        tokio::spawn(async move {
            let (mut told, nobody) = (false, UserId::NOBODY);
            while let Err(error) = store.get(&nobody).await {
                if !std::mem::replace(&mut told, true) {
                    let cause = error.source().map(ToString::to_string);
                    tracing::error!(error = cause, "not ready: {error}");
                }
                // Nobody waits for it any more where the service has ended.
                if tokio::time::timeout(ASK_AGAIN, answered.closed()).await.is_ok() {
                    return;
                }
            }
            answered.send_replace(true);
        });
    }
    ready
}
