//! Changes of carts that are made once, and versions of carts; in memory and in Redis.

use boutique_proto::ext::carts_client::CartsClient;
use boutique_proto::ext::{CART_VERSION, RemoveItemsRequest};
use boutique_proto::{AddItemRequest, CartItem, GetCartRequest};
use boutique_service::{Env, IdempotencyKey, ServerHandle};
use boutique_test::{RedisServer, connect, serve};
use cartservice::{SERVICE, routes};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::{Carts, add, cart, empty, get, item};

struct Both {
    carts: Carts,
    extension: CartsClient<Channel>,
    _running: ServerHandle,
}

/// A service with carts in memory, and one with carts in Redis.
async fn both(redis: &RedisServer) -> anyhow::Result<[Both; 2]> {
    let start = async |settings: Env| {
        let running = serve(SERVICE, &settings, routes).await?;
        let channel = connect(running.address().unwrap())?;
        let (carts, extension) = (Carts::new(channel.clone()), CartsClient::new(channel));
        anyhow::Ok(Both { carts, extension, _running: running })
    };
    let on_redis = Env::from([("REDIS_ADDR", redis.address().as_str())]);
    Ok([start(Env::default()).await?, start(on_redis).await?])
}

fn with_key<T>(key: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    if !key.is_empty() {
        request.metadata_mut().insert(IdempotencyKey::METADATA, key.parse().unwrap());
    }
    request
}

impl Both {
    async fn add_once(&mut self, key: &str, item: CartItem) -> Result<(), Status> {
        let request = AddItemRequest { user_id: "u".to_owned(), item: Some(item) };
        let answer = self.carts.add_item(with_key(key, request)).await?;
        assert_eq!(answer.metadata().get(IdempotencyKey::METADATA).unwrap(), key);
        Ok(())
    }

    async fn remove(&mut self, key: &str, items: &[CartItem]) -> Result<(), Status> {
        let request = RemoveItemsRequest { user_id: "u".to_owned(), items: items.to_vec() };
        self.extension.remove_items(with_key(key, request)).await.map(|_| ())
    }

    async fn version(&mut self) -> Result<Option<String>, Status> {
        let answer = self.carts.get_cart(GetCartRequest { user_id: "u".to_owned() }).await?;
        let version = answer.metadata().get(CART_VERSION);
        Ok(version.map(|version| version.to_str().unwrap().to_owned()))
    }
}

#[tokio::test]
async fn item_with_a_key_is_added_once() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    for mut service in both(&redis).await? {
        for _ in 0..3 {
            service.add_once("a", item("mug", 2)).await?;
        }
        service.add_once("b", item("mug", 2)).await?;
        let other = service.add_once("a", item("mug", 3)).await.unwrap_err();
        assert_eq!(other.code(), Code::FailedPrecondition);
        assert_eq!(get(&mut service.carts, "u").await?, cart("u", &[item("mug", 4)]));
        // Other changes are noted, until there are too many.
        for number in 0..14 {
            service.add_once(&number.to_string(), item("mug", 1)).await?;
        }
        service.add_once("a", item("mug", 2)).await?;
        assert_eq!(get(&mut service.carts, "u").await?, cart("u", &[item("mug", 18)]));

        let long = "k".repeat(10_000);
        let refused = service.add_once(&long, item("mug", 1)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
    Ok(())
}

#[tokio::test]
async fn only_what_was_ordered_is_taken_out_and_once() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    for mut service in both(&redis).await? {
        service.remove("nobody", &[item("a", 1)]).await?;
        assert_eq!(get(&mut service.carts, "u").await?.items, []);
        let ordered = [item("a", 2), item("b", 1)];
        for item in &ordered {
            add(&mut service.carts, "u", item.clone()).await?;
        }
        // Added while the order is placed.
        add(&mut service.carts, "u", item("a", 1)).await?;
        add(&mut service.carts, "u", item("c", 5)).await?;
        for _ in 0..3 {
            service.remove("order-1", &ordered).await?;
            let left = [item("a", 1), item("c", 5)];
            assert_eq!(get(&mut service.carts, "u").await?, cart("u", &left));
        }
        // However much is added meanwhile.
        for number in 0..20 {
            service.add_once(&number.to_string(), item("e", 1)).await?;
        }
        service.remove("order-1", &ordered).await?;
        service.remove("", &[item("e", 20)]).await?;
        let other = service.remove("order-1", &[item("c", 5)]).await.unwrap_err();
        assert_eq!(other.code(), Code::FailedPrecondition);
        service.remove("", &[item("c", 1)]).await?;
        service.remove("", &[item("c", 100), item("a", 1), item("d", 1)]).await?;
        assert_eq!(get(&mut service.carts, "u").await?, cart("u", &[]));

        for wrong in [item("", 1), item("a", 0), item("a", -1)] {
            let refused = service.remove("", &[wrong]).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument);
        }
        let refused = service.remove("", &vec![item("a", 1); 501]).await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted);
    }
    Ok(())
}

#[tokio::test]
async fn version_changes_with_every_change_and_never_comes_again() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    for mut service in both(&redis).await? {
        assert_eq!(service.version().await?, None);
        let mut versions = Vec::new();
        for _ in 0..2 {
            add(&mut service.carts, "u", item("a", 1)).await?;
            versions.push(service.version().await?.unwrap());
            service.remove("", &[item("a", 1)]).await?;
            versions.push(service.version().await?.unwrap());
            assert_eq!(service.version().await?, versions.last().cloned());
            empty(&mut service.carts, "u").await?;
            versions.push(service.version().await?.unwrap());
            // As after the cart has expired.
            redis.command(&["DEL", "u"])?;
        }
        let distinct: std::collections::BTreeSet<_> = versions.iter().collect();
        assert_eq!(distinct.len(), versions.len(), "{versions:?}");
    }
    Ok(())
}
