//! One user: upstream's tasks with upstream's weights, and what their pages must show.

use std::ops::RangeInclusive;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::ensure;
use http::Method;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use crate::buyer;
use crate::client::{Client, Cookies};
use crate::report::Report;

const PRODUCTS: [&str; 9] = [
    "0PUK6V6EV0",
    "1YMWWN1N4O",
    "2ZYFJ3GM2N",
    "66VCHSJNUP",
    "6E92ZMYYFZ",
    "9SIQT8TOJO",
    "L9ECAV7KIM",
    "LS4PSXUNUM",
    "OLJCESPC7Z",
];
const CURRENCIES: [&str; 6] = ["EUR", "USD", "JPY", "CAD", "GBP", "TRY"];

#[derive(Debug, Clone, Copy)]
enum Task {
    Index,
    SetCurrency,
    BrowseProduct,
    AddToCart,
    ViewCart,
    Checkout,
}

/// Upstream's weights, of 19 in all.
const TASKS: [(Task, u32); 6] = [
    (Task::Index, 1),
    (Task::SetCurrency, 2),
    (Task::BrowseProduct, 10),
    (Task::AddToCart, 2),
    (Task::ViewCart, 3),
    (Task::Checkout, 1),
];

/// What a page must say to be the right one.
const HOME: &[&str] = &["Hot Products"];
const PRODUCT: &[&str] = &["Add To Cart"];
const FULL_CART: &[&str] = &["Cart (", "cart-summary-total-row"];
const CART: &[&str] = &["cart"];
const ORDER: &[&str] = &["Your order is complete!", "Tracking #"];

pub(crate) struct Shopper {
    client: Client,
    report: Rc<Report>,
    cookies: Cookies,
    rng: StdRng,
    wait: RangeInclusive<f64>,
}

impl Shopper {
    pub(crate) fn new(
        client: Client,
        report: Rc<Report>,
        seed: u64,
        wait: RangeInclusive<f64>,
    ) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        Self { client, report, cookies: Cookies::default(), rng, wait }
    }

    /// Comes in, then does tasks for as long as there are any.
    pub(crate) async fn shop(mut self) {
        self.visit(Method::GET, "/", "", "/", HOME).await;
        while self.report.take_task() {
            let pause = self.rng.random_range(self.wait.clone());
            tokio::time::sleep(Duration::from_secs_f64(pause)).await;
            let weights = TASKS.choose_weighted(&mut self.rng, |(_, weight)| *weight);
            match weights.map_or(Task::Index, |(task, _)| *task) {
                Task::Index => self.visit(Method::GET, "/", "", "/", HOME).await,
                Task::SetCurrency => self.set_currency().await,
                Task::BrowseProduct => {
                    let product = self.pick(&PRODUCTS);
                    self.browse(product).await;
                }
                Task::AddToCart => self.add_to_cart().await,
                Task::ViewCart => self.visit(Method::GET, "/cart", "", "/cart", CART).await,
                Task::Checkout => {
                    self.add_to_cart().await;
                    self.check_out().await;
                }
            }
        }
    }

    async fn set_currency(&mut self) {
        let form = format!("currency_code={}", self.pick(&CURRENCIES));
        self.visit(Method::POST, "/setCurrency", &form, "/setCurrency", HOME).await;
    }

    async fn browse(&mut self, product: &str) {
        let path = format!("/product/{product}");
        self.visit(Method::GET, &path, "", &path, PRODUCT).await;
    }

    async fn add_to_cart(&mut self) {
        let product = self.pick(&PRODUCTS);
        self.browse(product).await;
        let quantity = self.rng.random_range(1..=10);
        let form = format!("product_id={product}&quantity={quantity}");
        self.visit(Method::POST, "/cart", &form, "/cart", FULL_CART).await;
    }

    async fn check_out(&mut self) {
        let form = buyer::checkout_form(this_year(), &mut self.rng);
        self.visit(Method::POST, "/cart/checkout", &form, "/cart/checkout", ORDER).await;
    }

    fn pick(&mut self, list: &[&'static str]) -> &'static str {
        list.choose(&mut self.rng).unwrap_or(&"")
    }

    async fn visit(
        &mut self,
        method: Method,
        path: &str,
        form: &str,
        name: &str,
        markers: &[&str],
    ) {
        let began = Instant::now();
        let page = self.client.visit(&mut self.cookies, method.clone(), path, form).await;
        let outcome = page.and_then(|page| {
            ensure!(page.status.is_success(), "status {}", page.status);
            match markers.iter().find(|marker| !page.body.contains(**marker)) {
                Some(missing) => Err(anyhow::anyhow!("the page does not say {missing:?}")),
                None => Ok(()),
            }
        });
        self.report.note(&method, name, began.elapsed(), outcome);
    }
}

fn this_year() -> i32 {
    /// The mean length of a year of the Gregorian calendar.
    const YEAR: f64 = 365.2425 * 24.0 * 3600.0;
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    1970 + (since.as_secs_f64() / YEAR) as i32
}
