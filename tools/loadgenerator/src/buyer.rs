//! Made-up people who buy: what upstream draws from Faker, drawn here from a few short lists.

use rand::seq::IndexedRandom as _;
use rand::{Rng, RngExt as _};

const NAMES: [&str; 8] = ["ada", "bo", "cleo", "dario", "edith", "femi", "greta", "hugo"];
const STREETS: [&str; 6] =
    ["Harbor Road", "Mill Lane", "Orchard Street", "Station Road", "Hill Drive", "Canal Way"];
const CITIES: [&str; 6] = ["Riverton", "Lakeview", "Oakdale", "Fairport", "Ashford", "Brookside"];
const STATES: [&str; 6] = ["CA", "NY", "TX", "WA", "OR", "ME"];
const COUNTRIES: [&str; 4] = ["United States", "Canada", "Switzerland", "Côte d'Ivoire"];

/// Somebody who pays with a card of their own.
pub(crate) struct Buyer {
    pub(crate) email: String,
    pub(crate) street_address: String,
    pub(crate) zip_code: i32,
    pub(crate) city: &'static str,
    pub(crate) state: &'static str,
    pub(crate) country: &'static str,
    pub(crate) card_number: String,
    pub(crate) card_month: i32,
    pub(crate) card_year: i32,
    pub(crate) card_cvv: i32,
}

impl Buyer {
    /// A new buyer, whose card has expired if it is to be refused.
    pub(crate) fn new(this_year: i32, is_refused: bool, rng: &mut impl Rng) -> Self {
        let pick = |list: &[&'static str], rng: &mut _| *list.choose(rng).unwrap_or(&"");
        let (name, number) = (pick(&NAMES, rng), rng.random_range(1..10_000));
        let street = pick(&STREETS, rng);
        let good_through = rng.random_range(this_year + 1..=this_year + 70);
        Self {
            email: format!("{name}{number}@example.com"),
            street_address: format!("{} {street}", rng.random_range(1..1000)),
            zip_code: rng.random_range(501..99_951),
            city: pick(&CITIES, rng),
            state: pick(&STATES, rng),
            country: pick(&COUNTRIES, rng),
            card_number: visa(rng),
            card_month: rng.random_range(1..=12),
            card_year: if is_refused { this_year - 1 } else { good_through },
            card_cvv: rng.random_range(100..1000),
        }
    }

    /// Upstream's form fields, urlencoded.
    pub(crate) fn form(&self) -> String {
        form_urlencoded::Serializer::new(String::new())
            .append_pair("email", &self.email)
            .append_pair("street_address", &self.street_address)
            .append_pair("zip_code", &format!("{:05}", self.zip_code))
            .append_pair("city", self.city)
            .append_pair("state", self.state)
            .append_pair("country", self.country)
            .append_pair("credit_card_number", &self.card_number)
            .append_pair("credit_card_expiration_month", &self.card_month.to_string())
            .append_pair("credit_card_expiration_year", &self.card_year.to_string())
            .append_pair("credit_card_cvv", &self.card_cvv.to_string())
            .finish()
    }
}

/// A number that begins and adds up like a Visa's.
fn visa(rng: &mut impl Rng) -> String {
    let mut digits = vec![4];
    digits.extend((0..14).map(|_| rng.random_range(0..10_u32)));
    // The check digit is the first from the right, so every other digit from the left is doubled.
    let sum: u32 = digits
        .iter()
        .enumerate()
        .map(|(place, digit)| if place % 2 == 0 { digit * 2 / 10 + digit * 2 % 10 } else { *digit })
        .sum();
    digits.push((10 - sum % 10) % 10);
    digits.iter().map(u32::to_string).collect()
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn a_made_up_card_adds_up() {
        let mut rng = StdRng::seed_from_u64(1);
        for _ in 0..1_000 {
            let number = visa(&mut rng);
            let sum: u32 = number
                .chars()
                .rev()
                .enumerate()
                .map(|(place, digit)| {
                    let digit = digit.to_digit(10).unwrap() << (place % 2);
                    if digit > 9 { digit - 9 } else { digit }
                })
                .sum();
            assert!(
                number.len() == 16 && number.starts_with('4') && sum.is_multiple_of(10),
                "{number}"
            );
        }
    }

    #[test]
    fn the_same_seed_makes_the_same_buyer() {
        let form = |seed| Buyer::new(2026, false, &mut StdRng::seed_from_u64(seed)).form();
        assert_eq!(form(7), form(7));
        assert_ne!(form(7), form(8));
    }
}
