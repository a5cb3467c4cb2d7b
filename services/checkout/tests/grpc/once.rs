//! Orders that are placed once, whatever fails and whoever repeats the request; stored in memory and in Redis.

use std::time::Duration;

use boutique_proto::ext::orders_client::OrdersClient;
use boutique_proto::ext::{
    GetOrderRequest, ListOrdersRequest, ListStuckOrdersRequest, ORDER_ID, OrderState,
    RetryStuckOrderRequest,
};
use boutique_proto::{OrderResult, PlaceOrderRequest};
use boutique_service::{Env, IdempotencyKey, ServerHandle};
use boutique_test::{FaultyProxy, RedisServer, connect, serve};
use checkoutservice::{SERVICE, routes};
use tonic::{Code, Request, Status};

use crate::stubs::{Fault, Stub};
use crate::{Checkout, request, until};

/// A checkout, and the services around it.
struct Shop {
    stub: Stub,
    checkout: Checkout,
    orders: OrdersClient<tonic::transport::Channel>,
    env: Env,
    _around: Vec<ServerHandle>,
    replica: ServerHandle,
}

impl Shop {
    async fn with(stub: Stub, redis: Option<&RedisServer>) -> anyhow::Result<Self> {
        Self::at(stub, redis.map(RedisServer::address).as_deref()).await
    }

    /// One with its orders in the Redis at this address, or in memory.
    async fn at(stub: Stub, store: Option<&str>) -> anyhow::Result<Self> {
        let (mut env, around) = stub.start().await?;
        for (name, value) in [
            // On a busy machine, too.
            ("READ_TIMEOUT", "10s"),
            ("PAYMENT_TIMEOUT", "300ms"),
            ("PAYMENT_VOID_TIMEOUT", "300ms"),
            ("SHIPPING_TIMEOUT", "300ms"),
            ("EMAIL_TIMEOUT", "300ms"),
        ] {
            env.set(name, value);
        }
        if let Some(address) = store {
            env.set("ORDER_STORE_ADDR", address);
        }
        let replica = serve(SERVICE, &env, routes).await?;
        let channel = connect(replica.address().unwrap())?;
        let (checkout, orders) = (Checkout::new(channel.clone()), OrdersClient::new(channel));
        Ok(Self { stub, checkout, orders, env, _around: around, replica })
    }

    /// One with its orders in memory, and one with them in Redis.
    async fn both(redis: &RedisServer, items: &[(&str, i32)]) -> anyhow::Result<[Self; 2]> {
        redis.command(&["FLUSHALL"])?;
        Ok([
            Self::with(Stub::with_items(items), None).await?,
            Self::with(Stub::with_items(items), Some(redis)).await?,
        ])
    }

    /// Replaces the checkout by another one, as after a kill.
    async fn restart(&mut self) -> anyhow::Result<()> {
        self.replica = serve(SERVICE, &self.env, routes).await?;
        let channel = connect(self.replica.address().unwrap())?;
        (self.checkout, self.orders) = (Checkout::new(channel.clone()), OrdersClient::new(channel));
        Ok(())
    }

    async fn place(&self, key: &str, message: PlaceOrderRequest) -> Result<OrderResult, Status> {
        let mut request = Request::new(message);
        if !key.is_empty() {
            request.metadata_mut().insert(IdempotencyKey::METADATA, key.parse().unwrap());
        }
        let answer = self.checkout.clone().place_order(request).await?;
        let confirmed = answer.metadata().get(IdempotencyKey::METADATA);
        assert_eq!(confirmed.map_or("", |key| key.to_str().unwrap()), key);
        Ok(answer.into_inner().order.unwrap_or_default())
    }

    /// Waits until an order has ended, and returns its state.
    async fn end_of(&mut self, order_id: &str) -> anyhow::Result<OrderState> {
        let request = GetOrderRequest { user_id: "u".to_owned(), order_id: order_id.to_owned() };
        let ended = async {
            loop {
                let order = self.orders.get_order(request.clone()).await?.into_inner();
                let state = order.state();
                let goes_on = [OrderState::Charging, OrderState::Shipping, OrderState::Voiding];
                if !goes_on.contains(&state) {
                    return anyhow::Ok(state);
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(40), ended).await?
    }
}

/// The id of the order that a status is about.
fn order_of(status: &Status) -> String {
    status.metadata().get(ORDER_ID).unwrap().to_str().unwrap().to_owned()
}

fn by(user: &str) -> PlaceOrderRequest {
    PlaceOrderRequest { user_id: user.to_owned(), ..request("USD") }
}

#[tokio::test]
async fn double_click_charges_once_with_and_without_a_key() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    for key in ["token-1", ""] {
        for shop in Shop::both(&redis, &[("a", 2)]).await? {
            shop.stub.stage(&["Convert"], 6);
            let clicks: Vec<_> = (0..3).map(|_| shop.place(key, request("EUR"))).collect();
            let orders = futures_util::future::try_join_all(clicks).await?;
            assert!(orders.iter().all(|order| *order == orders[0]), "{orders:?}");
            assert_eq!(orders[0].shipping_tracking_id, "AB-1-2");
            assert_eq!((shop.stub.charges(), shop.stub.count("ShipOrder")), (1, 1));
            until(|| shop.stub.count("SendOrderConfirmation") == 1).await;
            // And once more when all is done and the cart is empty.
            let again = shop.place(key, request("EUR")).await?;
            assert_eq!(again, orders[0]);
            assert_eq!((shop.stub.charges(), shop.stub.0.mailed.lock().unwrap().len()), (1, 1));
        }
    }
    Ok(())
}

/// A request with another key reads the cart before the first one's order is taken out of it, and comes after that.
#[tokio::test]
async fn pieces_of_a_cart_that_was_read_too_early_are_not_ordered_twice() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    for shop in Shop::both(&redis, &[("a", 2)]).await? {
        shop.stub.stage(&["Convert"], 3);
        let barrier = shop.stub.0.stages.lock().unwrap()["Convert"].clone();
        let second = shop.place("second", by("u"));
        let first = async {
            until(|| shop.stub.count("Convert") == 2).await;
            shop.stub.0.stages.lock().unwrap().clear();
            let placed = shop.place("first", by("u")).await;
            until(|| shop.stub.count("SendOrderConfirmation") == 1).await;
            barrier.wait().await;
            placed
        };
        let (first, second) = tokio::join!(first, second);
        first?;
        // The cart is empty by now.
        assert_eq!(second.unwrap_err().code(), Code::FailedPrecondition);
        assert_eq!(shop.stub.charges(), 1);
    }
    Ok(())
}

/// The second click reads the cart when the first one has emptied it.
#[tokio::test]
async fn second_click_that_finds_the_cart_empty_finds_the_order() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    for key in ["token-1", ""] {
        for shop in Shop::both(&redis, &[("a", 2)]).await? {
            shop.stub.stage(&["GetCart"], 2);
            let barrier = shop.stub.0.stages.lock().unwrap()["GetCart"].clone();
            let second = shop.place(key, by("u"));
            let first = async {
                until(|| shop.stub.count("GetCart") == 1).await;
                shop.stub.0.stages.lock().unwrap().clear();
                let placed = shop.place(key, by("u")).await;
                barrier.wait().await;
                placed
            };
            let (first, second) = tokio::join!(first, second);
            assert_eq!(first?, second?);
            assert_eq!(shop.stub.charges(), 1);
        }
    }
    Ok(())
}

#[tokio::test]
async fn order_of_another_cart_is_another_order() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    for shop in Shop::both(&redis, &[("a", 1)]).await? {
        let first = shop.place("", request("USD")).await?;
        shop.stub.add("b", 1);
        let second = shop.place("", request("USD")).await?;
        assert_ne!(first.order_id, second.order_id);
        assert_eq!(second.items[0].item.as_ref().unwrap().product_id, "b");
        assert_eq!(shop.stub.charges(), 2);
        let listed = ListOrdersRequest { user_id: "u".to_owned() };
        let listed = shop.orders.clone().list_orders(listed).await?.into_inner().orders;
        let ids = listed.into_iter().map(|order| order.order.unwrap().order_id);
        assert_eq!(ids.collect::<Vec<_>>(), [second.order_id, first.order_id]);
        // Nobody else's.
        let others = ListOrdersRequest { user_id: "other".to_owned() };
        assert_eq!(shop.orders.clone().list_orders(others).await?.into_inner().orders, []);
    }
    Ok(())
}

#[tokio::test]
async fn key_of_another_order_is_refused_and_nothing_charged() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    for shop in Shop::both(&redis, &[("a", 1)]).await? {
        let order = shop.place("k", request("USD")).await?;
        until(|| shop.stub.count("SendOrderConfirmation") == 1).await;

        let other_mail = PlaceOrderRequest { email: "other@example.com".to_owned(), ..by("u") };
        let mut other_card = by("u");
        other_card.credit_card.as_mut().unwrap().credit_card_number = "5555555555554444".to_owned();
        for other in [other_mail, other_card, request("EUR")] {
            let refused = shop.place("k", other).await.unwrap_err();
            assert_eq!(refused.code(), Code::FailedPrecondition);
            assert_eq!(order_of(&refused), order.order_id);
        }
        // The same form for another cart.
        shop.stub.add("b", 1);
        let refused = async {
            // Until the order is closed, what is in the cart may be on its way out.
            loop {
                match shop.place("k", by("u")).await {
                    Ok(same) => assert_eq!(same.order_id, order.order_id),
                    Err(refused) => return refused,
                }
            }
        };
        assert_eq!(refused.await.code(), Code::FailedPrecondition);
        assert_eq!(shop.stub.charges(), 1);
        // Another session's key is another key.
        let other = shop.place("k", by("somebody else")).await?;
        assert_ne!(other.order_id, order.order_id);

        for key in ["k".repeat(10_000), "a b".to_owned()] {
            let refused = shop.place(&key, by("u")).await.unwrap_err();
            assert_eq!(refused.code(), Code::InvalidArgument);
        }
        assert_eq!(shop.stub.charges(), 2);
    }
    Ok(())
}

#[tokio::test]
async fn refused_card_leaves_the_key_free() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    for key in ["k", ""] {
        for shop in Shop::both(&redis, &[("a", 1)]).await? {
            shop.stub.fault("Charge", Fault::Fail(Status::invalid_argument("no such card")));
            for _ in 0..2 {
                let refused = shop.place(key, by("u")).await.unwrap_err();
                assert_eq!(refused.code(), Code::InvalidArgument);
            }
            shop.stub.heal();
            let mut corrected = by("u");
            let card = corrected.credit_card.as_mut().unwrap();
            card.credit_card_number = "5555555555554444".to_owned();
            let order = shop.place(key, corrected).await?;
            assert_eq!(shop.stub.charges(), 1);
            let listed = ListOrdersRequest { user_id: "u".to_owned() };
            let listed = shop.orders.clone().list_orders(listed).await?.into_inner().orders;
            assert_eq!(listed.len(), 1, "{listed:?}");
            assert_eq!(listed[0].order.as_ref().unwrap().order_id, order.order_id);
        }
    }
    Ok(())
}

/// An answer that is lost is found out by the key.
#[tokio::test]
async fn charge_whose_answer_is_lost_is_found() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    for shop in Shop::both(&redis, &[("a", 1)]).await? {
        shop.stub.fault("Charge", Fault::Lose);
        shop.stub.fault("RemoveItems", Fault::Lose);
        shop.stub.fault("SendOrderConfirmation", Fault::Lose);
        shop.place("k", by("u")).await?;
        assert_eq!((shop.stub.charges(), shop.stub.count("GetCharge")), (1, 1));
        shop.stub.heal();
        // The outbox is delivered again, and has its effects once.
        until(|| shop.stub.count("SendOrderConfirmation") >= 2).await;
        assert!(shop.stub.0.items.lock().unwrap().is_empty());
        let key = |key: &str| key.to_owned();
        let mailed = shop.stub.0.mailed.lock().unwrap().clone();
        assert!(mailed.iter().all(|mail| mail.email == key("someone@example.com")));
    }
    Ok(())
}

/// A payment service that hangs: the order is pending, and found out once it answers.
#[tokio::test]
async fn order_is_pending_while_payment_hangs_and_settled_after() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    for mut shop in Shop::both(&redis, &[("a", 1)]).await? {
        for method in ["Charge", "GetCharge", "VoidCharge"] {
            shop.stub.fault(method, Fault::Hang);
        }
        let waits = shop.place("k", by("u")).await.unwrap_err();
        assert_eq!(waits.code(), Code::DeadlineExceeded);
        let id = order_of(&waits);
        // Pressed again: the same order is pending still.
        let again = shop.place("k", by("u")).await.unwrap_err();
        assert_eq!(order_of(&again), id);
        assert_eq!(shop.stub.count("Charge"), 1);
        shop.stub.heal();
        assert_eq!(shop.end_of(&id).await?, OrderState::Voided);
        assert_eq!(shop.stub.charges(), 0);
        // The key is free, the cart is as it was.
        shop.place("k", by("u")).await?;
        assert_eq!(shop.stub.charges(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn order_whose_parcel_fails_is_completed_once_it_can_be() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    for fault in [Fault::Fail(Status::internal("no truck")), Fault::Hang, Fault::Lose] {
        for mut shop in Shop::both(&redis, &[("a", 1)]).await? {
            shop.stub.fault("ShipOrder", fault.clone());
            let waits = shop.place("k", by("u")).await.unwrap_err();
            assert_eq!(waits.code(), Code::DeadlineExceeded);
            assert_eq!(shop.stub.count("RemoveItems"), 0);
            let again = shop.place("k", by("u")).await.unwrap_err();
            assert_eq!(order_of(&again), order_of(&waits));
            shop.stub.heal();
            assert_eq!(shop.end_of(&order_of(&waits)).await?, OrderState::Done);
            until(|| shop.stub.count("SendOrderConfirmation") == 1).await;
            assert_eq!((shop.stub.charges(), shop.stub.0.parcels.lock().unwrap().len()), (1, 1));
            until(|| shop.stub.0.items.lock().unwrap().is_empty()).await;
        }
    }
    Ok(())
}

#[tokio::test]
async fn parcel_that_is_refused_voids_the_charge() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    for shop in Shop::both(&redis, &[("a", 1)]).await? {
        shop.stub.fault("ShipOrder", Fault::Fail(Status::invalid_argument("no such place")));
        let refused = shop.place("k", by("u")).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unavailable);
        assert_eq!((shop.stub.charges(), shop.stub.count("RemoveItems")), (0, 0));
    }
    Ok(())
}

/// Against upstream's payment service nobody can find out: somebody has to look into it.
#[tokio::test]
async fn charge_that_upstream_cannot_tell_of_is_stuck_and_seen() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    for store in [None, Some(&redis)] {
        let stub = Stub::with_items(&[("a", 1)]).like_upstream();
        let mut shop = Shop::with(stub, store).await?;
        shop.stub.fault("Charge", Fault::Lose);
        let unknown = shop.place("k", by("u")).await.unwrap_err();
        assert_eq!(unknown.code(), Code::DeadlineExceeded);
        let id = order_of(&unknown);
        assert_eq!(shop.end_of(&id).await?, OrderState::ToRefund);
        let stuck = shop.orders.list_stuck_orders(ListStuckOrdersRequest {}).await?.into_inner();
        assert_eq!(stuck.orders.len(), 1);
        assert_eq!(stuck.orders[0].order.as_ref().unwrap().order_id, id);
        // Pressed again, it is not charged again.
        let again = shop.place("k", by("u")).await.unwrap_err();
        assert_eq!((order_of(&again), shop.stub.count("Charge")), (id.clone(), 1));
        let retry = |order_id: &str| RetryStuckOrderRequest { order_id: order_id.to_owned() };
        let wrong = shop.orders.retry_stuck_order(retry("other")).await.unwrap_err();
        assert_eq!(wrong.code(), Code::NotFound);
        shop.orders.retry_stuck_order(retry(&id)).await?;
        assert_eq!(shop.end_of(&id).await?, OrderState::ToRefund);

        // Without a fault all is as it was.
        shop.stub.heal();
        shop.place("l", by("u")).await?;
        until(|| shop.stub.count("EmptyCart") == 1).await;
    }
    Ok(())
}

/// A checkout that is killed while the card is charged: another one finds out, and completes the order.
#[tokio::test]
async fn order_outlives_a_checkout_that_is_killed() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    let mut shop = Shop::with(Stub::with_items(&[("a", 1)]), Some(&redis)).await?;
    // The card is charged; the answer waits for one who never comes.
    shop.stub.stage(&["ShipOrder"], 2);
    let caller = {
        let mut checkout = shop.checkout.clone();
        tokio::spawn(async move { checkout.place_order(by("u")).await.map(drop) })
    };
    until(|| shop.stub.count("ShipOrder") == 1).await;
    assert_eq!(shop.stub.charges(), 1);
    shop.restart().await?;
    assert!(caller.await?.is_err());
    shop.stub.0.stages.lock().unwrap().clear();
    let listed = ListOrdersRequest { user_id: "u".to_owned() };
    let order = shop.orders.list_orders(listed).await?.into_inner().orders.remove(0);
    let id = order.order.unwrap().order_id;
    assert_eq!(shop.end_of(&id).await?, OrderState::Done);
    until(|| shop.stub.count("SendOrderConfirmation") == 1).await;
    assert_eq!((shop.stub.charges(), shop.stub.0.parcels.lock().unwrap().len()), (1, 1));
    assert!(shop.stub.0.items.lock().unwrap().is_empty());
    Ok(())
}

/// A checkout that is stopped, and cannot finish an order in time, hands it over at once.
#[tokio::test]
async fn stopped_checkout_hands_its_orders_over() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    let mut shop = Shop::with(Stub::with_items(&[("a", 1)]), Some(&redis)).await?;
    shop.env.set("DRAIN_TIMEOUT", "100ms");
    shop.env.set("SHIPPING_TIMEOUT", "30s");
    shop.restart().await?;
    shop.stub.stage(&["ShipOrder"], 2);
    let caller = {
        let mut checkout = shop.checkout.clone();
        tokio::spawn(async move { checkout.place_order(by("u")).await.map(drop) })
    };
    until(|| shop.stub.count("ShipOrder") == 1).await;
    let stopped = std::mem::replace(&mut shop.replica, serve(SERVICE, &shop.env, routes).await?);
    stopped.stop().await;
    let began = std::time::Instant::now();
    shop.stub.0.stages.lock().unwrap().clear();
    until(|| shop.stub.0.items.lock().unwrap().is_empty()).await;
    // By the lease alone it would be ten seconds.
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    assert_eq!((shop.stub.charges(), shop.stub.0.parcels.lock().unwrap().len()), (1, 1));
    drop(caller);
    Ok(())
}

/// A caller who goes away while the order is stored: nobody has to take it over.
#[tokio::test]
async fn order_that_is_being_stored_survives_its_caller() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    let proxy = FaultyProxy::start(redis.address()).await?;
    let store = format!("{},connectTimeout=20000,asyncTimeout=20000", proxy.address());
    let shop = Shop::at(Stub::with_items(&[("a", 1)]), Some(&store)).await?;
    proxy.set(boutique_test::Fault::Delay(Duration::from_millis(300)));
    let mut checkout = shop.checkout.clone();
    let caller = tokio::spawn(async move { checkout.place_order(by("u")).await.map(drop) });
    until(|| shop.stub.count("Convert") == 2).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    caller.abort();
    let began = std::time::Instant::now();
    until(|| shop.stub.0.mailed.lock().unwrap().len() == 1).await;
    // By the lease alone it would be ten seconds, and the order would be voided.
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
    assert_eq!(shop.stub.charges(), 1);
    Ok(())
}

#[tokio::test]
async fn mail_outlives_an_outage_and_a_checkout_that_is_killed() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    let mut shop = Shop::with(Stub::with_items(&[("a", 1)]), Some(&redis)).await?;
    shop.stub.fault("SendOrderConfirmation", Fault::Fail(Status::unavailable("down")));
    shop.stub.fault("RemoveItems", Fault::Fail(Status::unavailable("down")));
    shop.place("", by("u")).await?;
    until(|| shop.stub.count("SendOrderConfirmation") >= 2).await;
    shop.restart().await?;
    // Added while the cart could not be emptied.
    shop.stub.add("b", 3);
    shop.stub.heal();
    until(|| shop.stub.0.mailed.lock().unwrap().len() == 1).await;
    until(|| shop.stub.0.items.lock().unwrap().len() == 1).await;
    assert_eq!(shop.stub.0.items.lock().unwrap()[0].product_id, "b");
    Ok(())
}

#[tokio::test]
async fn item_added_while_the_order_is_placed_stays() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    for shop in Shop::both(&redis, &[("a", 1)]).await? {
        shop.stub.stage(&["Charge"], 2);
        let placed = {
            let mut checkout = shop.checkout.clone();
            tokio::spawn(async move { checkout.place_order(by("u")).await })
        };
        until(|| shop.stub.count("Charge") == 1).await;
        shop.stub.add("b", 1);
        let barrier = shop.stub.0.stages.lock().unwrap()["Charge"].clone();
        barrier.wait().await;
        placed.await??;
        let left = shop.stub.0.items.lock().unwrap().clone();
        assert_eq!(left.len(), 1);
        assert_eq!(left[0].product_id, "b");
    }
    Ok(())
}

/// The user that the README of charts/redis proposes.
#[tokio::test]
async fn redis_user_with_only_the_commands_in_use_is_enough() -> anyhow::Result<()> {
    let readme = include_str!("../../../../charts/redis/README.md");
    let rule = readme.split("`user orders on ").nth(1).and_then(|rest| rest.split('`').next());
    let rule = rule.unwrap().replace("#…", ">secret").replace("\\|", "|");
    let options: Vec<&str> =
        ["--user", "orders", "on"].into_iter().chain(rule.split(' ')).collect();
    let redis = RedisServer::start(&options)?;
    let address = format!("redis://orders:secret@{}", redis.address());
    let stub = Stub::with_items(&[("a", 1)]);
    let mut shop = Shop::at(stub, Some(&address)).await?;
    // Every operation: one order that waits and is completed, one that is refused, and one that is stuck.
    shop.stub.fault("ShipOrder", Fault::Fail(Status::internal("no truck")));
    let waits = shop.place("k", by("u")).await.unwrap_err();
    shop.stub.heal();
    assert_eq!(shop.end_of(&order_of(&waits)).await?, OrderState::Done);
    until(|| shop.stub.0.items.lock().unwrap().is_empty()).await;
    shop.stub.add("b", 1);
    shop.stub.fault("Charge", Fault::Fail(Status::invalid_argument("no such card")));
    let refused = shop.place("l", by("u")).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    shop.stub.fault("Charge", Fault::Lose);
    shop.stub.fault("GetCharge", Fault::Fail(Status::unimplemented("as upstream")));
    let stuck = shop.place("m", by("u")).await.unwrap_err();
    assert_eq!(shop.end_of(&order_of(&stuck)).await?, OrderState::ToRefund);
    let retry = RetryStuckOrderRequest { order_id: order_of(&stuck) };
    shop.orders.retry_stuck_order(retry).await?;
    assert_eq!(shop.end_of(&order_of(&stuck)).await?, OrderState::Voided);
    let listed = ListOrdersRequest { user_id: "u".to_owned() };
    assert_eq!(shop.orders.list_orders(listed).await?.into_inner().orders.len(), 2);
    Ok(())
}

/// A store that is out, full, or holds something else: a clear refusal, nothing charged and nothing overwritten.
#[tokio::test]
async fn nothing_is_charged_without_the_store() -> anyhow::Result<()> {
    let redis = RedisServer::start(&["--maxmemory-policy", "noeviction"])?;
    let shop = Shop::with(Stub::with_items(&[("a", 1)]), Some(&redis)).await?;
    let refused = async |code: Code, what: &str| {
        for key in ["k", ""] {
            let refused = shop.place(key, by("u")).await.unwrap_err();
            assert_eq!(refused.code(), code, "{what} {key:?}: {}", refused.message());
        }
        assert_eq!(shop.stub.count("Charge"), 0, "{what}");
    };
    redis.command(&["CONFIG", "SET", "maxmemory", "1"])?;
    refused(Code::Unavailable, "full").await;
    redis.command(&["CONFIG", "SET", "maxmemory", "0"])?;
    redis.command(&["REPLICAOF", "127.0.0.1", "1"])?;
    refused(Code::Unavailable, "read-only").await;
    redis.command(&["REPLICAOF", "NO", "ONE"])?;

    // Garbage where the user's orders are listed, and where the key is.
    redis.command(&["SET", "boutique:{orders}:user:u", "garbage"])?;
    refused(Code::Internal, "garbage").await;
    assert_eq!(redis.command(&["GET", "boutique:{orders}:user:u"])?.trim(), "garbage");
    redis.command(&["DEL", "boutique:{orders}:user:u"])?;
    redis.command(&["SET", "boutique:{orders}:open", "garbage"])?;
    refused(Code::Internal, "garbage").await;
    redis.command(&["DEL", "boutique:{orders}:open"])?;
    // Nothing of the refused orders is left.
    assert_eq!(redis.command(&["KEYS", "*"])?.trim(), "");

    // An order of a version to come.
    shop.place("k", by("u")).await?;
    until(|| shop.stub.count("SendOrderConfirmation") == 1).await;
    let name = redis.command(&["KEYS", "boutique:{orders}:order:*"])?;
    redis.command(&["HSET", name.trim(), "data", "\u{8}\u{2}"])?;
    let refused = shop.place("k", by("u")).await.unwrap_err();
    assert_eq!((refused.code(), shop.stub.charges()), (Code::Internal, 1));
    drop(redis);
    let refused = shop.place("l", by("u")).await.unwrap_err();
    assert_eq!((refused.code(), shop.stub.charges()), (Code::Unavailable, 1));
    Ok(())
}
