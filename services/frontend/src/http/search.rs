//! `GET /search?q=…`: the products whose name or description has these words.

use std::sync::Arc;

use ::http::StatusCode;
use askama::Template;
use axum::extract::Request;
use axum::response::Response;

use super::failure::{Failure, retrieved, within};
use super::home::{Card, cards, fields};
use super::notes::{Note, Notes};
use super::page::{self, Frame};
use super::paging::Paging;
use super::state::Shop;
use super::visit::Visit;
use crate::copy::Priced;

/// The most characters of a search.
const MAX_QUERY: usize = 200;

#[derive(Template)]
#[template(path = "search.html")]
struct SearchPage<'a> {
    frame: Frame<'a>,
    /// The number of products that were found.
    found: usize,
    products: Vec<Card>,
    paging: Paging,
    /// Suggestions where nothing was found.
    recommendations: Vec<Arc<Priced>>,
}

pub(crate) async fn search(
    shop: Arc<Shop>,
    visit: Arc<Visit>,
    request: Request,
) -> Result<Response, Failure> {
    let fields = fields(&request)?;
    let query = fields.text("q").trim().to_owned();
    if query.chars().count() > MAX_QUERY {
        let text = format!("a search has at most {MAX_QUERY} characters");
        return Err(Failure::new(StatusCode::UNPROCESSABLE_ENTITY, text));
    }
    within(shop.config.limits.page, async || {
        let found = async {
            // No words are in every product.
            if query.is_empty() {
                Ok((Arc::from([]), false))
            } else {
                shop.clients.search(&query).await
            }
        };
        let (supported, found, cart) =
            tokio::join!(shop.clients.currencies(), found, shop.clients.cart(&visit.session));
        let mut notes = Notes::default();
        let found = notes.of_catalog(retrieved("products", found)?);
        let currencies = notes.currencies(&visit, supported)?;
        let cart = notes.or_note(Note::NoCart, "could not retrieve cart", cart)?;
        let current = currencies.as_ref().map(|currencies| currencies.current);
        let paging = Paging::of(&fields, &["q"], found.len())?;
        let products = cards(&shop, current, paging.slice(&found), &mut notes).await?;
        let recommendations = if products.is_empty() {
            page::recommendations(&shop, &visit, Vec::new()).await
        } else {
            Vec::new()
        };
        let mut frame = Frame::full(&shop, &visit, currencies.as_ref(), cart.as_deref(), &notes);
        frame.query = query;
        let page = SearchPage { frame, found: found.len(), products, paging, recommendations };
        page::answer(&shop, &visit, current, &page.frame, &page)
    })
    .await
}
