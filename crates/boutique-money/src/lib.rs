//! Exact money: an amount in one currency, counted in whole nanos, so that nothing is rounded. What arrives from outside is
//! parsed once, by [`Money::try_new`] and [`CardNumber::parse`], and is valid from then on. No I/O, no protobuf.

mod card;

use std::fmt;

pub use crate::card::CardNumber;

/// The nanos of one unit of any currency.
pub const NANOS_PER_UNIT: i128 = 1_000_000_000;

/// The error of an amount that cannot be represented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The code is not three upper-case letters, as ISO 4217 has them.
    #[error("the currency code is not three upper-case letters")]
    Code,
    /// The nanos are a whole unit or more.
    #[error("nanos must lie between -999999999 and 999999999")]
    Nanos,
    /// Units and nanos have different signs.
    #[error("units and nanos must have the same sign")]
    Sign,
    /// The amounts have different currencies.
    #[error("mismatching currency codes")]
    Mismatch,
    /// The result has more units than the wire can carry.
    #[error("the amount is too large")]
    Overflow,
}

/// An ISO 4217 code: three upper-case letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CurrencyCode([u8; 3]);

impl CurrencyCode {
    /// US dollars, in which the catalog and the shipping quote are priced.
    pub const USD: Self = Self(*b"USD");

    /// Parses three upper-case ASCII letters.
    pub fn parse(code: &str) -> Result<Self, MoneyError> {
        match <[u8; 3]>::try_from(code.as_bytes()) {
            Ok(letters) if letters.iter().all(u8::is_ascii_uppercase) => Ok(Self(letters)),
            Ok(_) | Err(_) => Err(MoneyError::Code),
        }
    }

    /// Returns the three letters.
    pub fn as_str(&self) -> &str {
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for CurrencyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for CurrencyCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An amount of money. Its whole units always fit the wire's `int64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    currency_code: CurrencyCode,
    nanos: i128,
}

impl Money {
    /// Parses an amount as messages have it: nanos below one unit, with the sign of the units.
    pub fn try_new(currency_code: &str, units: i64, nanos: i32) -> Result<Self, MoneyError> {
        let currency_code = CurrencyCode::parse(currency_code)?;
        if i128::from(nanos).abs() >= NANOS_PER_UNIT {
            return Err(MoneyError::Nanos);
        }
        if (units > 0 && nanos < 0) || (units < 0 && nanos > 0) {
            return Err(MoneyError::Sign);
        }
        Self::from_nanos(currency_code, i128::from(units) * NANOS_PER_UNIT + i128::from(nanos))
    }

    /// Makes an amount of nanos alone.
    pub fn from_nanos(currency_code: CurrencyCode, nanos: i128) -> Result<Self, MoneyError> {
        match i64::try_from(nanos / NANOS_PER_UNIT) {
            Ok(_) => Ok(Self { currency_code, nanos }),
            Err(_) => Err(MoneyError::Overflow),
        }
    }

    /// Makes an amount of hundredths of a unit.
    pub const fn from_cents(currency_code: CurrencyCode, cents: i64) -> Self {
        Self { currency_code, nanos: cents as i128 * (NANOS_PER_UNIT / 100) }
    }

    /// Makes an amount of zero.
    pub const fn zero(currency_code: CurrencyCode) -> Self {
        Self { currency_code, nanos: 0 }
    }

    /// Returns the currency.
    pub const fn currency_code(&self) -> CurrencyCode {
        self.currency_code
    }

    /// Returns the whole units, truncated toward zero.
    pub const fn units(&self) -> i64 {
        (self.nanos / NANOS_PER_UNIT) as i64
    }

    /// Returns the nanos beside the units, with the amount's sign.
    pub const fn nanos(&self) -> i32 {
        (self.nanos % NANOS_PER_UNIT) as i32
    }

    /// Returns the whole amount in nanos.
    pub const fn total_nanos(&self) -> i128 {
        self.nanos
    }

    /// Returns true if the amount is zero.
    pub const fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    /// Returns true if the amount is greater than zero.
    pub const fn is_positive(&self) -> bool {
        self.nanos > 0
    }

    /// Returns true if the amount is less than zero.
    pub const fn is_negative(&self) -> bool {
        self.nanos < 0
    }

    /// Returns the sum of two amounts of one currency.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        if self.currency_code != other.currency_code {
            return Err(MoneyError::Mismatch);
        }
        Self::from_nanos(self.currency_code, self.nanos + other.nanos)
    }

    /// Returns the amount multiplied.
    pub fn checked_mul(self, times: u32) -> Result<Self, MoneyError> {
        Self::from_nanos(self.currency_code, self.nanos * i128::from(times))
    }

    /// Returns the amount with the opposite sign.
    pub fn checked_neg(self) -> Result<Self, MoneyError> {
        Self::from_nanos(self.currency_code, -self.nanos)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn usd(units: i64, nanos: i32) -> Money {
        Money::try_new("USD", units, nanos).unwrap()
    }

    fn parts(money: Money) -> (i64, i32) {
        (money.units(), money.nanos())
    }

    #[test]
    fn validity_is_as_upstream_has_it() {
        for (units, nanos, valid) in [
            (-981_273_891_273, -999_999_999, true),
            (-981_273_891_273, 999_999_999, false),
            (981_273_891_273, 999_999_999, true),
            (981_273_891_273, -999_999_999, false),
            (3, 1_000_000_000, false),
            (3, -1_000_000_000, false),
            (-3, 1_000_000_000, false),
            (-3, -1_000_000_000, false),
            (0, -5, true),
            (0, 5, true),
        ] {
            assert_eq!(Money::try_new("USD", units, nanos).is_ok(), valid, "{units} {nanos}");
        }
    }

    #[test]
    fn signs_are_as_upstream_has_them() {
        assert!(usd(0, 0).is_zero());
        assert!(!usd(-1, -1).is_zero() && !usd(1, 1).is_zero());
        assert!(usd(1, 1).is_positive() && !usd(0, 0).is_positive() && !usd(-1, -1).is_positive());
        assert!(usd(-1, -1).is_negative() && !usd(0, 0).is_negative() && !usd(1, 1).is_negative());
        for (units, nanos) in [(-1, 1), (1, -1)] {
            assert_eq!(Money::try_new("USD", units, nanos), Err(MoneyError::Sign));
        }
    }

    #[test]
    fn a_currency_code_is_three_upper_case_letters() {
        for code in ["", "usd", "US", "USDX", "U$D", "__proto__", "€UR"] {
            assert_eq!(Money::try_new(code, 1, 0), Err(MoneyError::Code), "{code}");
        }
        assert_eq!(CurrencyCode::parse("USD"), Ok(CurrencyCode::USD));
        assert_ne!(CurrencyCode::parse("CAD"), Ok(CurrencyCode::USD));
    }

    #[test]
    fn amounts_are_equal_when_code_units_and_nanos_are() {
        assert_eq!(usd(1, 2), usd(1, 2));
        assert_ne!(usd(1, 2), Money::try_new("CAD", 1, 2).unwrap());
        assert_ne!(usd(10, 20), usd(1, 20));
        assert_ne!(usd(1, 2), usd(1, 20));
        assert_ne!(usd(1, 2), usd(-1, -2));
    }

    #[test]
    fn negation_keeps_the_code() {
        assert_eq!(usd(0, 0).checked_neg(), Ok(usd(0, 0)));
        assert_eq!(usd(-1, -200).checked_neg(), Ok(usd(1, 200)));
        assert_eq!(usd(1, 200).checked_neg(), Ok(usd(-1, -200)));
        let xxx = Money::try_new("XXX", 1, 0).unwrap();
        assert_eq!(xxx.checked_neg().unwrap().currency_code().as_str(), "XXX");
        assert_eq!(usd(i64::MIN, 0).checked_neg(), Err(MoneyError::Overflow));
    }

    #[test]
    fn sums_are_as_upstream_has_them() {
        for (left, right, sum) in [
            ((0, 0), (0, 0), (0, 0)),
            ((2, 200_000_000), (2, 200_000_000), (4, 400_000_000)),
            ((2, 111_111_111), (2, 888_888_888), (4, 999_999_999)),
            ((2, 200_000_000), (2, 900_000_000), (5, 100_000_000)),
            ((-2, -200_000_000), (-2, -200_000_000), (-4, -400_000_000)),
            ((-2, -200_000_000), (-2, -900_000_000), (-5, -100_000_000)),
            ((11, 0), (-2, 0), (9, 0)),
            ((-11, 0), (2, 0), (-9, 0)),
            ((11, 100_000_000), (-2, -100_000_000), (9, 0)),
            ((11, 100_000_000), (-2, -9_000_000), (9, 91_000_000)),
            ((-11, -100_000_000), (2, 100_000_000), (-9, 0)),
            ((-11, -100_000_000), (2, 9_000_000), (-9, -91_000_000)),
            ((0, 0), (-2, -100_000_000), (-2, -100_000_000)),
            ((-2, -100_000_000), (0, 0), (-2, -100_000_000)),
        ] {
            let found = usd(left.0, left.1).checked_add(usd(right.0, right.1)).unwrap();
            assert_eq!(parts(found), sum, "{left:?} + {right:?}");
        }
    }

    #[test]
    fn sums_below_one_unit_are_right_where_upstream_breaks() {
        for (left, right, sum) in [
            ((0, 500_000_000), (0, 200_000_000), (0, 700_000_000)),
            ((0, 0), (0, 500_000_000), (0, 500_000_000)),
            ((0, 300_000_000), (0, 300_000_000), (0, 600_000_000)),
            ((1, 200_000_000), (-1, -500_000_000), (0, -300_000_000)),
            ((0, 500_000_000), (0, 500_000_000), (1, 0)),
            ((0, 900_000_000), (0, 900_000_000), (1, 800_000_000)),
        ] {
            let found = usd(left.0, left.1).checked_add(usd(right.0, right.1)).unwrap();
            assert_eq!(parts(found), sum, "{left:?} + {right:?}");
        }
    }

    #[test]
    fn different_currencies_do_not_add() {
        let aaa = Money::try_new("AAA", 1, 0).unwrap();
        let bbb = Money::try_new("BBB", 1, 0).unwrap();
        assert_eq!(aaa.checked_add(bbb), Err(MoneyError::Mismatch));
    }

    #[test]
    fn a_product_takes_one_step_and_never_wraps() {
        assert_eq!(usd(8, 990_000_000).checked_mul(0), Ok(usd(0, 0)));
        assert_eq!(usd(8, 990_000_000).checked_mul(1), Ok(usd(8, 990_000_000)));
        assert_eq!(usd(8, 990_000_000).checked_mul(3), Ok(usd(26, 970_000_000)));
        assert_eq!(usd(1, 1).checked_mul(2_147_483_647), Ok(usd(2_147_483_649, 147_483_647)));
        assert_eq!(usd(i64::MAX, 0).checked_mul(2), Err(MoneyError::Overflow));
        assert_eq!(usd(i64::MAX, 999_999_999).checked_add(usd(0, 1)), Err(MoneyError::Overflow));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100_000))]

        /// Price integrity over whole carts: what the steps add up to is what one exact sum gives.
        #[test]
        fn an_order_total_is_the_exact_sum_of_its_lines(
            lines in prop::collection::vec((0..10_000_i64, 0..1_000_000_000_i32, 1..1_000_000_u32), 0..10),
            shipping in (0..1_000_i64, 0..1_000_000_000_i32),
        ) {
            let mut total = usd(shipping.0, shipping.1);
            let mut exact = i128::from(shipping.0) * NANOS_PER_UNIT + i128::from(shipping.1);
            for (units, nanos, quantity) in lines {
                let line = usd(units, nanos).checked_mul(quantity).unwrap();
                total = total.checked_add(line).unwrap();
                exact += (i128::from(units) * NANOS_PER_UNIT + i128::from(nanos)) * i128::from(quantity);
            }
            prop_assert_eq!(total.total_nanos(), exact);
            prop_assert_eq!(usd(total.units(), total.nanos()), total);
        }
    }
}
