//! adservice over its own wire.

use adservice::{SERVICE, routes};
use boutique_proto::ad_service_client::AdServiceClient;
use boutique_proto::{Ad, AdRequest};
use boutique_service::{Env, ServerHandle};
use boutique_test::loopback;
use tonic::transport::Channel;

async fn ads() -> anyhow::Result<(AdServiceClient<Channel>, Option<ServerHandle>)> {
    let (channel, running) = loopback(SERVICE, &Env::default(), routes).await?;
    Ok((AdServiceClient::new(channel), running))
}

async fn shown(
    ads: &mut AdServiceClient<Channel>,
    context_keys: &[&str],
) -> anyhow::Result<Vec<Ad>> {
    let context_keys = context_keys.iter().map(|key| (*key).to_owned()).collect();
    Ok(ads.get_ads(AdRequest { context_keys }).await?.into_inner().ads)
}

fn ad(redirect_url: &str, text: &str) -> Ad {
    Ad { redirect_url: redirect_url.to_owned(), text: text.to_owned() }
}

#[tokio::test]
async fn a_category_shows_its_own_ads() -> anyhow::Result<()> {
    let (mut ads, _running) = ads().await?;

    assert_eq!(
        shown(&mut ads, &["decor"]).await?,
        [ad("/product/0PUK6V6EV0", "Candle holder for sale. 30% off.")]
    );
    assert_eq!(
        shown(&mut ads, &["kitchen", "hair"]).await?,
        [
            ad("/product/9SIQT8TOJO", "Bamboo glass jar for sale. 10% off."),
            ad("/product/6E92ZMYYFZ", "Mug for sale. Buy two, get third one for free"),
            ad("/product/2ZYFJ3GM2N", "Hairdryer for sale. 50% off."),
        ]
    );
    Ok(())
}

#[tokio::test]
async fn no_category_or_an_unknown_one_shows_two_random_ads() -> anyhow::Result<()> {
    let (mut ads, _running) = ads().await?;

    for keys in [&[][..], &["submarines"]] {
        assert_eq!(shown(&mut ads, keys).await?.len(), 2);
    }
    Ok(())
}
