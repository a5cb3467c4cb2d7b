//! `POST /cart/checkout`: the cart becomes an order.

use std::sync::Arc;

use ::http::StatusCode;
use axum::extract::Request;
use axum::response::Response;
use boutique_money::CurrencyCode;
use boutique_proto::ext::ORDER_ID;
use boutique_proto::{Address, CreditCardInfo, PlaceOrderRequest};
use boutique_service::{IdempotencyKey, detach, is_unanswered, with_deadline};
use tonic::{Code, Status};
use tracing::{info, warn};

use super::failure::Failure;
use super::state::Shop;
use super::visit::Visit;
use super::{cart, form, order};
use crate::domain::form::PlaceOrder;

pub(crate) async fn place(
    shop: Arc<Shop>,
    visit: Arc<Visit>,
    request: Request,
) -> Result<Response, Failure> {
    let fields = form::fields(request).await?;
    let form = match PlaceOrder::parse(&fields) {
        Ok(form) => form,
        Err(invalid) => {
            return cart::refuse(&shop, &visit, &fields, (&invalid).into(), Some(&invalid)).await;
        }
    };
    let key = IdempotencyKey::parse(&form.token);
    let code = visit.currency.as_deref().and_then(|code| CurrencyCode::parse(code).ok());
    let order = order_request(&visit, code.unwrap_or(CurrencyCode::USD), form);
    let placed = with_deadline(
        shop.config.limits.order,
        Box::pin(shop.clients.place_order(order, key.as_ref())),
    );
    let placed = placed
        .await
        .unwrap_or_else(|_elapsed| Err(Status::deadline_exceeded("the order took too long")));
    let order = match placed {
        Ok(order) => order,
        Err(cause) if is_pending(&cause) => {
            log_pending(&cause);
            let id = cause.metadata().get(ORDER_ID).and_then(|id| id.to_str().ok());
            return order::pending(&shop, &visit, id);
        }
        Err(cause) => match not_placed(cause) {
            failure if failure.status() == StatusCode::UNPROCESSABLE_ENTITY => {
                return cart::refuse(&shop, &visit, &fields, failure, None).await;
            }
            failure => return Err(failure),
        },
    };
    info!(order = %order.order_id, user.id = visit.session_hash, "placed order {}", order.order_id);

    // Upstream asks for the currencies here and shows none: the call is made in the background.
    if shop.clients.is_faithful() {
        let clients = shop.clients.clone();
        detach(async move { clients.currencies().await.is_ok() });
    }
    order::complete(&shop, &visit, &order, 0).await
}

/// Returns true if the order goes on, or nobody knows whether it does.
fn is_pending(cause: &Status) -> bool {
    let goes_on =
        cause.metadata().contains_key(ORDER_ID) && cause.code() != Code::FailedPrecondition;
    goes_on || is_unanswered(cause)
}

fn log_pending(cause: &Status) {
    warn!(error = ?cause.code(), "an order goes on: {}", cause.message());
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
