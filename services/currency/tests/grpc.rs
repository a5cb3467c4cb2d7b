//! currencyservice over its own wire, against upstream's golden values.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use boutique_proto::currency_service_client::CurrencyServiceClient;
use boutique_proto::{CurrencyConversionRequest, Empty, Money};
use boutique_service::{Env, ServerHandle};
use boutique_test::{connect, loopback, serve};
use currencyservice::{SERVICE, routes};
use tonic::transport::Channel;
use tonic::{Code, Status};

type Currency = CurrencyServiceClient<Channel>;

async fn currency() -> anyhow::Result<(Currency, Option<ServerHandle>)> {
    let (channel, running) = loopback(SERVICE, &Env::default(), routes).await?;
    Ok((CurrencyServiceClient::new(channel), running))
}

async fn convert(
    currency: &mut Currency,
    from: (&str, i64, i32),
    to: &str,
) -> Result<i128, Status> {
    let (code, units, nanos) = from;
    let from = Some(Money { currency_code: code.to_owned(), units, nanos });
    let request = CurrencyConversionRequest { from, to_code: to.to_owned() };
    let money = currency.convert(request).await?.into_inner();
    assert_eq!(money.currency_code, to);
    Ok(i128::from(money.units) * 1_000_000_000 + i128::from(money.nanos))
}

/// "17.682441398" in nanos.
fn nanos(decimal: &str) -> i128 {
    decimal.replace('.', "").parse().unwrap()
}

/// Upstream's own answers for its prices: item, then EUR USD JPY GBP TRY CAD.
const STOCK: &str = "
    19.99 17.682441398 19.990000000 2235.060592707 15.201594869 108.299648830 26.749997346
    18.99 16.797877046 18.990000000 2123.251658614 14.441134896 102.881957543 25.411828395
    109.99 97.293233083 109.990000000 12297.864661691 83.642992481 595.891864663 147.185203007
    89.99 79.601946042 89.990000000 10061.685979708 68.433793012 487.538038923 120.421823972
    24.99 22.105263158 24.990000000 2794.105263171 19.003894736 135.388105263 33.440842105
    18.49 16.355594870 18.490000000 2067.347191568 14.060904909 100.173111900 24.742743919
    5.49 4.856258293 5.490000000 613.831048235 4.174925254 29.743125167 7.346547545
    8.99 7.952233525 8.990000000 1005.162317560 6.836535161 48.705044670 12.030138876";

/// The nanos by which upstream's doubles may differ from whole numbers.
const DOUBLES: i128 = 1;

/// The stock prices in cents, and upstream's answers for them in nanos.
fn stock() -> impl Iterator<Item = (i64, Vec<i128>)> {
    STOCK.lines().filter(|line| !line.is_empty()).map(|row| {
        let mut cells = row.split_whitespace();
        let cents = cells.next().unwrap().replace('.', "").parse().unwrap();
        (cents, cells.map(nanos).collect())
    })
}

fn dollars(cents: i64) -> (&'static str, i64, i32) {
    ("USD", cents / 100, i32::try_from(cents % 100).unwrap() * 10_000_000)
}

fn rate(code: &str) -> f64 {
    const RATES: &str = include_str!("../data/rates.json");
    let row = RATES.lines().find_map(|line| line.trim().strip_prefix(&format!("\"{code}\": \"")));
    row.unwrap().trim_end_matches(['"', ',']).parse().unwrap()
}

/// Upstream's conversion of a positive amount of nanos, in its doubles.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "as upstream does it"
)]
fn upstreams(amount: i128, from: f64, to: f64) -> i128 {
    let carry = |units: f64, nanos: f64| {
        let nanos = nanos + units % 1.0 * 1e9;
        (units.floor() + (nanos / 1e9).floor(), nanos % 1e9)
    };
    let (units, nanos) = ((amount / 1_000_000_000) as f64, (amount % 1_000_000_000) as f64);
    let (units, nanos) = carry(units / from, nanos / from);
    let (units, nanos) = carry(units * to, (nanos + 0.5).floor() * to);
    units.floor() as i128 * 1_000_000_000 + nanos.floor() as i128
}

/// Upstream's own answers for 100 US dollars, in the table's order.
const HUNDRED: [(&str, &str); 33] = [
    ("EUR", "88.456435206"),
    ("USD", "100.000000000"),
    ("JPY", "11180.893410038"),
    ("BGN", "173.003095975"),
    ("CZK", "2263.777089791"),
    ("DKK", "659.964617428"),
    ("GBP", "76.045997346"),
    ("HUF", "27908.889871845"),
    ("PLN", "380.327288811"),
    ("RON", "419.840778418"),
    ("SEK", "932.109685983"),
    ("CHF", "100.486510394"),
    ("ISK", "12100.840336180"),
    ("NOK", "867.226890759"),
    ("HRK", "656.435205663"),
    ("RUB", "6582.998673178"),
    ("TRY", "541.769128706"),
    ("AUD", "142.167182663"),
    ("BRL", "377.549756746"),
    ("CAD", "133.816895179"),
    ("CNY", "671.003980542"),
    ("HKD", "784.988942948"),
    ("IDR", "1415249.889434876"),
    ("ILS", "361.565678904"),
    ("INR", "7026.271561282"),
    ("KRW", "112786.377709410"),
    ("MXN", "1928.341441847"),
    ("MYR", "409.455992925"),
    ("NZD", "147.536488280"),
    ("PHP", "5226.271561276"),
    ("SGD", "135.771782397"),
    ("THB", "3185.493144638"),
    ("ZAR", "1420.459973468"),
];

#[tokio::test]
async fn the_table_has_upstreams_codes_in_upstreams_order() -> anyhow::Result<()> {
    let (mut currency, _running) = currency().await?;

    let answer = currency.get_supported_currencies(Empty {}).await?.into_inner();

    assert_eq!(answer.currency_codes, HUNDRED.map(|(code, _)| code));
    Ok(())
}

#[tokio::test]
async fn every_rate_is_upstreams() -> anyhow::Result<()> {
    let (mut currency, _running) = currency().await?;

    for (code, golden) in HUNDRED {
        let found = convert(&mut currency, ("USD", 100, 0), code).await?;
        assert!((found - nanos(golden)).abs() <= DOUBLES, "{code}: {found} for {golden}");
    }
    Ok(())
}

#[tokio::test]
async fn every_stock_price_is_upstreams_to_the_nano() -> anyhow::Result<()> {
    let (mut currency, _running) = currency().await?;

    for (cents, goldens) in stock() {
        for (code, golden) in ["EUR", "USD", "JPY", "GBP", "TRY", "CAD"].into_iter().zip(goldens) {
            let found = convert(&mut currency, dollars(cents), code).await?;
            // On its own currency upstream loses a nano now and then; we do not.
            assert_eq!(found, golden, "{cents} cents in {code}");
        }
        for (code, _) in HUNDRED.into_iter().filter(|(code, _)| *code != "USD") {
            let found = convert(&mut currency, dollars(cents), code).await?;
            let golden = upstreams(i128::from(cents) * 10_000_000, rate("USD"), rate(code));
            // The one place where its doubles are a nano off: 16.355594870 × 15999.40 ends in …078 exactly.
            let error = i128::from(cents == 1849 && code == "IDR");
            assert_eq!(found - error, golden, "{cents} cents in {code}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn other_pairs_are_upstreams() -> anyhow::Result<()> {
    let (mut currency, _running) = currency().await?;

    for (from, to, golden) in [
        (("CHF", 300, 0), "EUR", "264.084507042"),
        (("EUR", 100, 0), "KRW", "127505.000000000"),
        (("JPY", 1000, 0), "USD", "8.943829113"),
        (("ILS", 12, 340_000_000), "ZAR", "48.479369302"),
        (("IDR", 1, 0), "EUR", "0.000062502"),
    ] {
        let found = convert(&mut currency, from, to).await?;
        assert!((found - nanos(golden)).abs() <= DOUBLES, "{from:?} in {to}: {found}");
    }
    Ok(())
}

/// An order's total is the sum of its converted prices, so that a nano can become a cent: 3 × 18.99, 18.99, 5.49 and
/// 8.99 for shipping are 80.000000002 euros.
#[tokio::test]
async fn totals_of_random_carts_are_upstreams_to_the_cent() -> anyhow::Result<()> {
    let (mut currency, _running) = currency().await?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for (code, _) in HUNDRED {
        let (mut our_prices, mut their_prices) = (Vec::new(), Vec::new());
        for (cents, _) in stock() {
            our_prices.push(convert(&mut currency, dollars(cents), code).await?);
            let amount = i128::from(cents) * 10_000_000;
            let exact = code == "USD";
            their_prices.push(if exact {
                amount
            } else {
                upstreams(amount, rate("USD"), rate(code))
            });
        }
        ours.push(our_prices);
        theirs.push(their_prices);
    }
    let total = |prices: &[i128], pieces: &[i128]| {
        let lines = prices.iter().zip(pieces).map(|(price, pieces)| price * pieces);
        lines.sum::<i128>() / 10_000_000
    };
    // 19.99 18.99 109.99 89.99 24.99 18.49 5.49 8.99, the last of which is also what shipping costs.
    assert_eq!(total(&ours[0], &[0, 4, 0, 0, 0, 0, 1, 1]), 8_000);

    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    for _ in 0..400_000 {
        let mut below = |bound: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % bound
        };
        let index = usize::try_from(below(33))?;
        let pieces: Vec<i128> = (0..8).map(|_| i128::from(below(11))).collect();
        let (our_total, their_total) =
            (total(&ours[index], &pieces), total(&theirs[index], &pieces));
        assert_eq!(our_total, their_total, "{pieces:?} in {}", HUNDRED[index].0);
    }
    Ok(())
}

/// Upstream loses nanos on equal codes and breaks on negative amounts.
#[tokio::test]
async fn an_amount_in_its_own_currency_stays_what_it_is() -> anyhow::Result<()> {
    let (mut currency, _running) = currency().await?;

    for (units, nanos) in
        [(67, 990_000_000), (20, 0), (1, 0), (-1, -750_000_000), (-19, -990_000_000)]
    {
        let found = convert(&mut currency, ("USD", units, nanos), "USD").await?;
        assert_eq!(found, i128::from(units) * 1_000_000_000 + i128::from(nanos));
    }
    Ok(())
}

#[tokio::test]
async fn what_has_no_rate_or_is_no_amount_is_refused() -> anyhow::Result<()> {
    let (mut currency, _running) = currency().await?;

    for (from, to) in [
        (("USD", 1, 0), "AED"),
        (("USD", 1, 0), ""),
        (("USD", 1, 0), "usd"),
        (("USD", 1, 0), "__proto__"),
        (("XYZ", 1, 0), "USD"),
        (("", 1, 0), "USD"),
        (("USD", 5, 1_500_000_000), "EUR"),
        (("USD", 5, 2_000_000_000), "EUR"),
        (("USD", 5, -1), "EUR"),
        (("USD", i64::MAX, 0), "IDR"),
    ] {
        let refused = convert(&mut currency, from, to).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{from:?} in {to}");
    }
    let nothing = CurrencyConversionRequest { from: None, to_code: "EUR".to_owned() };
    assert_eq!(currency.convert(nothing).await.unwrap_err().code(), Code::InvalidArgument);
    Ok(())
}

#[tokio::test]
async fn another_table_may_be_read_from_a_file() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("rates.json");
    let table = r#"{"EUR": "1", "USD": 1.1, "XAU": 0.0005}"#;
    // As editors on Windows write it, too.
    for text in [table.to_owned(), format!("\u{feff}{}\r\n", table.replace(' ', "\r\n"))] {
        std::fs::write(&path, text)?;
        let env = Env::from([("RATES_FILE", path.to_str().unwrap())]);
        let running = serve(SERVICE, &env, routes).await?;
        let mut currency = CurrencyServiceClient::new(connect(running.address().unwrap())?);

        assert_eq!(convert(&mut currency, ("EUR", 2000, 0), "XAU").await?, 1_000_000_000);
    }
    Ok(())
}

#[tokio::test]
async fn a_table_that_cannot_be_used_stops_the_start_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rates.json");
    for text in [
        "",
        "[]",
        "{}",
        r#"{"EUR": "x"}"#,
        r#"{"eur": "1"}"#,
        r#"{"EUR": null}"#,
        r#"{"EUR": "-1"}"#,
        r#"{"EUR": "1", "CHF": "1.1"}"#,
    ] {
        std::fs::write(&path, text).unwrap();
        let env = Env::from([("RATES_FILE", path.to_str().unwrap())]);
        let error = serve(SERVICE, &env, routes).await.unwrap_err().to_string();
        assert!(error.starts_with("RATES_FILE must"), "{text}: {error}");
    }
    let utf16: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (bytes, reason) in [(utf16.as_slice(), "UTF-16"), (b"{\"\xe9\"}", "another encoding")] {
        std::fs::write(&path, bytes).unwrap();
        let env = Env::from([("RATES_FILE", path.to_str().unwrap())]);
        let error = serve(SERVICE, &env, routes).await.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    }
    let env = Env::from([("RATES_FILE", "/does/not/exist")]);
    let error = serve(SERVICE, &env, routes).await.unwrap_err().to_string();
    assert!(error.starts_with("RATES_FILE must name a file"), "{error}");
}
