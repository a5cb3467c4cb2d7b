//! Orders as stores keep them.

use std::time::Duration;

use boutique_proto::ext::{OrderState, OutboxEvent, StoredOrder};

/// The version of stored orders.
pub(crate) const VERSION: u32 = 1;
/// The time for which a closed order is kept: as long as the session cookie lives.
pub(super) const ORDER_TTL: Duration = Duration::from_secs(48 * 3600);
/// The time for which the key of a closed order is kept.
pub(super) const KEY_TTL: Duration = Duration::from_secs(24 * 3600);
/// The number of orders of a user that can be listed.
pub(super) const MAX_LISTED: usize = 20;
/// The number of stuck orders that are listed.
pub(super) const MAX_STUCK: usize = 100;

/// An order, and the number of its changes. Of two who change it, the one who read it before the other's change fails.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) order: StoredOrder,
    pub(crate) revision: u64,
}

impl Entry {
    /// Returns the order's id.
    pub(crate) fn id(&self) -> &str {
        id(&self.order)
    }
}

/// Returns the id of an order.
pub(super) fn id(order: &StoredOrder) -> &str {
    order.order.as_ref().map_or("", |order| &order.order_id)
}

/// Returns true if what was ordered may be in the cart still. Until it is not, its user's next order waits: it would have
/// the same pieces once more.
pub(crate) fn holds_cart(order: &StoredOrder) -> bool {
    match order.state() {
        OrderState::Charging | OrderState::Shipping | OrderState::Voiding => true,
        OrderState::Done => order.outbox.contains(&OutboxEvent::Cart.into()),
        OrderState::Voided | OrderState::ToRefund | OrderState::Unspecified => false,
    }
}

/// Returns true if an order of this version of the cart has to wait for another order of its user: because that one holds
/// the cart, or because the cart was read before what that one ordered was taken out.
pub(super) fn is_behind(cart_version: &str, other: &StoredOrder) -> bool {
    let parse = |version: &str| -> Option<(String, u64)> {
        let (generation, number) = version.rsplit_once('-')?;
        Some((generation.to_owned(), number.parse().ok()?))
    };
    let is_before = match (parse(cart_version), parse(&other.emptied_cart_version)) {
        (Some((own, read)), Some((same, emptied))) => own == same && read < emptied,
        (None, _) | (_, None) => false,
    };
    holds_cart(other) || is_before
}

/// The next step for an order after a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    /// Whoever asks for due orders after this time is given it.
    Due(Duration),
    /// Nothing: it is closed.
    Closed,
    /// Nothing: it is closed, and its key is free for another order.
    Freed,
    /// Nothing until somebody has looked into it.
    Stuck,
}

/// The outcome of [`OrderStore::open`].
pub(crate) enum Opened {
    /// The order is stored.
    New(Entry),
    /// There is an order of this user with this key, which stays. It may be the same one, stored by a command whose
    /// answer was lost.
    Known(Entry),
    /// The user's latest order still holds the cart; nothing is stored.
    Busy(Entry),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cart_that_was_read_before_it_was_emptied_is_behind() {
        let emptied = |version: &str| {
            let mut other =
                StoredOrder { emptied_cart_version: version.to_owned(), ..Default::default() };
            other.set_state(OrderState::Done);
            other
        };
        for (read, version, expected) in [
            ("g-4", "g-5", true),
            ("g-9", "g-10", true),
            ("g-5", "g-5", false),
            ("g-6", "g-5", false),
            ("h-4", "g-5", false),
            ("", "g-5", false),
            ("g-4", "", false),
            ("4", "5", false),
        ] {
            assert_eq!(is_behind(read, &emptied(version)), expected, "{read} {version}");
        }
    }
}
