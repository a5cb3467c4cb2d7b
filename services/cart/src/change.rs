//! A change of a cart, which is made once if it has an idempotency key.

use boutique_service::IdempotencyKey;
use boutique_store::Fingerprint;

use crate::domain::NewLine;

/// The key of a change, and the change's fingerprint; both empty for a change that is made each time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) key: String,
    pub(crate) fingerprint: String,
}

impl Change {
    /// The change by these lines under this key.
    pub(crate) fn new(key: Option<&IdempotencyKey>, lines: &[NewLine]) -> Self {
        let Some(key) = key else { return Self::default() };
        let mut fingerprint = Fingerprint::new(key.as_str());
        for line in lines.iter().map(NewLine::line) {
            fingerprint = fingerprint.with(line.product_id.as_bytes());
            fingerprint = fingerprint.with(&line.quantity.to_be_bytes());
        }
        let bytes = fingerprint.finish();
        let fingerprint = bytes[..4].iter().map(|byte| format!("{byte:02x}")).collect();
        Self { key: key.as_str().to_owned(), fingerprint }
    }
}
