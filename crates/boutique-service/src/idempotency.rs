//! Idempotency keys: the metadata by which a call that is repeated is told from another one.

use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Request, Response, Status};

/// The longest key, in bytes.
const MAX_KEY: usize = 128;

/// A key of one to 128 visible ASCII characters. A server that obeys keys has one effect for all calls with the same key,
/// and gives them the same answer; it says so by repeating the key in the metadata of its answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(MetadataValue<Ascii>);

impl IdempotencyKey {
    /// The key's name in metadata.
    pub const METADATA: &str = "idempotency-key";

    /// Parses a key.
    pub fn parse(text: &str) -> Option<Self> {
        let is_key = (1..=MAX_KEY).contains(&text.len());
        let is_key = is_key && text.bytes().all(|byte| byte.is_ascii_graphic());
        text.parse().ok().filter(|_| is_key).map(Self)
    }

    /// Returns the key of a request, if it has one.
    ///
    /// # Errors
    ///
    /// INVALID_ARGUMENT if it is not a key, or if there are several.
    pub fn of<T>(request: &Request<T>) -> Result<Option<Self>, Status> {
        let mut values = request.metadata().get_all(Self::METADATA).iter();
        let Some(value) = values.next() else { return Ok(None) };
        let key = value.to_str().ok().and_then(Self::parse).filter(|_| values.next().is_none());
        let wrong = || {
            let name = Self::METADATA;
            Status::invalid_argument(format!(
                "{name} must be one value of 1 to {MAX_KEY} visible ASCII characters"
            ))
        };
        key.map(Some).ok_or_else(wrong)
    }

    /// Returns the key.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// Makes a request with this key.
    pub fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert(Self::METADATA, self.0.clone());
        request
    }

    /// Makes an answer that confirms the key of its request, if that had one.
    pub fn confirm<T>(key: Option<&Self>, message: T) -> Response<T> {
        let mut response = Response::new(message);
        if let Some(Self(value)) = key {
            response.metadata_mut().insert(Self::METADATA, value.clone());
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn key_is_short_and_visible() {
        for key in ["a", "0190a7c2-1", &"k".repeat(128), "~!"] {
            assert_eq!(
                IdempotencyKey::parse(key).map(|key| key.as_str().to_owned()),
                Some(key.to_owned())
            );
        }
        for no_key in ["", " ", "a b", "a\n", "\u{e9}", &"k".repeat(129)] {
            assert_eq!(IdempotencyKey::parse(no_key), None, "{no_key:?}");
        }
    }

    #[test]
    fn request_has_one_key_or_none() {
        let key = IdempotencyKey::parse("k").unwrap();
        assert_eq!(IdempotencyKey::of(&Request::new(())).unwrap(), None);
        let mut request = key.request(());
        assert_eq!(IdempotencyKey::of(&request).unwrap(), Some(key));
        request.metadata_mut().append(IdempotencyKey::METADATA, "other".parse().unwrap());
        assert!(IdempotencyKey::of(&request).is_err());
        let mut opaque = Request::new(());
        let value = MetadataValue::try_from(&b"\xe9"[..]).unwrap();
        opaque.metadata_mut().insert(IdempotencyKey::METADATA, value);
        assert!(IdempotencyKey::of(&opaque).is_err());
    }
}
