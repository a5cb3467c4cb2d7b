//! Carts in Redis, in upstream's own layout, so that both implementations can share one: the key is
//! the user id, the value a hash with the fields `absexp`, `sldexp` (both `-1`, never) and `data`, a
//! protobuf `hipstershop.Cart`. Every change is one script, one round trip, whole or not at all.

use std::time::Duration;

use boutique_proto::Cart;
use boutique_service::EnvError;
use prost::Message as _;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::{AsyncCommands as _, Client, ErrorKind, RedisError, Script, ServerErrorKind};

use crate::domain::{Line, MAX_LINES, MAX_QUANTITY, NewLine, Refusal, UserId};
use crate::store::StoreError;

const CONNECT_TIMEOUT: Duration = Duration::from_millis(200);
const COMMAND_TIMEOUT: Duration = Duration::from_millis(300);
/// While Redis is away a call waits for one more try at a connection, not for many.
const RECONNECT_TRIES: usize = 1;
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);

pub(crate) struct Redis {
    connection: ConnectionManager,
    ttl: Duration,
    add: Script,
    empty: Script,
}

impl Redis {
    /// Connects at the first call.
    pub(crate) fn new(client: Client, ttl: Duration) -> Result<Self, EnvError> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECT_TIMEOUT))
            .set_response_timeout(Some(COMMAND_TIMEOUT))
            .set_number_of_retries(RECONNECT_TRIES)
            .set_min_delay(RECONNECT_PAUSE)
            .set_max_delay(RECONNECT_PAUSE);
        let connection = ConnectionManager::new_lazy_with_config(client, config)
            .map_err(|_| EnvError::new("REDIS_ADDR", "must be an address that can be used"))?;
        Ok(Self {
            connection,
            ttl,
            add: Script::new(include_str!("add.lua")),
            empty: Script::new(include_str!("empty.lua")),
        })
    }

    pub(crate) async fn add(&self, user: &UserId, line: NewLine) -> Result<(), StoreError> {
        let mut connection = self.connection.clone();
        let answer: i32 = self
            .add
            .key(user.as_str())
            .arg(user.as_str())
            .arg(&line.line().product_id)
            .arg(line.line().quantity)
            .arg(self.ttl.as_secs())
            .arg(MAX_LINES)
            .arg(MAX_QUANTITY)
            .invoke_async(&mut connection)
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
        let data: Option<Vec<u8>> =
            self.connection.clone().hget(user.as_str(), "data").await.map_err(why)?;
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
        let mut connection = self.connection.clone();
        self.empty
            .key(user.as_str())
            .arg(self.ttl.as_secs())
            .invoke_async::<()>(&mut connection)
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
