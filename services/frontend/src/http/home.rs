//! `GET /`: every product at a glance.

use std::sync::Arc;

use askama::Template;
use axum::extract::Request;
use axum::response::Response;
use boutique_money::CurrencyCode;
use boutique_service::detach;

use super::failure::{Failure, retrieved, within};
use super::notes::{Note, Notes};
use super::page::{self, Frame};
use super::state::Shop;
use super::visit::Visit;
use crate::copy::Priced;
use crate::domain;

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage<'a> {
    frame: Frame<'a>,
    products: Vec<Card>,
}

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

pub(crate) async fn home(
    shop: Arc<Shop>,
    visit: Arc<Visit>,
    _request: Request,
) -> Result<Response, Failure> {
    within(shop.config.limits.page, async || {
        // Upstream asks for ads here and shows none; the call is made, but nobody waits for it.
        if shop.clients.is_faithful() {
            let ads = shop.clients.clone();
            detach(async move { ads.ads(Vec::new()).await.is_ok() });
        }

        let (supported, products, cart) = tokio::join!(
            shop.clients.currencies(),
            shop.clients.products_or_copy(),
            shop.clients.cart(&visit.session),
        );
        let mut notes = Notes::default();
        let products = notes.of_catalog(retrieved("products", products)?);
        let supported = notes.or_note(Note::NoRates, "could not retrieve currencies", supported)?;
        let cart = notes.or_note(Note::NoCart, "could not retrieve cart", cart)?;
        let currencies = domain::currencies(visit.currency.as_deref(), supported.as_deref());
        let current = currencies.map(|(_, current)| current);
        let products = cards(&shop, current, &products, &mut notes).await?;
        let frame = Frame::full(&shop, &visit, currencies, cart.as_deref(), &notes);
        let page = HomePage { frame, products };
        page::answer(&shop, &visit, current, &page.frame, &page)
    })
    .await
}
