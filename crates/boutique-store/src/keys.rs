//! The idempotency keys that a service has seen, each with a record of its effect.

use std::sync::Arc;
use std::time::{Duration, Instant};

use boutique_proto::ext::Effect;
use boutique_service::{Env, EnvError, with_source};
use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message as _;
use quick_cache::Weighter;
use quick_cache::unsync::Cache;
use redis::Script;
use tonic::Status;

use crate::contact::{Contact, watch};
use crate::error::StoreError;
use crate::redis::{Redis, Repeat};

/// The time for which a key is kept after its last change.
const TTL: Duration = Duration::from_secs(24 * 3600);
/// The memory in bytes of the keys of one service in memory: some 20,000, and an eighth of a pod's memory.
const MEMORY: u64 = 8 * 1024 * 1024;
/// The bytes of a record in memory beside its key and its value.
const RECORD: usize = 160;

/// The version of stored effects.
const VERSION: u32 = 1;
/// The number of keys in memory that room is made for at first.
const EXPECTED: usize = 1000;

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

/// The outcome of [`KeyStore::once`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Once {
    /// The id of the effect.
    pub id: String,
    /// True if this call had it, and no earlier one.
    pub is_new: bool,
}

/// The reason why a call with an idempotency key has no effect.
#[derive(Debug, thiserror::Error)]
pub enum EffectError {
    /// The store failed; the effect may have been noted.
    #[error("the order store does not answer")]
    Store(#[from] StoreError),
    /// The key belongs to another request.
    #[error("this idempotency key belongs to another request")]
    OtherRequest,
    /// The effect of the key was voided.
    #[error("what this idempotency key stands for was voided")]
    Void,
}

impl From<EffectError> for Status {
    fn from(error: EffectError) -> Self {
        let status = match &error {
            EffectError::Store(StoreError::Unreachable(_) | StoreError::Full) => {
                Self::unavailable(error.to_string())
            }
            EffectError::Store(StoreError::Unreadable(_)) => {
                Self::internal("the order store cannot be read")
            }
            EffectError::OtherRequest | EffectError::Void => {
                Self::failed_precondition(error.to_string())
            }
        };
        with_source(status, error)
    }
}

impl KeyStore {
    /// Makes the store of the service whose keys begin with `prefix`.
    pub fn from_env(env: &Env, prefix: &'static str) -> Result<Self, EnvError> {
        let place = match Redis::of_orders(env)? {
            None => Place::Memory(Mutex::new(Cache::with_weighter(EXPECTED, MEMORY, Size))),
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

    /// Returns the effect that a call with this key has: `id` if it is the first one, or that of an earlier call with the
    /// same fingerprint. One round trip.
    pub async fn once(
        &self,
        key: &str,
        fingerprint: Vec<u8>,
        id: String,
    ) -> Result<Once, EffectError> {
        let effect = Effect { version: VERSION, fingerprint, id, is_void: false };
        let Some(known) = self.insert(key, &effect).await? else {
            return Ok(Once { id: effect.id, is_new: true });
        };
        if known.is_void {
            return Err(EffectError::Void);
        }
        if known.fingerprint != effect.fingerprint {
            return Err(EffectError::OtherRequest);
        }
        // It may have been stored by an attempt of this call whose answer was lost.
        Ok(Once { is_new: known.id == effect.id && !effect.id.is_empty(), id: known.id })
    }

    /// Voids the effect of a key, or the key itself if it has none, and returns the id of the effect.
    pub async fn void(&self, key: &str) -> Result<String, StoreError> {
        let none = Effect { version: VERSION, is_void: true, ..Effect::default() };
        let Some(mut known) = self.insert(key, &none).await? else { return Ok(none.id) };
        while !known.is_void {
            let void = Effect { is_void: true, ..known.clone() };
            if self.replace(key, &known, &void).await? {
                return Ok(void.id);
            }
            known = self.insert(key, &none).await?.unwrap_or_else(|| none.clone());
        }
        Ok(known.id)
    }

    /// Returns the effect of a key, if it has one.
    pub async fn get(&self, key: &str) -> Result<Option<Effect>, StoreError> {
        let stored: Option<Bytes> =
            match &self.place {
                Place::Memory(cache) => live(&mut cache.lock(), key),
                Place::Redis { redis, .. } => {
                    let mut get = redis::cmd("GET");
                    get.arg(self.name(key));
                    let (get, run) = (&get, Repeat::Always);
                    redis
                        .run("get_effect", run, |mut link| async move {
                            get.query_async(&mut link).await
                        })
                        .await?
                }
            };
        stored.map(decode).transpose()
    }

    /// Stores the effect of a key, unless it has one, which is returned.
    async fn insert(&self, key: &str, effect: &Effect) -> Result<Option<Effect>, StoreError> {
        let value = Bytes::from(effect.encode_to_vec());
        let known: Option<Bytes> = match &self.place {
            Place::Memory(cache) => {
                let mut cache = cache.lock();
                let known = live(&mut cache, key);
                if known.is_none() {
                    put(&mut cache, key, value);
                }
                known
            }
            Place::Redis { redis, insert, .. } => {
                let mut call = insert.key(self.name(key));
                call.arg(&value[..]).arg(TTL.as_secs());
                redis.invoke("insert_effect", Repeat::Always, &call).await?
            }
        };
        known.map(decode).transpose()
    }

    /// Stores another effect of a key if it has this one. Returns false if it has not.
    async fn replace(&self, key: &str, old: &Effect, new: &Effect) -> Result<bool, StoreError> {
        let (old, new) = (old.encode_to_vec(), Bytes::from(new.encode_to_vec()));
        match &self.place {
            Place::Memory(cache) => {
                let mut cache = cache.lock();
                let is_same = live(&mut cache, key).is_some_and(|stored| stored == old);
                if is_same {
                    put(&mut cache, key, new);
                }
                Ok(is_same)
            }
            Place::Redis { redis, replace, .. } => {
                let mut call = replace.key(self.name(key));
                call.arg(&old[..]).arg(&new[..]).arg(TTL.as_secs());
                redis.invoke("replace_effect", Repeat::Always, &call).await
            }
        }
    }

    fn name(&self, key: &str) -> String {
        format!("{}{key}", self.prefix)
    }
}

fn decode(stored: Bytes) -> Result<Effect, StoreError> {
    let effect = Effect::decode(stored).map_err(|error| StoreError::Unreadable(Box::new(error)))?;
    if effect.version != VERSION {
        return Err(StoreError::Unreadable("it was written by another version".into()));
    }
    Ok(effect)
}

type Keys = Cache<String, Record, Size>;

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
    use tonic::Code;

    use super::*;

    async fn once(keys: &KeyStore, key: &str, fingerprint: &str, id: &str) -> Result<Once, Status> {
        Ok(keys.once(key, fingerprint.into(), id.to_owned()).await?)
    }

    fn is(id: &str, is_new: bool) -> Once {
        Once { id: id.to_owned(), is_new }
    }

    #[tokio::test]
    async fn key_has_one_effect_in_memory_and_in_redis() {
        let redis = RedisServer::start(&[]).unwrap();
        let settings = Env::from([("ORDER_STORE_ADDR", redis.address().as_str())]);
        for env in [Env::default(), settings.clone()] {
            let keys = KeyStore::from_env(&env, "boutique:test:").unwrap();
            assert_eq!(keys.get("a").await.unwrap(), None);
            assert_eq!(once(&keys, "a", "f", "1").await.unwrap(), is("1", true));
            assert_eq!(once(&keys, "a", "f", "2").await.unwrap(), is("1", false));
            let other = once(&keys, "a", "g", "3").await.unwrap_err();
            assert_eq!(other.code(), Code::FailedPrecondition);
            assert_eq!(keys.get("a").await.unwrap().unwrap().id, "1");

            for _ in 0..2 {
                assert_eq!(keys.void("a").await.unwrap(), "1");
                assert_eq!(keys.void("never charged").await.unwrap(), "");
            }
            for key in ["a", "never charged"] {
                let void = once(&keys, key, "f", "4").await.unwrap_err();
                assert_eq!(void.code(), Code::FailedPrecondition, "{key}");
            }
            assert_eq!(once(&keys, "b", "f", "5").await.unwrap(), is("5", true));
        }
        // Another replica, or the same one after a restart.
        let other = KeyStore::from_env(&settings, "boutique:test:").unwrap();
        assert_eq!(once(&other, "b", "f", "6").await.unwrap(), is("5", false));
        let ttl: u64 = redis.command(&["TTL", "boutique:test:b"]).unwrap().trim().parse().unwrap();
        assert!((80_000..=86_400).contains(&ttl), "{ttl}");
    }

    #[tokio::test]
    async fn garbage_and_a_full_store_are_errors_that_change_nothing() {
        let redis = RedisServer::start(&["--maxmemory-policy", "noeviction"]).unwrap();
        let env = Env::from([("ORDER_STORE_ADDR", redis.address().as_str())]);
        let keys = KeyStore::from_env(&env, "boutique:test:").unwrap();
        redis.command(&["RPUSH", "boutique:test:list", "x"]).unwrap();
        // The message of a version to come, and no message at all.
        redis.command(&["SET", "boutique:test:new", "\u{8}\u{2}"]).unwrap();
        redis.command(&["SET", "boutique:test:text", "garbage"]).unwrap();
        for key in ["list", "new", "text"] {
            let mut connection = redis.connect().unwrap();
            let mut dump = || -> Vec<u8> {
                let mut dump = redis::cmd("DUMP");
                dump.arg(format!("boutique:test:{key}")).query(&mut connection).unwrap()
            };
            let before = dump();
            let refused = once(&keys, key, "f", "1").await.unwrap_err();
            assert_eq!(refused.code(), Code::Internal, "{key}");
            assert!(keys.void(key).await.is_err(), "{key}");
            assert_eq!(before, dump(), "{key}");
        }
        redis.command(&["CONFIG", "SET", "maxmemory", "1"]).unwrap();
        let refused = once(&keys, "full", "f", "1").await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
    }

    #[tokio::test]
    async fn keys_in_memory_stay_within_their_memory() {
        let keys = KeyStore::from_env(&Env::default(), "boutique:test:").unwrap();
        for number in 0..100_000 {
            once(&keys, &number.to_string(), "f", "0123456789").await.unwrap();
        }
        let Place::Memory(cache) = &keys.place else { unreachable!("in memory") };
        assert!(cache.lock().weight() <= MEMORY);
    }
}
