//! `GET /`: every product at a glance; and those of a category.

use std::sync::Arc;

use ::http::StatusCode;
use askama::Template;
use axum::RequestExt as _;
use axum::extract::{Path, Request};
use axum::response::{IntoResponse as _, Response};
use boutique_money::CurrencyCode;
use boutique_service::detach;

use super::failure::{Failure, retrieved, within};
use super::notes::{Note, Notes};
use super::page::{self, Frame};
use super::paging::Paging;
use super::state::Shop;
use super::visit::Visit;
use crate::copy::Priced;
use crate::domain;
use crate::domain::form::Fields;

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage<'a> {
    frame: Frame<'a>,
    products: Vec<Card>,
    /// The categories to choose from.
    categories: Vec<&'a str>,
    /// The one that is shown, if it is not all.
    category: Option<String>,
    paging: Paging,
}

/// The most categories that a page offers.
const MAX_CATEGORIES: usize = 12;

/// A product and its price in the currency of the page.
pub(super) type Card = (Arc<Priced>, String);

/// Makes the cards of products, in a currency if one is known.
pub(super) async fn cards(
    shop: &Shop,
    currency: Option<CurrencyCode>,
    products: &[Arc<Priced>],
    notes: &mut Notes,
) -> Result<Vec<Card>, Failure> {
    let prices = products.iter().map(|priced| priced.price).collect();
    let prices = notes.convert(shop, currency, prices).await.map_err(|(place, cause)| {
        let id = &products[place].product.id;
        Failure::backend(&format!("failed to do currency conversion for product {id}"), cause)
    })?;
    Ok(products.iter().cloned().zip(prices.into_iter().map(domain::price)).collect())
}

/// `GET /`.
pub(crate) async fn home(
    shop: Arc<Shop>,
    visit: Arc<Visit>,
    request: Request,
) -> Result<Response, Failure> {
    // Upstream asks for ads here and shows none: the call is made in the background.
    if shop.clients.is_faithful() {
        let ads = shop.clients.clone();
        detach(async move { ads.ads(Vec::new()).await.is_ok() });
    }
    list(&shop, &visit, &fields(&request)?, None).await
}

/// `GET /category/{name}`.
pub(crate) async fn category(
    shop: Arc<Shop>,
    visit: Arc<Visit>,
    mut request: Request,
) -> Result<Response, Failure> {
    let fields = fields(&request)?;
    match request.extract_parts::<Path<String>>().await {
        Ok(Path(name)) => list(&shop, &visit, &fields, Some(name)).await,
        Err(malformed) => Ok(malformed.into_response()),
    }
}

/// The fields of a request's query.
pub(super) fn fields(request: &Request) -> Result<Fields, Failure> {
    Ok(Fields::parse(&[request.uri().query().unwrap_or_default().as_bytes()])?)
}

/// The page of all products, or of those of a category.
async fn list(
    shop: &Shop,
    visit: &Visit,
    fields: &Fields,
    category: Option<String>,
) -> Result<Response, Failure> {
    within(shop.config.limits.page, async || {
        let (supported, all, cart) = tokio::join!(
            shop.clients.currencies(),
            shop.clients.products_or_copy(),
            shop.clients.cart(&visit.session),
        );
        let mut notes = Notes::default();
        let all = notes.of_catalog(retrieved("products", all)?);
        let currencies = notes.currencies(visit, supported)?;
        let cart = notes.or_note(Note::NoCart, "could not retrieve cart", cart)?;
        let current = currencies.as_ref().map(|currencies| currencies.current);
        let of_category: Vec<_>;
        let products = match &category {
            None => &all[..],
            Some(name) => {
                let is_of_it = |priced: &&Arc<Priced>| priced.product.categories.contains(name);
                of_category = all.iter().filter(is_of_it).cloned().collect();
                if of_category.is_empty() {
                    let text = "could not retrieve category";
                    return Err(Failure::new(StatusCode::NOT_FOUND, text));
                }
                &of_category[..]
            }
        };
        let paging = Paging::of(fields, &[], products.len())?;
        let products = cards(shop, current, paging.slice(products), &mut notes).await?;
        let frame = Frame::full(shop, visit, currencies.as_ref(), cart.as_deref(), &notes);
        let page = HomePage { frame, products, categories: categories(&all), category, paging };
        page::answer(shop, visit, current, &page.frame, &page)
    })
    .await
}

/// The first categories of a catalog, by name.
fn categories(products: &[Arc<Priced>]) -> Vec<&str> {
    let all = products.iter().flat_map(|priced| &priced.product.categories);
    let mut all: Vec<&str> = all.map(String::as_str).collect();
    all.sort_unstable();
    all.dedup();
    all.truncate(MAX_CATEGORIES);
    all
}
