//! shippingservice over its own wire.

use boutique_proto::shipping_service_client::ShippingServiceClient;
use boutique_proto::{Address, CartItem, GetQuoteRequest, Money, ShipOrderRequest};
use boutique_service::{Env, ServerHandle};
use boutique_test::loopback;
use shippingservice::{SERVICE, routes};
use tonic::Code;
use tonic::transport::Channel;

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
