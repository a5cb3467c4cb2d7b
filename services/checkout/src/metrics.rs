//! Counts orders and what they are worth.

use boutique_proto::ext::{OrderState, OutboxEvent};
use boutique_proto::required_amount;
use boutique_service::{Counter, CounterBy, Gauge, Meter};

use crate::store::Entry;

/// The counters of orders; cheap to clone.
#[derive(Clone)]
pub(crate) struct Metrics {
    orders: CounterBy,
    revenue: CounterBy,
    unplaced: CounterBy,
    resumed: Counter,
    stuck: Gauge,
    dead_letters: Gauge,
}

/// The states of orders that were not placed, for metrics.
const VOIDED: &str = "voided";
const TO_REFUND: &str = "to_refund";

impl Metrics {
    pub(crate) fn new(meter: &Meter) -> Self {
        let currency = "currency";
        let unplaced = "Orders that were stored and not placed";
        Self {
            orders: meter.counter_by("shop.orders", "Orders that were placed", currency, &["USD"]),
            revenue: meter.counter_by(
                "shop.revenue",
                "What orders that were placed cost, in units of their currency",
                currency,
                &["USD"],
            ),
            unplaced: meter.counter_by(
                "shop.orders.unplaced",
                unplaced,
                "state",
                &[VOIDED, TO_REFUND],
            ),
            resumed: meter.counter(
                "shop.orders.resumed",
                "Orders that were taken over from another process or an earlier attempt",
            ),
            stuck: meter.gauge("shop.orders.stuck", "Orders that need manual intervention"),
            dead_letters: meter.gauge(
                "shop.mails.dead_lettered",
                "Confirmations that could not be sent for a day",
            ),
        }
    }

    /// Counts an order that has reached a state.
    pub(crate) fn reached(&self, entry: &Entry) {
        match entry.order.state() {
            OrderState::Done => {
                let Some(total) = &entry.order.total else { return };
                self.orders.increment(total.currency_code.clone());
                if let Ok(total) = required_amount(Some(total)) {
                    let units = total.total_nanos() as f64 / 1e9;
                    self.revenue.add(total.currency_code().as_str().to_owned(), units);
                }
            }
            OrderState::Voided => self.unplaced.increment(VOIDED),
            OrderState::ToRefund => self.unplaced.increment(TO_REFUND),
            OrderState::Unspecified
            | OrderState::Charging
            | OrderState::Shipping
            | OrderState::Voiding => {}
        }
    }

    /// Counts an order that is taken over.
    pub(crate) fn resumed(&self) {
        self.resumed.increment();
    }

    /// Shows how many orders are stuck now.
    pub(crate) fn show_stuck(&self, stuck: &[Entry]) {
        let has_mail = |entry: &&Entry| {
            entry.order.state() == OrderState::Done
                && entry.order.outbox.contains(&OutboxEvent::Confirmation.into())
        };
        self.stuck.set(stuck.len());
        self.dead_letters.set(stuck.iter().filter(has_mail).count());
    }
}
