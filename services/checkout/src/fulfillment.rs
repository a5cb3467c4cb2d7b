//! Takes the steps of orders that are stored, up to the outbox.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use boutique_proto::ext::{GetChargeRequest, OrderState, StoredOrder, VoidChargeRequest};
use boutique_proto::{CartItem, ChargeRequest, CreditCardInfo, OrderResult, ShipOrderRequest};
use boutique_service::{IdempotencyKey, span, was_not_processed, with_deadline};
use boutique_store::StoreError;
use tonic::{Code, Request, Status};
use tracing::{error, info, warn};

use crate::clients::{Clients, go_style_message, wrap_with_message};
use crate::metrics::Metrics;
use crate::saga::{self, Outcome, Step};
use crate::store::{Entry, Next, OrderStore};

/// The time after which somebody else takes over an order whose next state is not stored: more than any step takes.
pub(crate) const LEASE: Duration = Duration::from_secs(10);
/// The first time and the longest time between two attempts at a step that the order waits for.
const STEP_RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));
/// The time after which nothing is tried any more, unless somebody has looked into it.
const GIVE_UP: Duration = Duration::from_secs(24 * 3600);
/// The attempts to ship before the order waits, and the pause between two of them.
const SHIP_ATTEMPTS: u32 = 3;
const SHIP_PAUSE: Duration = Duration::from_millis(100);

/// The state in which an order was left.
pub(crate) enum Progress {
    /// It is stored as it is here: closed, to be delivered, or waiting for another attempt. Beside it the error of the
    /// last step that failed, if one did.
    Stored(Box<Entry>, Option<Status>),
    /// The card was refused; nothing was charged, and the order is forgotten.
    Refused(Status),
    /// Somebody else has taken it over.
    TakenOver,
}

/// The answer to a charge.
enum Charged {
    Made(String),
    /// Nothing was charged.
    Refused(Status),
    /// The card may have been charged.
    Unknown(Status),
}

/// A card, and the time in which it can be charged.
pub(crate) struct Card {
    pub(crate) number: CreditCardInfo,
    pub(crate) time_left: Duration,
}

/// Takes the steps of an order until it is closed or to be delivered, or has to wait. Without the card it finds out what
/// became of the charge.
pub(crate) async fn advance(
    clients: &Clients,
    store: &OrderStore,
    metrics: &Metrics,
    mut entry: Entry,
    mut card: Option<Card>,
) -> Result<Progress, StoreError> {
    let mut last = None;
    loop {
        let outcome = match (saga::step(&entry.order), card.take()) {
            (Step::Charge, Some(card)) => match charged(clients, &entry, card).await {
                Charged::Made(transaction_id) => Ok(Outcome::Charged(transaction_id)),
                Charged::Refused(status) => {
                    let is_forgotten = store.forget(&entry).await?;
                    return Ok(if is_forgotten {
                        Progress::Refused(status)
                    } else {
                        Progress::TakenOver
                    });
                }
                // The next turn finds out.
                Charged::Unknown(status) => {
                    last = Some(status);
                    continue;
                }
            },
            (Step::Charge, None) => span("find the charge", find_charge(clients, &entry)).await,
            (Step::Ship, _) => span("ship", ship(clients, &entry)).await,
            (Step::Void, _) => span("void the charge", void(clients, &entry)).await,
            (Step::Deliver | Step::Rest, _) => {
                return Ok(Progress::Stored(Box::new(entry), last));
            }
        };
        let next = match outcome {
            Ok(outcome) => {
                if let Outcome::ShippingRefused = outcome {
                    warn!(order.id = entry.id(), "the parcel of order {} was refused", entry.id());
                }
                saga::apply(&mut entry.order, outcome);
                after(&entry.order)
            }
            Err(status) => {
                last.get_or_insert(status);
                Next::Due(Duration::ZERO)
            }
        };
        let waits = next == Next::Due(Duration::ZERO);
        let next = if waits { another_attempt(&mut entry.order, STEP_RETRY) } else { next };
        if !store.save(&mut entry, next).await? {
            return Ok(Progress::TakenOver);
        }
        log(&entry);
        if !waits {
            metrics.reached(&entry);
        }
        if waits {
            return Ok(Progress::Stored(Box::new(entry), last));
        }
    }
}

/// Returns the next step for an order in a state that it has just reached.
fn after(order: &StoredOrder) -> Next {
    match order.state() {
        OrderState::Voided => Next::Freed,
        OrderState::ToRefund => Next::Stuck,
        OrderState::Charging
        | OrderState::Shipping
        | OrderState::Voiding
        | OrderState::Done
        | OrderState::Unspecified => Next::Due(LEASE),
    }
}

/// Counts an attempt, and returns when there is another one.
pub(crate) fn another_attempt(
    order: &mut StoredOrder,
    (first, longest): (Duration, Duration),
) -> Next {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let placed = Duration::from_millis(u64::try_from(order.placed_at).unwrap_or_default());
    if now.saturating_sub(placed) > GIVE_UP {
        return Next::Stuck;
    }
    let pause = first.saturating_mul(1 << order.attempts.min(16)).min(longest);
    order.attempts = order.attempts.saturating_add(1);
    Next::Due(pause)
}

fn log(entry: &Entry) {
    let (id, transaction) = (entry.id(), &entry.order.transaction_id);
    match entry.order.state() {
        OrderState::Done => {
            let currency = entry.order.total.as_ref().map_or("", |total| &total.currency_code);
            info!(
                order.id = id,
                transaction.id = transaction,
                currency.code = currency,
                "placed order {id}",
            );
        }
        OrderState::Voided => {
            warn!(order.id = id, transaction.id = transaction, "voided order {id}");
        }
        OrderState::ToRefund => {
            error!(order.id = id, "cannot tell whether the card was charged for order {id}");
        }
        OrderState::Shipping if entry.order.attempts == 1 => {
            error!(
                order.id = id,
                transaction.id = transaction,
                "charged order {id} but did not ship it yet",
            );
        }
        OrderState::Unspecified
        | OrderState::Charging
        | OrderState::Shipping
        | OrderState::Voiding => {}
    }
}

/// A request of a step, whose key is the order's id.
pub(crate) fn keyed<T>(entry: &Entry, message: T) -> Request<T> {
    match IdempotencyKey::parse(entry.id()) {
        Some(key) => key.request(message),
        None => Request::new(message),
    }
}

async fn charged(clients: &Clients, entry: &Entry, card: Card) -> Charged {
    let charge = async {
        match charge(clients, entry, card).await {
            Charged::Made(transaction_id) => Ok(transaction_id),
            failed @ (Charged::Refused(_) | Charged::Unknown(_)) => Err(failed),
        }
    };
    span("charge", charge).await.map_or_else(|failed| failed, Charged::Made)
}

async fn charge(clients: &Clients, entry: &Entry, card: Card) -> Charged {
    let attempt = "failed to charge card: could not charge the card";
    let Card { number, time_left } = card;
    let request = ChargeRequest { amount: entry.order.total.clone(), credit_card: Some(number) };
    let charged = clients.payment.charge_with_metadata(keyed(entry, request));
    let charged = with_deadline(time_left, charged).await;
    let cause = match charged {
        Ok(Ok(answer)) => return Charged::Made(answer.into_inner().transaction_id),
        Ok(Err(cause)) => cause,
        Err(_elapsed) => Status::deadline_exceeded("the charge took too long"),
    };
    match cause.code() {
        _ if was_not_processed(&cause) => Charged::Refused(wrap_with_message(attempt, cause)),
        // Upstream's payment refuses cards with a code that gRPC does not have.
        Code::Unknown => {
            let refused = Status::invalid_argument(cause.message());
            Charged::Refused(wrap_with_message(attempt, refused))
        }
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Unauthenticated => Charged::Refused(wrap_with_message(attempt, cause)),
        Code::Ok
        | Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss => Charged::Unknown(wrap_with_message(attempt, cause)),
    }
}

async fn find_charge(clients: &Clients, entry: &Entry) -> Result<Outcome, Status> {
    let request = GetChargeRequest { idempotency_key: entry.id().to_owned() };
    match clients.charges.get_charge(request).await {
        Ok(charge) if charge.is_void => Ok(Outcome::NotCharged),
        Ok(charge) => Ok(Outcome::Charged(charge.transaction_id)),
        Err(status) if status.code() == Code::NotFound => Ok(Outcome::NotCharged),
        Err(status) if status.code() == Code::Unimplemented => Ok(Outcome::CannotTell),
        Err(status) => Err(status),
    }
}

async fn void(clients: &Clients, entry: &Entry) -> Result<Outcome, Status> {
    let request = VoidChargeRequest { idempotency_key: entry.id().to_owned() };
    match clients.charges.void_charge(request).await {
        Ok(_) => Ok(Outcome::Voided),
        Err(status) if status.code() == Code::Unimplemented => Ok(Outcome::CannotTell),
        Err(status) => Err(status),
    }
}

async fn ship(clients: &Clients, entry: &Entry) -> Result<Outcome, Status> {
    let order = entry.order.order.clone().unwrap_or_default();
    let request = ShipOrderRequest { items: items(&order), address: order.shipping_address };
    let mut attempt = 1;
    loop {
        let request = keyed(entry, request.clone());
        let cause = match clients.shipping.ship_order_with_metadata(request).await {
            Ok(answer) => return Ok(Outcome::Shipped(answer.into_inner().tracking_id)),
            Err(cause) => cause,
        };
        if matches!(
            cause.code(),
            Code::InvalidArgument | Code::OutOfRange | Code::FailedPrecondition
        ) {
            return Ok(Outcome::ShippingRefused);
        }
        if attempt == SHIP_ATTEMPTS || cause.code() == Code::DeadlineExceeded {
            let text = format!("shipping error: shipment failed: {}", go_style_message(&cause));
            return Err(Status::unavailable(text));
        }
        tokio::time::sleep(SHIP_PAUSE * attempt).await;
        attempt += 1;
    }
}

pub(crate) fn items(order: &OrderResult) -> Vec<CartItem> {
    order.items.iter().filter_map(|line| line.item.clone()).collect()
}
