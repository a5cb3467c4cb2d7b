//! The expected charges of a shop: its catalog and its quote as it tells them, and the rates
//! it is known to use. Nothing here is shared with the code that it checks.

use std::collections::BTreeMap;

use anyhow::{Context as _, ensure};
use boutique_money::{CurrencyCode, Money};
use serde::Deserialize;

/// Upstream's rates, which are the shop's own unless it is told others.
const RATES: &str = include_str!("../../../services/currency/data/rates.json");
/// A rate counts in these.
const SCALE: i128 = 1_000_000;

/// Pieces by product.
pub(crate) type Cart = BTreeMap<String, u32>;

/// Prices, quote and rates.
#[derive(Debug, Clone)]
pub(crate) struct PriceList {
    /// In nanos of a US dollar.
    prices: BTreeMap<String, i128>,
    quote: i128,
    /// The value of a euro, in millionths.
    rates: BTreeMap<String, i128>,
}

/// A product as `/product-meta/{id}` tells it.
#[derive(Deserialize)]
struct Meta {
    price_usd: Price,
}

#[derive(Deserialize)]
struct Price {
    currency_code: String,
    #[serde(default)]
    units: i64,
    #[serde(default)]
    nanos: i32,
}

impl PriceList {
    /// A list without prices, with the rates of this table (upstream's where there is none): a JSON
    /// object of codes and decimals.
    pub(crate) fn try_new(rates: Option<&str>) -> anyhow::Result<Self> {
        let table: BTreeMap<String, String> =
            serde_json::from_str(rates.unwrap_or(RATES)).context("cannot read the rates")?;
        let scaled = |(code, rate): (String, String)| {
            let (whole, places) = rate.split_once('.').unwrap_or((&rate, ""));
            ensure!(places.len() <= 6, "the rate of {code} has more than six places");
            let rate: i128 = format!("{whole}{places:0<6}").parse()?;
            ensure!(rate > 0, "the rate of {code} is nothing");
            Ok((code, rate))
        };
        let rates = table.into_iter().map(scaled).collect::<anyhow::Result<_>>()?;
        Ok(Self { prices: BTreeMap::new(), quote: 0, rates })
    }

    /// Learns a price from a product's JSON.
    pub(crate) fn learn_json(&mut self, product: &str, json: &[u8]) -> anyhow::Result<()> {
        let Meta { price_usd } = serde_json::from_slice(json)?;
        let price = Money::try_new(&price_usd.currency_code, price_usd.units, price_usd.nanos)?;
        self.learn(product, price)
    }

    /// Learns a price.
    pub(crate) fn learn(&mut self, product: &str, price: Money) -> anyhow::Result<()> {
        ensure!(price.currency_code() == CurrencyCode::USD, "the price of {product} is not in USD");
        self.prices.insert(product.to_owned(), nanos(price));
        Ok(())
    }

    /// Learns what shipping costs, in US dollars.
    pub(crate) fn learn_quote(&mut self, quote: Money) {
        self.quote = nanos(quote);
    }

    /// Learns what shipping costs from a text such as `$8.99`.
    pub(crate) fn learn_quote_text(&mut self, text: &str) -> anyhow::Result<()> {
        let amount = text.strip_prefix('$').context("the quote is not in USD")?;
        let (units, cents) = amount.split_once('.').context("the quote has no cents")?;
        ensure!(cents.len() == 2, "the quote is not in cents");
        self.quote = format!("{units}{cents}").parse::<i128>()? * 10_000_000;
        Ok(())
    }

    /// Returns the price of one piece, in nanos of the currency.
    pub(crate) fn price(&self, product: &str, currency: &str) -> Option<i128> {
        self.convert(*self.prices.get(product)?, currency)
    }

    /// Returns the cost of shipping, in nanos of the currency.
    pub(crate) fn quote(&self, currency: &str) -> Option<i128> {
        self.convert(self.quote, currency)
    }

    /// Returns the total of an order of this cart, in nanos of the currency.
    pub(crate) fn total(&self, cart: &Cart, currency: &str) -> Option<i128> {
        cart.iter().try_fold(self.quote(currency)?, |sum, (product, pieces)| {
            Some(sum + self.price(product, currency)? * i128::from(*pieces))
        })
    }

    /// Exact for US dollars, else as upstream does it: to euros, rounded to the nano, and from there truncated.
    fn convert(&self, nanos: i128, currency: &str) -> Option<i128> {
        if currency == "USD" {
            return Some(nanos);
        }
        let dollar = self.rates.get("USD").copied().unwrap_or(SCALE);
        let euros = (nanos * SCALE * 10 / dollar + 5) / 10;
        Some(euros * self.rates.get(currency)? / SCALE)
    }
}

/// An amount as one number.
pub(crate) fn nanos(money: Money) -> i128 {
    i128::from(money.units()) * 1_000_000_000 + i128::from(money.nanos())
}

/// An amount as every page writes it: cut at the cent.
pub(crate) fn written(nanos: i128, currency: &str) -> String {
    let sign = match currency {
        "JPY" => "¥",
        "EUR" => "€",
        "TRY" => "₺",
        "GBP" => "£",
        _ => "$",
    };
    let cents = nanos / 10_000_000;
    format!("{sign}{}.{:02}", cents / 100, cents % 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_is_worked_out_to_the_nano() {
        let mut prices = PriceList::try_new(None).unwrap();
        let json =
            br#"{"id":"A","price_usd":{"currency_code":"USD","units":19,"nanos":990000000}}"#;
        prices.learn_json("A", json).unwrap();
        prices.learn_quote_text("$8.99").unwrap();
        let cart = Cart::from([("A".to_owned(), 2)]);

        assert_eq!(prices.total(&cart, "USD"), Some(48_970_000_000));
        // Upstream's own answers for 19.99 and 8.99.
        assert_eq!(prices.total(&cart, "EUR"), Some(2 * 17_682_441_398 + 7_952_233_525));
        assert_eq!(prices.total(&cart, "JPY"), Some(2 * 2_235_060_592_707 + 1_005_162_317_560));
        assert_eq!(written(prices.total(&cart, "EUR").unwrap(), "EUR"), "€43.31");
        assert_eq!(prices.total(&cart, "XYZ"), None);
        assert_eq!(prices.total(&Cart::from([("B".to_owned(), 1)]), "USD"), None);
    }

    #[test]
    fn what_cannot_be_charged_is_no_book() {
        assert!(PriceList::try_new(Some(r#"{"USD": "1.12345678"}"#)).is_err());
        assert!(PriceList::try_new(Some(r#"{"USD": "0"}"#)).is_err());
        assert!(PriceList::try_new(Some("{")).is_err());
        let mut prices = PriceList::try_new(None).unwrap();
        for wrong in ["€8.99", "8.99", "$8", "$8.9", "$x.99"] {
            assert!(prices.learn_quote_text(wrong).is_err(), "{wrong}");
        }
    }
}
