//! Pages, cookies and switches: what upstream's visitors, scripts and probes rely on.

use boutique_service::Env;
use http::header;
use http_body_util::Full;

use crate::open;

#[tokio::test]
async fn the_home_page_shows_every_product_with_its_price() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;

    let page = visitor.get("/").await;

    assert_eq!(page.status, 200);
    assert_eq!(page.header(header::CONTENT_TYPE), "text/html; charset=utf-8");
    assert_eq!(page.body.matches("class=\"hot-product-card\"").count(), 9);
    for hook in [
        "<main role=\"main\" class=\"home\">",
        "Hot Products",
        "hot-product-card-name\">Salt &#38; Pepper Shakers<",
        "hot-product-card-price\">$109.99<",
        "href=\"/product/OLJCESPC7Z\"",
        "src=\"/static/img/products/watch.jpg\"",
        "id=\"currency_form\"",
        "<option value=\"USD\" selected=\"selected\">",
        "class=\"navbar-brand\"",
        "class=\"cart-link\"",
        "<div class=\"local\">",
        "<span class=\"platform-flag\">local</span>",
        "session-id: ",
        "request-id: ",
    ] {
        assert!(page.body.contains(hook), "{hook}");
    }
    let codes: Vec<_> = page.body.matches("<option value=\"").collect();
    assert_eq!(codes.len(), 6);
    assert_eq!(page.body.matches("</html>").count(), 1);
    Ok(())
}

#[tokio::test]
async fn a_product_page_sells_recommends_and_advertises() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;

    let page = visitor.get("/product/0PUK6V6EV0").await;

    for hook in [
        "class=\"h-product\"",
        "class=\"product-image\"",
        "<h2 role=\"heading\" aria-level=\"1\">Candle Holder</h2>",
        "<p class=\"product-price\">$18.99</p>",
        "name=\"product_id\" value=\"0PUK6V6EV0\"",
        "<select name=\"quantity\" id=\"quantity\"",
        "<option>10</option>",
        "Add To Cart",
        "You May Also Like",
        "<strong>Ad</strong>",
        "href=\"/product/0PUK6V6EV0\" rel=\"nofollow noopener noreferrer\" target=\"_blank\">Candle \
         holder for sale. 30% off.</a>",
    ] {
        assert!(page.body.contains(hook), "{hook}");
    }
    assert_eq!(page.body.matches("class=\"col-md-3\"").count(), 4);
    assert!(!page.body.contains("product-packaging"));
    Ok(())
}

#[tokio::test]
async fn a_cart_is_filled_shown_and_emptied() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;
    assert!(visitor.get("/cart").await.body.contains("Your shopping cart is empty!"));

    let added = visitor.add("6E92ZMYYFZ", 2).await;
    assert_eq!((added.status.as_u16(), added.header(header::LOCATION)), (302, "/cart"));
    assert_eq!(added.body, "");
    visitor.add("OLJCESPC7Z", 1).await;
    visitor.add("6E92ZMYYFZ", 1).await;

    let page = visitor.get("/cart").await;
    for hook in [
        "Cart (4)",
        "<span class=\"cart-size-circle\">4</span>",
        "SKU #6E92ZMYYFZ",
        "Quantity: 3",
        "<strong>$26.97</strong>",
        "<strong>$19.99</strong>",
        "cart-summary-shipping-row",
        "<span>$8.99</span>",
        "cart-summary-total-row",
        "<span>$55.95</span>",
        "class=\"cart-checkout-form\"",
        "id=\"email\" name=\"email\" value=\"someone@example.com\"",
        "value=\"1600 Amphitheatre Parkway\"",
        "value=\"4432801561520454\"",
        "<option value=\"12\">December</option>",
    ] {
        assert!(page.body.contains(hook), "{hook}");
    }
    assert_eq!(page.body.matches("selected=\"selected\"").count(), 2);

    let emptied = visitor.post("/cart/empty", &[]).await;
    assert_eq!((emptied.status.as_u16(), emptied.header(header::LOCATION)), (302, "/"));
    assert!(visitor.get("/cart").await.body.contains("Your shopping cart is empty!"));
    Ok(())
}

#[tokio::test]
async fn a_currency_is_chosen_and_kept() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;

    for (code, price) in [("EUR", "€7.95"), ("JPY", "¥1005.16"), ("CHF", "$9.03")] {
        let set = visitor.post("/setCurrency", &[("currency_code", code)]).await;
        assert_eq!((set.status.as_u16(), set.header(header::LOCATION)), (302, "/"), "{code}");
        let page = visitor.get("/product/6E92ZMYYFZ").await;
        assert_eq!(page.between("product-price\">", "<"), price);
    }
    Ok(())
}

#[tokio::test]
async fn a_redirect_leads_back_only_to_our_own_pages() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;
    let own = format!("{}/product/OLJCESPC7Z?x=1", visitor.base);
    for (referer, location) in [
        (own.as_str(), "/product/OLJCESPC7Z?x=1"),
        ("http://evil.example/phish", "/"),
        ("//evil.example/phish", "/"),
        ("javascript:alert(1)", "/"),
        ("nonsense", "/"),
    ] {
        let request = visitor
            .request("POST", "/setCurrency")
            .header("referer", referer)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Full::from("currency_code=EUR"))?;
        assert_eq!(visitor.send(request).await.header(header::LOCATION), location, "{referer}");
    }
    Ok(())
}

#[tokio::test]
async fn a_session_cookie_lasts_two_days_and_is_for_us_alone() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;

    let first = visitor.get("/product/OLJCESPC7Z").await;
    let cookie = first.set_cookies()[0].to_owned();
    assert!(cookie.starts_with("shop_session-id="), "{cookie}");
    assert!(cookie.ends_with("; Path=/; Max-Age=172800; HttpOnly; SameSite=Lax"), "{cookie}");
    let session = visitor.cookies["shop_session-id"].clone();
    assert_eq!(session.len(), 36);
    let second = visitor.get("/").await;
    assert!(second.set_cookies().is_empty());
    assert!(!second.body.contains(&session), "the page shows a hash only");
    let hash = |page: &boutique_test::Answer| page.between("session-id: ", " ").to_owned();
    assert_eq!((hash(&first), hash(&first).len()), (hash(&second), 12));

    for path in ["/_healthz", "/robots.txt", "/static/styles/styles.css"] {
        visitor.cookies.clear();
        assert!(visitor.get(path).await.set_cookies().is_empty(), "{path}");
    }
    visitor.cookies.insert("shop_session-id".to_owned(), "x-readiness-probe".to_owned());
    assert!(visitor.get("/").await.set_cookies().is_empty());
    Ok(())
}

#[tokio::test]
async fn logging_out_expires_the_cookies_of_the_shop() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;
    visitor.get("/").await;
    visitor.cookies.insert("shop_currency".to_owned(), "EUR".to_owned());
    for other in 0..500 {
        visitor.cookies.insert(format!("a{other}"), String::new());
    }

    let out = visitor.get("/logout").await;

    assert_eq!((out.status.as_u16(), out.header(header::LOCATION)), (302, "/"));
    let cookies = out.set_cookies();
    assert_eq!(cookies.len(), 2);
    assert!(cookies.iter().all(|cookie| cookie.contains("=; ") && cookie.contains("Max-Age=0")));
    Ok(())
}

#[tokio::test]
async fn probes_crawlers_and_scripts_find_their_paths() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;

    let health = visitor.get("/_healthz").await;
    assert_eq!((health.status.as_u16(), &*health.body), (200, "ok"));
    let robots = visitor.get("/robots.txt").await;
    assert_eq!(robots.body, "User-agent: *\nDisallow: /");
    assert!(robots.header(header::CONTENT_TYPE).starts_with("text/plain"));

    let meta = visitor.get("/product-meta/LS4PSXUNUM").await;
    assert_eq!(meta.header(header::CONTENT_TYPE), "application/json");
    let meta: serde_json::Value = serde_json::from_str(&meta.body)?;
    assert_eq!(meta["name"], "Salt & Pepper Shakers");
    assert_eq!(meta["price_usd"]["units"], 18);
    assert_eq!(meta["price_usd"]["nanos"], 490_000_000);
    Ok(())
}

#[tokio::test]
async fn every_picture_and_style_of_every_page_is_there() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;
    visitor.add("OLJCESPC7Z", 1).await;

    for path in ["/", "/product/OLJCESPC7Z", "/cart"] {
        let page = visitor.get(path).await;
        let links = page.body.split(['"']).filter(|text| text.starts_with("/static/"));
        let links: Vec<_> = links.map(str::to_owned).collect();
        assert!(links.len() > 5, "{path}");
        for link in links {
            let asset = visitor.get(&link).await;
            assert_eq!(asset.status, 200, "{link}");
            assert_ne!(asset.header(header::CONTENT_TYPE), "application/octet-stream", "{link}");
        }
    }
    for upstreams in ["styles/cart.css", "styles/order.css", "styles/bot.css", "favicon-cymbal.ico"]
    {
        assert_eq!(visitor.get(&format!("/static/{upstreams}")).await.status, 200, "{upstreams}");
    }
    Ok(())
}

#[tokio::test]
async fn heads_ranges_and_known_tags_are_answered_right() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;
    let picture = "/static/img/products/mug.jpg";

    let full = visitor.get(picture).await;
    let tag = full.header(header::ETAG).to_owned();
    for (known, status) in
        [(tag.as_str(), 304), (&format!("\"x\", W/{tag}"), 304), ("*", 304), ("\"x\"", 200)]
    {
        let request = visitor.request("GET", picture).header("if-none-match", known);
        let answer = visitor.send(request.body(Full::default())?).await;
        assert_eq!(answer.status, status, "{known}");
        assert_eq!(answer.body.is_empty(), status == 304, "{known}");
    }
    let request = visitor.request("GET", picture).header("range", "bytes=0-9");
    assert_eq!(visitor.send(request.body(Full::default())?).await.body.len(), full.body.len());
    for path in ["/", "/product/OLJCESPC7Z", "/cart", picture] {
        let request = visitor.request("HEAD", path).body(Full::default())?;
        let answer = visitor.send(request).await;
        assert_eq!((answer.status.as_u16(), &*answer.body), (200, ""), "{path}");
        assert_ne!(answer.header(header::CONTENT_LENGTH), "0", "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;
    for path in ["/", "/cart", "/static/styles/styles.css", "/nothing", "/product/NOPE"] {
        let answer = visitor.get(path).await;
        let policy = answer.header(header::CONTENT_SECURITY_POLICY);
        assert!(policy.starts_with("default-src 'self'; object-src 'none'"), "{path}");
        assert_eq!(answer.header(header::X_CONTENT_TYPE_OPTIONS), "nosniff", "{path}");
        assert_eq!(answer.header(header::X_FRAME_OPTIONS), "DENY", "{path}");
        assert_eq!(answer.header(header::REFERRER_POLICY), "same-origin", "{path}");
    }
    let page = visitor.get("/").await;
    for inline in ["style=\"", "onclick", "onchange", "<script>", "http://", "//cdn"] {
        assert!(!page.body.contains(inline), "{inline}");
    }
    Ok(())
}

#[tokio::test]
async fn switches_change_what_they_say() -> anyhow::Result<()> {
    let settings = Env::from([
        ("BASE_URL", "/online-boutique"),
        ("ENV_PLATFORM", "aws"),
        ("CYMBAL_BRANDING", "True"),
        ("FRONTEND_MESSAGE", "  Free shipping <today>  "),
        ("ENABLE_SINGLE_SHARED_SESSION", "true"),
        ("HOSTNAME", "frontend-abc"),
        ("BANNER_COLOR", "red"),
        ("ENABLE_PROFILER", "0"),
        ("DISABLE_PROFILER", "1"),
        ("DISABLE_STATS", "1"),
        ("TRUST_PROXY", "1"),
    ]);
    let (mut visitor, _shop, ..) = open(&settings).await?;

    // The deployment's details come when they come.
    let page = loop {
        let page = visitor.get("/online-boutique/").await;
        if !page.body.contains("still loading") {
            break page;
        }
    };
    for hook in [
        "<title>Cymbal Shops</title>",
        "class=\"top-left-logo-cymbal\" src=\"/online-boutique/static/icons/Cymbal_NavLogo.svg\"",
        "/online-boutique/static/favicon-cymbal.ico",
        "<div class=\"h-free-shipping\">Free shipping &#60;today&#62;</div>",
        "<div class=\"aws-platform\">",
        "<span class=\"platform-flag\">AWS</span>",
        "href=\"/online-boutique/product/OLJCESPC7Z\"",
        "action=\"/online-boutique/setCurrency\"",
        "<b>Pod:</b> frontend-abc",
    ] {
        assert!(page.body.contains(hook), "{hook}");
    }
    assert_eq!(visitor.cookies["shop_session-id"], "12345678-1234-1234-1234-123456789123");
    assert_eq!(visitor.get("/online-boutique/_healthz").await.body, "ok");
    let added = visitor
        .post("/online-boutique/cart", &[("product_id", "OLJCESPC7Z"), ("quantity", "1")])
        .await;
    assert_eq!(added.header(header::LOCATION), "/online-boutique/cart");
    for path in ["/", "/cart", "/_healthz"] {
        assert_eq!(visitor.get(path).await.status, 404, "{path}");
    }
    visitor.cookies.clear();
    let request = visitor.request("GET", "/online-boutique/").header("x-forwarded-proto", "https");
    let page = visitor.send(request.body(Full::default())?).await;
    assert!(
        page.set_cookies()[0].ends_with("; Path=/; Max-Age=172800; HttpOnly; SameSite=Lax; Secure")
    );
    Ok(())
}

#[tokio::test]
async fn the_assistant_and_the_packaging_service_are_asked_where_they_are() -> anyhow::Result<()> {
    let helper = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = helper.local_addr()?.to_string();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        while let Ok((mut stream, _)) = helper.accept().await {
            let mut request = vec![0; 4096];
            let length = stream.read(&mut request).await.unwrap_or_default();
            let request = String::from_utf8_lossy(&request[..length]).into_owned();
            let body = if request.starts_with("GET /6E92ZMYYFZ ") {
                r#"{"weight": 0.4, "width": 9.5, "height": 10, "depth": 9.5}"#
            } else {
                r#"{"content": "Try [6E92ZMYYFZ]"}"#
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all((head + body).as_bytes()).await;
        }
    });
    let url = format!("http://{address}/");
    let settings = Env::from([
        ("ENABLE_ASSISTANT", "true"),
        ("SHOPPING_ASSISTANT_SERVICE_ADDR", &address),
        ("PACKAGING_SERVICE_URL", &url),
    ]);
    let (mut visitor, _shop, ..) = open(&settings).await?;

    let page = visitor.get("/product/6E92ZMYYFZ").await;
    assert!(page.body.contains("product-packaging") && page.body.contains("Weight: 0.4"));
    let page = visitor.get("/assistant").await;
    for hook in [
        "id=\"chat-modal\"",
        "id=\"bot-messages\"",
        "id=\"bot-input-text\"",
        "bot-input-file-button",
        "id=\"bot-input-button\"",
    ] {
        assert!(page.body.contains(hook), "{hook}");
    }
    let answer = visitor
        .post_raw("/bot", Some("application/json"), r#"{"message": "mug", "image": ""}"#)
        .await;
    assert_eq!(
        (answer.status.as_u16(), &*answer.body),
        (200, "{\"message\":\"Try [6E92ZMYYFZ]\"}\n")
    );
    for (body, status) in
        [("{".to_owned(), 400), ("[]".to_owned(), 400), ("x".repeat(2 << 20), 413)]
    {
        assert_eq!(visitor.post_raw("/bot", Some("application/json"), body).await.status, status);
    }
    Ok(())
}

/// Text of a catalog is text, wherever it stands.
#[tokio::test]
async fn a_catalog_cannot_write_markup() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("products.json");
    let list = r#"{"products": [{"id": "a/b?<i>", "name": "<img src=x onerror=alert(1)>",
        "description": "</p><script>alert(1)</script>", "picture": "\" onload=\"alert(1)",
        "priceUsd": {"currencyCode": "USD", "units": 1}}]}"#;
    std::fs::write(&path, list)?;
    let settings = Env::from([("CATALOG_FILE", path.to_str().unwrap())]);
    let (mut visitor, _shop, ..) = open(&settings).await?;

    let link = visitor.get("/").await.between("<a href=\"/product/", "\"").to_owned();
    visitor.post("/cart", &[("product_id", "a/b?<i>"), ("quantity", "1")]).await;
    for page in ["/".to_owned(), "/cart".to_owned(), format!("/product/{link}")] {
        let answer = visitor.get(&page).await;
        assert_eq!(answer.status, 200, "{page}");
        for markup in ["<img src=x", "<script>alert", "\" onload=", "<i>"] {
            assert!(!answer.body.contains(markup), "{page}: {markup}");
        }
        assert!(answer.body.contains("&#60;img src=x onerror"), "{page}");
    }
    Ok(())
}
