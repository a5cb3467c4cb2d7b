//! What visitors see when something behind the page is out: the right code in time, and nothing of
//! what happened.

use boutique_service::{Env, Running, inproc, spawn};

use crate::visitor::{Visitor, open};

/// Nobody listens there: the port was free a moment ago.
fn nowhere() -> anyhow::Result<String> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string())
}

/// A second front door to the same shop, with one service gone.
async fn front_door_without(env: &Env, addr_key: &str) -> anyhow::Result<(Visitor, Vec<Running>)> {
    let mut env = env.clone();
    env.set(addr_key, nowhere()?);
    let mut behind = Vec::new();
    // What is gone is gone for those behind the page too.
    if ["PAYMENT", "EMAIL", "SHIPPING"].iter().any(|name| addr_key.starts_with(name)) {
        let checkout = checkoutservice::routes(&env).await?;
        behind.push(inproc(checkoutservice::SERVICE, &mut env, checkout)?);
    }
    let app = frontend::routes(&env).await?;
    let front_door = spawn(frontend::SERVICE, &env, app).await?;
    let visitor = Visitor::new(format!("http://{}", front_door.address().unwrap()));
    behind.push(front_door);
    Ok((visitor, behind))
}

#[tokio::test]
async fn each_page_needs_what_it_needs_and_nothing_else() -> anyhow::Result<()> {
    let (_, _shop, env) = open(&Env::default()).await?;
    for (addr_key, home, product, cart, add, order) in [
        ("AD_SERVICE_ADDR", 200, 200, 200, 302, 200),
        ("RECOMMENDATION_SERVICE_ADDR", 200, 200, 200, 302, 200),
        ("EMAIL_SERVICE_ADDR", 200, 200, 200, 302, 200),
        ("SHIPPING_SERVICE_ADDR", 200, 200, 503, 302, 503),
        ("PAYMENT_SERVICE_ADDR", 200, 200, 200, 302, 503),
        ("CHECKOUT_SERVICE_ADDR", 200, 200, 200, 302, 503),
        ("CURRENCY_SERVICE_ADDR", 503, 503, 503, 302, 200),
        ("PRODUCT_CATALOG_SERVICE_ADDR", 503, 503, 503, 503, 200),
        ("CART_SERVICE_ADDR", 503, 503, 503, 503, 200),
    ] {
        // The cart is filled through the whole shop, because filling it may be what does not work.
        let (mut whole, _open) = front_door_without(&env, "UNUSED_ADDR").await?;
        whole.add("OLJCESPC7Z", 1).await;
        let (mut visitor, _behind) = front_door_without(&env, addr_key).await?;
        visitor.cookies = whole.cookies.clone();

        assert_eq!(visitor.get("/").await.status, home, "home without {addr_key}");
        let page = visitor.get("/product/OLJCESPC7Z").await;
        assert_eq!(page.status, product, "product without {addr_key}");
        assert_eq!(visitor.get("/cart").await.status, cart, "cart without {addr_key}");
        assert_eq!(visitor.add("OLJCESPC7Z", 1).await.status, add, "add without {addr_key}");
        let answer = visitor.check_out(&[]).await;
        assert_eq!(answer.status, order, "order without {addr_key}");
        assert_eq!(visitor.get("/_healthz").await.status, 200, "health without {addr_key}");
    }
    Ok(())
}

/// Promise G3.
#[tokio::test]
async fn an_error_page_says_when_to_come_back_and_nothing_of_what_happened() -> anyhow::Result<()> {
    let (_, _shop, env) = open(&Env::default()).await?;
    let (mut visitor, _behind) = front_door_without(&env, "CART_SERVICE_ADDR").await?;

    let page = visitor.get("/cart").await;

    assert_eq!((page.status.as_u16(), page.header("retry-after")), (503, "1"));
    assert!(page.body.contains("could not retrieve cart"));
    assert!(page.body.contains("HTTP Status:</strong> 503 Service Unavailable"));
    assert!(page.body.contains("request-id: "));
    for leak in ["127.0.0.1", "hipstershop", "refused", "transport", "tonic", ".rs", "Status {"] {
        assert!(!page.body.contains(leak), "{leak}");
    }
    Ok(())
}

#[tokio::test]
async fn what_is_sheddable_is_left_out() -> anyhow::Result<()> {
    let (_, _shop, env) = open(&Env::default()).await?;
    for (addr_key, hook) in
        [("AD_SERVICE_ADDR", "class=\"ad\""), ("RECOMMENDATION_SERVICE_ADDR", "You May Also Like")]
    {
        let (mut visitor, _behind) = front_door_without(&env, addr_key).await?;
        assert!(!visitor.get("/product/OLJCESPC7Z").await.body.contains(hook), "{hook}");
    }
    Ok(())
}
