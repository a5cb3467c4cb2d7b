//! Business rules of charges: the cards and amounts that are accepted. The current month is a parameter.

use std::fmt;

use boutique_money::{CardNumber, Money, MoneyError};
use time::Date;

/// The reason of a refused charge. Customers read these texts, which are upstream's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("credit_card is missing")]
    NoCard,
    #[error("amount is missing")]
    NoAmount,
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
    /// Parses a month from 1 to 12 of a year of at most four digits.
    fn parse(year: i32, month: i32) -> Result<Self, Refusal> {
        match u8::try_from(month) {
            Ok(month @ 1..=12) if (0..=9999).contains(&year) => Ok(Self { year, month }),
            Ok(_) | Err(_) => Err(Refusal::Invalid),
        }
    }
}

impl From<Date> for Month {
    fn from(date: Date) -> Self {
        Self { year: date.year(), month: date.month().into() }
    }
}

/// Formats it as cards do: `1/2030`.
impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.month, self.year)
    }
}

/// The brands that the shop takes.
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

/// A card as a request has it.
#[derive(Clone, Copy)]
pub(crate) struct Card<'a> {
    pub(crate) number: &'a str,
    pub(crate) cvv: i32,
    pub(crate) year: i32,
    pub(crate) month: i32,
}

/// A charge that is accepted: a positive amount in a currency that exists, and a card of a brand that the shop takes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NewCharge {
    amount: Money,
}

impl NewCharge {
    /// Parses a charge. The card has to be good through the month `today`.
    pub(crate) fn parse(
        amount: Option<Result<Money, MoneyError>>,
        card: Option<Card<'_>>,
        today: Month,
    ) -> Result<Self, Refusal> {
        let card = card.ok_or(Refusal::NoCard)?;
        let amount = amount.ok_or(Refusal::NoAmount)??;
        if !amount.is_positive() {
            return Err(Refusal::NotPositive);
        }
        if !CURRENCIES.split(' ').any(|code| code == amount.currency_code().as_str()) {
            return Err(Refusal::Currency);
        }
        check_card(card, today)?;
        Ok(Self { amount })
    }

    /// Returns the amount.
    pub(crate) fn amount(&self) -> Money {
        self.amount
    }
}

fn check_card(card: Card<'_>, today: Month) -> Result<(), Refusal> {
    let expires = Month::parse(card.year, card.month)?;
    let number = CardNumber::parse(card.number).ok_or(Refusal::Invalid)?;
    let (brand, lengths) = brand_of(number.digits()).ok_or(Refusal::Invalid)?;
    if !lengths.contains(&number.digits().len()) || !(0..=9999).contains(&card.cvv) {
        return Err(Refusal::Invalid);
    }
    if brand != VISA && brand != MASTERCARD {
        return Err(Refusal::Brand(brand));
    }
    if expires < today {
        return Err(Refusal::Expired { ending: number.ending(), expired: expires });
    }
    Ok(())
}

fn brand_of(digits: &[u8]) -> Option<(&'static str, &'static [usize])> {
    let prefix = digits.get(..6)?.iter().fold(0, |prefix, digit| prefix * 10 + u32::from(*digit));
    let matches = |ranges: &[(u32, u32)]| ranges.iter().any(|(a, b)| (*a..=*b).contains(&prefix));
    let (brand, _, lengths) = BRANDS.iter().find(|(_, ranges, _)| matches(ranges))?;
    Some((brand, lengths))
}

#[cfg(test)]
mod tests {
    use super::*;

    const JUNE: Month = Month { year: 2026, month: 6 };

    const GOOD: Card<'static> = Card { number: "4432801561520454", cvv: 672, year: 2026, month: 6 };

    fn check(number: &str) -> Result<(), Refusal> {
        check_card(Card { number, ..GOOD }, JUNE)
    }

    #[test]
    fn visa_and_mastercard_are_accepted() {
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
    fn number_of_no_card_is_invalid() {
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
            let refused = check_card(Card { cvv, ..GOOD }, JUNE);
            assert_eq!(refused, Err(Refusal::Invalid), "{cvv}");
        }
    }

    #[test]
    fn card_is_good_through_its_last_month() {
        assert_eq!(check("4432-8015-6152-0454"), Ok(()));

        let expired = check_card(Card { month: 5, ..GOOD }, JUNE).unwrap_err();
        assert_eq!(expired.to_string(), "Your credit card (ending 0454) expired on 5/2026");

        assert!(check_card(Card { year: 2025, month: 12, ..GOOD }, JUNE).is_err());
        assert_eq!(check_card(Card { year: 2027, month: 1, ..GOOD }, JUNE), Ok(()));
    }

    #[test]
    fn month_is_one_of_twelve_of_a_year_of_four_digits() {
        for month in [0, 13, 99, -1, i32::MAX] {
            assert_eq!(Month::parse(2030, month), Err(Refusal::Invalid), "{month}");
        }
        for year in [-1, 10_000, 99_999, i32::MIN, i32::MAX] {
            assert_eq!(Month::parse(year, 1), Err(Refusal::Invalid), "{year}");
        }
    }

    #[test]
    fn amount_is_positive_in_a_currency_that_exists() {
        let amount = |code, units| {
            let charge = NewCharge::parse(Some(Money::try_new(code, units, 0)), Some(GOOD), JUNE);
            charge.map(|charge| charge.amount().units())
        };
        assert_eq!(amount("USD", 1), Ok(1));
        assert_eq!(amount("USD", 0), Err(Refusal::NotPositive));
        assert_eq!(amount("USD", -1), Err(Refusal::NotPositive));
        assert_eq!(amount("XYZ", 1), Err(Refusal::Currency));
        assert_eq!(amount("xyz", 1), Err(Refusal::Amount(MoneyError::Code)));
        assert_eq!(NewCharge::parse(None, Some(GOOD), JUNE), Err(Refusal::NoAmount));
        let usd = Money::try_new("USD", 1, 0);
        assert_eq!(NewCharge::parse(Some(usd), None, JUNE), Err(Refusal::NoCard));
    }
}
