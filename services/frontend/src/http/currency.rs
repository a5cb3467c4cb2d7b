//! `POST /setCurrency`: remembers a choice, and back to where it was made.

use std::sync::Arc;

use ::http::header;
use axum::extract::Request;
use axum::response::Response;
use tracing::debug;

use super::failure::{Failure, retrieved, within};
use super::form;
use super::handler::see;
use super::state::{CHANGE, Shop};
use super::visit::Visit;
use crate::domain::form::Invalid;

pub(crate) async fn set(
    shop: Arc<Shop>,
    visit: Arc<Visit>,
    request: Request,
) -> Result<Response, Failure> {
    let fields = form::fields(request).await?;
    let code = fields.text("currency_code");
    if code.is_empty() {
        return Err(Invalid::one("Currency", "required").into());
    }
    // A currency without a rate would price everything at nothing.
    let supported =
        within(CHANGE, async || retrieved("currencies", shop.clients.currencies().await));
    if !supported.await?.iter().any(|supported| supported == code) {
        return Err(Invalid::one("Currency", "iso4217").into());
    }
    debug!(
        curr.new = code,
        curr.old = visit.currency.as_deref().unwrap_or("USD"),
        "set the currency to {code}",
    );
    let mut response = see(visit.came_from().map_or_else(|| shop.path("/"), str::to_owned));
    if let Some(cookie) = visit.currency_cookie(&shop.config, code) {
        response.headers_mut().append(header::SET_COOKIE, cookie);
    }
    Ok(response)
}
