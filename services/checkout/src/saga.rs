//! The states of an order from the charge on, and the steps between them: no async, no clock, no I/O.
//!
//! ```text
//! (prepared) ── CHARGING ── SHIPPING ── DONE, with an outbox
//!                  │            │
//!                  └─ VOIDING ──┴── VOIDED
//!                        │
//!                        └───────── TO_REFUND
//! ```
//!
//! An order is stored in a state before the state's step is taken, so that whoever reads it after a crash knows what may
//! have been done. Every step may be taken again: it has one effect for the order's id. Up to `CHARGING` nothing has
//! happened and nothing is stored; between a charge and the parcel nothing happens either, so that *charged* and
//! *shipping* are one state.

use boutique_proto::ext::{OrderState, OutboxEvent, StoredOrder};

/// The step that an order waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Charge the card, or where its number is not known any more, find out whether it was charged.
    Charge,
    /// Ship what was ordered.
    Ship,
    /// Take the charge back, or keep it from coming to be.
    Void,
    /// Deliver what is in the outbox.
    Deliver,
    /// Nothing: it is closed.
    Rest,
}

/// The outcome of a step. A step whose outcome is not known has none, and is taken again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The card was charged with this transaction.
    Charged(String),
    /// Nothing was charged so far. A charge may still be on its way.
    NotCharged,
    /// The payment service does not know what it was asked.
    CannotTell,
    /// The parcel has this tracking id.
    Shipped(String),
    /// The shipping service will never ship this.
    ShippingRefused,
    /// Nothing is charged, and will not be.
    Voided,
    /// An event of the outbox was delivered.
    Delivered(OutboxEvent),
}

/// Returns the step that an order waits for.
pub(crate) fn step(order: &StoredOrder) -> Step {
    match order.state() {
        OrderState::Charging => Step::Charge,
        OrderState::Shipping => Step::Ship,
        OrderState::Voiding => Step::Void,
        OrderState::Done if !order.outbox.is_empty() => Step::Deliver,
        OrderState::Done | OrderState::Voided | OrderState::ToRefund | OrderState::Unspecified => {
            Step::Rest
        }
    }
}

/// Brings an order into the state that follows from the outcome of its step.
pub(crate) fn apply(order: &mut StoredOrder, outcome: Outcome) {
    let state = match (order.state(), outcome) {
        (OrderState::Charging, Outcome::Charged(transaction_id)) => {
            order.transaction_id = transaction_id;
            OrderState::Shipping
        }
        (OrderState::Charging, Outcome::NotCharged)
        | (OrderState::Shipping, Outcome::ShippingRefused) => OrderState::Voiding,
        (OrderState::Charging | OrderState::Voiding, Outcome::CannotTell) => OrderState::ToRefund,
        (OrderState::Shipping, Outcome::Shipped(tracking_id)) => {
            if let Some(order) = &mut order.order {
                order.shipping_tracking_id = tracking_id;
            }
            order.outbox = vec![OutboxEvent::Cart.into(), OutboxEvent::Confirmation.into()];
            OrderState::Done
        }
        (OrderState::Voiding, Outcome::Voided) => OrderState::Voided,
        (state, Outcome::Delivered(event)) => {
            order.outbox.retain(|other| *other != i32::from(event));
            if event == OutboxEvent::Confirmation {
                order.email.clear();
            }
            state
        }
        // What does not belong to the state changes nothing.
        (state, _) => state,
    };
    if state != order.state() {
        order.attempts = 0;
    }
    order.set_state(state);
}

#[cfg(test)]
mod tests {
    use boutique_proto::OrderResult;
    use proptest::prelude::*;

    use super::*;

    /// An order as it is first stored.
    fn charging() -> StoredOrder {
        let mut order = StoredOrder { order: Some(OrderResult::default()), ..Default::default() };
        order.set_state(OrderState::Charging);
        order
    }

    /// The services around an order, each with one effect a key, as they promise.
    #[derive(Default)]
    struct World {
        charges: u32,
        is_void: bool,
        parcels: u32,
        mails: u32,
        emptied: u32,
        ships: bool,
        stored: Option<(StoredOrder, u64)>,
        /// The answers that the customer got: true for an order that is done.
        told: Vec<bool>,
    }

    /// The fate of a call.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Fate {
        Answered,
        /// It had its effect, and nobody heard of it.
        Lost,
        /// It never arrived.
        Failed,
        /// It arrives when somebody else has done something.
        Late,
    }

    /// One who drives the order: what was read, whether the card's number is known, and a call under way.
    struct Driver {
        order: StoredOrder,
        revision: u64,
        has_card: bool,
        late: Option<Step>,
    }

    impl World {
        fn charge(&mut self) -> Option<Outcome> {
            // A key that was voided refuses its charge for ever.
            if self.is_void {
                return Some(Outcome::NotCharged);
            }
            self.charges = 1;
            Some(Outcome::Charged("t".to_owned()))
        }

        fn find_charge(&mut self) -> Option<Outcome> {
            let is_charged = self.charges == 1 && !self.is_void;
            let charged = is_charged.then(|| Outcome::Charged("t".to_owned()));
            Some(charged.unwrap_or(Outcome::NotCharged))
        }

        fn perform(&mut self, step: Step, order: &StoredOrder, has_card: bool) -> Option<Outcome> {
            match step {
                Step::Charge if has_card => self.charge(),
                Step::Charge => self.find_charge(),
                Step::Ship if !self.ships => Some(Outcome::ShippingRefused),
                Step::Ship => {
                    self.parcels = 1;
                    Some(Outcome::Shipped("p".to_owned()))
                }
                Step::Void => {
                    self.is_void = true;
                    Some(Outcome::Voided)
                }
                Step::Deliver => {
                    let event = OutboxEvent::try_from(*order.outbox.first()?).ok()?;
                    match event {
                        OutboxEvent::Confirmation => self.mails = 1,
                        OutboxEvent::Cart | OutboxEvent::Unspecified => self.emptied = 1,
                    }
                    Some(Outcome::Delivered(event))
                }
                Step::Rest => None,
            }
        }

        fn save(&mut self, driver: &mut Driver) -> bool {
            let Some((order, revision)) = &mut self.stored else { return false };
            if *revision != driver.revision {
                return false;
            }
            *order = driver.order.clone();
            *revision += 1;
            driver.revision += 1;
            true
        }

        fn take(&mut self) -> Driver {
            let (order, revision) = self.stored.as_mut().unwrap();
            *revision += 1;
            Driver { order: order.clone(), revision: *revision, has_card: false, late: None }
        }

        /// One step of a driver. Returns false if it has nothing more to do.
        fn drive(&mut self, driver: &mut Driver, fate: Fate) -> bool {
            // What it sent before arrives now, whatever has happened meanwhile. Nobody waits for the answer.
            if let Some(late) = driver.late.take() {
                let order = driver.order.clone();
                self.perform(late, &order, driver.has_card);
                return false;
            }
            let step = step(&driver.order);
            let outcome = match fate {
                Fate::Failed => None,
                Fate::Late => {
                    driver.late = Some(step);
                    return true;
                }
                Fate::Answered => self.perform(step, &driver.order, driver.has_card),
                Fate::Lost => {
                    self.perform(step, &driver.order.clone(), driver.has_card);
                    None
                }
            };
            driver.has_card = false;
            let Some(outcome) = outcome else { return step != Step::Rest };
            apply(&mut driver.order, outcome);
            if !self.save(driver) {
                return false;
            }
            let state = driver.order.state();
            if matches!(state, OrderState::Done | OrderState::Voided) {
                self.told.push(state == OrderState::Done);
            }
            true
        }
    }

    fn fate() -> impl Strategy<Value = Fate> {
        prop_oneof![
            4 => Just(Fate::Answered),
            2 => Just(Fate::Lost),
            2 => Just(Fate::Failed),
            1 => Just(Fate::Late),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(10_000))]

        /// Whatever fails, whoever crashes and whoever takes over: an order that is done has one charge, one parcel and
        /// one mail; one that is voided has neither a charge nor a parcel; and nobody is told two things.
        #[test]
        fn order_ends_done_or_voided_whatever_fails(
            ships in any::<bool>(),
            schedule in prop::collection::vec((0_usize..4, fate(), prop::bool::weighted(0.2)), 0..40),
        ) {
            let mut world = World { ships, stored: Some((charging(), 1)), ..World::default() };
            let first = Driver { order: charging(), revision: 1, has_card: true, late: None };
            let mut drivers = vec![first];
            for (who, fate, takes_over) in schedule {
                if takes_over {
                    drivers.push(world.take());
                }
                let who = who % drivers.len();
                if !world.drive(&mut drivers[who], fate) {
                    let _crashed = drivers.remove(who);
                    if drivers.is_empty() {
                        drivers.push(world.take());
                    }
                }
            }
            // All is well from now on, and the stragglers' calls arrive.
            let mut last = world.take();
            while step(&last.order) != Step::Rest {
                prop_assert!(world.drive(&mut last, Fate::Answered));
            }
            for straggler in &mut drivers {
                while world.drive(straggler, Fate::Answered) && step(&straggler.order) != Step::Rest {}
            }
            let order = &world.stored.as_ref().unwrap().0;
            if order.state() == OrderState::Done {
                prop_assert_eq!((world.charges, world.is_void, world.parcels), (1, false, 1));
                prop_assert_eq!((world.mails, world.emptied), (1, 1));
            } else {
                prop_assert_eq!(order.state(), OrderState::Voided);
                prop_assert!(world.charges == 0 || world.is_void);
                prop_assert_eq!((world.parcels, world.mails), (0, 0));
            }
            prop_assert!(world.told.iter().all(|told| *told == (order.state() == OrderState::Done)));
        }
    }

    #[test]
    fn charge_that_cannot_be_found_out_is_to_be_refunded() {
        for outcomes in [&[Outcome::CannotTell][..], &[Outcome::NotCharged, Outcome::CannotTell]] {
            let mut order = charging();
            for outcome in outcomes {
                apply(&mut order, outcome.clone());
            }
            assert_eq!((order.state(), step(&order)), (OrderState::ToRefund, Step::Rest));
        }
    }

    #[test]
    fn outcome_of_another_state_changes_nothing() {
        let mut order = charging();
        for outcome in [Outcome::Voided, Outcome::Shipped("p".to_owned()), Outcome::ShippingRefused]
        {
            apply(&mut order, outcome);
            assert!(order == charging());
        }
    }
}
