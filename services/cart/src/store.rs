//! Stores of carts. Both know the same three operations and nothing of the wire.

mod memory;
mod redis;

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::domain::{Line, NewLine, Refusal, UserId};

pub(crate) use self::memory::Memory;
pub(crate) use self::redis::Redis;

/// The error of a store.
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

/// The interval at which a store is asked whether it answers.
const ASK_INTERVAL: Duration = Duration::from_millis(500);

/// The contact with the store: true while it answers the command that every cart is read with.
pub(crate) struct Contact {
    /// True once it has answered.
    pub(crate) first: watch::Receiver<bool>,
    /// True if it answered when it was asked last.
    pub(crate) now: watch::Receiver<bool>,
}

/// Watches a store until nobody wants to know any more. What keeps it from answering at the beginning (an address, a
/// password) and that it is lost and back is logged in one line each.
pub(crate) fn watch(store: Arc<Store>) -> Contact {
    let is_here = matches!(*store, Store::Memory(_));
    let (first, now) = (watch::Sender::new(is_here), watch::Sender::new(is_here));
    let contact = Contact { first: first.subscribe(), now: now.subscribe() };
    if !is_here {
        tokio::spawn(keep_asking(store, first, now));
    }
    contact
}

async fn keep_asking(store: Arc<Store>, first: watch::Sender<bool>, now: watch::Sender<bool>) {
    let mut is_logged = false;
    loop {
        let answer = store.get(&UserId::NOBODY).await;
        let is_first = !*first.borrow();
        match &answer {
            Err(error) if !is_logged => {
                let cause = error.source().map(ToString::to_string);
                let what = if is_first { "not ready" } else { "lost" };
                tracing::error!(error = cause, "{what}: {error}");
            }
            Ok(_) if is_logged && !is_first => tracing::info!("the cart store answers again"),
            Ok(_) | Err(_) => {}
        }
        is_logged = answer.is_err();
        now.send_if_modified(|is_well| std::mem::replace(is_well, answer.is_ok()) != *is_well);
        first.send_if_modified(|was_well| answer.is_ok() && !std::mem::replace(was_well, true));
        // Nobody waits for it any more where the service has ended.
        if tokio::time::timeout(ASK_INTERVAL, now.closed()).await.is_ok() {
            return;
        }
    }
}
