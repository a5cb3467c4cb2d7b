//! Carts in Redis, in upstream's own layout, so that both implementations can share one: the key is
//! the user id, the value a hash with the fields `absexp`, `sldexp` (both `-1`, never) and `data`, a
//! protobuf `hipstershop.Cart`. Every change is one script, one round trip, whole or not at all.

mod address;
mod connection;

use std::time::Duration;

use boutique_proto::Cart;
use boutique_service::{EnvError, Secret};
use prost::Message as _;
use redis::{AsyncCommands as _, ErrorKind, RedisError, Script, ServerErrorKind};

use self::connection::{Connections, Link, Repeat};
use crate::domain::{Line, MAX_LINES, MAX_QUANTITY, NewLine, Refusal, UserId};
use crate::store::StoreError;

pub(crate) struct Redis {
    connections: Connections,
    ttl: Duration,
    add: Script,
    empty: Script,
}

impl Redis {
    /// Parses `address`, a `REDIS_ADDR`, and connects at the first call. New connections are made to the address that its
    /// file holds then.
    pub(crate) fn new(
        address: Secret,
        root: Option<Vec<u8>>,
        ttl: Duration,
    ) -> Result<Self, EnvError> {
        Ok(Self {
            connections: Connections::new(address, root)?,
            ttl,
            add: Script::new(include_str!("redis/add.lua")),
            empty: Script::new(include_str!("redis/empty.lua")),
        })
    }

    pub(crate) async fn add(&self, user: &UserId, line: NewLine) -> Result<(), StoreError> {
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
            .connections
            .run(Repeat::NotProcessed, |mut link| {
                let script = &script;
                async move { script.invoke_async(&mut link).await }
            })
            .await
            .map_err(why)?;
        match answer {
            0 => Ok(()),
            1 => Err(Refusal::FullLine.into()),
            2 => Err(Refusal::FullCart.into()),
            _ => Err(StoreError::Unreadable("the data is not a cart".into())),
        }
    }

    pub(crate) async fn get(&self, user: &UserId) -> Result<Option<Vec<Line>>, StoreError> {
        let read = |mut link: Link| async move { link.hget(user.as_str(), "data").await };
        let data: Option<Vec<u8>> =
            self.connections.run(Repeat::Always, read).await.map_err(why)?;
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

    pub(crate) async fn empty(&self, user: &UserId) -> Result<(), StoreError> {
        let mut script = self.empty.key(user.as_str());
        script.arg(self.ttl.as_secs());
        self.connections
            .run(Repeat::Always, |mut link| {
                let script = &script;
                async move { script.invoke_async::<()>(&mut link).await }
            })
            .await
            .map_err(why)
    }
}

/// Redis's own refusal of what is stored is not an outage.
fn why(error: RedisError) -> StoreError {
    let wrong_type = error.code() == Some("WRONGTYPE")
        || (error.kind() == ErrorKind::Server(ServerErrorKind::ResponseError)
            && error.to_string().contains("WRONGTYPE"));
    match wrong_type {
        true => StoreError::Unreadable("the key holds another type".into()),
        false => StoreError::Unreachable(error),
    }
}
