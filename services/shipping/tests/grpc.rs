//! shippingservice over its own wire.

use boutique_proto::shipping_service_client::ShippingServiceClient;
use boutique_proto::{Address, CartItem, GetQuoteRequest, Money, ShipOrderRequest};
use boutique_service::{Env, IdempotencyKey, ServerHandle};
use boutique_test::{RedisServer, connect, loopback, serve};
use shippingservice::{SERVICE, routes};
use tonic::transport::Channel;
use tonic::{Code, Request};

async fn shipping() -> anyhow::Result<(ShippingServiceClient<Channel>, Option<ServerHandle>)> {
    let (channel, running) = loopback(SERVICE, &Env::default(), routes).await?;
    Ok((ShippingServiceClient::new(channel), running))
}

fn item(quantity: i32) -> CartItem {
    CartItem { product_id: "1".to_owned(), quantity }
}

#[tokio::test]
async fn a_quote_is_flat_and_nothing_ships_free() -> anyhow::Result<()> {
    let (mut shipping, _running) = shipping().await?;

    for (items, units, nanos) in
        [(vec![item(1), item(3)], 8, 990_000_000), (vec![], 0, 0), (vec![item(0)], 0, 0)]
    {
        let quote = shipping.get_quote(GetQuoteRequest { address: None, items }).await?;
        let usd = Money { currency_code: "USD".to_owned(), units, nanos };
        assert_eq!(quote.into_inner().cost_usd, Some(usd));
    }
    Ok(())
}

#[tokio::test]
async fn a_negative_quantity_has_no_quote() -> anyhow::Result<()> {
    let (mut shipping, _running) = shipping().await?;

    for items in [vec![item(-1)], vec![item(1), item(-1)], vec![item(i32::MIN)]] {
        let refused = shipping.get_quote(GetQuoteRequest { address: None, items }).await;
        assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    }
    Ok(())
}

#[tokio::test]
async fn a_parcel_gets_a_tracking_id() -> anyhow::Result<()> {
    let (mut shipping, _running) = shipping().await?;
    let address = Address {
        street_address: "1600 Amphitheatre Parkway".to_owned(),
        city: "Mountain View".to_owned(),
        state: "CA".to_owned(),
        ..Address::default()
    };
    let request = ShipOrderRequest { address: Some(address), items: vec![item(1)] };

    let id = shipping.ship_order(request).await?.into_inner().tracking_id;

    assert_eq!((id.len(), &id[2..5], &id[8..11]), (18, "-44", "-22"), "{id}");
    Ok(())
}

#[tokio::test]
async fn a_parcel_without_a_usable_address_is_refused() -> anyhow::Result<()> {
    let (mut shipping, _running) = shipping().await?;
    let endless = Address { street_address: "x".repeat(1 << 20), ..Address::default() };

    for address in [None, Some(endless)] {
        let refused = shipping.ship_order(ShipOrderRequest { address, items: vec![] }).await;
        assert_eq!(refused.unwrap_err().code(), Code::InvalidArgument);
    }
    Ok(())
}

#[tokio::test]
async fn parcel_with_a_key_is_shipped_once_whoever_repeats_it() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    let settings = Env::from([("ORDER_STORE_ADDR", redis.address().as_str())]);
    let mut ids = Vec::new();
    // The second one is the first one after a restart.
    for _ in 0..2 {
        let running = serve(SERVICE, &settings, routes).await?;
        let mut shipping = ShippingServiceClient::new(connect(running.address().unwrap())?);
        let ship = |quantity, key: &str| {
            let address = Some(Address::default());
            let mut request =
                Request::new(ShipOrderRequest { address, items: vec![item(quantity)] });
            request.metadata_mut().insert(IdempotencyKey::METADATA, key.parse().unwrap());
            request
        };
        for _ in 0..2 {
            let answer = shipping.ship_order(ship(1, "a")).await?;
            assert_eq!(answer.metadata().get(IdempotencyKey::METADATA).unwrap(), "a");
            ids.push(answer.into_inner().tracking_id);
        }
        let other = shipping.ship_order(ship(2, "a")).await.unwrap_err();
        assert_eq!(other.code(), Code::FailedPrecondition);
    }
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
    Ok(())
}
