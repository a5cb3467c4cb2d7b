//! Stores of the services: [`Redis`], reached at an address of any form that upstream's `REDIS_ADDR` takes, and
//! [`KeyStore`], where a service keeps the idempotency keys that it has seen.

mod contact;
mod error;
mod fingerprint;
mod keys;
mod redis;

pub use crate::contact::{Contact, watch};
pub use crate::error::StoreError;
pub use crate::fingerprint::Fingerprint;
pub use crate::keys::{EffectError, KeyStore, Once};
pub use crate::redis::{Link, Redis, Repeat};
