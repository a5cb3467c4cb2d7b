//! One user in front of the shop: what it does by its profile, what it knows of its own cart, and
//! what every page must therefore say.

use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::Instant;

use anyhow::{bail, ensure};
use http::{Method, StatusCode};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use crate::buyer::Buyer;
use crate::client::{Cookies, Page};
use crate::history::History;
use crate::load::{CURRENCIES, Load, PRODUCTS, Product};
use crate::page::{self, OrderPage};
use crate::price_list::{self, Cart};
use crate::profile::{Place, Profile};
use crate::stats::{Route, Start};

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
const SHOP: [(Task, u32); 6] = [
    (Task::Index, 1),
    (Task::SetCurrency, 2),
    (Task::BrowseProduct, 10),
    (Task::AddToCart, 2),
    (Task::ViewCart, 3),
    (Task::Checkout, 1),
];
/// Those of the above that only look.
const BROWSE: [(Task, u32); 2] = [(Task::Index, 1), (Task::BrowseProduct, 10)];

/// The texts that a page must have.
const HOME: &[&str] = &["Hot Products"];
const PRODUCT: &[&str] = &["Add To Cart"];
const FULL_CART: &[&str] = &["Cart (", "cart-summary-total-row"];
const CART: &[&str] = &["cart"];
const ORDERED: &str = "Your order is complete!";

const GET_HOME: Route = Route { method: "GET", name: "/" };
const GET_CART: Route = Route { method: "GET", name: "/cart" };
const GET_ORDERS: Route = Route { method: "GET", name: "/orders" };
const POST_CART: Route = Route { method: "POST", name: "/cart" };
const POST_EMPTY: Route = Route { method: "POST", name: "/cart/empty" };
const POST_CURRENCY: Route = Route { method: "POST", name: "/setCurrency" };
const POST_CHECKOUT: Route = Route { method: "POST", name: "/cart/checkout" };
const POST_REFUSED: Route = Route { method: "POST", name: "/cart/checkout (bad card)" };

/// Breaks when the load is over.
type Flow = ControlFlow<()>;

/// The last order, if the cart was not looked at since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Before {
    Order,
    Refusal,
}

pub(crate) struct Shopper {
    load: Rc<Load>,
    cookies: Cookies,
    rng: StdRng,
    currency: &'static str,
    /// The expected cart; unknown after a request with an unknown outcome.
    cart: Option<Cart>,
    /// The order since which the cart was not looked at.
    unchecked: Option<Before>,
    history: History,
    /// True if the next request is the first of a task.
    begins: bool,
}

impl Shopper {
    pub(crate) fn new(load: Rc<Load>, seed: u64) -> Self {
        Self {
            load,
            cookies: Cookies::default(),
            rng: StdRng::seed_from_u64(seed),
            currency: "USD",
            cart: Some(Cart::new()),
            unchecked: None,
            history: History::default(),
            begins: true,
        }
    }

    /// Does tasks for as long as there are any, then looks at the cart if an order was the last.
    pub(crate) async fn shop(mut self) {
        let _ = self.tasks().await;
        // A few users at a time: this is no part of the load.
        let load = self.load.clone();
        let _turn = load.filling.acquire().await;
        if self.unchecked.is_some() && self.load.checks_pages {
            let start = Start::now();
            let visit =
                self.load.client.visit(&mut self.cookies, Method::GET, "/cart", String::new());
            let outcome = visit.await.and_then(|page| self.judge(&page, CART));
            if outcome.is_err() {
                self.load.stats.note(GET_CART, start, &outcome);
            }
        }
        if self.load.checks_pages && !self.history.is_empty() {
            self.look_at_orders().await;
        }
    }

    /// Compares the orders with the shop's list of them. Upstream's shop has none.
    async fn look_at_orders(&mut self) {
        let (load, start) = (&self.load, Start::now());
        let page =
            load.client.visit(&mut self.cookies, Method::GET, "/orders", String::new()).await;
        let listed = page.ok().filter(|page| page.status == StatusCode::OK);
        if let Some(listed) = listed.and_then(|page| page::orders(&page.body)) {
            let outcome = load.verdict.witness(&self.history, &listed);
            if outcome.is_err() {
                load.stats.note(GET_ORDERS, start, &outcome);
            }
        }
    }

    async fn tasks(&mut self) -> Flow {
        self.arrive().await?;
        while self.load.scheduler.take_task() {
            self.pause().await;
            self.begins = true;
            match self.load.profile {
                Profile::Shop => self.task(&SHOP).await?,
                Profile::Browse => self.task(&BROWSE).await?,
                Profile::Checkout | Profile::CheckoutGrpc => self.buy().await?,
                Profile::Page(place) => self.look_at(place).await?,
            }
        }
        Flow::Continue(())
    }

    /// Prepares a user. Requests that only make the profile possible are no part of the load.
    async fn arrive(&mut self) -> Flow {
        match self.load.profile {
            // In an open loop every request has its place in the mix.
            Profile::Shop if !self.load.scheduler.is_open() => self.get(GET_HOME, HOME).await,
            Profile::Browse => {
                self.cookies.set("shop_currency", "EUR");
                Flow::Continue(())
            }
            Profile::Page(Place::Cart) => {
                self.fill().await;
                Flow::Continue(())
            }
            Profile::Shop | Profile::Checkout | Profile::CheckoutGrpc | Profile::Page(_) => {
                Flow::Continue(())
            }
        }
    }

    /// Fills the cart, a few users at a time.
    async fn fill(&mut self) {
        let load = self.load.clone();
        let _turn = load.filling.acquire().await;
        for product in self.some_products() {
            let form = format!("product_id={}&quantity=1", product.id());
            let added = load.client.visit(&mut self.cookies, Method::POST, "/cart", form).await;
            if added.is_ok_and(|page| page.status.is_success())
                && let Some(cart) = &mut self.cart
            {
                cart.insert(product.id().to_owned(), 1);
            }
        }
    }

    /// Between two tasks; an open loop has its own times.
    async fn pause(&mut self) {
        if !self.load.scheduler.is_open() {
            let pause = self.rng.random_range(self.load.wait.clone());
            self.load.scheduler.pause(pause).await;
        }
    }

    async fn task(&mut self, weighted: &[(Task, u32)]) -> Flow {
        let chosen = weighted.choose_weighted(&mut self.rng, |(_, weight)| *weight);
        match chosen.map_or(Task::Index, |(task, _)| *task) {
            Task::Index => self.get(GET_HOME, HOME).await,
            Task::SetCurrency => {
                let currency = self.pick(&CURRENCIES);
                self.set_currency(currency).await
            }
            Task::BrowseProduct => {
                let product = self.pick(&PRODUCTS);
                self.browse(product).await
            }
            Task::AddToCart => self.choose().await,
            Task::ViewCart => self.get(GET_CART, CART).await,
            Task::Checkout => {
                self.choose().await?;
                self.check_out(false).await
            }
        }
    }

    /// So many products into the cart, and out with them.
    async fn buy(&mut self) -> Flow {
        for product in self.some_products() {
            let quantity = self.rng.random_range(1..=10);
            self.add(product, quantity).await?;
        }
        let is_refused = self.rng.random_bool(self.load.refusals);
        self.check_out(is_refused).await
    }

    async fn look_at(&mut self, place: Place) -> Flow {
        let product = self.pick(&PRODUCTS);
        match place {
            Place::Home => self.get(GET_HOME, HOME).await,
            Place::Product => self.browse(product).await,
            Place::Cart => self.get(GET_CART, FULL_CART).await,
            Place::Add => self.add(product, 1).await,
            Place::Empty => self.empty().await,
            Place::Currency => {
                let currency = self.pick(&CURRENCIES);
                self.set_currency(currency).await
            }
        }
    }

    /// Upstream's way to a full cart: the product's page, then a form.
    async fn choose(&mut self) -> Flow {
        let product = self.pick(&PRODUCTS);
        self.browse(product).await?;
        let quantity = self.rng.random_range(1..=10);
        self.add(product, quantity).await
    }

    async fn get(&mut self, route: Route, markers: &'static [&'static str]) -> Flow {
        self.request(route, route.name, String::new(), |user, answer| user.judge(&answer?, markers))
            .await
    }

    async fn browse(&mut self, product: Product) -> Flow {
        self.get(Route { method: "GET", name: product.path() }, PRODUCT).await
    }

    async fn set_currency(&mut self, currency: &'static str) -> Flow {
        let form = format!("currency_code={currency}");
        self.request(POST_CURRENCY, "/setCurrency", form, |user, answer| {
            // The page after it may fail although the currency changed.
            if user.cookies.get("shop_currency") == Some(currency) {
                user.currency = currency;
            }
            user.judge(&answer?, HOME)
        })
        .await
    }

    async fn empty(&mut self) -> Flow {
        self.request(POST_EMPTY, "/cart/empty", String::new(), |user, answer| {
            user.cart = None;
            let page = answer?;
            user.cart = page.status.is_success().then(Cart::new);
            user.judge(&page, HOME)
        })
        .await
    }

    async fn add(&mut self, product: Product, quantity: u32) -> Flow {
        let form = format!("product_id={}&quantity={quantity}", product.id());
        self.request(POST_CART, "/cart", form, |user, answer| {
            let mut cart = user.cart.take();
            let page = answer?;
            if page.status.is_success()
                && let Some(cart) = &mut cart
            {
                *cart.entry(product.id().to_owned()).or_default() += quantity;
            }
            // What was refused changed nothing; what failed may have.
            user.cart = cart.filter(|_| !page.status.is_server_error());
            user.judge(&page, FULL_CART)
        })
        .await
    }

    async fn check_out(&mut self, with_bad_card: bool) -> Flow {
        let buyer = Buyer::new(self.load.this_year, with_bad_card, &mut self.rng);
        if with_bad_card {
            let judge = |user: &mut Self, answer| user.judge_refused(answer);
            return self.request(POST_REFUSED, POST_CHECKOUT.name, buyer.form(), judge).await;
        }
        let judge = |user: &mut Self, answer| user.judge_order(answer);
        self.request(POST_CHECKOUT, POST_CHECKOUT.name, buyer.form(), judge).await
    }

    /// One request in its turn, and what is to be said of its answer.
    async fn request(
        &mut self,
        route: Route,
        path: &str,
        form: String,
        judge: impl FnOnce(&mut Self, anyhow::Result<Page>) -> anyhow::Result<()>,
    ) -> Flow {
        let begins = std::mem::take(&mut self.begins);
        let Some(due) = self.load.scheduler.turn(begins).await else { return Flow::Break(()) };
        let start = Start { due, sent: Instant::now() };
        let method = if route.method == "POST" { Method::POST } else { Method::GET };
        let answer = self.load.client.visit(&mut self.cookies, method, path, form).await;
        let outcome = judge(self, answer);
        self.load.stats.note(route, start, &outcome);
        Flow::Continue(())
    }

    /// A page that shows the cart's size in its header.
    fn judge(&mut self, page: &Page, markers: &[&str]) -> anyhow::Result<()> {
        ensure!(page.status.is_success(), "status {}", page.status);
        if !self.load.checks_pages {
            return Ok(());
        }
        for marker in markers {
            ensure!(page::says(&page.body, marker), "the page does not say {marker:?}");
        }
        let shown = page::cart_size(&page.body);
        let Some(cart) = &self.cart else {
            // The cart's own page tells what there is; another can only tell that there is nothing.
            self.cart = page::cart(&page.body).filter(|cart| pieces(cart) == shown);
            return Ok(());
        };
        let expected = pieces(cart);
        let before = self.unchecked.take();
        if shown == expected {
            if before == Some(Before::Order) {
                self.load.verdict.cart_checked();
            }
            return Ok(());
        }
        self.cart = None;
        let (by, how) = (shown.abs_diff(expected), if shown > expected { "many" } else { "few" });
        let what = format!("the cart holds {by} pieces too {how}");
        match before {
            Some(Before::Order) => Err(self.load.verdict.wrong(&format!("{what} after it"))),
            Some(Before::Refusal) => {
                Err(self.load.verdict.wrong(&format!("{what} after it was refused")))
            }
            None => bail!(what),
        }
    }

    fn judge_order(&mut self, answer: anyhow::Result<Page>) -> anyhow::Result<()> {
        let cart = self.cart.take();
        let page = answer.inspect_err(|_| self.unknown())?;
        if page.status.is_client_error() {
            // Refused: the cart stays.
            self.load.verdict.refused();
            (self.cart, self.unchecked) = (cart, Some(Before::Refusal));
            bail!("status {}", page.status);
        }
        // 202: it goes on, and nobody knows how it ends.
        if !page.status.is_success() || page.status == StatusCode::ACCEPTED {
            self.unknown();
            bail!("status {}", page.status);
        }
        if !self.load.checks_pages {
            return Ok(());
        }
        ensure!(page::says(&page.body, ORDERED), "the page does not say {ORDERED:?}");
        (self.cart, self.unchecked) = (Some(Cart::new()), Some(Before::Order));
        let Some(order) = OrderPage::read(&page.body) else {
            return Err(self.load.verdict.wrong("the page does not tell its numbers"));
        };
        self.history.acknowledge(&order.order_id);
        let total = |cart: &Cart| self.load.prices.as_ref()?.total(cart, self.currency);
        let expected =
            cart.as_ref().and_then(total).map(|total| price_list::written(total, self.currency));
        self.load.verdict.acknowledge(&order.order_id, &order.tracking_id, &order.total, expected)
    }

    /// An order that must not be accepted.
    fn judge_refused(&mut self, answer: anyhow::Result<Page>) -> anyhow::Result<()> {
        let page = answer.inspect_err(|_| {
            self.cart = None;
            self.unknown();
        })?;
        if page.status.is_success() && page.status != StatusCode::ACCEPTED {
            self.cart = None;
            return Err(self.load.verdict.wrong("an expired card was accepted"));
        }
        // Upstream answers 500 to whatever it refuses.
        let is_refusal =
            page.status.is_client_error() || page.status == StatusCode::INTERNAL_SERVER_ERROR;
        if !is_refusal {
            self.cart = None;
            self.unknown();
            bail!("status {}", page.status);
        }
        self.load.verdict.refused();
        self.unchecked = Some(Before::Refusal);
        Ok(())
    }

    fn unknown(&mut self) {
        self.load.verdict.unknown();
        self.history.unknown();
    }

    fn pick<T: Copy, const N: usize>(&mut self, list: &[T; N]) -> T {
        list[self.rng.random_range(0..N)]
    }

    fn some_products(&mut self) -> Vec<Product> {
        self.load.some_products(&mut self.rng)
    }
}

fn pieces(cart: &Cart) -> i64 {
    cart.values().map(|pieces| i64::from(*pieces)).sum()
}
