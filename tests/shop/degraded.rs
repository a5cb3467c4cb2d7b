//! Pages while a service behind them is out: the right code in time, and nothing of
//! what happened.

use std::time::{Duration, Instant};

use boutique_proto::shipping_service_server::ShippingService;
use boutique_proto::{
    GetQuoteRequest, GetQuoteResponse, Money, ShipOrderRequest, ShipOrderResponse, shipping_service,
};
use boutique_service::{Env, Registry, Router, ServerHandle, spawn, spawn_inproc};
use boutique_test::{Fault, FaultyProxy, serve, serve_router};
use tonic::{Request, Response, Status};

use crate::open;
use boutique_test::{Process, Processes, Visitor, free_address, settings};

/// A loopback address whose port is closed.
fn nowhere() -> anyhow::Result<String> {
    Ok(free_address()?.to_string())
}

/// A second frontend of the same shop, with one service gone.
async fn frontend_without(
    (env, registry): (&Env, &Registry),
    addr_key: &str,
) -> anyhow::Result<(Visitor, Vec<ServerHandle>)> {
    let (mut env, mut registry) = (env.clone(), registry.clone());
    env.set(addr_key, nowhere()?);
    let mut behind = Vec::new();
    // What is gone is gone for those behind the page too.
    if ["PAYMENT", "EMAIL", "SHIPPING"].iter().any(|name| addr_key.starts_with(name)) {
        let checkout = checkoutservice::routes(&env, &registry).await?;
        behind
            .push(spawn_inproc(checkoutservice::SERVICE, &mut env, &mut registry, checkout).await?);
    }
    let app = frontend::routes(&env, &registry).await?;
    let front_door = spawn(frontend::SERVICE, &env, &registry, app).await?;
    let visitor = Visitor::new(format!("http://{}", front_door.address().unwrap()));
    behind.push(front_door);
    Ok((visitor, behind))
}

#[tokio::test]
async fn each_page_needs_what_it_needs_and_nothing_else() -> anyhow::Result<()> {
    let (_, _shop, env, registry) = open(&Env::default()).await?;
    for (addr_key, home, product, cart, add, order) in [
        ("AD_SERVICE_ADDR", 200, 200, 200, 302, 200),
        ("RECOMMENDATION_SERVICE_ADDR", 200, 200, 200, 302, 200),
        ("EMAIL_SERVICE_ADDR", 200, 200, 200, 302, 200),
        ("SHIPPING_SERVICE_ADDR", 200, 200, 200, 302, 503),
        ("PAYMENT_SERVICE_ADDR", 200, 200, 200, 302, 503),
        ("CHECKOUT_SERVICE_ADDR", 200, 200, 200, 302, 503),
        ("CURRENCY_SERVICE_ADDR", 200, 200, 200, 302, 200),
        ("PRODUCT_CATALOG_SERVICE_ADDR", 503, 503, 503, 503, 200),
        ("CART_SERVICE_ADDR", 200, 200, 503, 503, 200),
    ] {
        // The cart is filled through the whole shop, because filling it may be what does not work.
        let (mut whole, _open) = frontend_without((&env, &registry), "UNUSED_ADDR").await?;
        whole.add("OLJCESPC7Z", 1).await;
        let (mut visitor, _behind) = frontend_without((&env, &registry), addr_key).await?;
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

/// The one note of a page, if it has one.
fn note(page: &str) -> Option<&str> {
    let (_, note) = page.split_once("class=\"degraded\">")?;
    note.split_once("</p>").map(|(note, _)| note.trim())
}

/// A page without something says so, and says nothing once it is back.
#[tokio::test]
async fn page_says_what_it_does_without() -> anyhow::Result<()> {
    let rates = "Exchange rates are not available right now: prices are not converted.";
    let cart = "The number of items in your cart is not available right now.";
    let shipping = "The cost of shipping is not available right now: it is added at checkout.";
    let (_, _shop, env, registry) = open(&Env::default()).await?;
    for (addr_key, notes) in [
        ("CURRENCY_SERVICE_ADDR", [Some(rates), Some(rates), Some(rates)]),
        ("CART_SERVICE_ADDR", [Some(cart), Some(cart), None]),
        ("SHIPPING_SERVICE_ADDR", [None, None, Some(shipping)]),
        ("AD_SERVICE_ADDR", [None, None, None]),
    ] {
        let (mut whole, _open) = frontend_without((&env, &registry), "UNUSED_ADDR").await?;
        whole.add("OLJCESPC7Z", 2).await;
        whole.post("/setCurrency", &[("currency_code", "EUR")]).await;
        let (mut visitor, _behind) = frontend_without((&env, &registry), addr_key).await?;
        visitor.cookies = whole.cookies.clone();
        for (path, expected) in ["/", "/product/OLJCESPC7Z", "/cart"].into_iter().zip(notes) {
            let page = visitor.get(path).await;
            assert_eq!(note(&page.body), expected, "{path} without {addr_key}");
            assert_eq!(note(&whole.get(path).await.body), None, "{path}");
            if addr_key == "CURRENCY_SERVICE_ADDR" {
                assert!(page.body.contains("$") && !page.body.contains("€"), "{path}");
                assert!(!page.body.contains("currency_form"), "{path}");
            }
        }
        // The choice outlives the outage.
        assert_eq!(visitor.cookies, whole.cookies, "{addr_key}");
    }
    let (mut visitor, _behind) =
        frontend_without((&env, &registry), "SHIPPING_SERVICE_ADDR").await?;
    visitor.add("OLJCESPC7Z", 2).await;
    let page = visitor.get("/cart").await.body;
    assert!(page.contains("Added at checkout") && page.contains("$39.98"), "{page}");
    Ok(())
}

/// While the catalog does not answer, pages are made from what it said last; whatever costs money is not.
#[tokio::test]
async fn pages_of_a_catalog_that_is_out_are_made_from_a_copy() -> anyhow::Result<()> {
    let old =
        "The catalog is not available right now: products and prices are as it last had them.";
    let (_, _shop, env, registry) = open(&Env::default()).await?;
    let routes = productcatalogservice::routes;
    let catalog = serve(productcatalogservice::SERVICE, &Env::default(), routes).await?;
    let proxy = FaultyProxy::start(catalog.address().unwrap()).await?;
    let (mut env, registry) = (env.clone(), registry.clone());
    env.set("PRODUCT_CATALOG_SERVICE_ADDR", proxy.address());
    let (mut visitor, _frontend) = frontend_without((&env, &registry), "UNUSED_ADDR").await?;
    // A product alone is enough to know all of them.
    assert_eq!(visitor.get("/product/OLJCESPC7Z").await.status, 200);
    assert_eq!(visitor.add("OLJCESPC7Z", 1).await.status, 302);

    for fault in [Fault::Refuse, Fault::Freeze] {
        proxy.set(fault);
        for path in ["/", "/product/OLJCESPC7Z", "/product/66VCHSJNUP", "/cart"] {
            let page = visitor.get(path).await;
            assert_eq!(page.status, 200, "{path} {fault:?}");
            assert_eq!(note(&page.body), Some(old), "{path} {fault:?}");
        }
        assert_eq!(visitor.get("/product/NOPE").await.status, 503);
        assert_eq!(visitor.get("/product-meta/OLJCESPC7Z").await.status, 503, "no note fits there");
        proxy.set(Fault::None);
        let back = async {
            while note(&visitor.get("/").await.body).is_some() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), back).await?;
        assert_eq!(visitor.get("/product/NOPE").await.status, 404);
    }
    Ok(())
}

#[tokio::test]
async fn an_error_page_says_when_to_come_back_and_nothing_of_what_happened() -> anyhow::Result<()> {
    let (_, _shop, env, registry) = open(&Env::default()).await?;
    let (mut visitor, _behind) = frontend_without((&env, &registry), "CART_SERVICE_ADDR").await?;

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
    let (_, _shop, env, registry) = open(&Env::default()).await?;
    for (addr_key, hook) in
        [("AD_SERVICE_ADDR", "class=\"ad\""), ("RECOMMENDATION_SERVICE_ADDR", "You May Also Like")]
    {
        let (mut visitor, _behind) = frontend_without((&env, &registry), addr_key).await?;
        assert!(!visitor.get("/product/OLJCESPC7Z").await.body.contains(hook), "{hook}");
    }
    Ok(())
}

/// Quotes like shippingservice, and ships nothing.
struct NoTruck;

#[tonic::async_trait]
impl ShippingService for NoTruck {
    async fn get_quote(
        &self,
        _: Request<GetQuoteRequest>,
    ) -> Result<Response<GetQuoteResponse>, Status> {
        let cost_usd =
            Some(Money { currency_code: "USD".to_owned(), units: 8, nanos: 990_000_000 });
        Ok(Response::new(GetQuoteResponse { cost_usd }))
    }

    async fn ship_order(
        &self,
        _: Request<ShipOrderRequest>,
    ) -> Result<Response<ShipOrderResponse>, Status> {
        Err(Status::internal("no truck"))
    }
}

/// The customer is told not to pay again, and the log tells who was charged for what.
#[tokio::test]
async fn charge_without_a_parcel_is_seen_by_customer_and_operator() -> anyhow::Result<()> {
    let app = Router::grpc(shipping_service::into_server(NoTruck));
    let no_truck = serve_router(shippingservice::SERVICE, &Env::default(), app).await?;
    let mut shop = Processes::ten(&settings([])).await?;
    let mut addresses = shop.addresses.clone();
    addresses.insert("SHIPPING_SERVICE_ADDR".to_owned(), no_truck.address().unwrap().to_string());
    let mut checkout = Process::start("checkoutservice", &addresses)?;
    addresses.insert("CHECKOUT_SERVICE_ADDR".to_owned(), checkout.address().await?);
    let mut front_door = Process::start("frontend", &addresses)?;
    shop.visitor.base = format!("http://{}", front_door.address().await?);

    shop.visitor.add("OLJCESPC7Z", 1).await;
    let page = shop.visitor.check_out(&[]).await;

    assert_eq!(page.status, 202);
    assert!(page.body.contains("do not pay again") && !page.body.contains("truck"));
    let own = page.header("refresh").strip_prefix("2; url=").unwrap();
    let again = shop.visitor.get(own).await;
    assert_eq!((again.status.as_u16(), again.header("refresh")), (202, page.header("refresh")));
    assert!(shop.visitor.get("/orders").await.body.contains("being processed"));
    assert!(shop.visitor.get("/cart").await.body.contains("Cart (1)"));
    for process in [&front_door, &checkout] {
        process.signal("-TERM");
    }
    front_door.wait().await?;
    let (_, said) = checkout.wait().await?;
    let errors: Vec<serde_json::Value> = said
        .lines()
        .filter(|line| line.contains("\"severity\":\"error\""))
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    assert_eq!(errors.len(), 1, "{said}");
    let charged = shop.stop().await?;
    for id in ["order.id", "transaction.id"] {
        assert_eq!(errors[0][id].as_str().map(str::len), Some(36), "{said}");
    }
    assert!(charged.contains(errors[0]["transaction.id"].as_str().unwrap()), "payment knows it");
    Ok(())
}

/// Upstream's lesson: the catalog is slow, and so are the pages, but they arrive.
#[tokio::test]
async fn a_slow_catalog_makes_slow_pages_that_arrive() -> anyhow::Result<()> {
    for is_one in [true, false] {
        let env = settings([("EXTRA_LATENCY", "1500ms")]);
        let mut shop =
            if is_one { Processes::one(&env).await? } else { Processes::ten(&env).await? };
        let visitor = &mut shop.visitor;
        for path in ["/", "/product/OLJCESPC7Z"] {
            let began = Instant::now();
            assert_eq!(visitor.get(path).await.status, 200, "{path} {is_one}");
            assert!(began.elapsed() >= Duration::from_millis(1500), "{path} {is_one}");
        }
        // What is left out when it is late is there, too.
        assert!(visitor.get("/product/OLJCESPC7Z").await.body.contains("You May Also Like"));
        assert_eq!(visitor.add("OLJCESPC7Z", 1).await.status, 302);
        assert_eq!(visitor.get("/cart").await.status, 200);
        assert_eq!(visitor.check_out(&[]).await.status, 200);
    }
    Ok(())
}

/// The same where each service has settings of its own.
#[tokio::test]
async fn one_setting_of_a_caller_waits_for_a_slow_catalog() -> anyhow::Result<()> {
    let (_, _shop, env, registry) = open(&Env::default()).await?;
    let slow = Env::from([("EXTRA_LATENCY", "1200ms")]);
    let routes = productcatalogservice::routes;
    let catalog = serve(productcatalogservice::SERVICE, &slow, routes).await?;
    let address = catalog.address().unwrap().to_string();

    for (name, value, status) in [
        ("READ_TIMEOUT", "5s", 200),
        ("PRODUCT_CATALOG_TIMEOUT", "2s", 200),
        ("READ_TIMEOUT", "100ms", 503),
    ] {
        let mut env = env.clone();
        env.set("PRODUCT_CATALOG_SERVICE_ADDR", address.as_str());
        env.set(name, value);
        let (mut visitor, _frontend) = frontend_without((&env, &registry), "UNUSED_ADDR").await?;
        assert_eq!(visitor.get("/").await.status, status, "{name}={value}");
    }
    Ok(())
}
