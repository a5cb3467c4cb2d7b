//! Redis, as the services reach it.

mod address;
mod connection;

use boutique_service::{Env, EnvError, Operation};
use redis::{FromRedisValue, RedisError, RedisResult, ScriptInvocation};

use self::connection::Connections;
pub use self::connection::{Link, Repeat};
use crate::error::StoreError;

/// A Redis: one server, several of which one is the primary, servers behind sentinels, or a cluster.
pub struct Redis(Connections);

impl Redis {
    /// Reads the address that the setting `addr_key` holds, if it is set, and `REDIS_CA_FILE`; connects at the first
    /// command. New connections are made to the address that its file holds then.
    pub fn from_env(env: &Env, addr_key: &'static str) -> Result<Option<Self>, EnvError> {
        let Some(address) = env.secret(addr_key)? else { return Ok(None) };
        Ok(Some(Self(Connections::new(addr_key, address, root(env)?)?)))
    }

    /// Reads the address of the orders' Redis, `ORDER_STORE_ADDR`, if it is set.
    pub fn of_orders(env: &Env) -> Result<Option<Self>, EnvError> {
        Self::from_env(env, "ORDER_STORE_ADDR")
    }

    /// Runs a command, and once more over a new connection if the first one was of no use. `name` is what metrics call it.
    pub async fn run<T, F>(
        &self,
        name: &'static str,
        repeat: Repeat,
        command: impl Fn(Link) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = RedisResult<T>>,
    {
        let operation = Operation::begin("redis", name);
        let answer = self.0.run(repeat, command).await;
        operation.end(answer.as_ref().err().map(kind));
        Ok(answer?)
    }

    /// Runs a script, likewise.
    pub async fn invoke<T: FromRedisValue>(
        &self,
        name: &'static str,
        repeat: Repeat,
        call: &ScriptInvocation<'_>,
    ) -> Result<T, StoreError> {
        self.run(name, repeat, |mut link| async move { call.invoke_async(&mut link).await }).await
    }
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redis")
    }
}

/// The kind of an error, for metrics.
fn kind(error: &RedisError) -> &'static str {
    if error.is_timeout() {
        "timeout"
    } else if error.is_io_error() || error.is_connection_dropped() {
        "connection"
    } else {
        "server"
    }
}

/// The certificates that Redis's is checked by, if not by the public roots.
fn root(env: &Env) -> Result<Option<Vec<u8>>, EnvError> {
    let Some(file) = env.get("REDIS_CA_FILE") else { return Ok(None) };
    std::fs::read(file).map(Some).map_err(|error| {
        EnvError::new("REDIS_CA_FILE", format_args!("must name a file that can be read: {error}"))
    })
}
