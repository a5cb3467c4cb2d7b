//! Catalogs of one's own: pictures on other hosts, none, and ads that lead nowhere.

use boutique_service::{Env, spawn, spawn_inproc};
use http::header;
use serde_json::json;

use crate::open;

/// Writes a catalog of one-dollar products with these pictures, by id.
fn catalog(pictures: &[(&str, &str)]) -> anyhow::Result<tempfile::NamedTempFile> {
    let product = |(id, picture): &(&str, &str)| {
        json!({
            "id": id, "name": format!("The {id}"), "picture": picture, "categories": ["clothing"],
            "priceUsd": {"currencyCode": "USD", "units": 1},
        })
    };
    let products: Vec<_> = pictures.iter().map(product).collect();
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), json!({ "products": products }).to_string())?;
    Ok(file)
}

#[tokio::test]
async fn pictures_of_other_hosts_are_allowed_page_by_page() -> anyhow::Result<()> {
    let file = catalog(&[
        ("A", "https://cdn.example/a.jpg?x=1&y=2"),
        ("B", "http://media.example:8080/b.jpg"),
        ("C", "data:image/png;base64,iVBORw0KGgo="),
        ("D", "/static/img/products/mug.jpg"),
        ("E", ""),
        ("F", "javascript:alert(1)"),
        ("G", "https://evil.example; script-src */g.jpg"),
    ])?;
    // Pages go without the pictures of what comes late.
    let path = file.path().to_str().unwrap();
    let settings = Env::from([("CATALOG_FILE", path), ("READ_TIMEOUT", "10s")]);
    let (mut visitor, _shop, ..) = open(&settings).await?;

    let home = visitor.get("/").await;
    let policy = home.header(header::CONTENT_SECURITY_POLICY);
    assert!(policy.starts_with("default-src 'self'; object-src 'none'"), "{policy}");
    let sources = "; img-src 'self' data: http://media.example:8080 https://cdn.example";
    assert!(policy.ends_with(sources), "{policy}");
    for src in [
        "src=\"https://cdn.example/a.jpg?x=1&#38;y=2\"",
        "src=\"http://media.example:8080/b.jpg\"",
        "src=\"data:image/png;base64,iVBORw0KGgo=\"",
        "src=\"/static/img/products/mug.jpg\"",
    ] {
        assert!(home.body.contains(src), "{src}");
    }
    assert_eq!(home.body.matches("src=\"/static/img/placeholder.svg\"").count(), 3);
    assert!(!home.body.contains("javascript:") && !home.body.contains("src=\"\""));
    let placeholder = visitor.get("/static/img/placeholder.svg").await;
    assert_eq!(placeholder.header(header::CONTENT_TYPE), "image/svg+xml");

    visitor.add("A", 1).await;
    for path in ["/product/A", "/cart"] {
        let page = visitor.get(path).await;
        let policy = page.header(header::CONTENT_SECURITY_POLICY);
        assert!(
            policy.contains("img-src 'self'") && policy.contains("https://cdn.example"),
            "{path}"
        );
    }
    let order = visitor.check_out(&[]).await;
    assert_eq!(order.status, 200, "{}", order.body);
    // The recommendations are chosen at random, those without pictures of other hosts among them.
    let has_foreign = ["http://media.example:8080/b.jpg", "src=\"data:image"]
        .into_iter()
        .any(|picture| order.body.contains(picture));
    let policy = order.header(header::CONTENT_SECURITY_POLICY);
    assert_eq!(policy.contains("img-src 'self'"), has_foreign, "{policy}");
    Ok(())
}

#[tokio::test]
async fn a_policy_fits_a_header_whatever_the_catalog() -> anyhow::Result<()> {
    let hosts: Vec<_> = (0..500)
        .map(|n| (format!("P{n}"), format!("https://pictures-{n}.shop.example.com/p")))
        .collect();
    let pictures: Vec<_> = hosts.iter().map(|(id, url)| (id.as_str(), url.as_str())).collect();
    let file = catalog(&pictures)?;
    let settings = Env::from([("CATALOG_FILE", file.path().to_str().unwrap())]);
    let (mut visitor, _shop, ..) = open(&settings).await?;

    let home = visitor.get("/").await;
    let policy = home.header(header::CONTENT_SECURITY_POLICY);
    assert!(policy.ends_with("; img-src 'self' data: http: https:"), "{policy}");
    Ok(())
}

#[tokio::test]
async fn ads_lead_to_products_that_are_there() -> anyhow::Result<()> {
    // The built-in ads for clothing lead to the tank top, which is here, or is not.
    for (id, is_shown) in [("OTHER", false), ("66VCHSJNUP", true)] {
        let file = catalog(&[(id, "")])?;
        let settings = Env::from([("CATALOG_FILE", file.path().to_str().unwrap())]);
        let (mut visitor, _shop, ..) = open(&settings).await?;
        for _ in 0..3 {
            let page = visitor.get(&format!("/product/{id}")).await;
            assert_eq!(page.status, 200);
            assert_eq!(page.body.contains("class=\"ad"), is_shown, "{id}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn free_products_and_prices_in_other_currencies_are_sold_right() -> anyhow::Result<()> {
    let list = json!({"products": [
        {"id": "FREE", "name": "Sticker", "priceUsd": {"currencyCode": "USD"}},
        {"id": "EURO", "name": "Import", "priceUsd": {"currencyCode": "EUR", "units": 10}},
    ]});
    let file = tempfile::NamedTempFile::new()?;
    std::fs::write(file.path(), list.to_string())?;
    let settings = Env::from([("CATALOG_FILE", file.path().to_str().unwrap())]);
    let (mut visitor, _shop, ..) = open(&settings).await?;

    let home = visitor.get("/").await;
    assert!(home.body.contains("$0.00") && home.body.contains("$11.30"), "{}", home.body);
    visitor.add("FREE", 3).await;
    visitor.add("EURO", 2).await;
    // 2 x 11.305 + 8.99
    assert!(visitor.get("/cart").await.body.contains("$31.60"));
    let order = visitor.check_out(&[]).await;
    assert_eq!(order.between("total-paid\">", "<"), "$31.60");
    visitor.add("FREE", 1).await;
    visitor.cookies.insert("shop_currency".to_owned(), "EUR".to_owned());
    let order = visitor.check_out(&[]).await;
    assert_eq!(order.between("total-paid\">", "<"), "€7.95");
    Ok(())
}

#[tokio::test]
async fn a_product_that_left_the_catalog_is_removed_and_the_rest_is_ordered() -> anyhow::Result<()>
{
    let file = catalog(&[("STAYS", ""), ("GOES", ""), ("STAYS_TOO", "")])?;
    let settings = Env::from([("CATALOG_FILE", file.path().to_str().unwrap())]);
    let (mut visitor, _shop, mut env, registry) = open(&settings).await?;
    for (id, quantity) in [("STAYS", 2), ("GOES", 1), ("STAYS_TOO", 3)] {
        assert_eq!(visitor.add(id, quantity).await.status, 302);
    }

    // A second catalog without it, and a frontend and a checkout that ask there.
    let file = catalog(&[("STAYS", ""), ("STAYS_TOO", "")])?;
    env.set("CATALOG_FILE", file.path().to_str().unwrap());
    let mut registry = registry.clone();
    let mut behind = Vec::new();
    let routes = productcatalogservice::routes(&env, &registry).await?;
    let spec = productcatalogservice::SERVICE;
    behind.push(spawn_inproc(spec, &mut env, &mut registry, routes).await?);
    let routes = checkoutservice::routes(&env, &registry).await?;
    behind.push(spawn_inproc(checkoutservice::SERVICE, &mut env, &mut registry, routes).await?);
    let routes = frontend::routes(&env, &registry).await?;
    behind.push(spawn(frontend::SERVICE, &env, &registry, routes).await?);
    visitor.base = format!("http://{}", behind[2].address().unwrap());

    let cart = visitor.get("/cart").await;
    assert_eq!(cart.status, 200);
    assert!(cart.body.contains("No longer available") && cart.body.contains("SKU #GOES"));
    assert!(cart.body.contains("$13.99"), "5 pieces and shipping");
    assert!(!cart.body.contains("Place Order"));
    assert_eq!(visitor.check_out(&[]).await.status, 422);

    let removed = visitor.post("/cart/remove", &[("product_id", "GOES")]).await;
    assert_eq!((removed.status.as_u16(), removed.header(header::LOCATION)), (302, "/cart"));
    let cart = visitor.get("/cart").await;
    assert!(!cart.body.contains("No longer available") && cart.body.contains("Cart (5)"));
    for (id, status) in [("NOT_THERE", 302), ("", 422)] {
        assert_eq!(visitor.post("/cart/remove", &[("product_id", id)]).await.status, status);
    }
    let order = visitor.check_out(&[]).await;
    assert_eq!(order.between("total-paid\">", "<"), "$13.99");
    Ok(())
}

#[tokio::test]
async fn many_products_are_shown_page_by_page() -> anyhow::Result<()> {
    let ids: Vec<_> = (0..10_000).map(|number| format!("P{number:05}")).collect();
    let products: Vec<_> = ids.iter().map(|id| (id.as_str(), "")).collect();
    let file = catalog(&products)?;
    let path = file.path().to_str().unwrap();
    let settings = Env::from([("CATALOG_FILE", path), ("READ_TIMEOUT", "10s")]);
    let (mut visitor, _shop, ..) = open(&settings).await?;

    for (path, first, cards, says) in [
        ("/", "P00000", 60, "Page 1 of 167"),
        ("/?page=2", "P00060", 60, "Page 2 of 167"),
        ("/?page=167", "P09960", 40, "Page 167 of 167"),
        ("/category/clothing?page=3", "P00120", 60, "Page 3 of 167"),
        ("/search?q=the&page=2", "P00060", 60, "Page 2 of 167"),
    ] {
        let page = visitor.get(path).await;
        assert_eq!(page.status, 200, "{path}");
        assert_eq!(page.body.matches("class=\"hot-product-card\"").count(), cards, "{path}");
        assert!(page.body.contains(&format!("/product/{first}\"")), "{path}");
        assert!(page.body.contains(says), "{path}");
    }
    let found = visitor.get("/search?q=the&page=2").await;
    assert!(found.body.contains("10000 found for"));
    assert!(found.body.contains("href=\"?q=the&#38;page=3\""), "{}", found.body);
    for path in ["/?page=0", "/?page=168", "/?page=x", "/search?q=the&page=-1"] {
        let page = visitor.get(path).await;
        assert_eq!(page.status, 404, "{path}");
        assert!(page.body.contains("no such page"), "{path}");
    }
    Ok(())
}
