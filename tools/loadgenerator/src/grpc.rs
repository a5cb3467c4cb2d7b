//! One user who speaks gRPC: products into the cart, and an order, straight to the two services.

use std::ops::ControlFlow;
use std::rc::Rc;
use std::time::Instant;

use boutique_proto::ext::{ListOrdersRequest, OrderState, orders};
use boutique_proto::{
    AddItemRequest, Address, CartItem, CreditCardInfo, Empty, GetCartRequest, GetQuoteRequest,
    OrderResult, PlaceOrderRequest, cart_service, checkout_service, product_catalog_service,
    required_amount, services, shipping_service,
};
use boutique_service::{Channel, Env, Registry, client};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tonic::{Code, Status};
use uuid::Uuid;

use crate::buyer::Buyer;
use crate::history::{History, Listed, State};
use crate::load::{CURRENCIES, Load, Product};
use crate::price_list::{Cart, PriceList, nanos};
use crate::stats::{Route, Start};

const ADD: Route = Route { method: "gRPC", name: "CartService/AddItem" };
const PLACE: Route = Route { method: "gRPC", name: "CheckoutService/PlaceOrder" };
const REFUSED: Route = Route { method: "gRPC", name: "CheckoutService/PlaceOrder (bad card)" };
const LIST: Route = Route { method: "gRPC", name: "Orders/ListOrders" };
const LOOK: Route = Route { method: "gRPC", name: "CartService/GetCart" };

/// The services that this profile speaks to, by upstream's settings.
pub(crate) const ADDRESSES: [&str; 4] = [
    services::CART.addr_key,
    services::CHECKOUT.addr_key,
    services::PRODUCT_CATALOG.addr_key,
    services::SHIPPING.addr_key,
];

/// A way to call each service; cheap to clone.
#[derive(Clone)]
pub(crate) struct Clients {
    cart: cart_service::Client<Channel>,
    checkout: checkout_service::Client<Channel>,
    catalog: product_catalog_service::Client<Channel>,
    shipping: shipping_service::Client<Channel>,
    orders: orders::Client<Channel>,
}

impl Clients {
    pub(crate) fn from_env(env: &Env) -> anyhow::Result<Self> {
        let registry = Registry::default();
        Ok(Self {
            cart: client(env, &registry)?,
            checkout: client(env, &registry)?,
            catalog: client(env, &registry)?,
            shipping: client(env, &registry)?,
            orders: client(env, &registry)?,
        })
    }

    /// Learns what the shop charges; an answer is also the sign that it is open.
    pub(crate) async fn learn(&self, mut prices: PriceList) -> anyhow::Result<PriceList> {
        let listed = self.catalog.list_products(Empty {}).await?;
        for product in &listed.products {
            prices.learn(&product.id, required_amount(product.price_usd.as_ref())?)?;
        }
        let items = vec![CartItem { product_id: "any".to_owned(), quantity: 1 }];
        let request = GetQuoteRequest { address: None, items };
        let quote = self.shipping.get_quote(request).await?;
        prices.learn_quote(required_amount(quote.cost_usd.as_ref())?);
        let request = GetCartRequest { user_id: Uuid::new_v4().to_string() };
        self.cart.get_cart(request).await?;
        Ok(prices)
    }
}

/// Breaks when the load is over.
type Flow = ControlFlow<()>;

pub(crate) struct Caller {
    load: Rc<Load>,
    clients: Clients,
    rng: StdRng,
    user_id: String,
    /// The expected cart; unknown after a call with an unknown outcome.
    cart: Option<Cart>,
    /// True if the cart was not looked at since an order.
    unchecked: bool,
    history: History,
    /// True if the next call is the first of a task.
    begins: bool,
}

impl Caller {
    pub(crate) fn new(load: Rc<Load>, clients: Clients, seed: u64) -> Self {
        let rng = StdRng::seed_from_u64(seed);
        // Not drawn from the seed: the same run again must not find the carts of the run before.
        let user_id = Uuid::new_v4().to_string();
        Self {
            load,
            clients,
            rng,
            user_id,
            cart: Some(Cart::new()),
            unchecked: false,
            history: History::default(),
            begins: true,
        }
    }

    /// Buys for as long as there are tasks, then looks at the cart if an order was the last.
    pub(crate) async fn buy(mut self) {
        let _ = self.tasks().await;
        // A few users at a time: this is no part of the load.
        let load = self.load.clone();
        let _turn = load.filling.acquire().await;
        if self.unchecked {
            let start = Start::now();
            let outcome = self.look().await;
            if outcome.is_err() {
                self.load.stats.note(LOOK, start, &outcome);
            }
        }
        if self.load.checks_pages && !self.history.is_empty() {
            self.look_at_orders().await;
        }
    }

    /// Compares the orders with the shop's list of them. Upstream's checkout has none.
    async fn look_at_orders(&mut self) {
        let start = Start::now();
        let request = ListOrdersRequest { user_id: self.user_id.clone() };
        let Ok(listed) = self.clients.orders.list_orders(request).await else { return };
        let listed = listed.orders.into_iter().map(|order| Listed {
            state: match order.state() {
                OrderState::Done => State::Complete,
                OrderState::Voided => State::Voided,
                OrderState::Charging
                | OrderState::Shipping
                | OrderState::Voiding
                | OrderState::ToRefund
                | OrderState::Unspecified => State::Open,
            },
            id: order.order.unwrap_or_default().order_id,
        });
        let outcome = self.load.verdict.witness(&self.history, &listed.collect::<Vec<_>>());
        if outcome.is_err() {
            self.load.stats.note(LIST, start, &outcome);
        }
    }

    async fn tasks(&mut self) -> Flow {
        while self.load.scheduler.take_task() {
            self.begins = true;
            if self.cart.is_none() {
                let start = self.turn().await?;
                let outcome = self.look().await;
                self.load.stats.note(LOOK, start, &outcome);
            }
            for product in self.load.some_products(&mut self.rng) {
                self.add(product).await?;
            }
            self.place().await?;
        }
        Flow::Continue(())
    }

    async fn turn(&mut self) -> ControlFlow<(), Start> {
        match self.load.scheduler.turn(std::mem::take(&mut self.begins)).await {
            Some(due) => ControlFlow::Continue(Start { due, sent: Instant::now() }),
            None => ControlFlow::Break(()),
        }
    }

    async fn add(&mut self, product: Product) -> Flow {
        let start = self.turn().await?;
        let quantity = self.rng.random_range(1..=10_u32);
        let product_id = product.id().to_owned();
        let item = CartItem { product_id, quantity: i32::try_from(quantity).unwrap_or(1) };
        let request = AddItemRequest { user_id: self.user_id.clone(), item: Some(item) };
        let cart = self.cart.take();
        let outcome = match self.clients.cart.add_item(request).await {
            Ok(_) => {
                self.cart = cart.map(|mut cart| {
                    *cart.entry(product.id().to_owned()).or_default() += quantity;
                    cart
                });
                Ok(())
            }
            Err(status) => Err(failed(&status)),
        };
        self.load.stats.note(ADD, start, &outcome);
        Flow::Continue(())
    }

    async fn place(&mut self) -> Flow {
        let start = self.turn().await?;
        let with_bad_card = self.rng.random_bool(self.load.refusals);
        let currency = CURRENCIES[self.rng.random_range(0..CURRENCIES.len())];
        let buyer = Buyer::new(self.load.this_year, with_bad_card, &mut self.rng);
        let request = request(&self.user_id, currency, buyer);
        let placed = self.clients.checkout.place_order(request).await;
        let placed = placed.map(|answer| answer.order.unwrap_or_default());
        let cart = self.cart.take();
        let outcome = match placed {
            Ok(_) if with_bad_card => Err(self.load.verdict.wrong("an expired card was accepted")),
            Ok(order) => {
                self.cart = Some(Cart::new());
                self.history.acknowledge(&order.order_id);
                // Its lines tell whether the order before left the cart empty.
                if std::mem::replace(&mut self.unchecked, true) {
                    self.load.verdict.cart_checked();
                }
                self.judge(&order, cart, currency)
            }
            Err(status) if is_refusal(&status) => {
                self.load.verdict.refused();
                // The cart stays as it was, which the next order's lines will tell.
                self.cart = cart;
                if with_bad_card { Ok(()) } else { Err(failed(&status)) }
            }
            Err(status) => {
                self.load.verdict.unknown();
                self.history.unknown();
                Err(failed(&status))
            }
        };
        let route = if with_bad_card { REFUSED } else { PLACE };
        self.load.stats.note(route, start, &outcome);
        Flow::Continue(())
    }

    /// Checks that the order is what was in the cart, at the price it had to have, to the nano. A line
    /// too many is what a cart that was not emptied before looks like.
    fn judge(&self, order: &OrderResult, cart: Option<Cart>, currency: &str) -> anyhow::Result<()> {
        if !self.load.checks_pages {
            return Ok(());
        }
        let verdict = &self.load.verdict;
        let (Some(cart), Some(prices)) = (cart, &self.load.prices) else {
            return verdict.acknowledge(&order.order_id, &order.shipping_tracking_id, "", None);
        };
        let ordered = pieces(order.items.iter().filter_map(|line| line.item.as_ref()));
        let expected = prices.total(&cart, currency).map(|total| total.to_string());
        let told = told(order).map(|total| total.to_string());
        let ids = (&order.order_id, &order.shipping_tracking_id);
        verdict.acknowledge(ids.0, ids.1, told.as_deref().unwrap_or("unreadable"), expected)?;
        if ordered == cart {
            return Ok(());
        }
        Err(verdict.wrong(&format!(
            "it has {} lines, and the cart had {}",
            ordered.len(),
            cart.len()
        )))
    }

    /// Compares the cart with what must be in it, or learns what is.
    async fn look(&mut self) -> anyhow::Result<()> {
        let request = GetCartRequest { user_id: self.user_id.clone() };
        let answer = self.clients.cart.get_cart(request).await.map_err(|status| failed(&status))?;
        let found = pieces(answer.items.iter());
        let expected = self.cart.replace(found.clone());
        let after_order = std::mem::take(&mut self.unchecked);
        match expected {
            Some(expected) if expected != found => {
                Err(self.load.verdict.wrong("the cart is not empty after the order"))
            }
            Some(_) if after_order => {
                self.load.verdict.cart_checked();
                Ok(())
            }
            Some(_) | None => Ok(()),
        }
    }
}

fn request(user_id: &str, currency: &str, buyer: Buyer) -> PlaceOrderRequest {
    let mut card = CreditCardInfo::default();
    card.credit_card_number = buyer.card_number;
    card.credit_card_cvv = buyer.card_cvv;
    card.credit_card_expiration_year = buyer.card_year;
    card.credit_card_expiration_month = buyer.card_month;
    PlaceOrderRequest {
        user_id: user_id.to_owned(),
        user_currency: currency.to_owned(),
        address: Some(Address {
            street_address: buyer.street_address,
            city: buyer.city.to_owned(),
            state: buyer.state.to_owned(),
            country: buyer.country.to_owned(),
            zip_code: buyer.zip_code,
        }),
        email: buyer.email,
        credit_card: Some(card),
    }
}

/// Pieces by product.
fn pieces<'a>(items: impl Iterator<Item = &'a CartItem>) -> Cart {
    let mut cart = Cart::new();
    for item in items {
        *cart.entry(item.product_id.clone()).or_default() +=
            u32::try_from(item.quantity).unwrap_or_default();
    }
    cart
}

/// Returns the total of the order, in nanos.
fn told(order: &OrderResult) -> anyhow::Result<i128> {
    let mut total = nanos(required_amount(order.shipping_cost.as_ref())?);
    for line in &order.items {
        let pieces = line.item.as_ref().map_or(0, |item| item.quantity);
        total += nanos(required_amount(line.cost.as_ref())?) * i128::from(pieces);
    }
    Ok(total)
}

fn is_refusal(status: &Status) -> bool {
    // Upstream's checkout answers INTERNAL to everything, a refused card among it.
    matches!(status.code(), Code::InvalidArgument | Code::FailedPrecondition)
        || (status.code() == Code::Internal && status.message().contains("charge card"))
}

/// The code alone: a text may hold what was sent.
fn failed(status: &Status) -> anyhow::Error {
    anyhow::anyhow!("{:?}", status.code())
}
