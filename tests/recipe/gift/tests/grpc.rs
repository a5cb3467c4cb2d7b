//! giftservice over its own wire.

use boutique_proto::ext::WriteCardRequest;
use boutique_proto::ext::gifts_client::GiftsClient;
use boutique_service::Env;
use boutique_test::loopback;
use giftservice::{SERVICE, routes};

#[tokio::test]
async fn cards_have_a_name() -> anyhow::Result<()> {
    let (channel, _running) = loopback(SERVICE, &Env::default(), routes).await?;
    let mut gifts = GiftsClient::new(channel);
    let request = |name: &str| WriteCardRequest { name: name.to_owned() };
    assert_eq!(gifts.write_card(request("Jo")).await?.into_inner().text, "For Jo");
    let refused = gifts.write_card(request("")).await.err().map(|status| status.code());
    assert_eq!(refused, Some(tonic::Code::InvalidArgument));
    Ok(())
}
