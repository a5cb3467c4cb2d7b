//! Orders in Redis. All names have one hash tag, so that a script finds them on one node of a cluster; times are
//! Redis's own, so that replicas whose clocks differ agree. Every operation is one round trip.
//!
//! `order:<id>` is a hash: `rev`, the number of changes, `data`, a `boutique.ext.v1.StoredOrder`, `cart`, which is 1 while
//! what was ordered may be in the cart still, and `emptied`, the version of the cart without it. `key:<hash of user
//! and key>` holds an order's id, `user:<user>` is a list of ids, `open` a sorted set of ids by the time at which they are
//! due, `stuck` one by the time since which they are stuck.

use std::sync::Arc;
use std::time::Duration;

use boutique_proto::ext::StoredOrder;
use boutique_store::{Contact, Fingerprint, Repeat, StoreError, watch};
use bytes::Bytes;
use prost::Message as _;
use redis::{Script, ScriptInvocation};

use super::entry::{Entry, KEY_TTL, MAX_LISTED, Next, ORDER_TTL, Opened, VERSION, holds_cart, id};

const PREFIX: &str = "boutique:{orders}:";

pub(crate) struct Redis {
    redis: Arc<boutique_store::Redis>,
    open: Script,
    save: Script,
    forget: Script,
    find: Script,
    get: Script,
    list: Script,
    take: Script,
    hand_over: Script,
}

/// An order as a script answers it.
type Stored = (u64, Bytes);

impl Redis {
    pub(super) fn new(redis: boutique_store::Redis) -> Self {
        Self {
            redis: Arc::new(redis),
            open: Script::new(include_str!("redis/open.lua")),
            save: Script::new(include_str!("redis/save.lua")),
            forget: Script::new(include_str!("redis/forget.lua")),
            find: Script::new(include_str!("redis/find.lua")),
            get: Script::new(include_str!("redis/get.lua")),
            list: Script::new(include_str!("redis/list.lua")),
            take: Script::new(include_str!("redis/take.lua")),
            hand_over: Script::new(include_str!("redis/hand_over.lua")),
        }
    }

    pub(super) fn watch(&self) -> Contact {
        let mut question = redis::cmd("GET");
        question.arg(name("key:", ""));
        watch(self.redis.clone(), "the order store", question)
    }

    pub(super) async fn open(
        &self,
        order: StoredOrder,
        lease: Duration,
    ) -> Result<Opened, StoreError> {
        let mut call = self.open.key(key_name(&order.user_id, &order.key));
        call.key(name("order:", id(&order)))
            .key(name("user:", &order.user_id))
            .key(name("open", ""))
            .arg(id(&order))
            .arg(order.encode_to_vec())
            .arg(millis(lease))
            .arg(ORDER_TTL.as_secs())
            .arg(MAX_LISTED)
            .arg(name("order:", ""))
            .arg(&order.cart_version);
        let known: Option<Stored> = self.run("open_order", &call).await?;
        Ok(match known.map(entry).transpose()? {
            None => Opened::New(Entry { order, revision: 1 }),
            Some(known) if known.id() == id(&order) => Opened::New(known),
            Some(known) if known.order.key == order.key => Opened::Known(known),
            Some(busy) => Opened::Busy(busy),
        })
    }

    pub(super) async fn save(&self, entry: &Entry, next: Next) -> Result<bool, StoreError> {
        let due = match next {
            Next::Due(after) => millis(after),
            Next::Closed | Next::Freed | Next::Stuck => -1,
        };
        let mut call = self.save.key(name("order:", entry.id()));
        call.key(key_name(&entry.order.user_id, &entry.order.key))
            .key(name("open", ""))
            .key(name("stuck", ""))
            .arg(entry.id())
            .arg(entry.revision)
            .arg(entry.order.encode_to_vec())
            .arg(due)
            .arg(ORDER_TTL.as_secs())
            .arg(if next == Next::Freed { 0 } else { KEY_TTL.as_secs() })
            .arg(u8::from(next == Next::Stuck))
            .arg(u8::from(holds_cart(&entry.order)))
            .arg(&entry.order.emptied_cart_version);
        self.run("save_order", &call).await
    }

    pub(super) async fn forget(&self, entry: &Entry) -> Result<bool, StoreError> {
        let mut call = self.forget.key(name("order:", entry.id()));
        call.key(key_name(&entry.order.user_id, &entry.order.key))
            .key(name("open", ""))
            .key(name("user:", &entry.order.user_id))
            .arg(entry.id())
            .arg(entry.revision);
        self.run("forget_order", &call).await
    }

    pub(super) async fn find(&self, user: &str, key: &str) -> Result<Option<Entry>, StoreError> {
        let mut call = self.find.key(key_name(user, key));
        call.arg(name("order:", ""));
        let found: Option<Stored> = self.run("find_order", &call).await?;
        found.map(entry).transpose()
    }

    pub(super) async fn get(&self, user: &str, id: &str) -> Result<Option<Entry>, StoreError> {
        let call = self.get.key(name("order:", id));
        let found: Option<Stored> = self.run("get_order", &call).await?;
        let found = found.map(entry).transpose()?;
        Ok(found.filter(|entry| entry.order.user_id == user))
    }

    pub(super) async fn list(&self, user: &str, count: usize) -> Result<Vec<Entry>, StoreError> {
        self.listed(&name("user:", user), count, "LRANGE").await
    }

    pub(super) async fn take(
        &self,
        count: usize,
        lease: Duration,
    ) -> Result<Vec<Entry>, StoreError> {
        let mut call = self.take.key(name("open", ""));
        call.arg(name("order:", "")).arg(count).arg(millis(lease));
        entries(self.run("take_orders", &call).await?)
    }

    pub(super) async fn hand_over(&self, ids: &[String]) -> Result<(), StoreError> {
        let mut call = self.hand_over.key(name("open", ""));
        call.arg(ids);
        self.run("hand_over_orders", &call).await
    }

    pub(super) async fn stuck(&self, count: usize) -> Result<Vec<Entry>, StoreError> {
        self.listed(&name("stuck", ""), count, "ZRANGE").await
    }

    /// The first orders of a list or a sorted set of ids, which `command` reads.
    async fn listed(
        &self,
        ids: &str,
        count: usize,
        command: &str,
    ) -> Result<Vec<Entry>, StoreError> {
        let mut call = self.list.key(ids);
        call.arg(name("order:", "")).arg(count).arg(command);
        entries(self.run("list_orders", &call).await?)
    }

    async fn run<T: redis::FromRedisValue>(
        &self,
        name: &'static str,
        call: &ScriptInvocation<'_>,
    ) -> Result<T, StoreError> {
        self.redis.invoke(name, Repeat::Always, call).await
    }
}

fn name(kind: &str, rest: &str) -> String {
    format!("{PREFIX}{kind}{rest}")
}

/// The name of a user's key. Neither is part of it as it is, because anybody may write them.
fn key_name(user: &str, key: &str) -> String {
    let hash = Fingerprint::new(user).with(key.as_bytes()).finish();
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    name("key:", &hash)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn entry((revision, data): Stored) -> Result<Entry, StoreError> {
    let order =
        StoredOrder::decode(data).map_err(|error| StoreError::Unreadable(Box::new(error)))?;
    if order.version != VERSION {
        return Err(StoreError::Unreadable("it was written by another version".into()));
    }
    Ok(Entry { order, revision })
}

/// Leaves out what cannot be read, which must not keep the others from being found.
fn entries(all: Vec<Stored>) -> Result<Vec<Entry>, StoreError> {
    let read = |stored| match entry(stored) {
        Ok(entry) => Some(entry),
        Err(error) => {
            tracing::error!("left out a stored order: {error}");
            None
        }
    };
    Ok(all.into_iter().filter_map(read).collect())
}
