//! The outbox of an order that is done: the one place from which its effects leave. An event is delivered at least once, with
//! the order's id as its idempotency key, and stays in the stored order until it is. Another kind of event is a value of
//! `OutboxEvent`, and a function here that delivers it.

use std::sync::Arc;
use std::time::Duration;

use boutique_proto::ext::{CART_VERSION, OutboxEvent, RemoveItemsRequest};
use boutique_proto::{EmptyCartRequest, SendOrderConfirmationRequest};
use boutique_service::{detach, span};
use tokio::time::timeout;
use tonic::Code;
use tracing::{error, warn};

use crate::clients::{Clients, go_style_message};
use crate::fulfillment::{LEASE, another_attempt, items, keyed};
use crate::saga::{self, Outcome, Step};
use crate::store::{Entry, Next, OrderStore};

/// The first time and the longest time between two attempts at what is left in an outbox.
const OUTBOX_RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// The time in which most mails are sent.
const QUICK: Duration = Duration::from_millis(100);

/// Delivers what is in the outbox of an order, and stores what was delivered. Returns once the cart is emptied; the rest
/// goes on by itself.
pub(crate) async fn deliver(clients: &Clients, store: &Arc<OrderStore>, mut entry: Entry) {
    let has = |event: OutboxEvent| entry.order.outbox.contains(&event.into());
    let mail = has(OutboxEvent::Confirmation).then(|| {
        let (clients, entry) = (clients.clone(), entry.clone());
        let confirm = async move { confirm(&clients, &entry).await.then_some(()).ok_or(()) };
        detach(async move { span("confirm the order", confirm).await.is_ok() })
    });
    let emptied = if has(OutboxEvent::Cart) {
        let empty_cart = async { empty_cart(clients, &entry).await.ok_or(()) };
        span("empty the cart", empty_cart).await.ok()
    } else {
        None
    };
    let store = store.clone();
    detach(async move {
        if let Some(version) = emptied {
            entry.order.emptied_cart_version = version;
            saga::apply(&mut entry.order, Outcome::Delivered(OutboxEvent::Cart));
        }
        if let Some(mut mail) = mail {
            let mut sent = timeout(QUICK, &mut mail).await;
            if sent.is_err() {
                // The cart is free for the next order, however long the mail takes.
                if !save(&store, &mut entry, Next::Due(LEASE)).await {
                    return;
                }
                sent = Ok(mail.await);
            }
            if matches!(sent, Ok(Ok(true))) {
                saga::apply(&mut entry.order, Outcome::Delivered(OutboxEvent::Confirmation));
            }
        }
        let next = if saga::step(&entry.order) == Step::Rest {
            Next::Closed
        } else {
            another_attempt(&mut entry.order, OUTBOX_RETRY)
        };
        if next == Next::Stuck {
            let id = entry.id();
            error!(order.id = id, "gave up on what order {id} has others do, after a day");
        }
        save(&store, &mut entry, next).await;
    });
}

/// Stores what was delivered for an order. Returns false if that is not possible, or somebody else delivers it.
async fn save(store: &OrderStore, entry: &mut Entry, next: Next) -> bool {
    store.save(entry, next).await.unwrap_or_else(|cause| {
        let id = entry.id();
        warn!(order.id = id, "cannot store what was delivered for order {id}: {cause}");
        false
    })
}

/// Takes what was ordered out of the cart; where the cart service cannot, empties it. Returns the version of the cart
/// without it, if that is done; the version is empty where the cart service knows none.
async fn empty_cart(clients: &Clients, entry: &Entry) -> Option<String> {
    let user_id = entry.order.user_id.clone();
    let items = entry.order.order.as_ref().map(items).unwrap_or_default();
    let request = RemoveItemsRequest { user_id: user_id.clone(), items };
    let mut emptied = clients.carts.remove_items_with_metadata(keyed(entry, request)).await;
    if emptied.as_ref().is_err_and(|status| status.code() == Code::Unimplemented) {
        let emptying = clients.cart.empty_cart(EmptyCartRequest { user_id }).await;
        emptied = emptying.map(tonic::Response::new);
    }
    match emptied {
        Ok(answer) => {
            let version = answer.metadata().get(CART_VERSION);
            Some(version.and_then(|text| text.to_str().ok()).unwrap_or_default().to_owned())
        }
        Err(cause) => {
            let (id, cause) = (entry.id(), go_style_message(&cause));
            warn!(order.id = id, error = cause, "left the cart of order {id} as it was for now");
            None
        }
    }
}

/// Has the confirmation of an order sent. Returns true if that is done.
async fn confirm(clients: &Clients, entry: &Entry) -> bool {
    let (email, order) = (entry.order.email.clone(), entry.order.order.clone());
    let request = keyed(entry, SendOrderConfirmationRequest { email, order });
    let sent = clients.email.send_order_confirmation_with_metadata(request).await;
    if let Err(cause) = &sent {
        let (id, cause) = (entry.id(), go_style_message(cause));
        warn!(order.id = id, error = cause, "sent no confirmation of order {id} for now");
    }
    sent.is_ok()
}
