//! `/cart`: what is in it, what goes in, and out with all of it.

use std::sync::Arc;
use std::time::Instant;

use ::http::StatusCode;
use askama::Template;
use axum::extract::Request;
use axum::response::Response;
use boutique_money::{CurrencyCode, Money};
use boutique_proto::CartItem;
use boutique_service::detach;
use futures_util::future::try_join_all;
use time::OffsetDateTime;
use tonic::{Code, Status};

use super::failure::{Failure, retrieved, within};
use super::form;
use super::handler::see;
use super::page::{self, Frame};
use super::state::Shop;
use super::visit::Visit;
use crate::clients::Priced;
use crate::domain;
use crate::domain::form::{AddToCart, Invalid};

#[derive(Template)]
#[template(path = "cart.html")]
struct CartPage<'a> {
    frame: Frame<'a>,
    lines: Vec<Line>,
    /// True if a product has left the catalog; the order waits until its line is removed.
    has_gone: bool,
    shipping: String,
    total: String,
    /// The years a card may expire in; the second is preselected.
    years: Vec<i32>,
    recommendations: Vec<Arc<Priced>>,
}

struct Line {
    product_id: String,
    quantity: i32,
    /// `None` if the product has left the catalog.
    sold: Option<Sold>,
}

struct Sold {
    priced: Arc<Priced>,
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
            let (product_id, quantity) = (item.product_id.clone(), item.quantity);
            let sold = sold(&shop, item, currency).await?;
            Ok::<_, Failure>(Line { product_id, quantity, sold })
        }));
        let (shipping, lines, recommendations) = tokio::try_join!(shipping, lines, async {
            Ok(page::recommendations(&shop, &visit, ids).await)
        })?;
        let prices = lines.iter().filter_map(|line| Some(line.sold.as_ref()?.price));
        let total = prices.into_iter().try_fold(shipping, Money::checked_add);
        let total = total.map_err(|error| {
            Failure::backend("could not add up the cart", Status::internal(error.to_string()))
        })?;

        let frame = Frame::full(&shop, &visit, &supported, currency, &cart);
        let this_year = OffsetDateTime::now_utc().year();
        let page = CartPage {
            frame,
            has_gone: lines.iter().any(|line| line.sold.is_none()),
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

/// The product of a line and its price, unless it has left the catalog.
async fn sold(
    shop: &Shop,
    item: &CartItem,
    currency: CurrencyCode,
) -> Result<Option<Sold>, Failure> {
    let id = &item.product_id;
    let priced = match shop.clients.product(id).await {
        Err(cause) if cause.code() == Code::NotFound => return Ok(None),
        answer => retrieved(&format!("product #{id}"), answer)?,
    };
    let price = shop.clients.convert(priced.price, currency).await;
    let price = price.and_then(|price| times(price, item.quantity)).map_err(|cause| {
        Failure::backend(&format!("could not convert currency for product #{id}"), cause)
    })?;
    Ok(Some(Sold { priced, price, shown: domain::price(price) }))
}

fn times(price: Money, quantity: i32) -> Result<Money, Status> {
    let pieces = u32::try_from(quantity).map_err(|_| Status::internal("impossible quantity"))?;
    price.checked_mul(pieces).map_err(|error| Status::internal(error.to_string()))
}

/// `POST /cart/remove`: takes one product out. The cart service can only add and empty, so the other lines are put back,
/// whatever becomes of the visitor meanwhile.
pub(crate) async fn remove(
    shop: Arc<Shop>,
    visit: Arc<Visit>,
    request: Request,
) -> Result<Response, Failure> {
    let fields = form::fields(request).await?;
    let product_id = fields.text("product_id").to_owned();
    if product_id.is_empty() {
        return Err(Invalid::one("ProductID", "required").into());
    }
    let (clients, session) = (shop.clients.clone(), visit.session.clone());
    let limit = shop.config.limits.change;
    let work = detach(async move {
        within(limit, async || {
            let cart = retrieved("cart", clients.cart(&session).await)?;
            let others: Vec<_> = cart.iter().filter(|i| i.product_id != product_id).collect();
            if others.len() == cart.len() {
                return Ok(());
            }
            let emptied = clients.empty_cart(&session).await;
            emptied.map_err(|cause| Failure::backend("failed to change the cart", cause))?;
            for item in others {
                let added = clients.add_item(&session, item.clone()).await;
                added.map_err(|cause| Failure::backend("failed to change the cart", cause))?;
            }
            Ok(())
        })
        .await
    });
    let failed = |_| Failure::backend("failed to change the cart", Status::internal("panicked"));
    work.await.map_err(failed)??;
    Ok(see(shop.path("/cart")))
}

/// `POST /cart`: only what the catalogue knows goes in.
pub(crate) async fn add(
    shop: Arc<Shop>,
    visit: Arc<Visit>,
    request: Request,
) -> Result<Response, Failure> {
    let AddToCart { product_id, quantity } = AddToCart::parse(&form::fields(request).await?)?;
    if let (Some(carts), Some(client)) = (&shop.carts, visit.edge.client())
        && !carts.admit(client, &visit.session, Instant::now())
    {
        let text = "too many carts from this address";
        return Err(Failure::new(StatusCode::TOO_MANY_REQUESTS, text));
    }
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
