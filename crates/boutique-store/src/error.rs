//! The error of a store.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// The error of a store. Its text names no key and no value.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It does not answer, or takes no writes: it is full, read-only, or has lost its primary.
    #[error("cannot reach the store")]
    Unreachable(#[source] RedisError),
    /// It holds something else under one of its names.
    #[error("the store cannot be read")]
    Unreadable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The store in memory has no room for more.
    #[error("the store is full")]
    Full,
}

/// Redis's own refusal of what is stored is no outage.
impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> Self {
        let is_wrong_type = error.code() == Some("WRONGTYPE")
            || (error.kind() == ErrorKind::Server(ServerErrorKind::ResponseError)
                && error.to_string().contains("WRONGTYPE"));
        if is_wrong_type {
            Self::Unreadable("the key holds another type".into())
        } else {
            Self::Unreachable(error)
        }
    }
}
