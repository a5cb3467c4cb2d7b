//! Conversion between currencies, in integers.

use boutique_money::{CurrencyCode, Money, MoneyError};

/// The decimal places of a rate, and the factor that makes one a whole number.
const SCALE_DIGITS: usize = 6;
const SCALE: i128 = 1_000_000;

/// An invalid table of rates.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RatesError {
    #[error("there is no rate at all")]
    Empty,
    #[error("{0:?} is not three upper-case letters")]
    Code(String),
    #[error("there is no rate of USD, in which prices are")]
    NoDollar,
    #[error("the rate of {0} is not a positive decimal of at most six places")]
    Rate(String),
}

/// The error of a conversion.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("unsupported currency code")]
    Unsupported,
    #[error("invalid amount: {0}")]
    Amount(#[from] MoneyError),
}

/// The value of one euro in each currency, in the table's order.
#[derive(Debug, Clone)]
pub(crate) struct Rates(Vec<(CurrencyCode, i128)>);

impl Rates {
    /// Reads rows of code and decimal.
    pub(crate) fn try_new<'a>(
        rows: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, RatesError> {
        let mut rates = Vec::new();
        for (code, rate) in rows {
            let parsed =
                CurrencyCode::parse(code).map_err(|_| RatesError::Code(code.to_owned()))?;
            let rate = scaled(rate).ok_or_else(|| RatesError::Rate(code.to_owned()))?;
            rates.push((parsed, rate));
        }
        if rates.is_empty() {
            return Err(RatesError::Empty);
        }
        if !rates.iter().any(|(code, _)| *code == CurrencyCode::USD) {
            return Err(RatesError::NoDollar);
        }
        Ok(Self(rates))
    }

    /// The currencies that have a rate, in the table's order.
    pub(crate) fn codes(&self) -> impl Iterator<Item = CurrencyCode> {
        self.0.iter().map(|(code, _)| *code)
    }

    /// Converts in upstream's two steps: to euros, rounded to the nano (half away from zero), then to `to`, truncated
    /// toward zero at the nano. An amount in its own currency stays what it is.
    pub(crate) fn convert(&self, from: Money, to: CurrencyCode) -> Result<Money, Refusal> {
        let (from_rate, to_rate) = (self.rate(from.currency_code())?, self.rate(to)?);
        if from.currency_code() == to {
            return Ok(from);
        }
        let scaled = from.total_nanos().checked_mul(SCALE).ok_or(MoneyError::Overflow)?;
        let half = from_rate / 2 * scaled.signum();
        let euros = (scaled + half) / from_rate;
        let product = euros.checked_mul(to_rate).ok_or(MoneyError::Overflow)?;
        Ok(Money::from_nanos(to, product / SCALE)?)
    }

    fn rate(&self, code: CurrencyCode) -> Result<i128, Refusal> {
        let row = self.0.iter().find(|(known, _)| *known == code);
        row.map(|(_, rate)| *rate).ok_or(Refusal::Unsupported)
    }
}

/// A decimal such as `1.1305` as a whole number of millionths.
fn scaled(decimal: &str) -> Option<i128> {
    let (whole, places) = decimal.split_once('.').unwrap_or((decimal, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(places) || whole.len() > 9 {
        return None;
    }
    if places.len() > SCALE_DIGITS {
        return None;
    }
    let scaled = format!("{whole}{places:0<SCALE_DIGITS$}").parse().ok()?;
    (scaled > 0).then_some(scaled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rates() -> Rates {
        let rows = [("EUR", "1.0"), ("USD", "1.1305"), ("JPY", "126.40"), ("IDR", "15999.40")];
        Rates::try_new(rows.into_iter()).unwrap()
    }

    fn money(code: &str, units: i64, nanos: i32) -> Money {
        Money::try_new(code, units, nanos).unwrap()
    }

    fn convert(from: Money, to: &str) -> Result<Money, Refusal> {
        rates().convert(from, CurrencyCode::parse(to).unwrap())
    }

    #[test]
    fn the_same_currency_is_the_same_amount() {
        for (units, nanos) in [(20, 0), (67, 990_000_000), (-1, -750_000_000), (i64::MAX, 1)] {
            assert_eq!(convert(money("USD", units, nanos), "USD"), Ok(money("USD", units, nanos)));
        }
    }

    #[test]
    fn euros_are_rounded_and_results_truncated() {
        // 1.547987616099… euros, and 19.99 / 1.1305 = 17.6824413976….
        for (cents, euros) in [(175, (1, 547_987_616)), (1999, (17, 682_441_398))] {
            let there = convert(Money::from_cents(CurrencyCode::USD, cents), "EUR").unwrap();
            assert_eq!((there.units(), there.nanos()), euros);
        }
        // 17.682441398 × 126.4 = 2235.0605927072.
        let there = convert(money("USD", 19, 990_000_000), "JPY").unwrap();
        assert_eq!((there.units(), there.nanos()), (2235, 60_592_707));
    }

    #[test]
    fn negative_amounts_mirror_positive_ones() {
        let there = convert(money("USD", 1, 750_000_000), "EUR").unwrap();
        let mirrored = convert(money("USD", -1, -750_000_000), "EUR").unwrap();
        assert_eq!(mirrored, there.checked_neg().unwrap());
    }

    #[test]
    fn large_amounts_keep_every_unit_or_are_refused() {
        let there = convert(money("USD", i64::MAX, 0), "EUR").unwrap();
        assert_eq!(there.units(), i64::MAX / 11_305 * 10_000 + i64::MAX % 11_305 * 10_000 / 11_305);
        let refused = convert(money("USD", i64::MAX, 0), "IDR");
        assert_eq!(refused, Err(Refusal::Amount(MoneyError::Overflow)));
    }

    #[test]
    fn a_currency_without_a_rate_is_refused() {
        assert_eq!(convert(money("USD", 1, 0), "AED"), Err(Refusal::Unsupported));
        assert_eq!(convert(money("AED", 1, 0), "USD"), Err(Refusal::Unsupported));
        assert_eq!(convert(money("AED", 1, 0), "AED"), Err(Refusal::Unsupported));
    }

    #[test]
    fn a_rate_is_a_positive_decimal() {
        assert_eq!(scaled("1.1305"), Some(1_130_500));
        assert_eq!(scaled("126"), Some(126_000_000));
        for wrong in ["", ".5", "0", "0.0", "-1", "1e3", "1.2.3", "1,5", "1.1234567", "9999999999"]
        {
            assert_eq!(scaled(wrong), None, "{wrong}");
        }
        assert_eq!(Rates::try_new([].into_iter()).unwrap_err(), RatesError::Empty);
    }
}
