//! A copy of the catalog, for the pages of a time in which it does not answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use boutique_money::Money;
use boutique_proto::Product;
use parking_lot::{Mutex, MutexGuard};

/// The oldest copy that is shown.
const MAX_AGE: Duration = Duration::from_secs(10 * 60);
/// The age at which a copy is renewed although nobody asked for all products.
const RENEWAL_AGE: Duration = Duration::from_secs(5 * 60);
/// The least time between two tries to renew it.
const RENEWAL_INTERVAL: Duration = Duration::from_secs(30);

/// A product with a price that has been checked.
pub(crate) struct Priced {
    pub(crate) product: Product,
    pub(crate) price: Money,
}

/// All products as the catalog listed them last.
#[derive(Default)]
pub(crate) struct CatalogCopy(Mutex<State>);

#[derive(Default)]
struct State {
    /// The products, and when they were listed.
    copy: Option<(Instant, Arc<[Arc<Priced>]>)>,
    /// The time of the last refresh.
    renewing: Option<Instant>,
}

impl CatalogCopy {
    /// Replaces the copy.
    pub(crate) fn put(&self, products: &Arc<[Arc<Priced>]>, now: Instant) {
        self.lock().copy = Some((now, products.clone()));
    }

    /// Returns the products of the copy, unless there is none or it is too old.
    pub(crate) fn products(&self, now: Instant) -> Option<Arc<[Arc<Priced>]>> {
        let state = self.lock();
        state.copy.as_ref().filter(|(born, _)| now - *born <= MAX_AGE).map(|(_, all)| all.clone())
    }

    /// Returns true if the copy is old or there is none, for one caller in a while: that one has to list the products.
    pub(crate) fn wants_renewal(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let is_young = state.copy.as_ref().is_some_and(|(born, _)| now - *born < RENEWAL_AGE);
        let is_asked = state.renewing.is_some_and(|asked| now - asked < RENEWAL_INTERVAL);
        let wants = !is_young && !is_asked;
        if wants {
            state.renewing = Some(now);
        }
        wants
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_is_renewed_and_ends() {
        let (copy, began) = (CatalogCopy::default(), Instant::now());
        assert!(copy.products(began).is_none());
        assert!(copy.wants_renewal(began));
        assert!(!copy.wants_renewal(began + Duration::from_secs(1)), "one asks at a time");
        assert!(copy.wants_renewal(began + Duration::from_secs(31)), "and another if that failed");
        copy.put(&Arc::from([]), began);
        assert!(!copy.wants_renewal(began + RENEWAL_AGE / 2));
        assert!(copy.wants_renewal(began + RENEWAL_AGE));
        assert!(copy.products(began + MAX_AGE).is_some());
        assert!(copy.products(began + MAX_AGE + Duration::from_secs(1)).is_none());
    }
}
