//! The wire side in: a message, the domain's checks, a message.

use boutique_money::Money;
use boutique_proto::payment_service_server::PaymentService;
use boutique_proto::{ChargeRequest, ChargeResponse};
use time::OffsetDateTime;
use tonic::{Request, Response, Status};
use tracing::info;
use uuid::Uuid;

use crate::domain::{self, Month, Refusal};

pub(crate) struct Payment;

#[tonic::async_trait]
impl PaymentService for Payment {
    async fn charge(
        &self,
        request: Request<ChargeRequest>,
    ) -> Result<Response<ChargeResponse>, Status> {
        let ChargeRequest { amount, credit_card } = request.get_ref();
        let card = credit_card
            .as_ref()
            .ok_or_else(|| Status::invalid_argument("credit_card is missing"))?;
        let amount =
            amount.as_ref().ok_or_else(|| Status::invalid_argument("amount is missing"))?;
        let amount = Money::try_from(amount).map_err(Refusal::Amount)?;
        domain::check_amount(amount)?;
        let expires =
            Month::try_new(card.credit_card_expiration_year, card.credit_card_expiration_month)?;
        domain::check_card(&card.credit_card_number, card.credit_card_cvv, expires, this_month()?)?;

        let transaction_id = Uuid::new_v4().to_string();
        info!(
            transaction.id = %transaction_id,
            currency.code = %amount.currency_code(),
            "charged transaction {transaction_id}",
        );
        Ok(Response::new(ChargeResponse { transaction_id }))
    }
}

/// The month it is, in UTC.
fn this_month() -> Result<Month, Refusal> {
    let now = OffsetDateTime::now_utc();
    Month::try_new(now.year(), u8::from(now.month()).into())
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Invalid
            | Refusal::Brand(_)
            | Refusal::Expired { .. }
            | Refusal::Amount(_)
            | Refusal::NotPositive
            | Refusal::Currency => Self::invalid_argument(refusal.to_string()),
        }
    }
}
