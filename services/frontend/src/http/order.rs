//! Pages of orders: one that is complete, one that goes on, and all of a session.

use std::sync::Arc;

use ::http::{HeaderValue, StatusCode, header};
use askama::Template;
use axum::extract::Request;
use axum::response::Response;
use boutique_money::Money;
use boutique_proto::ext::{Order, OrderState};
use boutique_proto::{OrderItem, OrderResult};
use time::OffsetDateTime;
use tonic::Code;

use super::failure::{Failure, retrieved, within};
use super::page::{self, Frame};
use super::state::Shop;
use super::visit::Visit;
use crate::clients::amount;
use crate::copy::Priced;
use crate::domain;

/// The seconds after which the page of an order that goes on looks again.
const LOOK_AGAIN: u32 = 2;

#[derive(Template)]
#[template(path = "order.html")]
struct OrderPage<'a> {
    frame: Frame<'a>,
    order: &'a OrderResult,
    total: String,
    lines: Vec<Ordered>,
    /// The cost of shipping.
    shipping: Option<String>,
    recommendations: Vec<Arc<Priced>>,
}

/// A line of an order.
struct Ordered {
    product_id: String,
    quantity: i32,
    /// The cost of all pieces together.
    cost: Option<String>,
    /// The product, where it is known without a call.
    priced: Option<Arc<Priced>>,
}

/// An order that is not complete, or not yet.
#[derive(Template)]
#[template(path = "pending.html")]
struct PendingPage<'a> {
    frame: Frame<'a>,
    head: &'static str,
    text: &'static str,
    id: Option<&'a str>,
}

#[derive(Template)]
#[template(path = "orders.html")]
struct OrdersPage<'a> {
    frame: Frame<'a>,
    orders: Vec<Line>,
}

/// One of several orders.
struct Line {
    id: String,
    placed_at: String,
    total: String,
    state: &'static str,
}

/// The page of an order that stands. Whatever fails is left out of it.
pub(super) async fn complete(
    shop: &Shop,
    visit: &Visit,
    order: &OrderResult,
    cart_size: i64,
) -> Result<Response, Failure> {
    let ids = order.items.iter().filter_map(|line| Some(line.item.as_ref()?.product_id.clone()));
    let beside = async || Ok(page::recommendations(shop, visit, ids.collect()).await);
    let recommendations = within(shop.config.limits.page, beside).await.unwrap_or_default();
    let total = total(order).map(domain::price).unwrap_or_default();
    let frame = Frame::bare(shop, visit).with_cart(cart_size);
    let shipping = amount(order.shipping_cost.as_ref()).ok().map(domain::price);
    let lines = order.items.iter().filter_map(|line| ordered(shop, line)).collect();
    let page = OrderPage { frame, order, total, lines, shipping, recommendations };
    page::answer(shop, visit, None, &page.frame, &page)
}

fn ordered(shop: &Shop, line: &OrderItem) -> Option<Ordered> {
    let item = line.item.as_ref()?;
    let pieces = u32::try_from(item.quantity).ok();
    let cost = amount(line.cost.as_ref()).ok().and_then(|each| each.checked_mul(pieces?).ok());
    Some(Ordered {
        product_id: item.product_id.clone(),
        quantity: item.quantity,
        cost: cost.map(domain::price),
        priced: shop.clients.listed(&item.product_id),
    })
}

/// The page of an order that goes on: it leads to what became of it.
pub(super) fn pending(shop: &Shop, visit: &Visit, id: Option<&str>) -> Result<Response, Failure> {
    let head = "Your order is being processed";
    let text = "Please do not pay again. This page will show what became of it.";
    let mut response = unfinished(shop, visit, head, text, id)?;
    *response.status_mut() = StatusCode::ACCEPTED;
    let path = shop.path(&id.map_or("/orders".to_owned(), |id| format!("/orders/{id}")));
    if let Ok(refresh) = HeaderValue::try_from(format!("{LOOK_AGAIN}; url={path}")) {
        response.headers_mut().insert(header::REFRESH, refresh);
    }
    Ok(response)
}

fn unfinished(
    shop: &Shop,
    visit: &Visit,
    head: &'static str,
    text: &'static str,
    id: Option<&str>,
) -> Result<Response, Failure> {
    let page = PendingPage { frame: Frame::bare(shop, visit), head, text, id };
    page::answer(shop, visit, None, &page.frame, &page)
}

/// `GET /orders/{id}`.
pub(crate) async fn view(
    shop: Arc<Shop>,
    visit: Arc<Visit>,
    request: Request,
) -> Result<Response, Failure> {
    let id = request.uri().path().rsplit('/').next().unwrap_or_default();
    let found = within(shop.config.limits.page, async || {
        retrieved("order", shop.clients.order(&visit.session, id).await)
    });
    let order = found.await?;
    match order.state() {
        OrderState::Done => {
            let order = order.order.unwrap_or_default();
            complete(&shop, &visit, &order, page::cart_size(&shop, &visit).await).await
        }
        OrderState::Voided => {
            let text =
                "It could not be completed. Nothing was charged, and your cart is as it was.";
            unfinished(&shop, &visit, "Your order was not placed", text, Some(id))
        }
        OrderState::ToRefund => {
            let text = "We could not find out whether your card was charged, and are looking into it. Please do not pay \
                again.";
            unfinished(&shop, &visit, "We are looking into your order", text, Some(id))
        }
        OrderState::Charging
        | OrderState::Shipping
        | OrderState::Voiding
        | OrderState::Unspecified => pending(&shop, &visit, Some(id)),
    }
}

/// `GET /orders`.
pub(crate) async fn list(
    shop: Arc<Shop>,
    visit: Arc<Visit>,
    _request: Request,
) -> Result<Response, Failure> {
    if shop.config.single_shared_session {
        // Nobody sees what somebody else has ordered.
        let text =
            "all visitors share one session here: an order is found by its own address alone";
        return Err(Failure::new(StatusCode::NOT_FOUND, text));
    }
    let found = within(shop.config.limits.page, async || {
        match shop.clients.orders(&visit.session).await {
            // Upstream's checkout keeps no orders.
            Err(cause) if cause.code() == Code::Unimplemented => Ok(Vec::new()),
            found => retrieved("orders", found),
        }
    });
    let orders = found.await?.into_iter().map(line).collect();
    let cart_size = page::cart_size(&shop, &visit).await;
    let page = OrdersPage { frame: Frame::bare(&shop, &visit).with_cart(cart_size), orders };
    page::answer(&shop, &visit, None, &page.frame, &page)
}

fn line(order: Order) -> Line {
    let state = match order.state() {
        OrderState::Done => "complete",
        OrderState::Voided => "not placed, nothing was charged",
        OrderState::ToRefund => "being looked into",
        OrderState::Charging
        | OrderState::Shipping
        | OrderState::Voiding
        | OrderState::Unspecified => "being processed",
    };
    let total = amount(order.total.as_ref()).map(domain::price).unwrap_or_default();
    let placed_at = OffsetDateTime::from_unix_timestamp(order.placed_at / 1000);
    let placed_at = placed_at.map(|at| {
        let (date, hour, minute) = (at.date(), at.hour(), at.minute());
        format!("{date} {hour:02}:{minute:02} UTC")
    });
    Line {
        id: order.order.unwrap_or_default().order_id,
        placed_at: placed_at.unwrap_or_default(),
        total,
        state,
    }
}

/// Shipping and every line, exactly; nothing where an amount makes no sense.
fn total(order: &OrderResult) -> Option<Money> {
    let shipping = amount(order.shipping_cost.as_ref()).ok()?;
    order.items.iter().try_fold(shipping, |sum, line| {
        let pieces = u32::try_from(line.item.as_ref()?.quantity).ok()?;
        sum.checked_add(amount(line.cost.as_ref()).ok()?.checked_mul(pieces).ok()?).ok()
    })
}
