//! Effects of `CACHE_TTL`: pages can be a little late, an order cannot.

use std::fs;

use boutique_test::{Processes, settings};

fn catalog_json(units: u32) -> String {
    format!(
        r#"{{"products": [{{"id": "MUG", "name": "Mug", "description": "", "picture": "/mug.jpg",
            "priceUsd": {{"currencyCode": "USD", "units": {units}}}, "categories": []}}]}}"#
    )
}

#[tokio::test]
async fn an_order_is_charged_at_the_price_of_the_moment_whatever_pages_still_show()
-> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("products.json");
    for (ttl, shown) in [("", "$20.00"), ("1h", "$10.00")] {
        fs::write(&file, catalog_json(10))?;
        let shop = Processes::ten(&settings([
            ("CATALOG_FILE", &file.to_string_lossy()),
            ("CACHE_TTL", ttl),
        ]))
        .await?;
        let mut visitor = shop.visitor.clone();
        for page in ["/", "/product/MUG"] {
            assert!(visitor.get(page).await.body.contains("$10.00"), "{page}");
        }
        visitor.add("MUG", 1).await;
        assert!(visitor.get("/cart").await.body.contains("$18.99"));

        fs::write(&file, catalog_json(20))?;
        let catalog = shop.all.iter().find(|process| process.name == "productcatalogservice");
        catalog.unwrap().signal("-USR1");
        catalog.unwrap().says("turned reading the catalog on every call on").await?;

        for page in ["/", "/product/MUG"] {
            assert!(visitor.get(page).await.body.contains(shown), "{page} with {ttl:?}");
        }
        let order = visitor.check_out(&[]).await;
        assert_eq!(order.between("total-paid\">", "<"), "$28.99", "with {ttl:?}");
        shop.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn pages_outlive_what_they_are_cached_from() -> anyhow::Result<()> {
    for (ttl, is_whole) in [("", false), ("1h", true)] {
        let mut shop = Processes::ten(&settings([("CACHE_TTL", ttl)])).await?;
        let mut visitor = shop.visitor.clone();
        assert_eq!(visitor.get("/product/OLJCESPC7Z").await.status, 200);
        let currency = shop.all.iter().position(|process| process.name == "currencyservice");
        let currency = shop.all.remove(currency.unwrap());
        currency.signal("-TERM");
        currency.wait().await?;
        let page = visitor.get("/product/OLJCESPC7Z").await;
        assert_eq!(page.status, 200, "with {ttl:?}");
        assert_eq!(!page.body.contains("class=\"degraded\""), is_whole, "with {ttl:?}");
        // The money path asks, and is told that nobody is there.
        visitor.add("OLJCESPC7Z", 1).await;
        assert_eq!(visitor.check_out(&[]).await.status, 503, "with {ttl:?}");
        shop.stop().await?;
    }
    Ok(())
}
