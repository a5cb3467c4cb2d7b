//! `/cart`: what is in it, what goes in, and out with all of it.

use std::sync::Arc;
use std::time::Instant;

use askama::Template;
use axum::extract::Request;
use axum::response::Response;
use boutique_money::{CurrencyCode, Money, MoneyError};
use boutique_proto::CartItem;
use boutique_service::detach;
use futures_util::future::join_all;
use tonic::{Code, Status};

use super::checkout_form::{CheckoutForm, Refused};
use super::failure::{Failure, retrieved, within};
use super::form;
use super::handler::see;
use super::notes::{Note, Notes};
use super::page::{self, Frame};
use super::state::Shop;
use super::visit::Visit;
use crate::clients::Clients;
use crate::copy::Priced;
use crate::domain;
use crate::domain::form::{AddToCart, Fields, Invalid, SetQuantity};

#[derive(Template)]
#[template(path = "cart.html")]
struct CartPage<'a> {
    frame: Frame<'a>,
    lines: Vec<Line>,
    /// True if a product has left the catalog; the order waits until its line is removed.
    has_gone: bool,
    /// `None` if it is not known yet.
    shipping: Option<String>,
    total: String,
    form: CheckoutForm,
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
    /// The price of all pieces together.
    shown: String,
}

/// `GET /cart`.
pub(crate) async fn view(
    shop: Arc<Shop>,
    visit: Arc<Visit>,
    _request: Request,
) -> Result<Response, Failure> {
    show(&shop, &visit, None).await
}

/// Shows the checkout form again, with what was sent and what is wrong with it, or the failure alone where there is no cart
/// to show it with.
pub(crate) async fn refuse(
    shop: &Shop,
    visit: &Visit,
    fields: &Fields,
    failure: Failure,
    invalid: Option<&Invalid>,
) -> Result<Response, Failure> {
    let refused = Refused { fields, failure: &failure, invalid };
    match show(shop, visit, Some(&refused)).await {
        Ok(mut page) if page.status() == failure.status() => {
            failure.finish(&mut page);
            Ok(page)
        }
        Ok(_) | Err(_) => Err(failure),
    }
}

/// The page of the cart. After a refusal it has the failure's status if it has a form to fill in.
async fn show(
    shop: &Shop,
    visit: &Visit,
    refused: Option<&Refused<'_>>,
) -> Result<Response, Failure> {
    within(shop.config.limits.page, async || {
        let (supported, cart) =
            tokio::join!(shop.clients.currencies(), shop.clients.cart(&visit.session));
        let mut notes = Notes::default();
        let cart = retrieved("cart", cart)?;
        let currencies = notes.currencies(visit, supported)?;
        let current = currencies.as_ref().map(|currencies| currencies.current);
        let ids = cart.iter().map(|item| item.product_id.clone()).collect();
        let (quote, found, recommendations) = tokio::join!(
            shop.clients.quote(cart.clone()),
            find(shop, &cart),
            page::recommendations(shop, visit, ids),
        );
        let quote = notes.or_note(Note::NoShipping, "failed to get shipping quote", quote)?;
        let found = notes.of_catalog(found?);
        let Bill { shipping, lines, total } = bill(shop, current, quote, found, &mut notes).await?;

        let frame = Frame::full(shop, visit, currencies.as_ref(), Some(&cart), &notes);
        let page = CartPage {
            frame,
            has_gone: lines.iter().any(|line| line.sold.is_none()),
            lines,
            shipping: shipping.map(domain::price),
            total: domain::price(total),
            form: CheckoutForm::new(refused),
            recommendations,
        };
        let mut response = page::answer(shop, visit, current, &page.frame, &page)?;
        if let Some(refused) = refused
            && !page.lines.is_empty()
            && !page.has_gone
        {
            *response.status_mut() = refused.failure.status();
        }
        Ok(response)
    })
    .await
}

/// The lines of a cart, and what they cost.
struct Bill {
    /// `None` if it is not known yet; the total is then without it.
    shipping: Option<Money>,
    lines: Vec<Line>,
    total: Money,
}

/// A line of a cart and its product, unless that has left the catalog.
type Found<'a> = (&'a CartItem, Option<Arc<Priced>>);

/// Looks up the products of a cart.
async fn find<'a>(shop: &Shop, cart: &'a [CartItem]) -> Result<(Vec<Found<'a>>, bool), Failure> {
    let answers = join_all(cart.iter().map(|item| shop.clients.product_or_copy(&item.product_id)));
    let (mut found, mut has_copy) = (Vec::new(), false);
    for (item, answer) in cart.iter().zip(answers.await) {
        let product = match answer {
            Err(cause) if cause.code() == Code::NotFound => None,
            answer => {
                let (product, is_copy) =
                    retrieved(&format!("product #{}", item.product_id), answer)?;
                has_copy |= is_copy;
                Some(product)
            }
        };
        found.push((item, product));
    }
    Ok((found, has_copy))
}

/// Makes the bill of a cart in the currency to show, if one is known.
async fn bill(
    shop: &Shop,
    currency: Option<CurrencyCode>,
    quote: Option<Money>,
    found: Vec<Found<'_>>,
    notes: &mut Notes,
) -> Result<Bill, Failure> {
    let known: Vec<_> = found.iter().filter_map(|(_, product)| product.clone()).collect();
    let prices = known.iter().map(|priced| priced.price).chain(quote).collect();
    let prices = notes.convert(shop, currency, prices).await.map_err(|(place, cause)| {
        let attempt = match known.get(place) {
            Some(priced) => {
                format!("could not convert currency for product #{}", priced.product.id)
            }
            None => "failed to convert currency".to_owned(),
        };
        Failure::backend(&attempt, cause)
    })?;
    let shipping = quote.and(prices.last().copied());
    let mut prices = prices.into_iter();
    let mut total = shipping;
    let mut lines = Vec::new();
    for (item, priced) in found {
        let mut line =
            Line { product_id: item.product_id.clone(), quantity: item.quantity, sold: None };
        if let Some(priced) = priced
            && let Some(price) = prices.next()
        {
            let price = times(price, item.quantity).map_err(not_added)?;
            total = Some(match total {
                None => price,
                Some(sum) => sum.checked_add(price).map_err(|error| not_added(internal(error)))?,
            });
            line.sold = Some(Sold { priced, shown: domain::price(price) });
        }
        lines.push(line);
    }
    Ok(Bill { shipping, lines, total: total.unwrap_or(Money::zero(CurrencyCode::USD)) })
}

fn not_added(cause: Status) -> Failure {
    Failure::backend("could not add up the cart", cause)
}

fn internal(error: MoneyError) -> Status {
    Status::internal(error.to_string())
}

fn times(price: Money, quantity: i32) -> Result<Money, Status> {
    let pieces = u32::try_from(quantity).map_err(|_| Status::internal("impossible quantity"))?;
    price.checked_mul(pieces).map_err(internal)
}

/// `POST /cart/remove`: takes one product out.
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
    set_quantity(&shop, &visit, product_id, 0).await
}

/// `POST /cart/update`: changes the quantity of one product; none takes it out.
pub(crate) async fn update(
    shop: Arc<Shop>,
    visit: Arc<Visit>,
    request: Request,
) -> Result<Response, Failure> {
    let SetQuantity { product_id, quantity } = SetQuantity::parse(&form::fields(request).await?)?;
    set_quantity(&shop, &visit, product_id, quantity).await
}

/// Adds or takes out what the cart has less or more of a product, whatever becomes of the visitor meanwhile.
async fn set_quantity(
    shop: &Shop,
    visit: &Visit,
    product_id: String,
    quantity: i32,
) -> Result<Response, Failure> {
    let (clients, session) = (shop.clients.clone(), visit.session.clone());
    let limit = shop.config.limits.change;
    let work = detach(async move {
        within(limit, async || {
            let cart = retrieved("cart", clients.cart(&session).await)?;
            let changed = change(&clients, &session, cart, &product_id, quantity).await;
            changed.map_err(|cause| Failure::backend("failed to change the cart", cause))
        })
        .await
    });
    let failed = |_| Failure::backend("failed to change the cart", Status::internal("panicked"));
    work.await.map_err(failed)??;
    Ok(see(shop.path("/cart")))
}

/// Upstream's cart service can only add and empty: where something has to go, the rest is put back there.
async fn change(
    clients: &Clients,
    session: &str,
    cart: Vec<CartItem>,
    product_id: &str,
    quantity: i32,
) -> Result<(), Status> {
    let (mut lines, mut others): (Vec<_>, Vec<_>) =
        cart.into_iter().partition(|item| item.product_id == product_id);
    // A line that is gone already, as after a second click, does not come back.
    if lines.is_empty() {
        return Ok(());
    }
    let current = lines.iter().fold(0_i32, |sum, item| sum.saturating_add(item.quantity));
    let of = |quantity| CartItem { product_id: product_id.to_owned(), quantity };
    if quantity > current {
        clients.product(product_id).await?;
        return clients.add_item(session, of(quantity.saturating_sub(current))).await;
    }
    if quantity > 0 {
        lines = vec![of(current.saturating_sub(quantity))];
        others.push(of(quantity));
    }
    if quantity == current {
        return Ok(());
    }
    match clients.remove_items(session, lines).await {
        // Not known there, or a quantity that only another writer can have put in.
        Err(cause) if is_not_removable(&cause) => {}
        removed => return removed,
    }
    clients.empty_cart(session).await?;
    for item in others {
        clients.add_item(session, item).await?;
    }
    Ok(())
}

fn is_not_removable(cause: &Status) -> bool {
    matches!(cause.code(), Code::Unimplemented | Code::InvalidArgument)
}

/// `POST /cart`: only what the catalog knows goes in.
pub(crate) async fn add(
    shop: Arc<Shop>,
    visit: Arc<Visit>,
    request: Request,
) -> Result<Response, Failure> {
    let AddToCart { product_id, quantity } = AddToCart::parse(&form::fields(request).await?)?;
    if let (Some(carts), Some(client)) = (&shop.carts, visit.edge.client())
        && !carts.admit(client, &visit.session, Instant::now())
    {
        return Err(Failure::too_many("too many carts from this address", 3600));
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
