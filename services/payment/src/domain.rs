//! Which cards and amounts are accepted; the month is told, never asked.

use std::fmt;

use boutique_money::{Money, MoneyError};

/// Why a charge is refused. The customer reads these words, so they are upstream's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("Credit card info is invalid")]
    Invalid,
    #[error("Sorry, we cannot process {0} credit cards. Only VISA or MasterCard is accepted.")]
    Brand(&'static str),
    #[error("Your credit card (ending {ending}) expired on {expired}")]
    Expired { ending: String, expired: Month },
    #[error("invalid amount: {0}")]
    Amount(#[from] MoneyError),
    #[error("the amount must be more than zero")]
    NotPositive,
    #[error("the amount is in an unknown currency")]
    Currency,
}

/// A month of a year; later months are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Month {
    year: i32,
    month: u8,
}

impl Month {
    /// A month from 1 to 12.
    pub(crate) fn try_new(year: i32, month: i32) -> Result<Self, Refusal> {
        match u8::try_from(month) {
            Ok(month @ 1..=12) => Ok(Self { year, month }),
            Ok(_) | Err(_) => Err(Refusal::Invalid),
        }
    }
}

/// As it stands on a card: `1/2030`.
impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.month, self.year)
    }
}

/// The shop takes these two and no others.
const VISA: &str = "visa";
const MASTERCARD: &str = "mastercard";

/// A brand's name, the ranges of its numbers' first six digits, and its numbers' lengths.
type Brand = (&'static str, &'static [(u32, u32)], &'static [usize]);

/// Brands by the first six digits and the lengths they come in; the first that matches counts.
/// Upstream's table, but with Visa Electron as the Visa it is, Visa's other two lengths, and
/// Mastercard's second series.
const BRANDS: [Brand; 10] = [
    ("amex", &[(340_000, 349_999), (370_000, 379_999)], &[15]),
    ("diners_club_carte_blanche", &[(300_000, 305_999)], &[14]),
    (
        "diners_club_international",
        &[(309_000, 309_999), (360_000, 369_999), (380_000, 399_999)],
        &[14],
    ),
    ("jcb", &[(352_800, 358_999)], &[16]),
    (
        "laser",
        &[(630_400, 630_499), (670_600, 670_699), (670_900, 670_999), (677_100, 677_199)],
        &[16, 17, 18, 19],
    ),
    (VISA, &[(400_000, 499_999)], &[13, 16, 19]),
    (MASTERCARD, &[(222_100, 272_099), (510_000, 559_999)], &[16]),
    (
        "maestro",
        &[
            (501_800, 501_899),
            (502_000, 502_099),
            (503_800, 503_899),
            (504_400, 504_499),
            (504_645, 504_645),
            (504_817, 504_817),
            (504_834, 504_834),
            (508_100, 508_199),
            (603_845, 603_845),
            (622_000, 622_099),
            (675_900, 675_999),
            (676_100, 676_399),
        ],
        &[12, 13, 14, 15, 16, 17, 18, 19],
    ),
    (
        "rupay",
        &[
            (508_500, 508_999),
            (606_985, 607_984),
            (608_001, 608_500),
            (652_150, 653_149),
            (817_200, 820_199),
        ],
        &[16],
    ),
    ("discover", &[(601_100, 601_199), (622_126, 622_925), (650_000, 659_999)], &[16]),
];

/// ISO 4217 as of 2026, and what left it since upstream's rates were written down (BGN, HRK).
const CURRENCIES: &str = "AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB \
    BRL BSD BTN BWP BYN BZD CAD CDF CHF CLF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB \
    EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD \
    JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU \
    MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB \
    RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD \
    TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMW ZWG";

/// Accepts an amount that can be charged: more than nothing, in a currency that exists.
pub(crate) fn check_amount(amount: Money) -> Result<(), Refusal> {
    if !amount.is_positive() {
        return Err(Refusal::NotPositive);
    }
    match CURRENCIES.split(' ').any(|code| code == amount.currency_code().as_str()) {
        true => Ok(()),
        false => Err(Refusal::Currency),
    }
}

/// Accepts a well-formed Visa or Mastercard that is good through `today`. Spaces and dashes in the
/// number do not matter.
pub(crate) fn check_card(
    number: &str,
    cvv: i32,
    expires: Month,
    today: Month,
) -> Result<(), Refusal> {
    let digits = digits_of(number).ok_or(Refusal::Invalid)?;
    let (brand, lengths) = brand_of(&digits).ok_or(Refusal::Invalid)?;
    if !lengths.contains(&digits.len()) || !passes_luhn(&digits) || !(0..=9999).contains(&cvv) {
        return Err(Refusal::Invalid);
    }
    if brand != VISA && brand != MASTERCARD {
        return Err(Refusal::Brand(brand));
    }
    if expires < today {
        let ending = digits[digits.len() - 4..].iter().map(u8::to_string).collect();
        return Err(Refusal::Expired { ending, expired: expires });
    }
    Ok(())
}

/// The digits of a number of at most 19, the longest there are.
fn digits_of(number: &str) -> Option<Vec<u8>> {
    let mut digits = Vec::with_capacity(19);
    for c in number.chars().filter(|c| !matches!(c, ' ' | '-')) {
        digits.push(u8::try_from(c.to_digit(10)?).ok()?);
        if digits.len() > 19 {
            return None;
        }
    }
    Some(digits)
}

fn brand_of(digits: &[u8]) -> Option<(&'static str, &'static [usize])> {
    let prefix = digits.get(..6)?.iter().fold(0, |prefix, digit| prefix * 10 + u32::from(*digit));
    let matches = |ranges: &[(u32, u32)]| ranges.iter().any(|(a, b)| (*a..=*b).contains(&prefix));
    let (brand, _, lengths) = BRANDS.iter().find(|(_, ranges, _)| matches(ranges))?;
    Some((brand, lengths))
}

fn passes_luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, digit)| match u32::from(*digit) << (place % 2) {
            doubled @ 10.. => doubled - 9,
            small => small,
        })
        .sum();
    sum.is_multiple_of(10)
}

#[cfg(test)]
mod tests {
    use super::*;

    const JUNE: Month = Month { year: 2026, month: 6 };

    fn check(number: &str) -> Result<(), Refusal> {
        check_card(number, 672, JUNE, JUNE)
    }

    #[test]
    fn visa_and_mastercard_are_accepted_in_any_spelling() {
        for number in [
            "4432801561520454",
            "4432-8015-6152-0454",
            "4432 8015 6152 0454",
            "5555555555554444",
            "4111000000000008",
            "5100000000000008",
            "2221000000000009",
            "2720990000000007",
            "4222222222222",
            "4917610000000000003",
            "4508750000000009",
            "4026000000000002",
        ] {
            assert_eq!(check(number), Ok(()), "{number}");
        }
    }

    #[test]
    fn other_brands_are_named() {
        for (number, brand) in [
            ("378282246310005", "amex"),
            ("6011111111111117", "discover"),
            ("30569309025904", "diners_club_carte_blanche"),
            ("3530111333300000", "jcb"),
            ("6759649826438453", "maestro"),
        ] {
            let Err(Refusal::Brand(found)) = check(number) else { panic!("{number}") };
            assert_eq!(found, brand, "{number}");
        }
        assert_eq!(
            Refusal::Brand("amex").to_string(),
            "Sorry, we cannot process amex credit cards. Only VISA or MasterCard is accepted."
        );
    }

    #[test]
    fn a_number_that_is_no_card_is_invalid() {
        for number in [
            "",
            "4432801561520455",
            "443280156152045",
            "4432-8015-6152-045x",
            "9999999999999995",
            "2721000000000004",
            "44328015615204544432801561520454",
            "４４３２801561520454",
        ] {
            assert_eq!(check(number), Err(Refusal::Invalid), "{number}");
        }
        for cvv in [-1, 10_000, i32::MIN] {
            let refused = check_card("4432801561520454", cvv, JUNE, JUNE);
            assert_eq!(refused, Err(Refusal::Invalid), "{cvv}");
        }
    }

    #[test]
    fn a_card_is_good_through_its_last_month() {
        assert_eq!(check("4432-8015-6152-0454"), Ok(()));

        let may = Month { year: 2026, month: 5 };
        let expired = check_card("4432-8015-6152-0454", 672, may, JUNE).unwrap_err();
        assert_eq!(expired.to_string(), "Your credit card (ending 0454) expired on 5/2026");

        let december = Month { year: 2025, month: 12 };
        assert!(check_card("4432801561520454", 672, december, JUNE).is_err());
        let next_year = Month { year: 2027, month: 1 };
        assert_eq!(check_card("4432801561520454", 672, next_year, JUNE), Ok(()));
    }

    #[test]
    fn a_year_has_twelve_months() {
        for month in [0, 13, 99, -1, i32::MAX] {
            assert_eq!(Month::try_new(2030, month), Err(Refusal::Invalid), "{month}");
        }
    }

    #[test]
    fn an_amount_is_more_than_nothing_in_a_currency_that_exists() {
        let amount = |code, units| check_amount(Money::try_new(code, units, 0).unwrap());
        assert_eq!(amount("USD", 1), Ok(()));
        assert_eq!(amount("USD", 0), Err(Refusal::NotPositive));
        assert_eq!(amount("USD", -1), Err(Refusal::NotPositive));
        assert_eq!(amount("XYZ", 1), Err(Refusal::Currency));
    }
}
