//! Inbound adapter: parses a message into a charge, notes it under its idempotency key, and writes a message.

use std::sync::Arc;

use boutique_money::Money;
use boutique_proto::ext::charges_server::Charges;
use boutique_proto::ext::{Charge, GetChargeRequest, VoidChargeRequest};
use boutique_proto::payment_service_server::PaymentService;
use boutique_proto::{ChargeRequest, ChargeResponse};
use boutique_service::{Counter, CounterBy, IdempotencyKey, Meter};
use boutique_store::{EffectError, Fingerprint, KeyStore, Once};
use time::OffsetDateTime;
use tonic::{Request, Response, Status};
use tracing::info;
use uuid::Uuid;

use crate::domain::{Card, NewCharge, Refusal};

#[derive(Clone)]
pub(crate) struct Payment {
    /// The charges by their idempotency keys.
    charges: Arc<KeyStore>,
    declined: CounterBy,
    voided: Counter,
}

impl Payment {
    pub(crate) fn new(charges: KeyStore, meter: &Meter) -> Self {
        let (name, help) = ("shop.cards.declined", "Cards that were declined");
        Self {
            charges: Arc::new(charges),
            declined: meter.counter_by(name, help, "reason", &["invalid", "brand", "expired"]),
            voided: meter.counter("shop.charges.voided", "Charges that were voided"),
        }
    }
}

#[tonic::async_trait]
impl PaymentService for Payment {
    async fn charge(
        &self,
        request: Request<ChargeRequest>,
    ) -> Result<Response<ChargeResponse>, Status> {
        let key = IdempotencyKey::of(&request)?;
        let charge = parse(request.get_ref()).inspect_err(|refusal| {
            if let Some(reason) = declined_because(refusal) {
                self.declined.increment(reason);
            }
        })?;
        let mut once = Once { id: Uuid::new_v4().to_string(), is_new: true };
        if let Some(key) = &key {
            let fingerprint = fingerprint(key, &charge, request.get_ref());
            once = self.charges.once(key.as_str(), fingerprint, once.id).await?;
        }
        let transaction_id = once.id;
        if once.is_new {
            info!(
                transaction.id = %transaction_id,
                currency.code = %charge.amount().currency_code(),
                "charged transaction {transaction_id}",
            );
        }
        Ok(IdempotencyKey::confirm(key.as_ref(), ChargeResponse { transaction_id }))
    }
}

#[tonic::async_trait]
impl Charges for Payment {
    async fn get_charge(
        &self,
        request: Request<GetChargeRequest>,
    ) -> Result<Response<Charge>, Status> {
        let key = key(&request.get_ref().idempotency_key)?;
        let charge = self.charges.get(key.as_str()).await.map_err(EffectError::from)?;
        let charge = charge.ok_or_else(|| Status::not_found("nothing was charged"))?;
        Ok(Response::new(Charge { transaction_id: charge.id, is_void: charge.is_void }))
    }

    async fn void_charge(
        &self,
        request: Request<VoidChargeRequest>,
    ) -> Result<Response<Charge>, Status> {
        let key = key(&request.get_ref().idempotency_key)?;
        let transaction_id = self.charges.void(key.as_str()).await.map_err(EffectError::from)?;
        if !transaction_id.is_empty() {
            self.voided.increment();
            info!(transaction.id = %transaction_id, "voided transaction {transaction_id}");
        }
        Ok(Response::new(Charge { transaction_id, is_void: true }))
    }
}

fn key(text: &str) -> Result<IdempotencyKey, Status> {
    IdempotencyKey::parse(text)
        .ok_or_else(|| Status::invalid_argument("idempotency_key is not a key"))
}

/// The fingerprint of a charge: its amount and its card.
fn fingerprint(key: &IdempotencyKey, charge: &NewCharge, request: &ChargeRequest) -> Vec<u8> {
    let amount = charge.amount();
    let mut fingerprint = Fingerprint::new(key.as_str())
        .with(amount.currency_code().as_str().as_bytes())
        .with(&amount.total_nanos().to_be_bytes());
    if let Some(card) = &request.credit_card {
        fingerprint = fingerprint.with_secret(card.credit_card_number.as_bytes());
    }
    fingerprint.finish()
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

/// The reason why a card was declined, for metrics; none where it was not the card.
fn declined_because(refusal: &Refusal) -> Option<&'static str> {
    match refusal {
        Refusal::NoCard | Refusal::Invalid => Some("invalid"),
        Refusal::Brand(_) => Some("brand"),
        Refusal::Expired { .. } => Some("expired"),
        Refusal::NoAmount | Refusal::Amount(_) | Refusal::NotPositive | Refusal::Currency => None,
    }
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
