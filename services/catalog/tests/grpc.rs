//! productcatalogservice over its own wire.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use boutique_proto::product_catalog_service_client::ProductCatalogServiceClient;
use boutique_proto::{Empty, GetProductRequest, SearchProductsRequest};
use boutique_service::{Env, ServerHandle};
use boutique_test::{connect, loopback, serve};
use productcatalogservice::{SERVICE, routes};
use tonic::Code;
use tonic::transport::Channel;

type Catalog = ProductCatalogServiceClient<Channel>;

async fn catalog() -> anyhow::Result<(Catalog, Option<ServerHandle>)> {
    let (channel, running) = loopback(SERVICE, &Env::default(), routes).await?;
    Ok((ProductCatalogServiceClient::new(channel), running))
}

/// Our own process whatever the environment says, because it needs settings.
async fn catalog_with(settings: &Env) -> anyhow::Result<(Catalog, ServerHandle)> {
    let running = serve(SERVICE, settings, routes).await?;
    Ok((ProductCatalogServiceClient::new(connect(running.address().unwrap())?), running))
}

async fn found(catalog: &mut Catalog, query: &str) -> anyhow::Result<Vec<String>> {
    let request = SearchProductsRequest { query: query.to_owned() };
    let results = catalog.search_products(request).await?.into_inner().results;
    Ok(results.into_iter().map(|product| product.id).collect())
}

async fn ids(catalog: &mut Catalog) -> anyhow::Result<Vec<String>> {
    let listed = catalog.list_products(Empty {}).await?.into_inner();
    Ok(listed.products.into_iter().map(|product| product.id).collect())
}

/// Id, name, dollars and cents, categories.
type Stock = (&'static str, &'static str, (i64, i32), &'static [&'static str]);

const STOCK: [Stock; 9] = [
    ("OLJCESPC7Z", "Sunglasses", (19, 99), &["accessories"]),
    ("66VCHSJNUP", "Tank Top", (18, 99), &["clothing", "tops"]),
    ("1YMWWN1N4O", "Watch", (109, 99), &["accessories"]),
    ("L9ECAV7KIM", "Loafers", (89, 99), &["footwear"]),
    ("2ZYFJ3GM2N", "Hairdryer", (24, 99), &["hair", "beauty"]),
    ("0PUK6V6EV0", "Candle Holder", (18, 99), &["decor", "home"]),
    ("LS4PSXUNUM", "Salt & Pepper Shakers", (18, 49), &["kitchen"]),
    ("9SIQT8TOJO", "Bamboo Glass Jar", (5, 49), &["kitchen"]),
    ("6E92ZMYYFZ", "Mug", (8, 99), &["kitchen"]),
];

#[tokio::test]
async fn the_stock_is_upstreams() -> anyhow::Result<()> {
    let (mut catalog, _running) = catalog().await?;

    let products = catalog.list_products(Empty {}).await?.into_inner().products;

    assert_eq!(products.len(), STOCK.len());
    for (product, (id, name, (units, cents), categories)) in products.iter().zip(STOCK) {
        assert_eq!((product.id.as_str(), product.name.as_str()), (id, name));
        assert_eq!(product.categories, categories);
        let price = product.price_usd.as_ref().unwrap();
        assert_eq!((price.units, price.nanos), (units, cents * 10_000_000), "{name}");
        assert_eq!(price.currency_code, "USD");
        let file = name.to_lowercase().replace(" & ", "-and-").replace(' ', "-");
        assert_eq!(product.picture, format!("/static/img/products/{file}.jpg"));
    }
    Ok(())
}

#[tokio::test]
async fn a_product_is_found_by_its_exact_id() -> anyhow::Result<()> {
    let (mut catalog, _running) = catalog().await?;

    let mug = catalog.get_product(GetProductRequest { id: "6E92ZMYYFZ".to_owned() }).await?;
    assert_eq!(mug.into_inner().name, "Mug");

    for id in ["NOPE", "6e92zmyyfz", ""] {
        let request = GetProductRequest { id: id.to_owned() };
        let refused = catalog.get_product(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::NotFound);
        assert_eq!(refused.message(), format!("no product with ID {id}"));
    }
    Ok(())
}

#[tokio::test]
async fn upstreams_searches_find_what_they_find_there() -> anyhow::Result<()> {
    let (mut catalog, _running) = catalog().await?;

    assert_eq!(found(&mut catalog, "kitchen").await?, ["LS4PSXUNUM", "9SIQT8TOJO"]);
    assert_eq!(found(&mut catalog, "perfect").await?, ["66VCHSJNUP", "2ZYFJ3GM2N", "9SIQT8TOJO"]);
    assert_eq!(found(&mut catalog, "MUG").await?, ["6E92ZMYYFZ"]);
    assert_eq!(found(&mut catalog, "submarine").await?.len(), 0);
    Ok(())
}

#[tokio::test]
async fn strange_questions_get_plain_answers() -> anyhow::Result<()> {
    let (mut catalog, _running) = catalog().await?;

    assert_eq!(found(&mut catalog, "").await?.len(), 9);
    for nothing in [".*", "%", "(a+)+$"] {
        assert_eq!(found(&mut catalog, nothing).await?.len(), 0, "{nothing}");
    }
    let long = SearchProductsRequest { query: "x".repeat(1 << 20) };
    assert_eq!(catalog.search_products(long).await.unwrap_err().code(), Code::InvalidArgument);

    let long = GetProductRequest { id: "x".repeat(1 << 20) };
    let refused = catalog.get_product(long).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
    assert_eq!(refused.message(), format!("no product with ID {}", "x".repeat(64)));
    Ok(())
}

#[tokio::test]
async fn extra_latency_slows_every_call() -> anyhow::Result<()> {
    let settings = Env::from([("EXTRA_LATENCY", "0.2s")]);
    let (mut catalog, _running) = catalog_with(&settings).await?;

    let began = Instant::now();
    assert_eq!(ids(&mut catalog).await?.len(), 9);
    assert!(began.elapsed() >= Duration::from_millis(200));
    Ok(())
}

fn write(path: &Path, id: &str) {
    let list = format!(
        r#"{{"products": [{{"id": "{id}", "name": "x", "priceUsd": {{"currencyCode": "USD", "units": "7"}}}}]}}"#
    );
    std::fs::write(path, list).unwrap();
}

/// Sends this process a signal, as `kubectl exec` or an operator would.
fn kill(signal: &str) {
    let status = Command::new("kill").args([signal, &std::process::id().to_string()]).status();
    assert!(status.unwrap().success());
}

/// The last good list stays.
#[tokio::test]
async fn signals_switch_reading_on_every_call_and_a_bad_file_changes_nothing() -> anyhow::Result<()>
{
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("products.json");
    write(&path, "first");
    let settings = Env::from([("CATALOG_FILE", path.to_str().unwrap())]);
    let (mut catalog, _running) = catalog_with(&settings).await?;
    assert_eq!(ids(&mut catalog).await?, ["first"]);

    write(&path, "second");
    assert_eq!(ids(&mut catalog).await?, ["first"]);

    kill("-USR1");
    while ids(&mut catalog).await? != ["second"] {}
    std::fs::write(&path, "{")?;
    assert_eq!(ids(&mut catalog).await?, ["second"]);
    write(&path, "third");
    assert_eq!(ids(&mut catalog).await?, ["third"]);

    // Whatever is being written, a call sees one whole list.
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut catalog = catalog.clone();
        readers.spawn(async move {
            for _ in 0..100 {
                let ids = ids(&mut catalog).await?;
                anyhow::ensure!(ids == ["odd"] || ids == ["even"] || ids == ["third"], "{ids:?}");
            }
            Ok(())
        });
    }
    let mut writes = 0;
    while !readers.is_empty() {
        let finished = tokio::select! {
            finished = readers.join_next() => finished,
            () = tokio::time::sleep(Duration::from_micros(200)) => Some(Ok(Ok(()))),
        };
        let Some(finished) = finished else { break };
        finished??;
        write(&path, if writes % 2 == 0 { "even" } else { "odd" });
        writes += 1;
    }

    kill("-USR2");
    // The switch is off once a change no longer shows.
    for number in 0.. {
        let id = format!("later{number}");
        write(&path, &id);
        if ids(&mut catalog).await? != [id] {
            break;
        }
    }
    Ok(())
}

/// Upstream checks neither; money stays right, because every price is converted.
#[tokio::test]
async fn a_price_may_be_zero_or_in_another_currency() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("products.json");
    let list = r#"{"products": [
        {"id": "free", "priceUsd": {"currencyCode": "USD"}},
        {"id": "euro", "priceUsd": {"currencyCode": "EUR", "units": 10}}]}"#;
    // As editors on Windows write it, too.
    for text in [list.to_owned(), format!("\u{feff}{}", list.replace('\n', "\r\n"))] {
        std::fs::write(&path, text)?;
        let settings = Env::from([("CATALOG_FILE", path.to_str().unwrap())]);
        let (mut catalog, _running) = catalog_with(&settings).await?;
        assert_eq!(ids(&mut catalog).await?, ["free", "euro"]);
    }
    Ok(())
}

#[tokio::test]
async fn a_list_that_cannot_be_sold_from_stops_the_start_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("products.json");
    let row = |id: &str, code: &str, units: &str| {
        format!(r#"{{"id": "{id}", "priceUsd": {{"currencyCode": "{code}", "units": {units}}}}}"#)
    };
    let list = |rows: &[String]| format!(r#"{{"products": [{}]}}"#, rows.join(","));
    let huge = format!("{}{}", " ".repeat(50 << 20), list(&[row("a", "USD", "1")]));
    let many: Vec<_> = (0..100_000).map(|n| row(&format!("{n:040}"), "USD", "1")).collect();
    for text in [
        String::new(),
        "{".to_owned(),
        "[]".to_owned(),
        list(&[row("a", "USD", "1"), row("a", "USD", "2")]),
        list(&[row("a", "USD", "-1")]),
        list(&[row("a", "USD", r#""one""#)]),
        list(&[row("a", "eur", "1")]),
        list(&[row("", "USD", "1")]),
        r#"{"products": [{"id": "a"}]}"#.to_owned(),
        huge,
        list(&many),
    ] {
        std::fs::write(&path, &text).unwrap();
        let env = Env::from([("CATALOG_FILE", path.to_str().unwrap())]);
        let error = serve(SERVICE, &env, routes).await.unwrap_err().to_string();
        assert!(error.starts_with("CATALOG_FILE must name"), "{error}");
        assert!(!error.contains('\n') && error.len() < 200, "{error}");
    }
    for (setting, value) in [
        ("CATALOG_FILE", "/does/not/exist"),
        ("EXTRA_LATENCY", "fast"),
        ("ALLOYDB_CLUSTER_NAME", "cluster"),
    ] {
        let error = serve(SERVICE, &Env::from([(setting, value)]), routes).await.unwrap_err();
        assert!(error.to_string().starts_with(&format!("{setting} must")), "{error}");
    }
}
