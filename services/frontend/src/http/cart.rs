//! `/cart`: what is in it, what goes in, and out with all of it.

use std::sync::Arc;

use askama::Template;
use axum::extract::Request;
use axum::response::Response;
use boutique_money::Money;
use boutique_proto::CartItem;
use futures_util::future::try_join_all;
use time::OffsetDateTime;
use tonic::Status;

use super::failure::{Failure, retrieved, within};
use super::form;
use super::handler::see;
use super::page::{self, Frame};
use super::state::Shop;
use super::visit::Visit;
use crate::clients::Priced;
use crate::domain;
use crate::domain::form::AddToCart;

#[derive(Template)]
#[template(path = "cart.html")]
struct CartPage<'a> {
    frame: Frame<'a>,
    lines: Vec<Line>,
    shipping: String,
    total: String,
    /// The years a card may expire in; the second is preselected.
    years: Vec<i32>,
    recommendations: Vec<Arc<Priced>>,
}

struct Line {
    priced: Arc<Priced>,
    quantity: i32,
    /// Of all pieces together.
    price: Money,
    shown: String,
}

/// `GET /cart`.
pub(crate) async fn view(
    shop: Arc<Shop>,
    visit: Arc<Visit>,
    _request: Request,
) -> Result<Response, Failure> {
    within(shop.config.limits.page, async || {
        let (supported, cart) = tokio::try_join!(
            async { retrieved("currencies", shop.clients.currencies().await) },
            async { retrieved("cart", shop.clients.cart(&visit.session).await) },
        )?;
        let currency = domain::chosen(visit.currency.as_deref(), &supported);
        let ids = cart.iter().map(|item| item.product_id.clone()).collect();
        let shipping = async {
            let quote = shop.clients.quote(cart.clone()).await;
            let quote =
                quote.map_err(|cause| Failure::backend("failed to get shipping quote", cause))?;
            let converted = shop.clients.convert(quote, currency).await;
            converted.map_err(|cause| Failure::backend("failed to convert currency", cause))
        };
        let lines = try_join_all(cart.iter().map(async |item| {
            let id = &item.product_id;
            let priced = retrieved(&format!("product #{id}"), shop.clients.product(id).await)?;
            let price = shop.clients.convert(priced.price, currency).await;
            line(priced, item.quantity, price).map_err(|cause| {
                Failure::backend(&format!("could not convert currency for product #{id}"), cause)
            })
        }));
        let (shipping, lines, recommendations) = tokio::try_join!(shipping, lines, async {
            Ok(page::recommendations(&shop, &visit, ids).await)
        })?;
        let total = lines.iter().try_fold(shipping, |sum, line| sum.checked_add(line.price));
        let total = total.map_err(|error| {
            Failure::backend("could not add up the cart", Status::internal(error.to_string()))
        })?;

        let frame = Frame::full(&shop, &visit, &supported, currency, &cart);
        let this_year = OffsetDateTime::now_utc().year();
        let page = CartPage {
            frame,
            lines,
            shipping: domain::price(shipping),
            total: domain::price(total),
            years: (this_year..this_year + 5).collect(),
            recommendations,
        };
        page::answer(&shop, &visit, Some(currency), &page.frame, &page)
    })
    .await
}

fn line(priced: Arc<Priced>, quantity: i32, price: Result<Money, Status>) -> Result<Line, Status> {
    let pieces = u32::try_from(quantity).map_err(|_| Status::internal("impossible quantity"))?;
    let price = price?.checked_mul(pieces).map_err(|error| Status::internal(error.to_string()))?;
    Ok(Line { priced, quantity, price, shown: domain::price(price) })
}

/// `POST /cart`: only what the catalogue knows goes in.
pub(crate) async fn add(
    shop: Arc<Shop>,
    visit: Arc<Visit>,
    request: Request,
) -> Result<Response, Failure> {
    let AddToCart { product_id, quantity } = AddToCart::parse(&form::fields(request).await?)?;
    within(shop.config.limits.change, async || {
        retrieved("product", shop.clients.product(&product_id).await)?;
        let added = shop.clients.add_item(&visit.session, CartItem { product_id, quantity });
        added.await.map_err(|cause| Failure::backend("failed to add to cart", cause))?;
        Ok(see(shop.path("/cart")))
    })
    .await
}

/// `POST /cart/empty`.
pub(crate) async fn empty(
    shop: Arc<Shop>,
    visit: Arc<Visit>,
    _request: Request,
) -> Result<Response, Failure> {
    within(shop.config.limits.change, async || {
        let emptied = shop.clients.empty_cart(&visit.session).await;
        emptied.map_err(|cause| Failure::backend("failed to empty cart", cause))?;
        Ok(see(shop.path("/")))
    })
    .await
}
