//! Profiles: the tasks of users.

use std::str::FromStr;

/// A way to use the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    /// Upstream's tasks with upstream's weights.
    Shop,
    /// Home and products, in euros.
    Browse,
    /// Products into the cart, and an order; over HTTP.
    Checkout,
    /// The same straight to the cart and the checkout, over gRPC.
    CheckoutGrpc,
    /// One kind of page alone.
    Page(Place),
}

/// A page, or a form that leads to one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Home,
    Product,
    Cart,
    Add,
    Empty,
    Currency,
}

const ALL: [(&str, Profile); 10] = [
    ("shop", Profile::Shop),
    ("browse", Profile::Browse),
    ("checkout", Profile::Checkout),
    ("checkout-grpc", Profile::CheckoutGrpc),
    ("page:home", Profile::Page(Place::Home)),
    ("page:product", Profile::Page(Place::Product)),
    ("page:cart", Profile::Page(Place::Cart)),
    ("page:add", Profile::Page(Place::Add)),
    ("page:empty", Profile::Page(Place::Empty)),
    ("page:currency", Profile::Page(Place::Currency)),
];

impl Profile {
    pub(crate) fn name(self) -> &'static str {
        ALL.iter().find(|(_, profile)| *profile == self).map_or("", |(name, _)| name)
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let found = ALL.iter().find(|(known, _)| *known == name).map(|(_, profile)| *profile);
        found.ok_or_else(|| format!("it must be one of {}", ALL.map(|(name, _)| name).join(", ")))
    }
}
