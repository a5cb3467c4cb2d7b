//! Conversions between messages and domain types, and the handling of cards: a card is masked in debug output, and
//! its memory is zeroed when it is dropped.

use std::fmt;

use boutique_money::{CurrencyCode, Money, MoneyError};
use zeroize::Zeroize as _;

use crate::CreditCardInfo;

/// The error of an amount in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    /// The field is not set.
    #[error("an amount is missing")]
    Missing,
    /// The field holds no valid amount.
    #[error("invalid amount: {0}")]
    Invalid(#[from] MoneyError),
}

/// Parses an amount that a message must have.
pub fn required_amount(field: Option<&crate::Money>) -> Result<Money, AmountError> {
    Ok(Money::try_from(field.ok_or(AmountError::Missing)?)?)
}

/// The error of a conversion whose result cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ConversionError {
    /// Something became nothing: upstream's currency service prices at zero what it has no rate for, and that would be
    /// a free order.
    #[error("the converted amount is zero")]
    Zero,
    /// The result is not in the currency asked for.
    #[error("the converted amount is in another currency")]
    Currency,
    /// The result has the opposite sign.
    #[error("the converted amount has the opposite sign")]
    Sign,
    /// The result is no valid amount.
    #[error(transparent)]
    Amount(#[from] AmountError),
}

/// Parses the result of converting `from` to the currency `to`.
pub fn converted_amount(
    from: Money,
    to: CurrencyCode,
    result: &crate::Money,
) -> Result<Money, ConversionError> {
    if result.units == 0 && result.nanos == 0 && !from.is_zero() {
        return Err(ConversionError::Zero);
    }
    let converted = required_amount(Some(result))?;
    if converted.currency_code() != to {
        return Err(ConversionError::Currency);
    }
    if (from.is_positive() && converted.is_negative())
        || (from.is_negative() && converted.is_positive())
    {
        return Err(ConversionError::Sign);
    }
    Ok(converted)
}

impl TryFrom<&crate::Money> for Money {
    type Error = MoneyError;

    fn try_from(wire: &crate::Money) -> Result<Self, MoneyError> {
        Self::try_new(&wire.currency_code, wire.units, wire.nanos)
    }
}

impl From<Money> for crate::Money {
    fn from(money: Money) -> Self {
        Self {
            currency_code: money.currency_code().to_string(),
            units: money.units(),
            nanos: money.nanos(),
        }
    }
}

/// Prints at most the last four digits, and none of a number with fewer than twelve.
impl fmt::Debug for CreditCardInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits: Vec<char> =
            self.credit_card_number.chars().filter(char::is_ascii_digit).collect();
        let ending: String = match digits.len() {
            12.. => digits[digits.len() - 4..].iter().collect(),
            _ => String::new(),
        };
        write!(f, "****{ending}")
    }
}

impl Drop for CreditCardInfo {
    fn drop(&mut self) {
        self.credit_card_number.zeroize();
        self.credit_card_cvv.zeroize();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ChargeRequest;

    #[test]
    fn card_is_masked_in_debug_output() {
        let mut card = CreditCardInfo::default();
        card.credit_card_number = "4432-8015-6152-0454".to_owned();
        card.credit_card_cvv = 672;
        assert_eq!(format!("{card:?}"), "****0454");

        let request = ChargeRequest { amount: None, credit_card: Some(card) };
        assert_eq!(
            format!("{request:?}"),
            "ChargeRequest { amount: None, credit_card: Some(****0454) }"
        );

        let mut short = CreditCardInfo::default();
        short.credit_card_number = "1234".to_owned();
        assert_eq!(format!("{short:?}"), "****");
    }

    #[test]
    fn conversion_keeps_currency_and_sign_and_is_not_zero() {
        let result = |code: &str, units, nanos| crate::Money {
            currency_code: code.to_owned(),
            units,
            nanos,
        };
        let (usd, eur) =
            (Money::try_new("USD", 1, 0).unwrap(), CurrencyCode::parse("EUR").unwrap());
        let converted = |from, wire: crate::Money| converted_amount(from, eur, &wire);
        assert_eq!(
            converted(usd, result("EUR", 0, 1)),
            Money::try_new("EUR", 0, 1).map_err(|_| ConversionError::Zero)
        );
        assert_eq!(converted(usd, result("EUR", 0, 0)), Err(ConversionError::Zero));
        assert_eq!(converted(usd, result("", 0, 0)), Err(ConversionError::Zero));
        assert_eq!(converted(usd, result("USD", 1, 0)), Err(ConversionError::Currency));
        assert_eq!(converted(usd, result("EUR", -1, 0)), Err(ConversionError::Sign));
        assert!(matches!(converted(usd, result("EUR", 1, -1)), Err(ConversionError::Amount(_))));
        let zero = Money::zero(CurrencyCode::USD);
        assert_eq!(converted(zero, result("EUR", 0, 0)), Ok(Money::zero(eur)));
    }

    #[test]
    fn money_converts_to_a_message_and_back() {
        let wire = crate::Money { currency_code: "EUR".to_owned(), units: -1, nanos: -750_000_000 };
        let money = Money::try_from(&wire).unwrap();
        assert_eq!(crate::Money::from(money), wire);
    }
}
