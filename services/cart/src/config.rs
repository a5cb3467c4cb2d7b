//! The service's own settings: which store, and how Redis is reached.

use std::time::Duration;

use boutique_service::{Env, EnvError};

use crate::store::{Memory, Redis, Store};

/// As long as the session cookie lives.
const CART_TTL: Duration = Duration::from_secs(48 * 3600);
/// The memory of all carts in memory: some 60,000 of one line, and a quarter of a pod's memory.
const CART_MEMORY: usize = 16 * 1024 * 1024;

pub(crate) fn store(env: &Env) -> Result<Store, EnvError> {
    let names = [
        "SPANNER_PROJECT",
        "SPANNER_CONNECTION_STRING",
        "SPANNER_INSTANCE",
        "SPANNER_DATABASE",
        "ALLOYDB_PRIMARY_IP",
        "ALLOYDB_DATABASE_NAME",
        "ALLOYDB_TABLE_NAME",
        "ALLOYDB_SECRET_NAME",
    ];
    env.refuse(&names, "must not be set: carts are kept in memory or in Redis (REDIS_ADDR)")?;
    let ttl = env.duration("CART_TTL")?.unwrap_or(CART_TTL);
    if ttl < Duration::from_secs(1) {
        return Err(EnvError::new("CART_TTL", "must be at least 1s"));
    }
    match boutique_store::Redis::from_env(env, "REDIS_ADDR")? {
        None => {
            Ok(Store::Memory(Memory::new(ttl, env.bytes("CART_MEMORY")?.unwrap_or(CART_MEMORY))))
        }
        Some(redis) => Ok(Store::Redis(Box::new(Redis::new(redis, ttl)))),
    }
}
