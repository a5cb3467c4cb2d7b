//! Catalogs with names of 10,000 characters, names in any script, and 10,000 products.

use boutique_service::Env;
use fantoccini::Locator;
use serde_json::json;

use super::{browser, click, driver, look, open_with, says};

/// The layout shift since the page began, as browsers count it.
const SHIFT: &str = "
    const done = arguments[0];
    let shift = 0;
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) shift += entry.value;
    }).observe({ type: 'layout-shift', buffered: true });
    setTimeout(() => done(shift), 100);";

/// Puts so many products into the cart, one after the other, the seventh of which is there.
const FILL: &str = "
    const [count, done] = arguments;
    const add = async () => {
      for (let number = 7; number < 7 + count; number += 1) {
        const product_id = `P${String(number).padStart(5, '0')}`;
        if (number === 7) { continue; }
        const body = new URLSearchParams({ product_id, quantity: 1 });
        const answer = await fetch('/cart', { method: 'POST', body, redirect: 'manual' });
        if (answer.type !== 'opaqueredirect') { return answer.status; }
      }
      return count;
    };
    add().then(done, (error) => done(String(error)));";

#[tokio::test]
async fn names_of_any_length_and_script_keep_the_layout() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let names = [
        "x".repeat(10_000),
        "word ".repeat(2_000),
        "\u{1f9e6}".repeat(500),
        "\u{5d0}\u{5e8}\u{5d5}\u{5da} \u{5de}\u{5d0}\u{5d5}\u{5d3} ".repeat(50),
        "<script>alert(1)</script> & \"quoted\"".to_owned(),
    ];
    let product = |number: usize| {
        let (name, units) = match names.get(number) {
            Some(name) => (name.clone(), 999_999_999_999_999_999_i64),
            None => (format!("Product {number}"), 1),
        };
        json!({
            "id": format!("P{number:05}"), "name": name, "description": name,
            "picture": "/static/img/products/mug.jpg", "categories": ["all"],
            "priceUsd": { "currencyCode": "USD", "units": units },
        })
    };
    let catalog = json!({ "products": (0..10_000).map(product).collect::<Vec<_>>() });
    let file = folder.path().join("catalog.json");
    std::fs::write(&file, catalog.to_string())?;
    let path = file.to_str().unwrap_or_default();
    let env = Env::from([("CATALOG_FILE", path), ("READ_TIMEOUT", "10s")]);
    let (base, _open) = open_with(env).await?;
    let driver = driver(folder.path()).await?;

    for width in [1200, 500] {
        let client = browser(&driver, folder.path(), width, false).await?;
        client.goto(&base).await?;
        says(&client, "Page 1 of 167").await?;
        look(&client, &format!("hostile-{width}-home")).await?;
        let shift = client.execute_async(SHIFT, vec![]).await?.as_f64().unwrap_or(1.0);
        anyhow::ensure!(shift < 0.01, "the page moves while it loads: {shift}");
        click(&client, ".pages a[rel=next]").await?;
        says(&client, "Page 2 of 167").await?;
        for number in 0..names.len() {
            client.goto(&format!("{base}product/P{number:05}")).await?;
            look(&client, &format!("hostile-{width}-{number}")).await?;
        }
        client.goto(&format!("{base}product/P00007")).await?;
        click(&client, "form[action='/cart'] button").await?;
        says(&client, "Cart (1)").await?;
        look(&client, &format!("hostile-{width}-cart")).await?;
        // As many lines as a cart has room for.
        let filled = client.execute_async(FILL, vec![json!(500)]).await?;
        anyhow::ensure!(filled == json!(500), "{filled}");
        client.goto(&format!("{base}cart")).await?;
        says(&client, "Cart (500)").await?;
        look(&client, &format!("hostile-{width}-500-lines")).await?;
        let lines = client.find_all(Locator::Css(".cart-summary-item-row")).await?.len();
        anyhow::ensure!(lines == 500, "{lines} lines");
        client.goto(&format!("{base}search?q=product")).await?;
        says(&client, "found for").await?;
        anyhow::ensure!(client.find_all(Locator::Css(".hot-product-card")).await?.len() == 60);
        client.close().await?;
    }
    Ok(())
}
