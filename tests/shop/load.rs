//! The load generator in front of the shop, and in front of a shop that lies: whatever is wrong with
//! an order must be found out from what a client sees.

use std::collections::BTreeMap;
use std::process::Output;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use http::Method;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use boutique_test::{Processes, load_generator, settings};

fn said(output: &Output) -> String {
    let [stdout, stderr] =
        [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    format!("{stdout}{stderr}")
}

/// Every profile, closed and open, over HTTP and gRPC: all orders are right.
#[tokio::test]
async fn every_profile_finds_a_right_shop_right() -> anyhow::Result<()> {
    // This is about the load generator's verdicts: a busy machine must not add late answers and refusals to them.
    let patient = settings([
        ("LOAD_SHEDDING", "0"),
        ("AD_TIMEOUT", "10s"),
        ("RECOMMENDATION_TIMEOUT", "10s"),
        ("CURRENCY_TIMEOUT", "10s"),
        ("CART_TIMEOUT", "10s"),
        ("PRODUCT_CATALOG_TIMEOUT", "10s"),
    ]);
    let shop = Processes::ten(&patient).await?;
    let addresses = shop.addresses.clone();
    for profile in ["shop", "checkout", "checkout-grpc"] {
        for pace in [
            "--users 4 --rate 1000 --wait-min 0 --wait-max 0 --tasks 200",
            "--rps 150 --duration 2s --users 50",
        ] {
            let arguments = format!("--profile {profile} --refusals 0.2 {pace}");
            let (output, report) = load_generator(&arguments, &addresses).await?;
            assert_eq!(output.status.code(), Some(0), "{arguments}: {}", said(&output));
            let orders = &report["orders"];
            let placed = orders["acknowledged"].as_u64().unwrap_or_default();
            assert!(placed > 0 && orders["wrong"] == 0 && orders["unknown"] == 0, "{orders}");
            assert_eq!(orders["recomputed"], placed, "{arguments}: every total is worked out anew");
            assert_eq!(orders["refused"].as_u64() > Some(0), profile != "shop", "{orders}");
            assert!(orders["listed"].as_u64() > Some(0), "{arguments}: lists are looked at");
            assert_eq!(orders["carts_checked"], placed, "{arguments}: every cart is looked at");
        }
    }
    for page in [
        "browse",
        "page:home",
        "page:product",
        "page:cart",
        "page:add",
        "page:empty",
        "page:currency",
    ] {
        let (output, report) = load_generator(
            &format!("--profile {page} --rps 100 --duration 500ms --users 5"),
            &addresses,
        )
        .await?;
        assert_eq!(output.status.code(), Some(0), "{page}: {}", said(&output));
        assert_eq!(report["requests"], 50, "{page}");
    }
    let said = shop.stop().await?;
    assert!(!said.contains("\"severity\":\"error\""), "{said}");
    Ok(())
}

/// The change that the faulty proxy makes to the answer of a checkout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    WrongTotal,
    SameOrderAgain,
    SameParcelAgain,
    KeepsTheCart,
    TakesAnyCard,
    EmptiesTheCartAtARefusal,
    OrdersOnceMore,
    ForgetsTheLatestOrder,
    LeavesOrdersOpen,
}

/// Stands before a shop and passes everything on, but for what the fault is about.
struct FaultyFrontend {
    shop: String,
    fault: Fault,
    client: Client<HttpConnector, Full<bytes::Bytes>>,
    /// An order that was right.
    before: Mutex<Option<String>>,
}

impl FaultyFrontend {
    async fn pass(
        &self,
        method: &Method,
        path: &str,
        cookie: &str,
        body: bytes::Bytes,
    ) -> (http::response::Parts, String) {
        let request = http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.shop))
            .header("cookie", cookie)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Full::new(body))
            .unwrap();
        let (parts, body) = self.client.request(request).await.unwrap().into_parts();
        let text = body.collect().await.unwrap().to_bytes();
        (parts, String::from_utf8_lossy(&text).into_owned())
    }

    async fn answer(self: Arc<Self>, request: Request) -> Response {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let path = head.uri.path_and_query().unwrap().as_str().to_owned();
        let cookie =
            head.headers.get("cookie").map_or("", |value| value.to_str().unwrap()).to_owned();
        let (mut parts, mut page) = self.pass(&head.method, &path, &cookie, body.clone()).await;
        if path == "/cart/checkout" {
            let placed = parts.status.is_success();
            let before = self.before.lock().unwrap().clone();
            match (self.fault, placed, before) {
                (Fault::WrongTotal, true, _) => page = raise_by_a_cent(&page),
                (Fault::SameOrderAgain, true, Some(before)) => {
                    page = copy(&before, &page, "order-id\">")
                }
                (Fault::SameParcelAgain, true, Some(before)) => {
                    page = copy(&before, &page, "tracking-id\">")
                }
                (Fault::KeepsTheCart, true, _) => {
                    let form = "product_id=OLJCESPC7Z&quantity=1";
                    self.pass(&Method::POST, "/cart", &cookie, form.into()).await;
                }
                (Fault::OrdersOnceMore, true, _) => {
                    let form = "product_id=OLJCESPC7Z&quantity=1";
                    self.pass(&Method::POST, "/cart", &cookie, form.into()).await;
                    self.pass(&Method::POST, &path, &cookie, body).await;
                }
                (Fault::TakesAnyCard, false, Some(before)) => {
                    (parts.status, page) = (http::StatusCode::OK, before);
                }
                (Fault::EmptiesTheCartAtARefusal, false, _) => {
                    self.pass(&Method::POST, "/cart/empty", &cookie, Default::default()).await;
                }
                _ => {}
            }
            if placed {
                *self.before.lock().unwrap() = Some(page.clone());
            }
        }
        if path == "/orders" && self.fault == Fault::ForgetsTheLatestOrder {
            page = without_first_order(&page);
        }
        if path == "/orders" && self.fault == Fault::LeavesOrdersOpen {
            page = page.replace(">complete<", ">being processed<");
        }
        parts.headers.remove("content-length");
        parts.headers.remove("transfer-encoding");
        Response::from_parts(parts, Body::from(page))
    }
}

/// The page with the value after this mark as another page has it.
fn copy(from: &str, to: &str, mark: &str) -> String {
    let value = |page: &str| page.split_once(mark).unwrap().1.split_once('<').unwrap().0.to_owned();
    to.replace(&value(to), &value(from))
}

fn without_first_order(page: &str) -> String {
    let row = "<div class=\"row border-bottom-solid\">";
    let (start, rest) = page.split_once(row).unwrap();
    let (_, rest) = rest.split_once(row).unwrap();
    format!("{start}{row}{rest}")
}

fn raise_by_a_cent(page: &str) -> String {
    let (start, rest) = page.split_once("total-paid\">").unwrap();
    let (total, rest) = rest.split_once('<').unwrap();
    let (rest_of_total, cent) = total.split_at(total.len() - 1);
    let next = (cent.parse::<u32>().unwrap() + 1) % 10;
    format!("{start}total-paid\">{rest_of_total}{next}<{rest}")
}

#[tokio::test]
async fn every_lie_about_an_order_is_found_out() -> anyhow::Result<()> {
    for (fault, why) in [
        (Fault::WrongTotal, "the order's total is"),
        (Fault::SameOrderAgain, "the order id is empty or was given before"),
        (Fault::SameParcelAgain, "the tracking id is empty or was given before"),
        (Fault::KeepsTheCart, "the cart holds 1 pieces too many after it"),
        (Fault::TakesAnyCard, "an expired card was accepted"),
        (Fault::EmptiesTheCartAtARefusal, "pieces too few after it was refused"),
        (Fault::OrdersOnceMore, "beside those acknowledged, and 0 outcomes were unknown"),
        (Fault::ForgetsTheLatestOrder, "the list of orders has older ones, and not this"),
        (Fault::LeavesOrdersOpen, "the list of orders says that it is not complete"),
    ] {
        let (visitor, shop, ..) = crate::open(&Default::default()).await?;
        let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        let frontend = Arc::new(FaultyFrontend {
            shop: visitor.base,
            fault,
            client,
            before: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let proxy = Router::new().fallback(move |request| frontend.clone().answer(request));
        let serving = tokio::spawn(async move { axum::serve(listener, proxy).await });

        let arguments = format!(
            "--frontend-addr {address} --profile checkout --refusals 0.3 --users 2 --rate 1000 \
             --tasks 40 --wait-min 0 --wait-max 0"
        );
        let (output, report) = load_generator(&arguments, &BTreeMap::new()).await?;
        assert_eq!(output.status.code(), Some(1), "{fault:?}: {}", said(&output));
        assert!(report["orders"]["wrong"].as_u64() > Some(0), "{fault:?}: {}", report["orders"]);
        assert!(said(&output).contains(why), "{fault:?}: {}", said(&output));
        serving.abort();
        shop.close().await;
    }
    Ok(())
}
