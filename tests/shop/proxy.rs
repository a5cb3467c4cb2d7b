//! The shop behind proxies, ingresses and in frames of other pages.

use std::time::Duration;

use boutique_service::Env;
use boutique_test::{Processes, settings};
use http::header;
use http_body_util::Full;

use crate::open;

const ADD: [(&str, &str); 2] = [("product_id", "OLJCESPC7Z"), ("quantity", "1")];

#[tokio::test]
async fn forms_work_behind_a_proxy_that_renames_the_host() -> anyhow::Result<()> {
    for (settings, headers, status) in [
        (
            Env::default(),
            [("origin", "http://shop.example"), ("x-forwarded-host", "shop.example")],
            403,
        ),
        (
            Env::from([("TRUST_PROXY", "1")]),
            [("origin", "http://shop.example"), ("x-forwarded-host", "shop.example")],
            302,
        ),
        (
            Env::from([("TRUST_PROXY", "1")]),
            [("origin", "https://shop.example"), ("forwarded", "host=shop.example;proto=https")],
            302,
        ),
        (
            Env::from([("TRUST_PROXY", "1")]),
            [("origin", "http://evil.example"), ("x-forwarded-host", "shop.example")],
            403,
        ),
    ] {
        let (visitor, _shop, ..) = open(&settings).await?;
        for mut visitor in [visitor.clone(), visitor.over_http2()] {
            visitor.headers = headers.map(|(name, value)| (name, value.to_owned())).into();
            let answer = visitor.post("/cart", &ADD).await;
            assert_eq!(answer.status, status, "{settings:?} {headers:?}");
            if status == 403 {
                assert!(answer.body.contains("X-Forwarded-Host"), "{}", answer.body);
            }
        }
    }
    Ok(())
}

/// A stranger's new carts are bounded, with any cookie and with none; those of others, and the ones there are, stay.
#[tokio::test]
async fn one_address_fills_so_many_carts() -> anyhow::Result<()> {
    let settings = Env::from([("TRUST_PROXY", "1"), ("MAX_CARTS_PER_ADDRESS", "2")]);
    let (mut visitor, _shop, ..) = open(&settings).await?;
    let from = |address: &str| vec![("x-forwarded-for", address.to_owned())];
    visitor.headers = from("198.51.100.7");
    let mut first = visitor.clone();
    assert_eq!(first.post("/cart", &ADD).await.status, 302);
    assert_eq!(visitor.clone().post("/cart", &ADD).await.status, 302);

    let refused = visitor.clone().post("/cart", &ADD).await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.header(header::RETRY_AFTER), "3600");
    assert!(refused.body.contains("too many carts"), "{}", refused.body);
    let mut invented = visitor.clone();
    let session = "0190a7c2-5f4b-4d1e-8c3a-0123456789ab".to_owned();
    invented.cookies = [("shop_session-id".to_owned(), session)].into();
    assert_eq!(invented.post("/cart", &ADD).await.status, 429);

    assert_eq!(first.post("/cart", &ADD).await.status, 302, "a cart that is there");
    assert_eq!(visitor.clone().get("/cart").await.status, 200, "looking is free");
    visitor.headers = from("198.51.100.8");
    assert_eq!(visitor.clone().post("/cart", &ADD).await.status, 302, "another address");
    Ok(())
}

/// So many pages a second for an address or a session, and 429 with the time to come back after that.
#[tokio::test]
async fn rates_of_an_address_and_of_a_session_are_bounded() -> anyhow::Result<()> {
    for (setting, is_by_address) in
        [("RATE_LIMIT_PER_ADDRESS", true), ("RATE_LIMIT_PER_SESSION", false)]
    {
        let settings = Env::from([("TRUST_PROXY", "1"), (setting, "3")]);
        let (mut visitor, _shop, ..) = open(&settings).await?;
        let from = |address: &str| vec![("x-forwarded-for", address.to_owned())];
        visitor.headers = from("198.51.100.7");
        let mut refused = None;
        for _ in 0..30 {
            let page = visitor.get("/cart").await;
            if page.status == 429 {
                refused = Some(page);
                break;
            }
            assert_eq!(page.status, 200);
        }
        let refused = refused.unwrap();
        assert_eq!(refused.header(header::RETRY_AFTER), "1");
        assert!(refused.body.contains("too many requests"), "{}", refused.body);
        for path in ["/_healthz", "/_readyz", "/static/styles/styles.css"] {
            assert_eq!(visitor.get(path).await.status, 200, "{path}");
        }
        let mut other = visitor.clone();
        if is_by_address {
            other.headers = from("198.51.100.8");
        } else {
            other.cookies.clear();
        }
        assert_eq!(other.get("/cart").await.status, 200, "{setting}: somebody else");
        let again = async { while visitor.get("/cart").await.status != 200 {} };
        tokio::time::timeout(Duration::from_secs(10), again).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_visit_over_tls_has_cookies_and_headers_of_its_own() -> anyhow::Result<()> {
    let settings = Env::from([("TRUST_PROXY", "1")]);
    let (mut visitor, _shop, ..) = open(&settings).await?;
    let plain = visitor.get("/").await;
    assert_eq!(plain.header(header::STRICT_TRANSPORT_SECURITY), "");
    assert_eq!(plain.header(header::CACHE_CONTROL), "no-store");
    let planted = visitor.cookies["shop_session-id"].clone();

    for proto in ["https", "https, http", "HTTPS"] {
        visitor.cookies = [("shop_session-id".to_owned(), planted.clone())].into();
        visitor.headers = vec![("x-forwarded-proto", proto.to_owned())];
        let page = visitor.get("/").await;
        assert!(page.header(header::STRICT_TRANSPORT_SECURITY).starts_with("max-age="));
        let cookie = page.set_cookies()[0].to_owned();
        assert!(cookie.starts_with("__Host-shop_session-id="), "{cookie}");
        assert!(cookie.ends_with("; Path=/; Max-Age=172800; HttpOnly; SameSite=Lax; Secure"));
        // A session that a neighbor planted under the plain name is not believed.
        assert_ne!(visitor.cookies["__Host-shop_session-id"], planted);

        visitor.post("/cart", &ADD).await;
        let cart = visitor.get("/cart").await;
        assert!(cart.set_cookies().is_empty());
        assert_eq!(cart.header(header::CACHE_CONTROL), "no-store");
        assert!(cart.body.contains("Cart (1)"));
        let out = visitor.get("/logout").await;
        let expired = out.set_cookies().join("\n");
        assert!(expired.contains("__Host-shop_session-id=; Path=/; Max-Age=0"), "{expired}");
    }
    let picture = visitor.get("/static/img/products/mug.jpg").await;
    assert_eq!(picture.header(header::CACHE_CONTROL), "public, max-age=300");
    Ok(())
}

#[tokio::test]
async fn a_link_of_another_site_changes_nothing() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;
    visitor.post("/cart", &ADD).await;
    visitor.post("/setCurrency", &[("currency_code", "EUR")]).await;

    for (name, value) in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("referer", "http://evil.example/"),
        ("origin", "http://evil.example"),
    ] {
        let request = visitor.request("GET", "/logout").header(name, value);
        let answer = visitor.send(request.body(Full::default())?).await;
        assert_eq!((answer.status.as_u16(), answer.header(header::LOCATION)), (302, "/"));
        assert!(answer.set_cookies().is_empty(), "{name}: {value}");
    }
    Ok(())
}

/// The longest page of this shop is about 8 kB.
#[tokio::test]
async fn no_answer_is_larger_than_a_page_whatever_was_sent() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;
    let long = "x".repeat(12_000);
    let cookies: Vec<_> = (0..2_000).map(|n| format!("c{n}=1")).collect();
    let own = format!("{}/{long}", visitor.base);
    for (method, path, name, value) in [
        ("GET", "/logout".to_owned(), "cookie", cookies.join(";")),
        ("GET", "/".to_owned(), "cookie", format!("shop_session-id={long}; shop_currency={long}")),
        ("GET", format!("/../{long}"), "x", String::new()),
        ("GET", format!("/a/../cart?{long}"), "x", String::new()),
        ("GET", format!("/%61{long}"), "x", String::new()),
        ("GET", format!("/product/{long}"), "x", String::new()),
        ("POST", "/setCurrency?currency_code=EUR".to_owned(), "referer", own),
    ] {
        let request = visitor.request(method, &path).header(name, value);
        let answer = visitor.send(request.body(Full::default())?).await;
        let headers: usize = answer.headers.iter().map(|(n, v)| n.as_str().len() + v.len()).sum();
        assert!(headers + answer.body.len() < 9_000, "{method} {}", &path[..20.min(path.len())]);
    }
    Ok(())
}

#[tokio::test]
async fn a_base_path_is_a_directory() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::from([("BASE_URL", "/base/")])).await?;
    for (path, location) in [
        ("/base", "/base/"),
        ("/base?from=bookmark", "/base/?from=bookmark"),
        ("//base", "/base"),
        ("//base//", "/base/"),
        ("/base/.", "/base/"),
        ("/base/./", "/base/"),
        ("/base/cart/..", "/base/"),
        ("/./base/", "/base/"),
        ("/x/../base/", "/base/"),
        ("/%62ase/", "/base/"),
        ("/b%61se", "/base"),
    ] {
        let answer = visitor.get(path).await;
        assert_eq!(
            (answer.status.as_u16(), answer.header(header::LOCATION)),
            (301, location),
            "{path}"
        );
        let answer = visitor.get(location).await;
        let end = if answer.status == 301 { answer.header(header::LOCATION) } else { location };
        assert!(visitor.get(end).await.body.contains("Mug"), "{path}");
    }
    let head = visitor.request("HEAD", "/base").body(Full::default())?;
    assert_eq!(visitor.send(head).await.header(header::LOCATION), "/base/");
    Ok(())
}

#[tokio::test]
async fn the_shop_is_shown_in_the_frames_that_a_setting_allows() -> anyhow::Result<()> {
    let settings = Env::from([
        ("FRAME_ANCESTORS", "https://lab.example https://*.school.example:8443 'self'"),
        ("TRUST_PROXY", "1"),
    ]);
    let (mut visitor, _shop, ..) = open(&settings).await?;
    for path in ["/", "/nothing", "/static/styles/styles.css"] {
        let answer = visitor.get(path).await;
        let policy = answer.header(header::CONTENT_SECURITY_POLICY);
        let ancestors = "frame-ancestors https://lab.example https://*.school.example:8443 'self';";
        assert!(policy.contains(ancestors), "{path}: {policy}");
        assert_eq!(answer.header(header::X_FRAME_OPTIONS), "", "{path}");
    }
    // In a frame of another site browsers send a cookie only if it says so, and only over TLS.
    visitor.headers = vec![("x-forwarded-proto", "https".to_owned())];
    let cookie = visitor.get("/").await.set_cookies()[0].to_owned();
    assert!(cookie.ends_with("; SameSite=None; Secure; Partitioned"), "{cookie}");

    for wrong in ["https://a; script-src *", "a,b", "'none' x", "'unsafe-inline'"] {
        let refused = open(&Env::from([("FRAME_ANCESTORS", wrong)])).await.map(|_| ());
        let error = refused.unwrap_err().to_string();
        assert!(error.starts_with("FRAME_ANCESTORS must"), "{error}");
    }
    for wrong in ["yes", "11", "-1", "1.5"] {
        let refused = open(&Env::from([("TRUST_PROXY", wrong)])).await.map(|_| ());
        assert!(refused.unwrap_err().to_string().starts_with("TRUST_PROXY must"), "{wrong}");
    }
    Ok(())
}

#[tokio::test]
async fn a_log_line_is_bounded_and_tells_the_client() -> anyhow::Result<()> {
    let mut shop = Processes::one(&settings([("TRUST_PROXY", "1")])).await?;
    let long = format!("/product/{}", "é".repeat(4_000).replace('é', "%C3%A9"));
    shop.visitor.headers = vec![("x-forwarded-for", "6.6.6.6, 2001:db8::7".to_owned())];
    assert_eq!(shop.visitor.get(&long).await.status, 404);
    let grpc = format!("/{}/Get", "x".repeat(12_000));
    let request = shop.visitor.request("POST", &grpc).header("content-type", "application/grpc");
    shop.visitor.clone().over_http2().send(request.body(Full::default())?).await;
    let said = shop.stop().await?;

    let access = said.lines().find(|line| line.contains("/product/%C3%A9")).unwrap();
    assert_eq!(access.matches("/product/").count(), 1, "{access}");
    assert!(access.contains("\"client.address\":\"2001:db8::7\""), "{access}");
    for line in said.lines() {
        assert!(line.len() < 1_500, "{line}");
    }
    Ok(())
}
