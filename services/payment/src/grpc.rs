//! Inbound adapter: parses a message into a charge, and writes a message.

use boutique_money::Money;
use boutique_proto::payment_service_server::PaymentService;
use boutique_proto::{ChargeRequest, ChargeResponse};
use time::OffsetDateTime;
use tonic::{Request, Response, Status};
use tracing::info;
use uuid::Uuid;

use crate::domain::{Card, NewCharge, Refusal};

pub(crate) struct Payment;

#[tonic::async_trait]
impl PaymentService for Payment {
    async fn charge(
        &self,
        request: Request<ChargeRequest>,
    ) -> Result<Response<ChargeResponse>, Status> {
        let charge = parse(request.get_ref())?;
        let transaction_id = Uuid::new_v4().to_string();
        info!(
            transaction.id = %transaction_id,
            currency.code = %charge.amount().currency_code(),
            "charged transaction {transaction_id}",
        );
        Ok(Response::new(ChargeResponse { transaction_id }))
    }
}

/// Parses a request for the current month, in UTC.
fn parse(request: &ChargeRequest) -> Result<NewCharge, Refusal> {
    let card = request.credit_card.as_ref().map(|card| Card {
        number: &card.credit_card_number,
        cvv: card.credit_card_cvv,
        year: card.credit_card_expiration_year,
        month: card.credit_card_expiration_month,
    });
    let amount = request.amount.as_ref().map(Money::try_from);
    NewCharge::parse(amount, card, OffsetDateTime::now_utc().date().into())
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoCard
            | Refusal::NoAmount
            | Refusal::Invalid
            | Refusal::Brand(_)
            | Refusal::Expired { .. }
            | Refusal::Amount(_)
            | Refusal::NotPositive
            | Refusal::Currency => Self::invalid_argument(refusal.to_string()),
        }
    }
}
