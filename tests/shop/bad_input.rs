//! Bad inputs of HTTP, each a row: what is sent, and the status it gets.

use boutique_service::Env;
use http::header;
use http_body_util::Full;

use crate::open;

const FORM: Option<&str> = Some("application/x-www-form-urlencoded");

#[tokio::test]
async fn a_path_nobody_knows_is_not_found() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;
    for (id, path, status, words) in [
        ("unknown product", "/product/NOPE", 404, "could not retrieve product"),
        ("no product", "/product/", 404, "404 page not found"),
        (
            "markup as a product",
            "/product/%3Cscript%3Ealert(1)%3C%2Fscript%3E",
            404,
            "could not retrieve product",
        ),
        ("unknown product as JSON", "/product-meta/NOPE", 404, "{\"error\""),
        ("a folder of pictures", "/static/", 404, "404 page not found"),
        ("a folder of pictures", "/static/img/", 404, "404 page not found"),
        ("a folder of pictures", "/static/..%2f..%2fCargo.toml", 404, "404 page not found"),
        ("", "/nothing", 404, "404 page not found"),
        ("", "/cart/", 404, "404 page not found"),
        ("", "/assistant", 404, "no assistant"),
        ("", &*format!("/product/{}", "x".repeat(10_000)), 404, "could not retrieve product"),
    ] {
        let answer = visitor.get(path).await;
        assert_eq!(answer.status, status, "{id} {path}");
        assert!(answer.body.contains(words), "{id} {path}: {}", answer.body);
        assert!(!answer.body.contains("<script>alert"), "{id}");
    }
    assert_eq!(visitor.get("/product/%ff%fe").await.status, 400);
    Ok(())
}

#[tokio::test]
async fn a_path_is_cleaned_by_a_redirect() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;
    for (path, location) in [
        ("//cart", "/cart"),
        ("/a/../cart?x=1", "/cart?x=1"),
        ("//evil.example/", "/evil.example/"),
    ] {
        let answer = visitor.get(path).await;
        assert_eq!((answer.status.as_u16(), answer.header(header::LOCATION)), (301, location));
    }
    Ok(())
}

#[tokio::test]
async fn a_method_that_does_not_fit_is_named_with_those_that_do() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;
    for (method, path, allowed) in [
        ("GET", "/cart/checkout", "POST"),
        ("PUT", "/cart", "GET,HEAD,POST"),
        ("TRACE", "/", "GET,HEAD"),
        ("DELETE", "/product/OLJCESPC7Z", "GET,HEAD"),
        ("GET", "/setCurrency", "POST"),
        ("POST", "/logout", "GET,HEAD"),
    ] {
        let request = visitor.request(method, path).body(Full::default())?;
        let answer = visitor.send(request).await;
        assert_eq!(answer.status, 405, "{method} {path}");
        assert_eq!(answer.header(header::ALLOW), allowed, "{method} {path}");
        assert_eq!(answer.body, "");
    }
    Ok(())
}

#[tokio::test]
async fn an_add_that_makes_no_sense_leaves_the_cart_as_it_was() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;
    let huge = format!("product_id={}&quantity=1", "x".repeat(1 << 20));
    let known = "product_id=OLJCESPC7Z&quantity=1";
    let multipart = Some("multipart/form-data; boundary=x");
    let parts = "--x\r\ncontent-disposition: form-data; name=\"a\"\r\n\r\n1\r\n".repeat(10_000);
    for (id, content_type, body, status) in [
        ("no fields", FORM, "", 422),
        ("quantity 0", FORM, "product_id=OLJCESPC7Z&quantity=0", 422),
        ("negative quantity", FORM, "product_id=OLJCESPC7Z&quantity=-1", 422),
        ("quantity 11", FORM, "product_id=OLJCESPC7Z&quantity=11", 422),
        ("quantity beyond 32 bits", FORM, "product_id=OLJCESPC7Z&quantity=4294967297", 422),
        ("", FORM, "product_id=OLJCESPC7Z&quantity=%2B1", 422),
        ("", FORM, "product_id=OLJCESPC7Z&quantity=1&x=%ff", 422),
        ("", FORM, "product_id=%ff&quantity=1", 422),
        ("unknown product", FORM, "product_id=NOPE&quantity=1", 404),
        ("endless product", FORM, &*huge, 413),
        ("JSON", Some("application/json"), "{}", 415),
        ("no content type", None, known, 415),
        ("no content type", None, "", 422),
        ("large multipart", multipart, &*"x".repeat(10 << 20), 415),
        ("many parts", multipart, &*parts, 415),
        ("", Some("text/plain"), known, 415),
        ("", Some("\u{7f}"), known, 415),
    ] {
        if content_type == Some("\u{7f}") {
            continue;
        }
        let answer = visitor.post_raw("/cart", content_type, body.to_owned()).await;
        assert_eq!(answer.status, status, "{id} {content_type:?}");
    }
    assert!(visitor.get("/cart").await.body.contains("Your shopping cart is empty!"));

    // Upstream takes fields from the query too.
    let added = visitor.post_raw(&format!("/cart?{known}"), None, "").await;
    assert_eq!(added.status, 302);
    let charset = Some("application/x-www-form-urlencoded; charset=UTF-8");
    assert_eq!(visitor.post_raw("/cart", charset, known).await.status, 302);
    Ok(())
}

/// A large form is refused by its announced length, before it is read.
#[tokio::test]
async fn a_form_of_ten_megabytes_is_too_large() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;
    let answer =
        visitor.post_raw("/cart/checkout", FORM, "a=".to_owned() + &"x".repeat(100_000)).await;
    assert_eq!(answer.status, 413);
    assert_eq!(answer.header(header::CONNECTION), "close");
    Ok(())
}

/// A cookie cannot make a price.
#[tokio::test]
async fn a_currency_cookie_that_means_nothing_reads_as_dollars_and_is_mended() -> anyhow::Result<()>
{
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;
    visitor.get("/").await;
    visitor.add("OLJCESPC7Z", 1).await;
    for cookie in ["XYZ", "", "AED", "usd", "__proto__", "\"><script>"] {
        visitor.cookies.insert("shop_currency".to_owned(), cookie.to_owned());
        let page = visitor.get("/product/OLJCESPC7Z").await;
        assert_eq!(page.between("product-price\">", "<"), "$19.99", "{cookie}");
        assert!(!page.body.contains("\"><script>"));
        assert_eq!(visitor.cookies["shop_currency"], "USD", "{cookie}");
    }
    for cookie in ["XYZ", "AED", "usd", ""] {
        visitor.cookies.insert("shop_currency".to_owned(), cookie.to_owned());
        visitor.add("OLJCESPC7Z", 1).await;
        let order = visitor.check_out(&[]).await;
        match order.status.as_u16() {
            200 => {
                let total = order.between("total-paid\">", "<");
                assert!(total.starts_with('$') && !["$0.00", "$8.99"].contains(&total), "{cookie}");
            }
            status => assert_eq!(status, 422, "{cookie}"),
        }
        assert!(!order.body.contains("$0.00"), "{cookie}");
    }
    Ok(())
}

#[tokio::test]
async fn a_currency_without_a_rate_cannot_be_chosen() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;
    let long = "A".repeat(10_000);
    for (code, tag) in [
        ("AED", "iso4217"),
        ("ABC", "iso4217"),
        ("$", "iso4217"),
        ("usd", "iso4217"),
        ("__proto__", "iso4217"),
        (&long, "iso4217"),
        ("", "required"),
    ] {
        let answer = visitor.post("/setCurrency", &[("currency_code", code)]).await;
        assert_eq!(answer.status, 422, "{tag}");
        assert!(answer.body.contains(&format!("Field &#39;Currency&#39; is invalid: {tag}")));
        assert!(!visitor.cookies.contains_key("shop_currency"));
    }
    Ok(())
}

#[tokio::test]
async fn a_session_that_is_none_becomes_a_new_one() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;
    for cookie in ["", "x", "../../etc/passwd", "' OR 1=1", "12345678123412341234123456789123"] {
        visitor.cookies.clear();
        visitor.cookies.insert("shop_session-id".to_owned(), cookie.to_owned());
        visitor.get("/").await;
        assert_eq!(visitor.cookies["shop_session-id"].len(), 36, "{cookie}");
    }
    let good = visitor.cookies["shop_session-id"].clone();
    visitor.cookies.clear();
    let twice = format!("shop_session-id=nonsense; shop_session-id={good}; shop_session-id=other");
    let request = visitor.request("GET", "/").header("cookie", twice).body(Full::default())?;
    assert!(visitor.send(request).await.set_cookies().is_empty(), "the first good one counts");
    Ok(())
}

/// By either protocol.
#[tokio::test]
async fn a_post_that_another_site_caused_is_refused() -> anyhow::Result<()> {
    let (visitor, _shop, ..) = open(&Env::default()).await?;
    let own = visitor.base.clone();
    for mut visitor in [visitor.clone(), visitor.over_http2()] {
        for (name, value, status) in [
            ("sec-fetch-site", "cross-site", 403),
            ("sec-fetch-site", "same-site", 403),
            ("sec-fetch-site", "same-origin", 302),
            ("sec-fetch-site", "none", 302),
            ("origin", "http://evil.example", 403),
            ("origin", "null", 403),
            ("origin", &own, 302),
            ("user-agent", "curl", 302),
        ] {
            let request = visitor
                .request("POST", "/cart")
                .header(name, value)
                .header("content-type", "application/x-www-form-urlencoded")
                .body(Full::from("product_id=OLJCESPC7Z&quantity=1"))?;
            assert_eq!(visitor.send(request).await.status, status, "{name}: {value}");
        }
    }
    Ok(())
}

/// The policy for scripts is tested in `browse`.
#[tokio::test]
async fn what_is_switched_off_is_not_there_and_a_forged_proxy_changes_nothing() -> anyhow::Result<()>
{
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;
    let answer = visitor.post_raw("/bot", Some("application/json"), "{}").await;
    assert_eq!(answer.status, 404);

    visitor.cookies.clear();
    let request = visitor
        .request("GET", "/")
        .header("x-forwarded-proto", "https")
        .header("x-forwarded-host", "evil.example")
        .header("x-forwarded-for", "10.0.0.1");
    let page = visitor.send(request.body(Full::default())?).await;
    assert!(!page.set_cookies()[0].contains("Secure"));
    assert!(!page.body.contains("evil.example"));
    Ok(())
}
