//! `POST /cart/checkout`: the cart becomes an order.

use std::sync::Arc;

use ::http::StatusCode;
use askama::Template;
use axum::extract::Request;
use axum::response::Response;
use boutique_money::{CurrencyCode, Money};
use boutique_proto::{Address, CreditCardInfo, OrderResult, PlaceOrderRequest};
use boutique_service::detach;
use tonic::{Code, Status};
use tracing::info;

use super::failure::{Failure, within};
use super::form;
use super::page::{self, Frame};
use super::state::Shop;
use super::visit::Visit;
use crate::clients::amount;
use crate::copy::Priced;
use crate::domain;
use crate::domain::form::PlaceOrder;

#[derive(Template)]
#[template(path = "order.html")]
struct OrderPage<'a> {
    frame: Frame<'a>,
    order: &'a OrderResult,
    total: String,
    recommendations: Vec<Arc<Priced>>,
}

pub(crate) async fn place(
    shop: Arc<Shop>,
    visit: Arc<Visit>,
    request: Request,
) -> Result<Response, Failure> {
    let form = PlaceOrder::parse(&form::fields(request).await?)?;
    let code = visit.currency.as_deref().and_then(|code| CurrencyCode::parse(code).ok());
    let order = order_request(&visit, code.unwrap_or(CurrencyCode::USD), form);
    let order = within(shop.config.limits.order, async || {
        shop.clients.place_order(order).await.map_err(not_placed)
    })
    .await?;
    info!(order = %order.order_id, user.id = visit.session_hash, "placed order {}", order.order_id);

    // Upstream asks for the currencies here and shows none; nobody waits for them.
    if shop.clients.is_faithful() {
        let clients = shop.clients.clone();
        detach(async move { clients.currencies().await.is_ok() });
    }
    // The order stands. Whatever fails from here on is left out of the page.
    let ids = order.items.iter().filter_map(|line| Some(line.item.as_ref()?.product_id.clone()));
    let beside = async || Ok(page::recommendations(&shop, &visit, ids.collect()).await);
    let recommendations = within(shop.config.limits.page, beside).await.unwrap_or_default();
    let total = total(&order).map(domain::price).unwrap_or_default();
    let frame = Frame::bare(&shop, &visit);
    let page = OrderPage { frame, order: &order, total, recommendations };
    page::answer(&shop, &visit, None, &page.frame, &page)
}

fn order_request(visit: &Visit, currency: CurrencyCode, form: PlaceOrder) -> PlaceOrderRequest {
    let mut card = CreditCardInfo::default();
    card.credit_card_number = form.card_number;
    card.credit_card_expiration_month = form.card_month;
    card.credit_card_expiration_year = form.card_year;
    card.credit_card_cvv = form.card_cvv;
    PlaceOrderRequest {
        user_id: visit.session.clone(),
        user_currency: currency.to_string(),
        address: Some(Address {
            street_address: form.street_address,
            city: form.city,
            state: form.state,
            country: form.country,
            zip_code: form.zip_code,
        }),
        email: form.email,
        credit_card: Some(card),
    }
}

/// An error that the customer can correct has the words of the service that refused; others have ours.
fn not_placed(cause: Status) -> Failure {
    const ATTEMPT: &str = "failed to complete the order";
    let text = cause.message();
    // Upstream's checkout answers INTERNAL to everything, a refused card among it.
    let is_upstreams_refusal = cause.code() == Code::Internal
        && text.starts_with("failed to charge card:")
        && !["Unavailable", "DeadlineExceeded", "Canceled"]
            .iter()
            .any(|code| text.contains(&format!("code = {code}")));
    let is_refusal = matches!(cause.code(), Code::InvalidArgument | Code::FailedPrecondition);
    if is_refusal || is_upstreams_refusal {
        let words = text.rsplit("desc = ").next().unwrap_or_default();
        return Failure::new(StatusCode::UNPROCESSABLE_ENTITY, format!("{ATTEMPT}\n{words}"));
    }
    Failure::backend(ATTEMPT, cause)
}

/// Shipping and every line, exactly; nothing where an amount makes no sense.
fn total(order: &OrderResult) -> Option<Money> {
    let shipping = amount(order.shipping_cost.as_ref()).ok()?;
    order.items.iter().try_fold(shipping, |sum, line| {
        let pieces = u32::try_from(line.item.as_ref()?.quantity).ok()?;
        sum.checked_add(amount(line.cost.as_ref()).ok()?.checked_mul(pieces).ok()?).ok()
    })
}
