//! The inbound gRPC adapter: a message, the confirmation rendered from it, and its delivery.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use askama::Template;
use boutique_proto::email_service_server::EmailService;
use boutique_proto::{
    Empty, OrderItem, OrderResult, SendOrderConfirmationRequest, required_amount,
};
use boutique_service::{CounterBy, IdempotencyKey, Meter, detach, with_source};
use boutique_store::{EffectError, Fingerprint, KeyStore};
use lettre::Address;
use parking_lot::Mutex;
use tokio::sync::OwnedMutexGuard;
use tonic::{Request, Response, Status};

use crate::delivery::{Delivery, DeliveryError, Mail};
use crate::domain::{self, Confirmation, Line};

/// The time for which a confirmation that was sent is tried to be noted, and the pause between two attempts.
const NOTE_TIMEOUT: Duration = Duration::from_secs(15);
const NOTE_PAUSE: Duration = Duration::from_millis(100);
/// The outcomes of a mail, for metrics.
const SENT: &str = "sent";
const FAILED: &str = "failed";

pub(crate) struct Email {
    delivery: Arc<Delivery>,
    /// The confirmations that were sent, by their idempotency keys.
    sent: Arc<KeyStore>,
    /// The keys of the confirmations that are being sent.
    sending: Arc<Sending>,
    mails: CounterBy,
}

impl Email {
    pub(crate) fn new(delivery: Delivery, sent: KeyStore, meter: &Meter) -> Self {
        let (name, help) =
            ("shop.mails", "Confirmations that were given to the mail server, or logged");
        Self {
            delivery: Arc::new(delivery),
            sent: Arc::new(sent),
            sending: Arc::default(),
            mails: meter.counter_by(name, help, "outcome", &[SENT, FAILED]),
        }
    }
}

#[derive(Template)]
#[template(path = "confirmation.html")]
struct Html<'a>(&'a Confirmation);

#[derive(Template)]
#[template(path = "confirmation.txt")]
struct Text<'a>(&'a Confirmation);

#[tonic::async_trait]
impl EmailService for Email {
    async fn send_order_confirmation(
        &self,
        request: Request<SendOrderConfirmationRequest>,
    ) -> Result<Response<Empty>, Status> {
        let key = IdempotencyKey::of(&request)?;
        let SendOrderConfirmationRequest { email, order } = request.into_inner();
        let to: Address =
            email.parse().map_err(|_| Status::invalid_argument("email is not an address"))?;
        let order = order.ok_or_else(|| Status::invalid_argument("order is missing"))?;
        let confirmation = confirmation(order);
        let mail = render(&confirmation).map_err(|error| {
            let text = "An error occurred when preparing the confirmation mail.";
            with_source(Status::internal(text), error)
        })?;
        let (delivery, order_id) = (self.delivery.clone(), confirmation.order_id);
        let Some(key) = key else {
            counted(&self.mails, delivery.deliver(to, mail, &order_id).await)?;
            return Ok(Response::new(Empty {}));
        };
        let fingerprint = Fingerprint::new(key.as_str()).with(email.as_bytes());
        let fingerprint = fingerprint.with(order_id.as_bytes()).finish();
        let (sent, sending, name) = (self.sent.clone(), self.sending.clone(), key.clone());
        let mails = self.mails.clone();
        // In a task of its own: a mail that is sent is noted, whatever becomes of the caller.
        let work = detach(async move {
            let _turn = sending.turn(&name).await;
            match sent.get(name.as_str()).await.map_err(EffectError::from)? {
                Some(known) if known.fingerprint == fingerprint => return Ok(()),
                Some(_) => return Err(EffectError::OtherRequest.into()),
                None => {}
            }
            counted(&mails, delivery.deliver(to, mail, &order_id).await)?;
            note(&sent, &name, &fingerprint, &order_id).await?;
            Ok::<_, Status>(())
        });
        work.await.map_err(|_| Status::internal("the confirmation was not finished"))??;
        Ok(IdempotencyKey::confirm(Some(&key), Empty {}))
    }
}

/// Counts a mail by its outcome.
fn counted<E>(mails: &CounterBy, outcome: Result<(), E>) -> Result<(), E> {
    mails.increment(if outcome.is_ok() { SENT } else { FAILED });
    outcome
}

/// Notes that a confirmation was sent. A store that is out for a moment must not have it sent again, so that the next call
/// with this key waits meanwhile.
async fn note(
    sent: &KeyStore,
    key: &IdempotencyKey,
    fingerprint: &[u8],
    order_id: &str,
) -> Result<(), EffectError> {
    let began = Instant::now();
    loop {
        match sent.once(key.as_str(), fingerprint.to_vec(), order_id.to_owned()).await {
            Err(EffectError::Store(_)) if began.elapsed() < NOTE_TIMEOUT => {
                tokio::time::sleep(NOTE_PAUSE).await;
            }
            noted => return noted.map(drop),
        }
    }
}

/// The keys of which one call at a time sends a confirmation.
#[derive(Default)]
struct Sending(Mutex<HashMap<IdempotencyKey, Weak<tokio::sync::Mutex<()>>>>);

impl Sending {
    /// Waits until no other call sends the confirmation of this key.
    async fn turn(&self, key: &IdempotencyKey) -> OwnedMutexGuard<()> {
        let lock = {
            let mut all = self.0.lock();
            all.retain(|_, lock| lock.strong_count() > 0);
            let lock = all.get(key).and_then(Weak::upgrade).unwrap_or_default();
            all.insert(key.clone(), Arc::downgrade(&lock));
            lock
        };
        lock.lock_owned().await
    }
}

fn render(confirmation: &Confirmation) -> askama::Result<Mail> {
    Ok(Mail { html: Html(confirmation).render()?, text: Text(confirmation).render()? })
}

/// The parts of an order that a mail shows. Upstream reads none of them, so what is missing is left out.
fn confirmation(order: OrderResult) -> Confirmation {
    let address = order.shipping_address.unwrap_or_default();
    Confirmation {
        order_id: order.order_id,
        tracking_id: order.shipping_tracking_id,
        shipping_cost: amount(order.shipping_cost.as_ref()),
        address: domain::address(
            &address.street_address,
            &address.city,
            &address.state,
            &address.country,
            address.zip_code,
        ),
        items: order.items.into_iter().filter_map(line).collect(),
    }
}

fn line(item: OrderItem) -> Option<Line> {
    let price = amount(item.cost.as_ref());
    let item = item.item?;
    Some(Line { product_id: item.product_id, quantity: item.quantity, price })
}

fn amount(wire: Option<&boutique_proto::Money>) -> Option<String> {
    required_amount(wire).map(domain::amount).ok()
}

impl From<DeliveryError> for Status {
    fn from(error: DeliveryError) -> Self {
        let status = match error {
            // Upstream's words.
            DeliveryError::Send(_) => {
                Self::unavailable("An error occurred when sending the email.")
            }
            DeliveryError::Compose(_) => {
                Self::internal("An error occurred when preparing the confirmation mail.")
            }
        };
        with_source(status, error)
    }
}
