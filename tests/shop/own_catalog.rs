//! Catalogs of one's own: pictures on other hosts, none, and ads that lead nowhere.

use boutique_service::Env;
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
    let settings = Env::from([("CATALOG_FILE", file.path().to_str().unwrap())]);
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
    assert!(order.header(header::CONTENT_SECURITY_POLICY).contains("img-src 'self'"));
    Ok(())
}

#[tokio::test]
async fn a_policy_fits_a_header_whatever_the_catalog() -> anyhow::Result<()> {
    let hosts: Vec<_> =
        (0..500).map(|n| (format!("P{n}"), format!("https://h{n}.example/p"))).collect();
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
