//! The text of a confirmation.

use boutique_money::Money;

/// A placed order as its customer reads about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Confirmation {
    pub(crate) order_id: String,
    pub(crate) tracking_id: String,
    pub(crate) shipping_cost: Option<String>,
    pub(crate) address: String,
    pub(crate) items: Vec<Line>,
}

/// One line of the order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) product_id: String,
    pub(crate) quantity: i32,
    /// Of one piece.
    pub(crate) price: Option<String>,
}

/// An amount as upstream's mail writes it, truncated to two digits: `8.99 USD`.
pub(crate) fn amount(money: Money) -> String {
    let sign = if money.is_negative() { "-" } else { "" };
    let (units, cents) = (money.units().unsigned_abs(), money.nanos().unsigned_abs() / 10_000_000);
    format!("{sign}{units}.{cents:02} {}", money.currency_code())
}

/// An address in one line, without what is empty. A zip code of the United States has five digits,
/// which the wire's integer has forgotten.
pub(crate) fn address(
    street: &str,
    city: &str,
    state: &str,
    country: &str,
    zip_code: i32,
) -> String {
    let zip = match country.trim().to_ascii_lowercase().as_str() {
        "united states" | "united states of america" | "usa" | "us" => format!("{zip_code:05}"),
        _ => zip_code.to_string(),
    };
    let country = format!("{country} {zip}");
    let parts = [street, city, state, country.as_str()];
    let parts: Vec<_> = parts.into_iter().map(str::trim).filter(|part| !part.is_empty()).collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_two_digits_and_are_cut_not_rounded() {
        for (units, nanos, text) in [
            (8, 990_000_000, "8.99 USD"),
            (8, 999_999_999, "8.99 USD"),
            (8, 50_000_000, "8.05 USD"),
            (0, 0, "0.00 USD"),
            (0, -500_000_000, "-0.50 USD"),
        ] {
            assert_eq!(amount(Money::try_new("USD", units, nanos).unwrap()), text);
        }
    }

    #[test]
    fn an_address_has_every_part_that_is_there() {
        let hoboken = address("1 Main St", "Hoboken", "NJ", "United States", 7030);
        assert_eq!(hoboken, "1 Main St, Hoboken, NJ, United States 07030");
        assert_eq!(address("Rue 1", "Bern", "", "Schweiz", 3011), "Rue 1, Bern, Schweiz 3011");
    }
}
