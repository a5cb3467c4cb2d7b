//! What an order must look like before anybody is asked for money, and what it adds up to.

use boutique_money::{CurrencyCode, Money, MoneyError};

/// The longest ids and e-mail addresses, in bytes.
const MAX_TEXT: usize = 254;
/// The longest address, in bytes and in all its parts: what a parcel's label has room for.
const MAX_ADDRESS: usize = 4000;
/// The most pieces one line may have.
const MAX_QUANTITY: u32 = 1_000_000;

/// Why an order is refused before any money is asked for.
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
    #[error("credit_card is missing")]
    NoCard,
    #[error("cart is empty")]
    EmptyCart,
    #[error("cart holds an impossible quantity of {0:?}")]
    Quantity(String),
    #[error("the order's total cannot be computed: {0}")]
    Total(#[from] MoneyError),
}

/// What a caller sent, as far as it can be judged by itself.
pub(crate) struct Request<'a> {
    pub(crate) user_id: &'a str,
    pub(crate) user_currency: &'a str,
    pub(crate) email: &'a str,
    /// Street, city, state, country.
    pub(crate) address: Option<[&'a str; 4]>,
    pub(crate) has_card: bool,
}

/// Accepts a request that can become an order, and tells its currency.
pub(crate) fn check(request: &Request<'_>) -> Result<CurrencyCode, Refusal> {
    if request.user_id.is_empty() || !is_plain(request.user_id) {
        return Err(Refusal::User);
    }
    if !is_plain(request.email) || !looks_like_email(request.email) {
        return Err(Refusal::Email);
    }
    let address = request.address.ok_or(Refusal::NoAddress)?;
    if address.iter().map(|part| part.len()).sum::<usize>() > MAX_ADDRESS {
        return Err(Refusal::LongAddress);
    }
    if !request.has_card {
        return Err(Refusal::NoCard);
    }
    CurrencyCode::parse(request.user_currency).map_err(|_| Refusal::Currency)
}

/// Accepts the quantity of a line that can be sold.
pub(crate) fn check_quantity(product_id: &str, quantity: i32) -> Result<u32, Refusal> {
    match u32::try_from(quantity) {
        Ok(quantity @ 1..=MAX_QUANTITY) => Ok(quantity),
        Ok(_) | Err(_) => Err(Refusal::Quantity(product_id.chars().take(64).collect())),
    }
}

/// Shipping and every line's price times its quantity, exactly.
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

    fn good() -> Request<'static> {
        Request {
            user_id: "u",
            user_currency: "USD",
            email: "someone@example.com",
            address: Some(["1 Main St", "Hoboken", "NJ", "United States"]),
            has_card: true,
        }
    }

    #[test]
    fn a_request_that_cannot_become_an_order_is_refused() {
        assert_eq!(check(&good()), Ok(CurrencyCode::USD));
        let long = "x".repeat(4001);
        for (request, refusal) in [
            (Request { user_id: "", ..good() }, Refusal::User),
            (Request { user_id: "a\n", ..good() }, Refusal::User),
            (Request { user_currency: "usd", ..good() }, Refusal::Currency),
            (Request { user_currency: "", ..good() }, Refusal::Currency),
            (Request { email: "", ..good() }, Refusal::Email),
            (Request { email: "a@b\r\nBcc: c@d", ..good() }, Refusal::Email),
            (Request { email: "a b@c", ..good() }, Refusal::Email),
            (Request { address: None, ..good() }, Refusal::NoAddress),
            (Request { address: Some([&long, "", "", ""]), ..good() }, Refusal::LongAddress),
            (Request { has_card: false, ..good() }, Refusal::NoCard),
        ] {
            assert_eq!(check(&request), Err(refusal));
        }
    }

    #[test]
    fn a_quantity_is_a_positive_number_of_pieces() {
        assert_eq!(check_quantity("a", 1), Ok(1));
        assert_eq!(check_quantity("a", 1_000_000), Ok(1_000_000));
        for quantity in [0, -1, i32::MIN, 1_000_001, i32::MAX] {
            assert_eq!(check_quantity("a", quantity), Err(Refusal::Quantity("a".to_owned())));
        }
    }

    #[test]
    fn a_total_is_exact_or_refused() {
        let usd = |units, nanos| Money::try_new("USD", units, nanos).unwrap();
        let lines = [(usd(0, 500_000_000), 1), (usd(0, 200_000_000), 1), (usd(19, 990_000_000), 2)];
        assert_eq!(total(usd(8, 990_000_000), lines.into_iter()), Ok(usd(49, 670_000_000)));
        let euro = Money::try_new("EUR", 1, 0).unwrap();
        assert_eq!(total(usd(1, 0), [(euro, 1)].into_iter()), Err(MoneyError::Mismatch));
        let lots = [(usd(i64::MAX, 0), 2)];
        assert_eq!(total(usd(1, 0), lots.into_iter()), Err(MoneyError::Overflow));
    }
}
