//! Carts in Redis, in upstream's own layout, so that both implementations can share one: the key is
//! the user id, the value a hash with the fields `absexp`, `sldexp` (both `-1`, never) and `data`, a
//! protobuf `hipstershop.Cart`. Every change is one script, one round trip, whole or not at all.

use std::sync::Arc;
use std::time::Duration;

use boutique_proto::Cart;
use boutique_store::{Contact, Link, Repeat, StoreError, watch};
use prost::Message as _;
use redis::{AsyncCommands as _, Script};

use crate::domain::{Line, MAX_LINES, MAX_QUANTITY, NewLine, Refusal, UserId};
use crate::store::CartError;

pub(crate) struct Redis {
    redis: Arc<boutique_store::Redis>,
    ttl: Duration,
    add: Script,
    empty: Script,
}

impl Redis {
    /// Keeps carts for `ttl` after their last change.
    pub(crate) fn new(redis: boutique_store::Redis, ttl: Duration) -> Self {
        Self {
            redis: Arc::new(redis),
            ttl,
            add: Script::new(include_str!("redis/add.lua")),
            empty: Script::new(include_str!("redis/empty.lua")),
        }
    }

    /// Watches the contact by the command that every cart is read with, for no user's cart.
    pub(crate) fn watch(&self) -> Contact {
        let mut read = redis::cmd("HGET");
        read.arg("").arg("data");
        watch(self.redis.clone(), "the cart store", read)
    }

    pub(crate) async fn add(&self, user: &UserId, line: NewLine) -> Result<(), CartError> {
        let mut script = self.add.key(user.as_str());
        script
            .arg(user.as_str())
            .arg(&line.line().product_id)
            .arg(line.line().quantity)
            .arg(self.ttl.as_secs())
            .arg(MAX_LINES)
            .arg(MAX_QUANTITY);
        // Added once more, it would be there twice.
        let answer: i32 = self
            .redis
            .run(Repeat::NotProcessed, |mut link| {
                let script = &script;
                async move { script.invoke_async(&mut link).await }
            })
            .await?;
        match answer {
            0 => Ok(()),
            1 => Err(Refusal::FullLine.into()),
            2 => Err(Refusal::FullCart.into()),
            _ => Err(StoreError::Unreadable("the data is not a cart".into()).into()),
        }
    }

    pub(crate) async fn get(&self, user: &UserId) -> Result<Option<Vec<Line>>, CartError> {
        let read = |mut link: Link| async move { link.hget(user.as_str(), "data").await };
        let data: Option<Vec<u8>> = self.redis.run(Repeat::Always, read).await?;
        let Some(data) = data else { return Ok(None) };
        let cart =
            Cart::decode(data.as_slice()).map_err(|error| StoreError::Unreadable(error.into()))?;
        let mut lines: Vec<Line> = Vec::with_capacity(cart.items.len());
        for item in cart.items {
            // Another writer may have left a product twice.
            match lines.iter_mut().find(|line| line.product_id == item.product_id) {
                Some(line) => line.quantity = line.quantity.saturating_add(item.quantity),
                None => lines.push(Line { product_id: item.product_id, quantity: item.quantity }),
            }
        }
        Ok(Some(lines))
    }

    pub(crate) async fn empty(&self, user: &UserId) -> Result<(), CartError> {
        let mut script = self.empty.key(user.as_str());
        script.arg(self.ttl.as_secs());
        self.redis
            .run(Repeat::Always, |mut link| {
                let script = &script;
                async move { script.invoke_async::<()>(&mut link).await }
            })
            .await?;
        Ok(())
    }
}
