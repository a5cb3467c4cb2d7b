//! Somebody watches the shop on a desk, on a phone and on a wall: the picture is live, and stays usable while it changes.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use boutique_service::Env;
use boutique_test::Visitor;
use fantoccini::{Client, Locator};
use serde_json::{Value, json};
use tokio_util::task::AbortOnDropHandle;

use super::{WINDOWS, browser, click, driver, look, open_with, pictures, says};

/// The smallest letters of a picture that is as wide as a screen, as a share of that width: on a screen of 1.2 m, 14 mm,
/// which is read from more than three meters.
const MIN_LETTERS: f64 = 0.012;

/// Buys in the shop until it is dropped.
fn buy(base: &str) -> AbortOnDropHandle<()> {
    let base = base.trim_end_matches('/').to_owned();
    AbortOnDropHandle::new(tokio::spawn(async move {
        loop {
            let mut visitor = Visitor::new(base.clone());
            for path in ["/", "/product/OLJCESPC7Z", "/cart", "/product/66VCHSJNUP"] {
                visitor.get(path).await;
            }
            visitor.add("OLJCESPC7Z", 1).await;
            visitor.check_out(&[]).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }))
}

/// Waits until calls of this service are shown.
async fn until_calls(client: &Client, service: &str) -> anyhow::Result<()> {
    let rate = format!(
        "//*[@id='box-{service}']//*[@class='rate' and contains(text(), '/s') and text() != '0/s']"
    );
    let wait = client.wait().at_most(Duration::from_secs(30));
    wait.for_element(Locator::XPath(&rate)).await.context("no calls")?;
    Ok(())
}

/// Waits for the next picture.
async fn until_next(client: &Client) -> anyhow::Result<()> {
    let next = "
        const done = arguments[0];
        new MutationObserver((_, observer) => { observer.disconnect(); done(); })
          .observe(document.getElementById('topology'), { childList: true });";
    client.execute_async(next, vec![]).await?;
    Ok(())
}

async fn focused(client: &Client) -> anyhow::Result<Value> {
    Ok(client.execute("return document.activeElement.id", vec![]).await?)
}

async fn watch(client: &Client, base: &str, name: &str) -> anyhow::Result<()> {
    client.goto(&format!("{base}topology")).await?;
    says(client, "One process serves all of them.").await?;
    says(client, "slow-shipping").await?;
    client.find(Locator::Css("#box-shippingservice.faulty")).await?;
    until_calls(client, "emailservice").await?;
    look(client, &format!("{name}-topology")).await?;

    // A keyboard stays where it is while the picture changes.
    client.execute("document.getElementById('box-cartservice').focus()", vec![]).await?;
    until_next(client).await?;
    ensure!(focused(client).await? == json!("box-cartservice"), "the focus is lost");
    let open = "document.activeElement.dispatchEvent(new MouseEvent('click', { bubbles: true }))";
    client.execute(open, vec![]).await?;
    says(client, "hipstershop.CartService/GetCart").await?;
    client.find(Locator::Css("#box-cartservice.chosen[aria-current]")).await?;
    look(client, &format!("{name}-topology-cart")).await?;
    until_next(client).await?;
    says(client, "hipstershop.CartService/GetCart").await?;

    click(client, "#topology-pause").await?;
    says(client, "Paused").await?;
    click(client, "#topology-pause").await?;
    until_next(client).await?;
    let names = ["topology", "topology-cart"].map(|page| format!("{name}-{page}"));
    pictures::compare(client, &names.each_ref().map(String::as_str)).await
}

#[tokio::test]
async fn topology_is_watched_on_a_desk_on_a_phone_and_on_a_wall() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let fault = "faults: [{name: slow-shipping, service: shippingservice, delay: 30ms}]";
    let (base, _open) = open_with(Env::from([("FAULTS", fault)])).await?;
    let driver = driver(folder.path()).await?;
    let buyer = buy(&base);
    for (name, width, is_dark) in WINDOWS {
        let client = browser(&driver, folder.path(), width, is_dark).await?;
        let watched = watch(&client, &base, name).await;
        client.close().await?;
        watched?;
    }

    drop(buyer);
    let client = browser(&driver, folder.path(), 1920, true).await?;
    client.goto(&format!("{base}topology")).await?;
    click(&client, "#topology-full").await?;
    until_next(&client).await?;
    let letters = "
        if (document.fullscreenElement?.id !== 'topology') { return 'it is not full screen'; }
        const sizes = [...document.querySelectorAll('#topology svg text')].map((text) =>
          parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a);
        return Math.min(...sizes) / window.innerWidth;";
    let letters = client.execute(letters, vec![]).await?;
    client.close().await?;
    ensure!(letters.as_f64().is_some_and(|share| share >= MIN_LETTERS), "{letters}");

    let told = std::fs::read_to_string(&driver.log)?;
    for complaint in ["Content Security Policy directive", "Refused to"] {
        ensure!(!told.contains(complaint), "the browser complains: {complaint}");
    }
    Ok(())
}
