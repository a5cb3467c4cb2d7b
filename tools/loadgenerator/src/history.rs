//! A user's list of orders, which the shop keeps: a second witness of what was acknowledged.

use std::collections::VecDeque;

/// The most orders that a shop lists for a user, the latest first.
const MAX_LISTED: usize = 20;

/// The end of an order, by the shop's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    Complete,
    /// Not placed, and nothing was charged.
    Voided,
    /// It goes on, or the shop does not know.
    Open,
}

/// An order of the shop's list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) id: String,
    pub(crate) state: State,
}

/// The counts of orders in a user's list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Acknowledged orders that are complete.
    pub(crate) acknowledged: u64,
    /// Orders of an unknown outcome that are complete, or go on.
    pub(crate) unknown: u64,
}

/// The latest orders of one user, as they were answered.
#[derive(Debug, Default)]
pub(crate) struct History {
    /// The ids, the latest last.
    acknowledged: VecDeque<String>,
    unknown: u64,
}

impl History {
    /// Notes an order that was acknowledged.
    pub(crate) fn acknowledge(&mut self, id: &str) {
        if self.acknowledged.len() == MAX_LISTED {
            self.acknowledged.pop_front();
        }
        self.acknowledged.push_back(id.to_owned());
    }

    /// Notes an order that may have been placed.
    pub(crate) fn unknown(&mut self) {
        self.unknown += 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.acknowledged.is_empty() && self.unknown == 0
    }

    /// Compares what was answered with the shop's list. The error says what cannot be.
    ///
    /// A list may end early, since a shop that keeps its orders in memory forgets the oldest; but where it has an
    /// order, it must have all later ones.
    pub(crate) fn compare(&self, listed: &[Listed]) -> Result<Found, String> {
        let place = |id: &String| listed.iter().position(|order| order.id == *id);
        let mut found = Found::default();
        for id in self.acknowledged.iter().skip_while(|id| place(id).is_none()) {
            match place(id).map(|place| listed[place].state) {
                Some(State::Complete) => found.acknowledged += 1,
                Some(State::Voided | State::Open) => {
                    return Err("the list of orders says that it is not complete".to_owned());
                }
                None => return Err("the list of orders has older ones, and not this".to_owned()),
            }
        }
        let is_mine = |order: &&Listed| self.acknowledged.contains(&order.id);
        let others = listed.iter().filter(|order| !is_mine(order));
        found.unknown = others.filter(|order| order.state != State::Voided).count() as u64;
        if found.unknown > self.unknown {
            let (more, unknown) = (found.unknown, self.unknown);
            return Err(format!(
                "the list of orders has {more} beside those acknowledged, and {unknown} outcomes were unknown"
            ));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(orders: &[(&str, State)]) -> Vec<Listed> {
        orders.iter().map(|(id, state)| Listed { id: (*id).to_owned(), state: *state }).collect()
    }

    fn history(ids: &[&str], unknown: u64) -> History {
        let mut history = History { unknown, ..History::default() };
        ids.iter().for_each(|id| history.acknowledge(id));
        history
    }

    #[test]
    fn list_has_what_was_acknowledged_and_no_more_than_may_be() {
        use State::{Complete, Open, Voided};
        let all = listed(&[("c", Complete), ("b", Complete), ("a", Complete)]);
        let compare = |ids: &[&str], unknown, listed: &[Listed]| {
            history(ids, unknown)
                .compare(listed)
                .ok()
                .map(|found| (found.acknowledged, found.unknown))
        };
        assert_eq!(compare(&["a", "b", "c"], 0, &all), Some((3, 0)));
        // One that is not known to have been placed was.
        assert_eq!(compare(&["a", "b"], 1, &all), Some((2, 1)));
        assert_eq!(compare(&["a", "b"], 0, &all), None, "an order that nobody placed");
        // The shop has forgotten the oldest, or all.
        assert_eq!(compare(&["a", "b", "c"], 0, &all[..2]), Some((2, 0)));
        assert_eq!(compare(&["a", "b", "c"], 0, &[]), Some((0, 0)));
        assert_eq!(compare(&["a", "b", "c"], 0, &all[1..]), None, "the latest is lost");
        assert_eq!(compare(&["a"], 0, &listed(&[("a", Open)])), None);
        assert_eq!(compare(&["a"], 0, &listed(&[("a", Voided)])), None);
        // What was refused may be there as voided.
        assert_eq!(compare(&[], 0, &listed(&[("a", Voided)])), Some((0, 0)));
    }

    #[test]
    fn no_more_is_remembered_than_is_listed() {
        let ids: Vec<String> = (0..MAX_LISTED + 5).map(|number| number.to_string()).collect();
        let mut history = History::default();
        ids.iter().for_each(|id| history.acknowledge(id));
        let listed = |ids: &[String]| -> Vec<Listed> {
            let listed = |id: &String| Listed { id: id.clone(), state: State::Complete };
            ids.iter().rev().map(listed).collect()
        };
        let found = history.compare(&listed(&ids[5..])).unwrap();
        assert_eq!(found.acknowledged, MAX_LISTED as u64);
    }
}
