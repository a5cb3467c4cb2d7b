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
    let env = Env::from([("PORT", "0"), ("CATALOG_FILE", path), ("READ_TIMEOUT", "10s")]);
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
        client.goto(&format!("{base}search?q=product")).await?;
        says(&client, "found for").await?;
        anyhow::ensure!(client.find_all(Locator::Css(".hot-product-card")).await?.len() == 60);
        client.close().await?;
    }
    Ok(())
}
