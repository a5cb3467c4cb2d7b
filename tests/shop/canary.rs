//! Card numbers and CVVs, of good requests and bad, are in nothing that the shop says,
//! exports or stores.

use boutique_proto::{
    Address, ChargeRequest, CreditCardInfo, Money, PlaceOrderRequest, checkout_service,
    payment_service,
};
use boutique_service::{Channel, Env, Registry, client};

use boutique_test::{Collector, Processes, RedisServer, Visitor, settings};

/// Good, of another brand, without a right check digit, and none at all.
const CARDS: [&str; 5] = [
    "4929117373911732",
    "4929-1173-7391-1732",
    "378282246310005",
    "4929117373911733",
    "4929117373911732929117373911732",
];
/// A number that is unlikely to stand anywhere by chance.
const CVV: &str = "7919";

async fn shop(visitor: &mut Visitor) {
    for card in CARDS {
        for changed in [
            vec![],
            vec![("credit_card_expiration_year", "2001")],
            vec![("credit_card_expiration_month", "13")],
            vec![("email", "nobody")],
        ] {
            visitor.add("OLJCESPC7Z", 1).await;
            let card = [("credit_card_number", card), ("credit_card_cvv", CVV)];
            visitor.check_out(&[&card[..], &changed].concat()).await;
        }
    }
    // In the wrong places.
    visitor.post("/setCurrency", &[("currency_code", CARDS[0])]).await;
    visitor.post("/cart", &[("product_id", "OLJCESPC7Z"), ("quantity", CARDS[0])]).await;
    visitor.post_raw("/cart/checkout", Some("application/json"), CARDS[0]).await;
}

fn card(number: &str) -> Option<CreditCardInfo> {
    let mut card = CreditCardInfo::default();
    card.credit_card_number = number.to_owned();
    card.credit_card_cvv = CVV.parse().unwrap();
    card.credit_card_expiration_year = 2039;
    card.credit_card_expiration_month = 1;
    Some(card)
}

/// The same cards straight to the two services that see them.
async fn call(env: &Env) -> anyhow::Result<()> {
    let payment: payment_service::Client<Channel> = client(env, &Registry::default())?;
    let checkout: checkout_service::Client<Channel> = client(env, &Registry::default())?;
    for number in CARDS {
        for units in [1, -1] {
            let amount = Some(Money { currency_code: "USD".to_owned(), units, nanos: 0 });
            let _ = payment.charge(ChargeRequest { amount, credit_card: card(number) }).await;
        }
        let order = PlaceOrderRequest {
            user_id: "nobody".to_owned(),
            user_currency: "USD".to_owned(),
            address: Some(Address::default()),
            email: "someone@example.com".to_owned(),
            credit_card: card(number),
        };
        let _ = checkout.place_order(order).await;
    }
    Ok(())
}

/// The digits of a text, without what people write between them.
fn squeezed(text: &str) -> String {
    let mut squeezed = text.replace("%20", "").replace("%2D", "").replace('+', "");
    squeezed.retain(|c| !matches!(c, ' ' | '-' | '_' | '.' | '"' | '\\'));
    squeezed
}

fn base64(text: &str) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let encode = |chunk: &[u8]| {
        let bits = chunk.iter().fold(0_usize, |bits, byte| bits << 8 | usize::from(*byte));
        [18, 12, 6, 0].map(|shift| char::from(LETTERS[bits >> shift & 63]))
    };
    text.as_bytes().chunks_exact(3).flat_map(encode).collect()
}

fn assert_clean(source: &str, text: &str) {
    assert!(!text.is_empty(), "{source} says nothing, which proves nothing");
    let digits = squeezed(text);
    for card in CARDS {
        let number = card.replace('-', "");
        assert!(!digits.contains(&number), "{source} has the number of a card");
        assert!(!text.contains(&base64(&number)), "{source} has an encoded number of a card");
        // More than the last four digits, which a refusal may tell its customer.
        assert!(!digits.contains(&number[number.len() - 8..]), "{source} has half a number");
    }
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    let words: Vec<_> = text.split(|c| !is_part(c)).collect();
    assert!(!words.contains(&CVV), "{source} has a CVV");
    for address in ["someone@example.com", "1600 Amphitheatre"] {
        assert!(!text.contains(address), "{source} has a customer's address");
    }
}

#[tokio::test]
async fn ten_processes_keep_cards_to_themselves() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let redis = RedisServer::start(&[
        "--appendonly",
        "yes",
        "--appendfsync",
        "always",
        "--dir",
        folder.path().to_str().unwrap(),
    ])?;
    let (collector, address, _running) = Collector::start().await?;
    let settings = settings([
        ("REDIS_ADDR", redis.address().as_str()),
        ("RUST_LOG", "debug,h2=info,hyper=info"),
        ("ENABLE_TRACING", "1"),
        ("OTEL_LOGS_EXPORTER", "otlp"),
        ("OTEL_METRICS_EXPORTER", "otlp"),
        ("COLLECTOR_SERVICE_ADDR", address.as_str()),
        ("ADMIN_ADDR", "127.0.0.1:0"),
    ]);
    let mut processes = Processes::ten(&settings).await?;

    shop(&mut processes.visitor).await;
    let mut env = Env::default();
    for (name, value) in &processes.addresses {
        env.set(name, value.as_str());
    }
    call(&env).await?;
    let mut metrics = String::new();
    for admin in processes.admin_addresses().await? {
        metrics += &Visitor::new(format!("http://{admin}")).get("/metrics").await.body;
    }
    let said = processes.stop().await?;

    assert_clean("the metrics", &metrics);
    assert_clean("the log", &said);
    assert_clean("the traces", &collector.raw());
    let mut stored = String::new();
    for entry in std::fs::read_dir(folder.path().join("appendonlydir"))? {
        stored += &String::from_utf8_lossy(&std::fs::read(entry?.path())?);
    }
    assert_clean("the append-only file", &stored);
    Ok(())
}

#[tokio::test]
async fn one_process_keeps_cards_to_itself() -> anyhow::Result<()> {
    let settings = settings([("RUST_LOG", "debug,h2=info,hyper=info")]);
    let mut processes = Processes::one(&settings).await?;

    shop(&mut processes.visitor).await;

    assert_clean("the log", &processes.stop().await?);
    Ok(())
}

#[test]
fn the_scan_finds_what_it_looks_for() {
    for leak in [
        "card 4929117373911732",
        "4929-1173-7391-1732",
        "4929 1173 7391 1732",
        "4929%201173%207391%201732",
        &base64("4929117373911732"),
        "{\"credit_card_cvv\":7919}",
        "cvv: 7919, ",
        "mailed someone@example.com",
    ] {
        let found = std::panic::catch_unwind(|| assert_clean("this", leak));
        assert!(found.is_err(), "{leak}");
    }
    assert_clean("this", "{\"session\":\"a7919b\",\"message\":\"answered GET / with 200\"}");
}
