//! The cost and the tracking number of a parcel.

use boutique_money::{CurrencyCode, Money};
use rand::{Rng, RngExt as _};

/// Upstream's one price: 8.99 US dollars for anything at all.
const FLAT_RATE_CENTS: i64 = 899;
/// The longest address a label has room for, in bytes.
const MAX_ADDRESS: usize = 4096;

/// The reason why a parcel is neither quoted nor shipped.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("address is missing")]
    NoAddress,
    #[error("address is longer than {MAX_ADDRESS} bytes")]
    LongAddress,
    #[error("a quantity is less than zero")]
    Quantity,
}

/// The part of an address that a parcel's number depends on.
pub(crate) struct Destination<'a> {
    pub(crate) street: &'a str,
    pub(crate) city: &'a str,
    pub(crate) state: &'a str,
}

/// Returns the cost of shipping so many pieces: nothing for none, else the flat rate.
pub(crate) fn quote(mut quantities: impl Iterator<Item = i32>) -> Result<Money, Refusal> {
    let has_pieces = quantities.try_fold(false, |has_pieces, quantity| match quantity {
        ..0 => Err(Refusal::Quantity),
        quantity => Ok(has_pieces || quantity > 0),
    })?;
    Ok(Money::from_cents(CurrencyCode::USD, if has_pieces { FLAT_RATE_CENTS } else { 0 }))
}

/// A tracking id in upstream's form: two letters, then the address's length and its half, each
/// followed by random digits.
pub(crate) fn tracking_id(
    destination: Option<Destination<'_>>,
    rng: &mut impl Rng,
) -> Result<String, Refusal> {
    let Destination { street, city, state } = destination.ok_or(Refusal::NoAddress)?;
    // "street, city, state"
    let length = street.len() + city.len() + state.len() + 4;
    if length > MAX_ADDRESS {
        return Err(Refusal::LongAddress);
    }
    let mut letter = || char::from(rng.random_range(b'A'..=b'Z'));
    let letters = [letter(), letter()];
    Ok(format!(
        "{}{}-{length}{:03}-{}{:07}",
        letters[0],
        letters[1],
        rng.random_range(0..1_000),
        length / 2,
        rng.random_range(0..10_000_000),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cents(quantities: &[i32]) -> Result<i128, Refusal> {
        quote(quantities.iter().copied()).map(|cost| cost.total_nanos() / 10_000_000)
    }

    #[test]
    fn anything_ships_for_the_flat_rate_and_nothing_for_free() {
        for flat in [&[1, 3][..], &[5], &[0, 1], &[i32::MAX; 9]] {
            assert_eq!(cents(flat), Ok(899), "{flat:?}");
        }
        for free in [&[][..], &[0], &[0, 0]] {
            assert_eq!(cents(free), Ok(0), "{free:?}");
        }
        for impossible in [&[-1][..], &[1, -1], &[5, i32::MIN]] {
            assert_eq!(cents(impossible), Err(Refusal::Quantity), "{impossible:?}");
        }
    }

    #[test]
    fn a_tracking_id_has_upstreams_form() {
        let muffin = || Some(Destination { street: "Muffin Man", city: "London", state: "" });
        let mut rng = rand::rng();
        let ids: Vec<_> = (0..50).map(|_| tracking_id(muffin(), &mut rng).unwrap()).collect();

        for id in &ids {
            assert_eq!(id.len(), 18, "{id}");
            let (letters, rest) = id.split_at(2);
            assert!(letters.bytes().all(|b| b.is_ascii_uppercase()), "{id}");
            assert!(rest.starts_with("-20") && rest[6..].starts_with("-10"), "{id}");
            assert!(rest.bytes().all(|b| b == b'-' || b.is_ascii_digit()), "{id}");
        }
        assert!(ids.iter().any(|id| id != &ids[0]));
    }

    #[test]
    fn a_parcel_needs_an_address_that_fits_a_label() {
        let mut rng = rand::rng();
        assert_eq!(tracking_id(None, &mut rng), Err(Refusal::NoAddress));
        let street = "x".repeat(1 << 20);
        let endless = Some(Destination { street: &street, city: "", state: "" });
        assert_eq!(tracking_id(endless, &mut rng), Err(Refusal::LongAddress));
    }
}
