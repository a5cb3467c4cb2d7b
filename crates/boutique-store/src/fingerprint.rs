//! Fingerprints of requests.

use ring::digest::{Context, SHA256};

/// The bytes of a fingerprint.
const LENGTH: usize = 16;

/// A hash of a request's fields, by which two requests with the same idempotency key are told apart.
#[derive(Clone)]
pub struct Fingerprint(Context);

impl Fingerprint {
    /// Begins a fingerprint of a request with this key.
    pub fn new(key: &str) -> Self {
        Self(Context::new(&SHA256)).with(key.as_bytes())
    }

    /// Adds a field.
    #[must_use]
    pub fn with(mut self, field: &[u8]) -> Self {
        self.0.update(&(field.len() as u64).to_be_bytes());
        self.0.update(field);
        self
    }

    /// Adds a field that must not be found out from the fingerprint, such as the number of a card: of its hash two bytes,
    /// which tell another number in 65,535 of 65,536 cases, and leave too many numbers to choose from.
    #[must_use]
    pub fn with_secret(self, field: &[u8]) -> Self {
        let hash = Self(Context::new(&SHA256)).with(field).0.finish();
        self.with(&hash.as_ref()[..2])
    }

    /// Returns the fingerprint.
    pub fn finish(self) -> Vec<u8> {
        self.0.finish().as_ref()[..LENGTH].to_vec()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprint_depends_on_every_field_and_where_it_ends() {
        let of = |fields: &[&str]| {
            let of = |hash: Fingerprint, field: &&str| hash.with(field.as_bytes());
            fields.iter().fold(Fingerprint::new("k"), of).finish()
        };
        assert_eq!(of(&["a", "b"]), of(&["a", "b"]));
        for other in [&["ab"][..], &["a", "c"], &["b", "a"], &["a", "b", ""]] {
            assert_ne!(of(&["a", "b"]), of(other), "{other:?}");
        }
        let card = |number: &str| Fingerprint::new("k").with_secret(number.as_bytes()).finish();
        assert_eq!(card("4432801561520454"), card("4432801561520454"));
        assert_ne!(card("4432801561520454"), card("5555555555554444"));
    }
}
