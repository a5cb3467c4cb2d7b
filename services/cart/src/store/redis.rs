//! Carts in Redis, in upstream's own layout, so that both implementations can share one: the key is
//! the user id, the value a hash with the fields `absexp`, `sldexp` (both `-1`, never) and `data`, a
//! protobuf `hipstershop.Cart`. Every change is one script, one round trip, whole or not at all.

use std::sync::Arc;
use std::time::Duration;

use boutique_store::{Contact, Repeat, StoreError, watch};
use prost::Message as _;
use redis::{FromRedisValue, Script, ScriptInvocation};

use crate::change::Change;
use crate::domain::{Cart, Line, MAX_LINES, MAX_QUANTITY, NewLine, Refusal, UserId};
use crate::store::{CartError, generation, version};

pub(crate) struct Redis {
    redis: Arc<boutique_store::Redis>,
    ttl: Duration,
    get: Script,
    add: Script,
    remove: Script,
    empty: Script,
}

impl Redis {
    /// Keeps carts for `ttl` after their last change.
    pub(crate) fn new(redis: boutique_store::Redis, ttl: Duration) -> Self {
        Self {
            redis: Arc::new(redis),
            ttl,
            get: Script::new(include_str!("redis/get.lua")),
            add: script(include_str!("redis/add.lua")),
            remove: script(include_str!("redis/remove.lua")),
            empty: script(include_str!("redis/empty.lua")),
        }
    }

    /// Watches the contact by the command that every cart is read with, for no user's cart.
    pub(crate) fn watch(&self) -> Contact {
        let mut read = redis::cmd("HGET");
        read.arg("").arg("data");
        watch(self.redis.clone(), "the cart store", read)
    }

    pub(crate) async fn add(
        &self,
        user: &UserId,
        line: &NewLine,
        change: &Change,
    ) -> Result<bool, CartError> {
        let mut call = self.change(&self.add, user, change);
        call.arg(user.as_str())
            .arg(&line.line().product_id)
            .arg(line.line().quantity)
            .arg(MAX_LINES)
            .arg(MAX_QUANTITY);
        let code = self.run("add_item", &call, change).await?;
        done(code)?;
        Ok(code == BEGUN)
    }

    pub(crate) async fn remove(
        &self,
        user: &UserId,
        lines: &[NewLine],
        change: &Change,
    ) -> Result<Option<String>, CartError> {
        let mut call = self.change(&self.remove, user, change);
        for line in lines.iter().map(NewLine::line) {
            call.arg(&line.product_id).arg(line.quantity);
        }
        let (code, generation, changes): (i32, String, String) =
            self.run("remove_items", &call, change).await?;
        done(code)?;
        Ok((!generation.is_empty()).then(|| version(&generation, &changes)))
    }

    /// A call of a script, with what every change has.
    fn change<'a>(
        &self,
        script: &'a Script,
        user: &UserId,
        change: &Change,
    ) -> ScriptInvocation<'a> {
        let mut call = script.key(user.as_str());
        call.arg(&change.key).arg(&change.fingerprint).arg(generation()).arg(self.ttl.as_secs());
        call
    }

    async fn run<T: FromRedisValue>(
        &self,
        name: &'static str,
        call: &ScriptInvocation<'_>,
        change: &Change,
    ) -> Result<T, CartError> {
        // Made once more without a key, it would be made twice.
        let repeat = if change.key.is_empty() { Repeat::NotProcessed } else { Repeat::Always };
        Ok(self.redis.invoke(name, repeat, call).await?)
    }

    pub(crate) async fn get(&self, user: &UserId) -> Result<Option<Cart>, CartError> {
        let call = &self.get.key(user.as_str());
        let (data, generation, changes): (Option<Vec<u8>>, Option<String>, Option<String>) =
            self.redis.invoke("get_cart", Repeat::Always, call).await?;
        let Some(data) = data else { return Ok(None) };
        let cart = boutique_proto::Cart::decode(data.as_slice())
            .map_err(|error| StoreError::Unreadable(error.into()))?;
        let mut lines: Vec<Line> = Vec::with_capacity(cart.items.len());
        for item in cart.items {
            // Another writer may have left a product twice.
            match lines.iter_mut().find(|line| line.product_id == item.product_id) {
                Some(line) => line.quantity = line.quantity.saturating_add(item.quantity),
                None => lines.push(Line { product_id: item.product_id, quantity: item.quantity }),
            }
        }
        let version = generation.zip(changes).map(|(of, changes)| version(&of, &changes));
        Ok(Some(Cart { lines, version }))
    }

    pub(crate) async fn empty(&self, user: &UserId) -> Result<(), CartError> {
        let mut call = self.empty.key(user.as_str());
        call.arg(generation()).arg(self.ttl.as_secs());
        Ok(self.redis.invoke("empty_cart", Repeat::Always, &call).await?)
    }
}

/// The code of an addition to a cart that was empty.
const BEGUN: i32 = -1;

/// The outcome of a change, by the code that its script answers.
fn done(code: i32) -> Result<(), CartError> {
    match code {
        0 | BEGUN => Ok(()),
        1 => Err(Refusal::FullLine.into()),
        2 => Err(Refusal::FullCart.into()),
        4 => Err(Refusal::OtherChange.into()),
        _ => Err(StoreError::Unreadable("the data is not a cart".into()).into()),
    }
}

/// A script with what every script begins with.
fn script(code: &str) -> Script {
    Script::new(&[include_str!("redis/cart.lua"), code].concat())
}
