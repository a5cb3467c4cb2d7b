//! Places orders: from the request to the answer, for the first request with a key and for those that repeat it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use boutique_proto::ext::{ORDER_ID, OrderState, StoredOrder};
use boutique_proto::{CreditCardInfo, OrderResult};
use boutique_service::{
    IdempotencyKey, Meter, Stopping, already_logged, detach, linked_span, span, time_left,
};
use boutique_store::{EffectError, StoreError};
use parking_lot::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep, timeout_at};
use tonic::{Code, Status};
use tracing::{error, info};

use crate::clients::Clients;
use crate::domain::Refusal;
use crate::fulfillment::{Card, LEASE, Progress, advance};
use crate::metrics::Metrics;
use crate::order::Order;
use crate::outbox::deliver;
use crate::saga::{Step, step};
use crate::store::{Entry, Next, Opened, OrderStore, holds_cart};

/// The time before the caller's deadline at which it is told that its order goes on.
const ANSWER_MARGIN: Duration = Duration::from_millis(100);
/// The longest time that a caller without a deadline waits.
const LONGEST_WAIT: Duration = Duration::from_secs(8);
/// The first and the longest pause between two looks at an order that somebody else is working on.
const POLL: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));
/// The interval at which orders are looked for that are due, and how many are taken at a time.
const SWEEP: Duration = Duration::from_secs(1);
const SWEEP_COUNT: usize = 32;
/// The number of those intervals after which stuck orders are counted.
const SWEEPS_OF_STUCK: u32 = 10;

/// Places orders and looks after those that were placed; cheap to clone.
#[derive(Clone)]
pub(crate) struct Checkout {
    clients: Clients,
    pub(crate) store: Arc<OrderStore>,
    working: Arc<Working>,
    metrics: Metrics,
}

/// The orders that this process works on, by id.
#[derive(Default)]
struct Working(Mutex<BTreeSet<String>>);

/// An order that this process works on, until this is dropped.
struct Work {
    working: Arc<Working>,
    id: String,
}

impl Working {
    fn on(self: &Arc<Self>, id: &str) -> Work {
        self.lock().insert(id.to_owned());
        Work { working: self.clone(), id: id.to_owned() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock()
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.working.lock().remove(&self.id);
    }
}

/// The result of storing an order.
enum Settled {
    Answered(Result<OrderResult, Status>),
    /// It goes on, or somebody else has taken it over.
    Open,
    /// There is one with its key.
    Known(Entry),
    /// The user's latest one still holds the cart.
    Busy(Entry),
}

/// The key of an order, and where it comes from.
struct Key {
    text: String,
    /// True if the caller sent it.
    is_explicit: bool,
}

impl Checkout {
    pub(crate) fn new(clients: Clients, store: OrderStore, meter: &Meter) -> Self {
        let metrics = Metrics::new(meter);
        Self { clients, store: Arc::new(store), working: Arc::default(), metrics }
    }

    /// Places an order, once for a key: that of the caller, or else the version of the cart.
    pub(crate) async fn place(
        &self,
        order: Order,
        key: Option<&IdempotencyKey>,
    ) -> Result<OrderResult, Status> {
        let deadline = Instant::now() + time_left().unwrap_or(LONGEST_WAIT);
        let answer_by = deadline - ANSWER_MARGIN;
        if let Some(answer) = self.order_of_key(&order, key, answer_by).await? {
            return Ok(answer);
        }
        loop {
            let Some(cart) = order.cart(&self.clients).await? else {
                return self.order_of_empty_cart(&order, key, answer_by).await;
            };
            let key = Key::new(key, cart.version.as_deref(), &order.id);
            let prepared = span("prepare the order", order.prepare(cart, &self.clients)).await?;
            if Instant::now() >= answer_by {
                return Err(Status::deadline_exceeded("no time left to charge the card"));
            }
            let stored = prepared.into_stored(&key.text);
            let (fingerprint, version) = (stored.fingerprint.clone(), stored.cart_version.clone());
            // In a task of its own: a caller who goes away, or whose time is up, leaves nothing half done.
            let (checkout, card) = (self.clone(), order.card.clone());
            let work = detach(async move { checkout.settle(stored, card, answer_by).await });
            match timeout_at(answer_by, work).await {
                Ok(Ok(settled)) => match settled? {
                    Settled::Answered(answer) => return answer,
                    // Somebody else has the order now, or has to find out what became of it.
                    Settled::Open => {
                        return self.wait(&order.buyer.user_id, &order.id, answer_by).await;
                    }
                    Settled::Known(known) => {
                        let is_same = known.order.fingerprint == fingerprint
                            && known.order.cart_version == version;
                        return self.repeat(&known, is_same, key.is_explicit, answer_by).await;
                    }
                    // What that one ordered is in the cart still; then it is not.
                    Settled::Busy(other) => self.wait_for_cart(&other, answer_by).await?,
                },
                Ok(Err(_panic)) => return Err(pending(Code::Internal, &order.id)),
                Err(_elapsed) => return Err(pending(Code::DeadlineExceeded, &order.id)),
            }
        }
    }

    /// Stores an order, and takes its steps.
    async fn settle(
        &self,
        stored: StoredOrder,
        card: CreditCardInfo,
        answer_by: Instant,
    ) -> Result<Settled, Status> {
        let entry = match self.store.open(stored, LEASE).await.map_err(status)? {
            Opened::New(entry) => entry,
            Opened::Known(known) => return Ok(Settled::Known(known)),
            Opened::Busy(other) => return Ok(Settled::Busy(other)),
        };
        let time_left = answer_by.saturating_duration_since(Instant::now());
        let card = Some(Card { number: card, time_left });
        let answer = self.work_on(entry, card).await;
        Ok(answer.map_or(Settled::Open, Settled::Answered))
    }

    /// The answer to a request whose key has an order already.
    async fn order_of_key(
        &self,
        order: &Order,
        key: Option<&IdempotencyKey>,
        answer_by: Instant,
    ) -> Result<Option<OrderResult>, Status> {
        let Some(key) = key else { return Ok(None) };
        let user = &order.buyer.user_id;
        let known = self.store.find(user, key.as_str()).await.map_err(status)?;
        let Some(known) = known else { return Ok(None) };
        let is_same = known.order.fingerprint == order.fingerprint(key.as_str())
            && !self.is_another_cart(&known, order).await?;
        self.repeat(&known, is_same, true, answer_by).await.map(Some)
    }

    /// Answers a request with the key of an order that is there already.
    async fn repeat(
        &self,
        known: &Entry,
        is_same: bool,
        is_explicit: bool,
        answer_by: Instant,
    ) -> Result<OrderResult, Status> {
        match (is_same, is_explicit) {
            (true, _) => self.wait(&known.order.user_id, known.id(), answer_by).await,
            (false, true) => {
                let text = "this idempotency key belongs to another order";
                Err(about(Status::failed_precondition(text), known.id()))
            }
            // Two people with one session: neither is shown the other's order.
            (false, false) => Err(Status::aborted("this cart is being ordered by another request")),
        }
    }

    /// Returns true if the order is done, and what is in the cart now is not what was ordered.
    async fn is_another_cart(&self, known: &Entry, order: &Order) -> Result<bool, Status> {
        if known.order.state() != OrderState::Done || step(&known.order) != Step::Rest {
            return Ok(false);
        }
        let cart = order.cart(&self.clients).await?;
        let version = cart.and_then(|cart| cart.version);
        Ok(version.is_some_and(|version| version != known.order.cart_version))
    }

    /// The cart may be empty because the same request was there before, with the same key or without one.
    async fn order_of_empty_cart(
        &self,
        order: &Order,
        key: Option<&IdempotencyKey>,
        answer_by: Instant,
    ) -> Result<OrderResult, Status> {
        if let Some(answer) = self.order_of_key(order, key, answer_by).await? {
            return Ok(answer);
        }
        if key.is_none() {
            let latest = self.store.list(&order.buyer.user_id, 1).await.map_err(status)?;
            if let Some(latest) = latest.into_iter().next()
                && latest.order.fingerprint == order.fingerprint(&latest.order.key)
                && latest.order.key.starts_with(Key::OF_CART)
            {
                return self.wait(&latest.order.user_id, latest.id(), answer_by).await;
            }
        }
        Err(Refusal::EmptyCart.into())
    }

    /// Takes the steps of an order, and has its outbox delivered. Returns the answer to the one who placed it, unless it has
    /// to be waited for.
    async fn work_on(
        &self,
        entry: Entry,
        card: Option<Card>,
    ) -> Option<Result<OrderResult, Status>> {
        let id = entry.id().to_owned();
        let _work = self.working.on(&id);
        match advance(&self.clients, &self.store, &self.metrics, entry, card).await {
            Ok(Progress::Stored(entry, last)) => {
                let answer = ended(&entry, last, Code::DeadlineExceeded);
                if step(&entry.order) == Step::Deliver {
                    deliver(&self.clients, &self.store, *entry).await;
                }
                answer
            }
            Ok(Progress::Refused(status)) => Some(Err(status)),
            Ok(Progress::TakenOver) => None,
            Err(cause) => {
                error!(order.id = id, "cannot store order {id}: {cause}");
                None
            }
        }
    }

    /// Waits until an order holds the cart no more.
    async fn wait_for_cart(&self, other: &Entry, answer_by: Instant) -> Result<(), Status> {
        let (mut pause, longest) = POLL;
        let (user, id) = (&other.order.user_id, other.id());
        loop {
            if Instant::now() + pause >= answer_by {
                return Err(pending(Code::Aborted, id));
            }
            sleep(pause).await;
            pause = (pause * 2).min(longest);
            match self.store.get(user, id).await.map_err(status)? {
                Some(entry) if holds_cart(&entry.order) && entry.order.attempts > 0 => {
                    return Err(pending(Code::Aborted, id));
                }
                Some(entry) if holds_cart(&entry.order) => {}
                Some(_) | None => return Ok(()),
            }
        }
    }

    /// Waits until an order has ended, whoever is working on it.
    async fn wait(&self, user: &str, id: &str, answer_by: Instant) -> Result<OrderResult, Status> {
        let (mut pause, longest) = POLL;
        loop {
            match self.store.get(user, id).await {
                Ok(Some(entry)) => {
                    if let Some(answer) = ended(&entry, None, Code::Aborted) {
                        return answer;
                    }
                }
                // Its card was refused.
                Ok(None) => return Err(Status::aborted("the order was not placed")),
                Err(cause) => error!(order.id = id, "cannot look at order {id}: {cause}"),
            }
            if Instant::now() + pause >= answer_by {
                return Err(pending(Code::Aborted, id));
            }
            sleep(pause).await;
            pause = (pause * 2).min(longest);
        }
    }

    /// Looks after orders that nobody works on, until the service stops: those whose steps failed, those whose outbox has
    /// something left, and those that a replica left behind that is gone. What is not finished then is handed over.
    pub(crate) async fn look_after_orders(self, stopping: Stopping) {
        let mut sweeps = 0_u32;
        while stopping.begun.run_until_cancelled(sleep(SWEEP)).await.is_some() {
            if sweeps.is_multiple_of(SWEEPS_OF_STUCK)
                && let Ok(stuck) = self.store.stuck().await
            {
                self.metrics.show_stuck(&stuck);
            }
            sweeps = sweeps.wrapping_add(1);
            // What cannot be read now is due at the next turn; its health says so.
            let due = self.store.take(SWEEP_COUNT, LEASE).await.unwrap_or_default();
            for entry in due {
                self.metrics.resumed();
                info!(order.id = entry.id(), "resumed order {}", entry.id());
                let checkout = self.clone();
                let placed_by = entry.order.trace_parent.clone();
                detach(async move {
                    let work = Box::pin(checkout.work_on(entry, None));
                    linked_span("resume the order", &placed_by, work).await
                });
            }
        }
        stopping.given_up.cancelled().await;
        let left: Vec<String> = self.working.lock().iter().cloned().collect();
        if !left.is_empty()
            && let Err(cause) = self.store.hand_over(&left).await
        {
            error!("cannot hand over {} orders: {cause}", left.len());
        }
    }

    /// Tries again what a stuck order waits for.
    pub(crate) async fn retry_stuck(&self, id: &str) -> Result<Entry, Status> {
        let stuck = self.store.stuck().await.map_err(status)?;
        let found = stuck.into_iter().find(|entry| entry.id() == id);
        let mut entry = found.ok_or_else(|| Status::not_found("no such order is stuck"))?;
        if entry.order.state() == OrderState::ToRefund {
            entry.order.set_state(OrderState::Voiding);
        }
        if self.store.save(&mut entry, Next::Due(Duration::ZERO)).await.map_err(status)? {
            Ok(entry)
        } else {
            Err(Status::aborted("the order was changed meanwhile"))
        }
    }
}

impl Key {
    /// The beginning of a key that is made of the cart's version. No caller's key has a space.
    const OF_CART: &str = "cart ";

    fn new(sent: Option<&IdempotencyKey>, cart_version: Option<&str>, order_id: &str) -> Self {
        match (sent, cart_version) {
            (Some(key), _) => Self { text: key.as_str().to_owned(), is_explicit: true },
            (None, Some(version)) => {
                Self { text: format!("{}{version}", Self::OF_CART), is_explicit: false }
            }
            (None, None) => Self { text: order_id.to_owned(), is_explicit: false },
        }
    }
}

/// The answer about an order that has ended, or has to wait: that one has this code. `last` is the error of the step that
/// failed, where that is known.
fn ended(entry: &Entry, last: Option<Status>, code: Code) -> Option<Result<OrderResult, Status>> {
    match entry.order.state() {
        OrderState::Done => Some(Ok(entry.order.order.clone().unwrap_or_default())),
        OrderState::Voided => {
            let text = match last {
                Some(last) => last.message().to_owned(),
                None => "the order was not completed; nothing was charged".to_owned(),
            };
            Some(Err(Status::unavailable(text)))
        }
        OrderState::ToRefund => Some(Err(already_logged(pending(code, entry.id())))),
        // Its next attempt is in a while.
        OrderState::Shipping if entry.order.attempts > 0 => {
            Some(Err(already_logged(pending(code, entry.id()))))
        }
        OrderState::Charging | OrderState::Voiding if entry.order.attempts > 0 => {
            Some(Err(pending(code, entry.id())))
        }
        OrderState::Charging
        | OrderState::Shipping
        | OrderState::Voiding
        | OrderState::Unspecified => None,
    }
}

/// The status of a request whose order goes on.
fn pending(code: Code, id: &str) -> Status {
    about(Status::new(code, "the order is being processed, do not pay again"), id)
}

/// Adds the id of an order to a status.
fn about(mut status: Status, id: &str) -> Status {
    if let Ok(id) = id.parse() {
        status.metadata_mut().insert(ORDER_ID, id);
    }
    status
}

/// The status of a request that the store failed.
pub(crate) fn status(error: StoreError) -> Status {
    EffectError::from(error).into()
}
