//! `POST /setCurrency`: remembers a choice, and back to where it was made.

use std::sync::Arc;

use ::http::header;
use axum::extract::Request;
use axum::response::Response;
use tracing::debug;

use super::failure::{Failure, retrieved, within};
use super::form;
use super::handler::see;
use super::state::Shop;
use super::visit::{MAX_LOCATION, Visit};
use crate::domain::form::Invalid;

pub(crate) async fn set(
    shop: Arc<Shop>,
    visit: Arc<Visit>,
    request: Request,
) -> Result<Response, Failure> {
    let came_from = visit.edge.own_path(request.headers());
    let came_from = came_from.filter(|path| path.len() <= MAX_LOCATION).map(str::to_owned);
    let fields = form::fields(request).await?;
    let code = fields.text("currency_code");
    if code.is_empty() {
        return Err(Invalid::one("Currency", "required").into());
    }
    // A currency without a rate would price everything at nothing.
    let supported = within(shop.config.limits.change, async || {
        retrieved("currencies", shop.clients.currencies().await)
    });
    if !supported.await?.iter().any(|supported| supported == code) {
        return Err(Invalid::one("Currency", "iso4217").into());
    }
    debug!(curr.new = code, "set the currency to {code}");
    let mut response = see(came_from.unwrap_or_else(|| shop.path("/")));
    if let Some(cookie) = visit.currency_cookie(&shop.config, code) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}
