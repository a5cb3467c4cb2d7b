//! Business rules of orders: what can be ordered, and the total.

use boutique_money::{CurrencyCode, Money, MoneyError};

/// The longest ids and e-mail addresses, in bytes.
const MAX_TEXT: usize = 254;
/// The longest address, in bytes of all its parts: what a parcel's label has room for.
const MAX_ADDRESS: usize = 4000;
/// The most pieces of a line.
const MAX_QUANTITY: u32 = 1_000_000;

/// The reason of an order that is refused before anything is charged.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("user_id is missing or not usable")]
    User,
    #[error("user_currency is not a currency code")]
    Currency,
    #[error("email is not an address")]
    Email,
    #[error("address is missing")]
    NoAddress,
    #[error("address is longer than {MAX_ADDRESS} bytes")]
    LongAddress,
    #[error("address has an impossible zip code")]
    ZipCode,
    #[error("credit_card is missing")]
    NoCard,
    #[error("cart is empty")]
    EmptyCart,
    #[error("cart holds an impossible quantity of {0:?}")]
    Quantity(String),
    #[error("the order's total cannot be computed: {0}")]
    Total(#[from] MoneyError),
}

/// The customer and the currency of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Buyer {
    pub(crate) user_id: String,
    pub(crate) email: String,
    pub(crate) currency: CurrencyCode,
}

impl Buyer {
    /// Parses the user's id, e-mail address and currency.
    pub(crate) fn parse(user_id: String, email: String, currency: &str) -> Result<Self, Refusal> {
        if user_id.is_empty() || !is_plain(&user_id) {
            return Err(Refusal::User);
        }
        if !is_plain(&email) || !looks_like_email(&email) {
            return Err(Refusal::Email);
        }
        let currency = CurrencyCode::parse(currency).map_err(|_| Refusal::Currency)?;
        Ok(Self { user_id, email, currency })
    }
}

/// An address that fits a parcel's label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ShippingAddress {
    pub(crate) street: String,
    pub(crate) city: String,
    pub(crate) state: String,
    pub(crate) country: String,
    pub(crate) zip_code: i32,
}

impl ShippingAddress {
    /// Returns the address if it fits. Its zip code may be absent, which is 0.
    pub(crate) fn parse(self) -> Result<Self, Refusal> {
        if self.zip_code < 0 {
            return Err(Refusal::ZipCode);
        }
        let parts = [&self.street, &self.city, &self.state, &self.country];
        match parts.map(String::len).iter().sum::<usize>() {
            0..=MAX_ADDRESS => Ok(self),
            _ => Err(Refusal::LongAddress),
        }
    }
}

/// A line of a cart that can be sold: a positive number of pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OrderLine {
    pub(crate) product_id: String,
    pub(crate) quantity: u32,
}

impl OrderLine {
    /// Parses a line of a cart.
    pub(crate) fn parse(product_id: String, quantity: i32) -> Result<Self, Refusal> {
        match u32::try_from(quantity) {
            Ok(quantity @ 1..=MAX_QUANTITY) => Ok(Self { product_id, quantity }),
            Ok(_) | Err(_) => Err(Refusal::Quantity(product_id.chars().take(64).collect())),
        }
    }
}

/// Returns the sum of shipping and of each line's price times its quantity.
pub(crate) fn total(
    shipping: Money,
    lines: impl Iterator<Item = (Money, u32)>,
) -> Result<Money, MoneyError> {
    lines
        .map(|(price, quantity)| price.checked_mul(quantity))
        .try_fold(shipping, |sum, line| sum.checked_add(line?))
}

fn is_plain(text: &str) -> bool {
    text.len() <= MAX_TEXT && !text.chars().any(char::is_control)
}

fn looks_like_email(text: &str) -> bool {
    text.split_once('@').is_some_and(|(user, host)| {
        !user.is_empty() && !host.is_empty() && !host.contains('@') && !text.contains(' ')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buyer(user_id: &str, email: &str, currency: &str) -> Result<CurrencyCode, Refusal> {
        let buyer = Buyer::parse(user_id.to_owned(), email.to_owned(), currency);
        buyer.map(|buyer| buyer.currency)
    }

    #[test]
    fn buyer_has_a_user_an_email_and_a_currency() {
        let email = "someone@example.com";
        assert_eq!(buyer("u", email, "USD"), Ok(CurrencyCode::USD));
        for (user_id, email, currency, refusal) in [
            ("", email, "USD", Refusal::User),
            ("a\n", email, "USD", Refusal::User),
            ("u", email, "usd", Refusal::Currency),
            ("u", email, "", Refusal::Currency),
            ("u", "", "USD", Refusal::Email),
            ("u", "a@b\r\nBcc: c@d", "USD", Refusal::Email),
            ("u", "a b@c", "USD", Refusal::Email),
        ] {
            assert_eq!(buyer(user_id, email, currency), Err(refusal));
        }
    }

    #[test]
    fn address_fits_a_label() {
        let address = |street: &str| ShippingAddress {
            street: street.to_owned(),
            city: "Hoboken".to_owned(),
            state: "NJ".to_owned(),
            country: "United States".to_owned(),
            zip_code: 7030,
        };
        assert_eq!(address("1 Main St").parse(), Ok(address("1 Main St")));
        assert_eq!(address(&"x".repeat(4001)).parse(), Err(Refusal::LongAddress));
        let zip_code = |zip_code| ShippingAddress { zip_code, ..address("1 Main St") }.parse();
        for possible in [0, 1, i32::MAX] {
            assert!(zip_code(possible).is_ok(), "{possible}");
        }
        for impossible in [-1, -5, i32::MIN] {
            assert_eq!(zip_code(impossible), Err(Refusal::ZipCode), "{impossible}");
        }
    }

    #[test]
    fn quantity_is_a_positive_number_of_pieces() {
        let parse = |quantity| OrderLine::parse("a".to_owned(), quantity).map(|line| line.quantity);
        assert_eq!(parse(1), Ok(1));
        assert_eq!(parse(1_000_000), Ok(1_000_000));
        for quantity in [0, -1, i32::MIN, 1_000_001, i32::MAX] {
            assert_eq!(parse(quantity), Err(Refusal::Quantity("a".to_owned())));
        }
    }

    #[test]
    fn total_is_exact_or_refused() {
        let usd = |units, nanos| Money::try_new("USD", units, nanos).unwrap();
        let lines = [(usd(0, 500_000_000), 1), (usd(0, 200_000_000), 1), (usd(19, 990_000_000), 2)];
        assert_eq!(total(usd(8, 990_000_000), lines.into_iter()), Ok(usd(49, 670_000_000)));
        let euro = Money::try_new("EUR", 1, 0).unwrap();
        assert_eq!(total(usd(1, 0), [(euro, 1)].into_iter()), Err(MoneyError::Mismatch));
        let lots = [(usd(i64::MAX, 0), 2)];
        assert_eq!(total(usd(1, 0), lots.into_iter()), Err(MoneyError::Overflow));
    }
}
