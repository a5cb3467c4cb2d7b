//! Somebody watches the shop on a desk, on a phone and on a wall: the picture is live, and stays usable while it changes.

use anyhow::ensure;
use boutique_service::Env;
use fantoccini::{Client, Locator};
use serde_json::{Value, json};

use super::{browser, click, driver, look, open_with, says};

/// The smallest letters of a picture that is as wide as a screen, as a share of that width: on a screen of 1.2 m, 14 mm,
/// which is read from more than three meters.
const MIN_LETTERS: f64 = 0.012;

/// Waits until the shop has had calls, as the picture has it; pages are asked for meanwhile.
async fn until_calls(client: &Client) -> anyhow::Result<()> {
    let has_calls = "
        const [box, done] = arguments;
        const ask = () => {
          const rate = document.querySelector(`#box-${box} .rate`).textContent;
          if (!['0/s', '\u{2013}'].includes(rate)) { done(rate); return; }
          fetch('/', { credentials: 'omit' }).then(() => setTimeout(ask, 100));
        };
        ask();";
    let rate = client.execute_async(has_calls, vec![json!("productcatalogservice")]).await?;
    ensure!(rate.as_str().is_some_and(|rate| rate.ends_with("/s")), "{rate}");
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
    until_calls(client).await?;
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
    Ok(())
}

#[tokio::test]
async fn topology_is_watched_on_a_desk_on_a_phone_and_on_a_wall() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let fault = "faults: [{name: slow-shipping, service: shippingservice, delay: 30ms}]";
    let (base, _open) = open_with(Env::from([("PORT", "0"), ("FAULTS", fault)])).await?;
    let driver = driver(folder.path()).await?;
    for (name, width, is_dark) in
        [("desk", 1200, false), ("dark", 1200, true), ("phone", 500, false)]
    {
        let client = browser(&driver, folder.path(), width, is_dark).await?;
        let watched = watch(&client, &base, name).await;
        client.close().await?;
        watched?;
    }

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
