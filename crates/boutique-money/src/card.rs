//! Card numbers, as far as their digits alone tell.

use std::fmt;

/// The fewest and the most digits of a card number.
const MIN_DIGITS: usize = 12;
const MAX_DIGITS: usize = 19;

/// A card number of 12 to 19 digits whose check digit is right. It is masked in debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct CardNumber(Vec<u8>);

impl CardNumber {
    /// Parses digits, with spaces and dashes anywhere.
    pub fn parse(text: &str) -> Option<Self> {
        let mut digits = Vec::with_capacity(MAX_DIGITS);
        for c in text.chars().filter(|c| !matches!(c, ' ' | '-')) {
            if digits.len() == MAX_DIGITS {
                return None;
            }
            digits.push(u8::try_from(c.to_digit(10)?).ok()?);
        }
        (digits.len() >= MIN_DIGITS && passes_luhn(&digits)).then_some(Self(digits))
    }

    /// Returns the digits, each from 0 to 9.
    pub fn digits(&self) -> &[u8] {
        &self.0
    }

    /// Returns the last four digits.
    pub fn ending(&self) -> String {
        self.0[self.0.len() - 4..].iter().map(u8::to_string).collect()
    }
}

impl fmt::Debug for CardNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "****{}", self.ending())
    }
}

/// The check of ISO/IEC 7812: every second digit from the right is doubled.
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

    #[test]
    fn number_is_accepted_in_any_spelling() {
        for text in ["4432801561520454", "4432-8015-6152-0454", " 4432 8015 6152 0454 "] {
            let number = CardNumber::parse(text).unwrap();
            assert_eq!((number.digits().len(), number.ending().as_str()), (16, "0454"));
            assert_eq!(format!("{number:?}"), "****0454");
        }
        for text in ["000000000000", "6304000000000000000"] {
            assert!(CardNumber::parse(text).is_some(), "{text}");
        }
    }

    #[test]
    fn number_has_the_right_length_and_check_digit() {
        for text in [
            "",
            "0",
            "00000000000",
            "00000000000000000000",
            "4432801561520455",
            "4432-8015-6152-045x",
            "\u{ff14}432801561520454",
        ] {
            assert_eq!(CardNumber::parse(text), None, "{text}");
        }
    }
}
