//! A person shops: opens the page, chooses a currency, looks at a product, fills the cart, and
//! orders. Every picture must be there, and nothing may break the security policy.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use boutique_service::{Env, Registry};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// Chromedriver on a free port, and where it writes what Chromium tells it.
struct Driver {
    _process: Child,
    url: String,
    log: PathBuf,
}

async fn driver(folder: &Path) -> anyhow::Result<Driver> {
    let log = folder.join("chromedriver.log");
    let mut process = Command::new("chromedriver")
        .args(["--port=0", "--verbose"])
        .arg(format!("--log-path={}", log.display()))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start chromedriver; the README's test command installs it")?;
    let mut lines = BufReader::new(process.stdout.take().context("no stdout")?).lines();
    let port = loop {
        let line = lines.next_line().await?.context("chromedriver said no port")?;
        if let Some((_, port)) = line.split_once("started successfully on port ") {
            break port.trim_end_matches('.').to_owned();
        }
    };
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok(Driver { _process: process, url: format!("http://127.0.0.1:{port}"), log })
}

async fn browser(driver: &Driver, folder: &Path, width: u32) -> anyhow::Result<Client> {
    let profile = folder.join(format!("profile-{width}"));
    let arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        &format!("--window-size={width},1200"),
        &format!("--user-data-dir={}", profile.display()),
    ];
    let capabilities = json!({ "goog:chromeOptions": { "args": arguments } });
    let Value::Object(capabilities) = capabilities else { anyhow::bail!("not an object") };
    let mut builder = ClientBuilder::new(HttpConnector::new());
    Ok(builder.capabilities(capabilities).connect(&driver.url).await?)
}

/// Waits until the page says this.
async fn says(client: &Client, text: &str) -> anyhow::Result<()> {
    let xpath = format!("//*[contains(normalize-space(text()), \"{text}\")]");
    let wait = client.wait().at_most(Duration::from_secs(30));
    wait.for_element(Locator::XPath(&xpath)).await.with_context(|| format!("never says {text}"))?;
    Ok(())
}

/// Insists on every picture, scrolled to where a lazy one is loaded, and keeps a picture of it all.
async fn look(client: &Client, name: &str) -> anyhow::Result<()> {
    let broken = "
        const done = arguments[0];
        const pictures = [...document.images];
        pictures.forEach((picture) => { picture.loading = 'eager'; });
        Promise.allSettled(pictures.map((picture) => picture.decode()))
          .then(() => done(pictures.filter((p) => p.naturalWidth === 0).map((p) => p.src)));";
    let broken = client.execute_async(broken, vec![]).await?;
    anyhow::ensure!(broken == json!([]), "{name} has broken pictures: {broken}");
    let wide = "return document.documentElement.scrollWidth <= window.innerWidth";
    anyhow::ensure!(client.execute(wide, vec![]).await? == json!(true), "{name} is too wide");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join(format!("{name}.png")), client.screenshot().await?)?;
    Ok(())
}

async fn click(client: &Client, css: &str) -> anyhow::Result<()> {
    let wait = client.wait().at_most(Duration::from_secs(30));
    let element = wait.for_element(Locator::Css(css)).await.with_context(|| css.to_owned())?;
    element.click().await.with_context(|| css.to_owned())
}

async fn shop(client: &Client, base: &str, name: &str) -> anyhow::Result<()> {
    client.goto(base).await?;
    says(client, "Hot Products").await?;
    look(client, &format!("{name}-1-home")).await?;

    click(client, "#currency_form option[value=EUR]").await?;
    says(client, "€17.68").await?;
    click(client, ".hot-product-card a[href='/product/OLJCESPC7Z']").await?;
    says(client, "You May Also Like").await?;
    look(client, &format!("{name}-2-product")).await?;

    click(client, "#quantity option:nth-child(2)").await?;
    click(client, "form[action='/cart'] button").await?;
    says(client, "Cart (2)").await?;
    says(client, "€43.31").await?;
    look(client, &format!("{name}-3-cart")).await?;

    // Refused by the shop, not by the browser; then corrected.
    let mistake = "document.querySelector('.cart-checkout-form').noValidate = true;
        document.getElementById('email').value = 'jo at example'";
    client.execute(mistake, vec![]).await?;
    click(client, ".cart-checkout-form button").await?;
    says(client, "Your order was not placed.").await?;
    says(client, "Enter an address such as").await?;
    look(client, &format!("{name}-4-refused")).await?;
    for (field, text) in [
        ("email", "jo@example.com"),
        ("credit_card_number", "4432 8015 6152 0454"),
        ("credit_card_cvv", "672"),
    ] {
        let field = client.find(Locator::Id(field)).await?;
        field.clear().await?;
        field.send_keys(text).await?;
    }
    click(client, ".cart-checkout-form button").await?;
    says(client, "Your order is complete!").await?;
    says(client, "€43.31").await?;
    look(client, &format!("{name}-5-order")).await?;

    click(client, "a[href='/orders']").await?;
    says(client, "Your orders").await?;
    look(client, &format!("{name}-6-orders")).await?;
    click(client, "a[href^='/orders/']").await?;
    says(client, "Your order is complete!").await?;

    client.goto(&format!("{base}product/NOPE")).await?;
    says(client, "Uh, oh!").await?;
    look(client, &format!("{name}-7-error")).await?;
    Ok(())
}

#[tokio::test]
async fn a_person_shops_on_a_desk_and_on_a_phone() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut env = Env::from([("PORT", "0")]);
    let open = boutique::open(&mut env, &mut Registry::default()).await?;
    let base = format!("http://{}/", open.address().context("no address")?);
    let driver = driver(folder.path()).await?;

    for (name, width) in [("desk", 1200), ("phone", 500)] {
        let client = browser(&driver, folder.path(), width).await?;
        let shopped = shop(&client, &base, name).await;
        client.close().await?;
        shopped?;
    }

    let told = std::fs::read_to_string(&driver.log)?;
    anyhow::ensure!(told.contains("DevTools WebSocket Event"), "the log tells nothing");
    for complaint in ["Content Security Policy directive", "Refused to", "ERR_CONNECTION"] {
        anyhow::ensure!(!told.contains(complaint), "the browser complains: {complaint}");
    }
    Ok(())
}
