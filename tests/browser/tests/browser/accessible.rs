//! Every page for everybody: axe-core finds nothing to complain of, on a desk and on a phone, in light and in dark.

use std::path::PathBuf;

use anyhow::{Context as _, ensure};
use boutique_service::Env;
use fantoccini::Client;
use serde_json::json;

use super::{browser, click, driver, open_shop, says, send_mistake};

/// The source of axe-core, where `tests/delivery/install` puts it.
pub(crate) fn axe() -> anyhow::Result<String> {
    let env = Env::from_process();
    let home = || env.get("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = env.get("XDG_CACHE_HOME").map(PathBuf::from).or_else(home).context("no HOME")?;
    let file = cache.join("boutique-delivery/axe/axe_playwright_python/axe.min.js");
    std::fs::read_to_string(file).context("no axe-core: tests/delivery/install installs it")
}

/// Insists that the page that is open has no violation of any rule.
pub(crate) async fn assert_accessible(
    client: &Client,
    axe: &str,
    page: &str,
) -> anyhow::Result<()> {
    client.execute(axe, vec![]).await?;
    let run = "
        const done = arguments[0];
        axe.run(document).then((found) => done(found.violations.map(
          (rule) => `${rule.id}: ${rule.help}: ${rule.nodes.map((node) => node.html).join(' ')}`)));";
    let found = client.execute_async(run, vec![]).await?;
    ensure!(found == json!([]), "{page}: {found:#}");
    Ok(())
}

/// Opens every page once, and looks at each.
async fn look_around(client: &Client, base: &str, axe: &str, how: &str) -> anyhow::Result<()> {
    let mut problems = Vec::new();
    for (path, text) in [
        ("", "Hot Products"),
        ("product/OLJCESPC7Z", "Sunglasses"),
        ("search?q=candle", "found for"),
        ("search?q=zeppelin", "Nothing found"),
        ("cart", "Your shopping cart is empty!"),
        ("orders", "Your orders"),
        ("product/NOPE", "Uh, oh!"),
        ("styleguide", "Style guide"),
        ("topology", "behind the shop"),
        ("topology?service=cartservice", "Operation"),
    ] {
        client.goto(&format!("{base}{path}")).await?;
        says(client, text).await?;
        problems.extend(assert_accessible(client, axe, &format!("{how} /{path}")).await.err());
    }
    client.goto(&format!("{base}product/OLJCESPC7Z")).await?;
    click(client, "form[action='/cart'] button").await?;
    says(client, "Cart (1)").await?;
    problems.extend(assert_accessible(client, axe, &format!("{how} cart")).await.err());
    send_mistake(client).await?;
    problems.extend(assert_accessible(client, axe, &format!("{how} refused order")).await.err());
    client.goto(&format!("{base}cart")).await?;
    click(client, ".cart-checkout-form button").await?;
    says(client, "Your order is complete!").await?;
    problems.extend(assert_accessible(client, axe, &format!("{how} order")).await.err());
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    ensure!(problems.is_empty(), "{}", problems.join("\n"));
    Ok(())
}

#[tokio::test]
async fn every_page_is_accessible() -> anyhow::Result<()> {
    let axe = axe()?;
    let folder = tempfile::tempdir()?;
    let (base, _open) = open_shop().await?;
    let driver = driver(folder.path()).await?;
    for (width, is_dark) in [(1200, false), (1200, true), (320, false), (320, true)] {
        let client = browser(&driver, folder.path(), width, is_dark).await?;
        let how = format!("{width} px{}", if is_dark { ", dark" } else { "" });
        let looked = look_around(&client, &base, &axe, &how).await;
        client.close().await?;
        looked?;
    }
    Ok(())
}
