//! The shared state of all users of one run.

use std::ops::RangeInclusive;

use rand::Rng;
use rand::seq::SliceRandom as _;
use tokio::sync::Semaphore;

use crate::client::Client;
use crate::price_list::PriceList;
use crate::profile::Profile;
use crate::scheduler::Scheduler;
use crate::stats::Stats;
use crate::verdict::Verdict;

/// Upstream's currencies, in its load generator's order.
pub(crate) const CURRENCIES: [&str; 6] = ["EUR", "USD", "JPY", "CAD", "GBP", "TRY"];

/// Upstream's nine products, by the path of their page.
pub(crate) const PRODUCTS: [Product; 9] = [
    Product("/product/0PUK6V6EV0"),
    Product("/product/1YMWWN1N4O"),
    Product("/product/2ZYFJ3GM2N"),
    Product("/product/66VCHSJNUP"),
    Product("/product/6E92ZMYYFZ"),
    Product("/product/9SIQT8TOJO"),
    Product("/product/L9ECAV7KIM"),
    Product("/product/LS4PSXUNUM"),
    Product("/product/OLJCESPC7Z"),
];

/// Something that is bought.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Product(&'static str);

impl Product {
    pub(crate) fn path(self) -> &'static str {
        self.0
    }

    pub(crate) fn id(self) -> &'static str {
        self.0.trim_start_matches("/product/")
    }
}

/// One run, as its users know it.
pub(crate) struct Load {
    pub(crate) client: Client,
    pub(crate) scheduler: Scheduler,
    pub(crate) stats: Stats,
    pub(crate) verdict: Verdict,
    pub(crate) profile: Profile,
    /// True if more than a page's status is checked.
    pub(crate) checks_pages: bool,
    /// The prices of the shop, if they are known.
    pub(crate) prices: Option<PriceList>,
    /// Lines of a cart, in the profiles that fill one.
    pub(crate) items: usize,
    /// The share of orders that must be refused.
    pub(crate) refusals: f64,
    /// Seconds between two tasks of a user in a closed loop.
    pub(crate) wait: RangeInclusive<f64>,
    pub(crate) this_year: i32,
    /// Lets few users at a time fill their carts beforehand.
    pub(crate) filling: Semaphore,
}

impl Load {
    /// As many different products as a cart is to have lines.
    pub(crate) fn some_products(&self, rng: &mut impl Rng) -> Vec<Product> {
        let mut products = PRODUCTS;
        products.shuffle(rng);
        products.into_iter().take(self.items).collect()
    }
}
