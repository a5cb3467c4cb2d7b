//! checkoutservice over its own wire, with the six services it needs played by the test.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod once;
mod stubs;

use std::time::{Duration, Instant};

use boutique_proto::checkout_service_client::CheckoutServiceClient;
use boutique_proto::{Address, CreditCardInfo, OrderResult, PlaceOrderRequest};
use boutique_service::{Env, ServerHandle};
use boutique_test::{loopback, serve};
use checkoutservice::{SERVICE, routes};
use stubs::{Fault, Stub, usd};
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

type Checkout = CheckoutServiceClient<Channel>;

async fn start(stub: &Stub) -> anyhow::Result<(Checkout, Vec<ServerHandle>)> {
    let (env, mut running) = stub.start().await?;
    let (channel, checkout) = loopback(SERVICE, &env, routes).await?;
    running.extend(checkout);
    Ok((CheckoutServiceClient::new(channel), running))
}

fn request(currency: &str) -> PlaceOrderRequest {
    let mut card = CreditCardInfo::default();
    card.credit_card_number = "4432801561520454".to_owned();
    card.credit_card_cvv = 672;
    card.credit_card_expiration_year = 2039;
    card.credit_card_expiration_month = 1;
    PlaceOrderRequest {
        user_id: "u".to_owned(),
        user_currency: currency.to_owned(),
        address: Some(Address {
            street_address: "1600 Amphitheatre Parkway".to_owned(),
            city: "Mountain View".to_owned(),
            state: "CA".to_owned(),
            country: "United States".to_owned(),
            zip_code: 94043,
        }),
        email: "someone@example.com".to_owned(),
        credit_card: Some(card),
    }
}

async fn place(checkout: &mut Checkout, request: PlaceOrderRequest) -> Result<OrderResult, Status> {
    Ok(checkout.place_order(request).await?.into_inner().order.unwrap_or_default())
}

async fn until(mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < Duration::from_secs(20), "it never came to be");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn an_order_is_priced_charged_shipped_and_confirmed() -> anyhow::Result<()> {
    let stub = Stub::with_items(&[("a", 2), ("b", 1)]);
    let (mut checkout, _running) = start(&stub).await?;

    let order = place(&mut checkout, request("USD")).await?;

    assert_eq!(order.order_id.len(), 36);
    assert_eq!(order.shipping_tracking_id, "AB-1-2");
    assert_eq!(order.shipping_cost, Some(usd(9, 0)));
    assert_eq!(order.shipping_address, request("USD").address);
    let lines: Vec<_> = order.items.iter().map(|line| line.item.clone().unwrap()).collect();
    let lines: Vec<_> = lines.iter().map(|item| (&*item.product_id, item.quantity)).collect();
    assert_eq!(lines, [("a", 2), ("b", 1)]);
    assert!(order.items.iter().all(|line| line.cost == Some(usd(10, 500_000_000))));
    assert_eq!(*stub.0.charged.lock().unwrap(), [usd(40, 500_000_000)]);
    assert!(stub.0.items.lock().unwrap().is_empty());
    until(|| !stub.0.mailed.lock().unwrap().is_empty()).await;
    let mailed = stub.0.mailed.lock().unwrap()[0].clone();
    assert_eq!((&*mailed.email, mailed.order), ("someone@example.com", Some(order)));
    Ok(())
}

/// Least depth: a stage's calls are answered only once all of them have arrived, so a single one
/// held back for another's answer would end in a deadline.
#[tokio::test]
async fn independent_steps_run_together() -> anyhow::Result<()> {
    let items: Vec<_> = ["a", "b", "c", "d", "e"].map(|id| (id, 1)).to_vec();
    let stub = Stub::with_items(&items);
    stub.stage(&["GetProduct", "GetQuote"], items.len() + 1);
    stub.stage(&["Convert"], items.len() + 1);
    stub.stage(&["RemoveItems", "SendOrderConfirmation"], 2);
    let (mut checkout, _running) = start(&stub).await?;

    let order = place(&mut checkout, request("EUR")).await?;

    assert_eq!(order.items.len(), items.len());
    assert_eq!(stub.0.charged.lock().unwrap()[0].units, 5 * 21 + 18);
    let calls = stub.calls();
    assert_eq!(calls.len(), 2 * items.len() + 7, "{calls:?}");
    assert_eq!((calls[0], calls[13], calls[14]), ("GetCart", "Charge", "ShipOrder"));
    Ok(())
}

/// The deadline and the trace, on every edge.
#[tokio::test]
async fn every_call_carries_a_deadline_within_the_callers_and_its_trace() -> anyhow::Result<()> {
    let stub = Stub::with_items(&[("a", 1)]);
    let (_checkout, running) = start(&stub).await?;
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    for budget in [Duration::from_secs(8), Duration::from_millis(2_400)] {
        stub.0.seen.lock().unwrap().clear();
        *stub.0.items.lock().unwrap() =
            Stub::with_items(&[("a", 1)]).0.items.lock().unwrap().clone();
        let mut request = Request::new(request("USD"));
        request.metadata_mut().insert("traceparent", parent.parse()?);
        request.set_timeout(budget);
        // Straight to the wire: our own channel would put its own deadline there.
        let endpoint = format!("http://{}", running.last().unwrap().address().unwrap());
        let mut plain = CheckoutServiceClient::connect(endpoint).await?;
        plain.place_order(request).await?;
        until(|| stub.count("SendOrderConfirmation") == 1).await;

        let seen = stub.0.seen.lock().unwrap().clone();
        assert_eq!(seen.len(), 9);
        for call in seen {
            let timeout = Duration::from_micros(call.timeout_micros.expect(call.method));
            assert!(timeout <= budget, "{}: {timeout:?}", call.method);
            let trace = call.traceparent.expect(call.method);
            assert_eq!(trace[..35], parent[..35], "{}", call.method);
        }
    }
    Ok(())
}

/// Refused before any other service is asked for anything that costs.
#[tokio::test]
async fn an_order_that_cannot_be_is_refused_before_any_call() -> anyhow::Result<()> {
    let stub = Stub::with_items(&[("a", 1)]);
    let (mut checkout, _running) = start(&stub).await?;

    for request in [
        PlaceOrderRequest { address: None, ..request("USD") },
        PlaceOrderRequest { credit_card: None, ..request("USD") },
        PlaceOrderRequest { user_id: String::new(), ..request("USD") },
        PlaceOrderRequest { email: "a@b\r\nBcc: c@d".to_owned(), ..request("USD") },
        PlaceOrderRequest { email: String::new(), ..request("USD") },
        request(""),
        request("usd"),
    ] {
        let refused = place(&mut checkout, request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{}", refused.message());
    }
    assert_eq!(stub.calls(), [""; 0]);
    Ok(())
}

#[tokio::test]
async fn a_cart_that_cannot_be_sold_is_refused_and_nothing_charged() -> anyhow::Result<()> {
    for items in [&[][..], &[("a", 0)], &[("a", -1)], &[("a", 1), ("b", i32::MAX)]] {
        let stub = Stub::with_items(items);
        let (mut checkout, _running) = start(&stub).await?;
        let refused = place(&mut checkout, request("USD")).await.unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition, "{items:?}");
        assert_eq!(stub.calls(), ["GetCart"], "{items:?}");
    }
    Ok(())
}

/// Each dependency failing, in upstream's words and with codes that say whose turn it is.
#[tokio::test]
async fn a_failure_before_the_charge_charges_nothing() -> anyhow::Result<()> {
    let unavailable = || Fault::Fail(Status::unavailable("down"));
    let inner = "rpc error: code = Unavailable desc = down";
    for (method, fault, code, text) in [
        (
            "GetCart",
            unavailable(),
            Code::Unavailable,
            format!("cart failure: failed to get user cart during checkout: {inner}"),
        ),
        (
            "GetProduct",
            Fault::Fail(Status::not_found("no product with ID a")),
            Code::FailedPrecondition,
            "failed to prepare order: failed to get product #\"a\"".to_owned(),
        ),
        (
            "GetProduct",
            unavailable(),
            Code::Unavailable,
            "failed to prepare order: failed to get product #\"a\"".to_owned(),
        ),
        (
            "GetQuote",
            unavailable(),
            Code::Unavailable,
            format!("shipping quote failure: failed to get shipping quote: {inner}"),
        ),
        (
            "Convert",
            Fault::Fail(Status::invalid_argument("unsupported currency code")),
            Code::InvalidArgument,
            "failed to prepare order: failed to convert price of \"a\" to EUR".to_owned(),
        ),
        (
            "Convert",
            Fault::Zero,
            Code::InvalidArgument,
            "failed to prepare order: failed to convert price of \"a\" to EUR".to_owned(),
        ),
        (
            "Charge",
            unavailable(),
            Code::Unavailable,
            format!("failed to charge card: could not charge the card: {inner}"),
        ),
        (
            "Charge",
            Fault::Fail(Status::invalid_argument("Credit card info is invalid")),
            Code::InvalidArgument,
            "failed to charge card: could not charge the card: rpc error: code = InvalidArgument \
             desc = Credit card info is invalid"
                .to_owned(),
        ),
        // How upstream's illegal status 400 arrives.
        (
            "Charge",
            Fault::Fail(Status::unknown("Credit card info is invalid")),
            Code::InvalidArgument,
            "failed to charge card: could not charge the card: rpc error: code = InvalidArgument \
             desc = Credit card info is invalid"
                .to_owned(),
        ),
    ] {
        let stub = Stub::with_items(&[("a", 1)]);
        stub.fault(method, fault);
        let (mut checkout, _running) = start(&stub).await?;

        let refused = place(&mut checkout, request("EUR")).await.unwrap_err();

        assert_eq!((refused.code(), refused.message()), (code, &*text), "{method}");
        assert_eq!(*stub.0.charged.lock().unwrap(), [], "{method}");
        assert_eq!(stub.count("ShipOrder") + stub.count("RemoveItems"), 0, "{method}");
        assert_eq!(stub.0.items.lock().unwrap().len(), 1);
    }
    Ok(())
}

#[tokio::test]
async fn neither_the_cart_nor_the_mail_can_hold_up_a_paid_order() -> anyhow::Result<()> {
    for fault in [Fault::Hang, Fault::Fail(Status::unavailable("down"))] {
        let stub = Stub::with_items(&[("a", 1)]);
        stub.fault("RemoveItems", fault.clone());
        stub.fault("SendOrderConfirmation", fault);
        let (mut checkout, _running) = start(&stub).await?;

        let began = Instant::now();
        let order = place(&mut checkout, request("USD")).await?;

        assert_eq!(order.shipping_tracking_id, "AB-1-2");
        // 500 ms by promise, and room for a busy machine.
        assert!(began.elapsed() < Duration::from_millis(1_800), "{:?}", began.elapsed());
    }
    Ok(())
}

#[tokio::test]
async fn a_step_that_hangs_ends_at_its_deadline() -> anyhow::Result<()> {
    for (method, code) in [
        ("GetCart", Code::Unavailable),
        ("GetProduct", Code::Unavailable),
        ("GetQuote", Code::Unavailable),
        ("Convert", Code::Unavailable),
        ("Charge", Code::Unavailable),
        ("ShipOrder", Code::DeadlineExceeded),
    ] {
        let stub = Stub::with_items(&[("a", 1)]);
        stub.fault(method, Fault::Hang);
        let (mut env, _running) = stub.start().await?;
        env.set("PAYMENT_TIMEOUT", "300ms");
        env.set("SHIPPING_TIMEOUT", "300ms");
        let (channel, _checkout) = loopback(SERVICE, &env, routes).await?;

        let began = Instant::now();
        let refused = place(&mut CheckoutServiceClient::new(channel), request("USD")).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.code(), code, "{method}: {}", refused.message());
        assert!(began.elapsed() < Duration::from_secs(3), "{method}: {:?}", began.elapsed());
    }
    Ok(())
}

/// A caller who is gone drops its request, not the order.
#[tokio::test]
async fn an_order_that_is_being_charged_survives_its_caller() -> anyhow::Result<()> {
    let stub = Stub::with_items(&[("a", 1)]);
    stub.stage(&["Charge"], 2);
    let (mut checkout, _running) = start(&stub).await?;

    let caller = tokio::spawn(async move { place(&mut checkout, request("USD")).await });
    until(|| stub.count("Charge") == 1).await;
    caller.abort();
    let _ = caller.await;
    let barrier = stub.0.stages.lock().unwrap()["Charge"].clone();
    barrier.wait().await;

    until(|| stub.count("RemoveItems") == 1 && stub.count("SendOrderConfirmation") == 1).await;
    assert_eq!(stub.0.charged.lock().unwrap().len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_drain_waits_for_an_order_whose_caller_is_gone() -> anyhow::Result<()> {
    let stub = Stub::with_items(&[("a", 1)]);
    stub.stage(&["Charge"], 2);
    let (mut checkout, mut running) = start(&stub).await?;
    let Some(service) = running.pop() else { return Ok(()) };

    let caller = tokio::spawn(async move { place(&mut checkout, request("USD")).await });
    until(|| stub.count("Charge") == 1).await;
    caller.abort();
    let stopping = tokio::spawn(service.stop());
    let barrier = stub.0.stages.lock().unwrap()["Charge"].clone();
    barrier.wait().await;
    stopping.await?;

    assert_eq!((stub.count("ShipOrder"), stub.count("RemoveItems")), (1, 1));
    Ok(())
}

#[tokio::test]
async fn a_missing_address_stops_the_start_and_is_named() -> anyhow::Result<()> {
    let (complete, _running) = Stub::default().start().await?;
    for name in [
        "CART_SERVICE_ADDR",
        "CURRENCY_SERVICE_ADDR",
        "EMAIL_SERVICE_ADDR",
        "PAYMENT_SERVICE_ADDR",
        "PRODUCT_CATALOG_SERVICE_ADDR",
        "SHIPPING_SERVICE_ADDR",
    ] {
        for (value, problem) in [
            ("", "is not set"),
            ("nowhere", "must be host:port"),
            ("a b:1", "must be host:port"),
            ("inproc:nobody", "must name a service of this process after inproc:"),
        ] {
            let mut env: Env = complete.clone();
            env.set(name, value);
            let error = serve(SERVICE, &env, routes).await.unwrap_err();
            assert_eq!(error.to_string(), format!("{name} {problem}"));
        }
    }
    Ok(())
}
