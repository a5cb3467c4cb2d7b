//! The idempotency keys that a service has seen, each with a record of its effect.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use boutique_service::{Env, EnvError};
use bytes::Bytes;
use quick_cache::Weighter;
use quick_cache::unsync::Cache;
use redis::Script;

use crate::contact::{Contact, watch};
use crate::error::StoreError;
use crate::redis::{Redis, Repeat};

/// The time for which a key is kept after its last change.
const TTL: Duration = Duration::from_secs(24 * 3600);
/// The memory in bytes of the keys of one service in memory: some 20,000, and an eighth of a pod's memory.
const MEMORY: u64 = 8 * 1024 * 1024;
/// The bytes of a record in memory beside its key and its value.
const RECORD: usize = 160;

/// The setting that holds the address of the orders' Redis.
const ADDR_KEY: &str = "ORDER_STORE_ADDR";

/// Idempotency keys with a record each, for 24 hours: in the Redis that `ORDER_STORE_ADDR` names, or in memory, where
/// the oldest give way.
pub struct KeyStore {
    /// The service's own part of the store, as in `boutique:payments:`.
    prefix: &'static str,
    place: Place,
}

enum Place {
    Memory(Mutex<Cache<String, Record, Size>>),
    Redis { redis: Arc<Redis>, insert: Script, replace: Script },
}

#[derive(Clone)]
struct Record {
    value: Bytes,
    expires: Instant,
}

#[derive(Clone)]
struct Size;

impl Weighter<String, Record> for Size {
    fn weight(&self, key: &String, record: &Record) -> u64 {
        (RECORD + key.len() + record.value.len()) as u64
    }
}

/// The outcome of [`KeyStore::insert`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Inserted {
    /// The key was not known; the record is stored.
    New,
    /// The key was known with this record, which stays. It may be the same one, stored by a call whose answer was lost.
    Known(Bytes),
}

impl KeyStore {
    /// Makes the store of the service whose keys begin with `prefix`.
    pub fn from_env(env: &Env, prefix: &'static str) -> Result<Self, EnvError> {
        let place = match Redis::from_env(env, ADDR_KEY)? {
            None => {
                let count = usize::try_from(MEMORY).unwrap_or(usize::MAX) / (2 * RECORD);
                Place::Memory(Mutex::new(Cache::with_weighter(count, MEMORY, Size)))
            }
            Some(redis) => Place::Redis {
                redis: Arc::new(redis),
                insert: Script::new(include_str!("keys/insert.lua")),
                replace: Script::new(include_str!("keys/replace.lua")),
            },
        };
        Ok(Self { prefix, place })
    }

    /// Watches the contact with it.
    pub fn watch(&self) -> Contact {
        match &self.place {
            Place::Memory(_) => Contact::here(),
            Place::Redis { redis, .. } => {
                let mut question = redis::cmd("GET");
                question.arg(self.prefix);
                watch(redis.clone(), "the order store", question)
            }
        }
    }

    /// Returns the record of a key.
    pub async fn get(&self, key: &str) -> Result<Option<Bytes>, StoreError> {
        match &self.place {
            Place::Memory(cache) => Ok(live(&mut lock(cache), key)),
            Place::Redis { redis, .. } => {
                let mut get = redis::cmd("GET");
                get.arg(self.name(key));
                let (get, run) = (&get, Repeat::Always);
                redis.run(run, |mut link| async move { get.query_async(&mut link).await }).await
            }
        }
    }

    /// Stores the record of a key, unless the key is known. One round trip.
    pub async fn insert(&self, key: &str, value: Bytes) -> Result<Inserted, StoreError> {
        let known: Option<Bytes> = match &self.place {
            Place::Memory(cache) => {
                let mut cache = lock(cache);
                let known = live(&mut cache, key);
                if known.is_none() {
                    put(&mut cache, key, value);
                }
                known
            }
            Place::Redis { redis, insert, .. } => {
                let mut call = insert.key(self.name(key));
                call.arg(&value[..]).arg(TTL.as_secs());
                let (call, run) = (&call, Repeat::Always);
                redis.run(run, |mut link| async move { call.invoke_async(&mut link).await }).await?
            }
        };
        Ok(known.map_or(Inserted::New, Inserted::Known))
    }

    /// Stores another record of a key if it has this one. Returns false if it has not. One round trip.
    pub async fn replace(&self, key: &str, old: &[u8], new: Bytes) -> Result<bool, StoreError> {
        match &self.place {
            Place::Memory(cache) => {
                let mut cache = lock(cache);
                let is_same = live(&mut cache, key).is_some_and(|stored| stored == old);
                if is_same {
                    put(&mut cache, key, new);
                }
                Ok(is_same)
            }
            Place::Redis { redis, replace, .. } => {
                let mut call = replace.key(self.name(key));
                call.arg(old).arg(&new[..]).arg(TTL.as_secs());
                let (call, run) = (&call, Repeat::Always);
                redis.run(run, |mut link| async move { call.invoke_async(&mut link).await }).await
            }
        }
    }

    fn name(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
}

type Keys = Cache<String, Record, Size>;

fn lock(cache: &Mutex<Keys>) -> MutexGuard<'_, Keys> {
    cache.lock().unwrap_or_else(PoisonError::into_inner)
}

fn live(cache: &mut Keys, key: &str) -> Option<Bytes> {
    let record = cache.get(key)?;
    (record.expires > Instant::now()).then(|| record.value.clone())
}

fn put(cache: &mut Keys, key: &str, value: Bytes) {
    cache.insert(key.to_owned(), Record { value, expires: Instant::now() + TTL });
}

#[cfg(test)]
mod tests {
    use boutique_test::RedisServer;

    use super::*;

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[tokio::test]
    async fn key_has_one_record_in_memory_and_in_redis() {
        let redis = RedisServer::start(&[]).unwrap();
        let settings = Env::from([(ADDR_KEY, redis.address().as_str())]);
        for env in [Env::default(), settings.clone()] {
            let keys = KeyStore::from_env(&env, "boutique:test:").unwrap();
            assert_eq!(keys.get("a").await.unwrap(), None);
            assert_eq!(keys.insert("a", bytes("1")).await.unwrap(), Inserted::New);
            let known = Inserted::Known(bytes("1"));
            assert_eq!(keys.insert("a", bytes("2")).await.unwrap(), known);
            assert!(!keys.replace("a", b"2", bytes("3")).await.unwrap());
            assert!(!keys.replace("b", b"", bytes("3")).await.unwrap());
            assert!(keys.replace("a", b"1", bytes("3")).await.unwrap());
            assert_eq!(keys.get("a").await.unwrap(), Some(bytes("3")));
            assert_eq!(keys.get("b").await.unwrap(), None);
        }
        // Another replica, or the same one after a restart.
        let other = KeyStore::from_env(&settings, "boutique:test:").unwrap();
        assert_eq!(other.get("a").await.unwrap(), Some(bytes("3")));
        let ttl: u64 = redis.command(&["TTL", "boutique:test:a"]).unwrap().trim().parse().unwrap();
        assert!((80_000..=86_400).contains(&ttl), "{ttl}");
    }

    #[tokio::test]
    async fn garbage_and_a_full_store_are_errors_that_change_nothing() {
        let redis = RedisServer::start(&["--maxmemory-policy", "noeviction"]).unwrap();
        let env = Env::from([(ADDR_KEY, redis.address().as_str())]);
        let keys = KeyStore::from_env(&env, "boutique:test:").unwrap();
        redis.command(&["RPUSH", "boutique:test:list", "x"]).unwrap();
        let error = keys.insert("list", bytes("1")).await.unwrap_err();
        assert!(matches!(error, StoreError::Unreadable(_)), "{error:?}");
        assert_eq!(redis.command(&["LLEN", "boutique:test:list"]).unwrap().trim(), "1");
        redis.command(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
        let error = keys.insert("full", bytes("1")).await.unwrap_err();
        assert!(matches!(error, StoreError::Unreachable(_)), "{error:?}");
    }

    #[tokio::test]
    async fn keys_in_memory_stay_within_their_memory() {
        let keys = KeyStore::from_env(&Env::default(), "boutique:test:").unwrap();
        for number in 0..100_000 {
            keys.insert(&number.to_string(), bytes("0123456789")).await.unwrap();
        }
        let Place::Memory(cache) = &keys.place else { panic!("in memory") };
        assert!(lock(cache).weight() <= MEMORY);
    }
}
