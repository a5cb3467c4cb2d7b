//! A sample of the catalog without what is already in view.

use rand::Rng;
use rand::seq::index;

/// The most products that are suggested.
const MOST: usize = 5;

/// The most products in view that are looked at; a cart has at most 500 lines.
const MAX_SEEN: usize = 512;

/// At most five ids that are not in `seen`, uniformly and in random order. It draws only as many as
/// it needs if all that was seen is among them, so a large catalog costs no more than a small one.
pub(crate) fn suggest(ids: &[String], seen: &[String], rng: &mut impl Rng) -> Vec<String> {
    let seen = &seen[..seen.len().min(MAX_SEEN)];
    let drawn = index::sample(rng, ids.len(), ids.len().min(MOST + seen.len()));
    let drawn = drawn.into_iter().map(|place| &ids[place]);
    drawn.filter(|id| !seen.contains(id)).take(MOST).cloned().collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn ids(numbers: impl IntoIterator<Item = u8>) -> Vec<String> {
        numbers.into_iter().map(|number| number.to_string()).collect()
    }

    #[test]
    fn five_are_suggested_and_none_that_was_seen() {
        let suggested = suggest(&ids(1..=9), &ids([1, 2, 42]), &mut rand::rng());

        assert_eq!(suggested.len(), 5);
        for (place, id) in suggested.iter().enumerate() {
            assert!(ids(3..=9).contains(id) && !suggested[..place].contains(id));
        }
    }

    #[test]
    fn work_is_bounded() {
        let catalog: Vec<String> = (0..10_000).map(|number| number.to_string()).collect();
        let seen: Vec<String> = (0..400_000).map(|number| format!("x{number}")).collect();
        assert_eq!(suggest(&catalog, &seen, &mut rand::rng()).len(), 5);
    }

    #[test]
    fn there_may_be_fewer_left_or_none() {
        let mut rng = rand::rng();
        assert_eq!(suggest(&ids(1..=9), &ids(2..=9), &mut rng), ids([1]));
        assert_eq!(suggest(&ids(1..=9), &ids(1..=9), &mut rng), ids([]));
        assert_eq!(suggest(&ids([]), &[], &mut rng), ids([]));
    }

    #[test]
    fn every_product_is_as_likely_as_any_other() {
        let mut rng = rand::rng();
        let mut hits = BTreeMap::new();
        for id in (0..2_000).flat_map(|_| suggest(&ids(1..=9), &ids([1]), &mut rng)) {
            *hits.entry(id).or_insert(0) += 1;
        }
        // 2,000 draws of five out of eight: 1,250 each, standard deviation 22.
        assert_eq!(hits.len(), 8);
        assert!(hits.values().all(|hits| (1_100..1_400).contains(hits)), "{hits:?}");
    }
}
