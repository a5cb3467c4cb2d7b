//! The ads, and which of them suit a page.

use rand::{Rng, RngExt as _};

/// A line of text that leads to a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ad {
    pub(crate) context: &'static str,
    pub(crate) redirect_url: &'static str,
    pub(crate) text: &'static str,
}

/// The number of ads that are drawn when none suits.
const RANDOM_ADS: usize = 2;

/// Upstream's ads, word for word.
const ADS: [Ad; 7] = [
    Ad {
        context: "clothing",
        redirect_url: "/product/66VCHSJNUP",
        text: "Tank top for sale. 20% off.",
    },
    Ad {
        context: "accessories",
        redirect_url: "/product/1YMWWN1N4O",
        text: "Watch for sale. Buy one, get second kit for free",
    },
    Ad {
        context: "footwear",
        redirect_url: "/product/L9ECAV7KIM",
        text: "Loafers for sale. Buy one, get second one for free",
    },
    Ad {
        context: "hair",
        redirect_url: "/product/2ZYFJ3GM2N",
        text: "Hairdryer for sale. 50% off.",
    },
    Ad {
        context: "decor",
        redirect_url: "/product/0PUK6V6EV0",
        text: "Candle holder for sale. 30% off.",
    },
    Ad {
        context: "kitchen",
        redirect_url: "/product/9SIQT8TOJO",
        text: "Bamboo glass jar for sale. 10% off.",
    },
    Ad {
        context: "kitchen",
        redirect_url: "/product/6E92ZMYYFZ",
        text: "Mug for sale. Buy two, get third one for free",
    },
];

/// The most keys that are looked at: more than any product has categories.
const MAX_KEYS: usize = 64;

/// All ads of each of the first 64 keys, in the keys' order; random ones where that would be none.
pub(crate) fn choose<'a>(
    context_keys: impl Iterator<Item = &'a str>,
    rng: &mut impl Rng,
) -> Vec<Ad> {
    let suiting: Vec<Ad> = context_keys
        .take(MAX_KEYS)
        .flat_map(|key| ADS.into_iter().filter(move |ad| ad.context == key))
        .collect();
    if suiting.is_empty() {
        // Upstream draws with replacement, so both may be the same.
        return (0..RANDOM_ADS).map(|_| ADS[rng.random_range(0..ADS.len())]).collect();
    }
    suiting
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ad_of_every_key_is_shown_in_the_keys_order() {
        let chosen = choose(["kitchen", "clothing", "kitchen"].into_iter(), &mut rand::rng());
        let contexts: Vec<_> = chosen.iter().map(|ad| ad.context).collect();
        assert_eq!(contexts, ["kitchen", "kitchen", "clothing", "kitchen", "kitchen"]);
    }

    #[test]
    fn work_is_bounded() {
        let many = std::iter::repeat_n("kitchen", 400_000);
        assert_eq!(choose(many, &mut rand::rng()).len(), 2 * MAX_KEYS);
    }

    #[test]
    fn there_is_never_no_ad() {
        for keys in [&[][..], &["tops"], &["Kitchen"], &["", "\u{0}"]] {
            assert_eq!(choose(keys.iter().copied(), &mut rand::rng()).len(), 2, "{keys:?}");
        }
    }

    #[test]
    fn random_ads_come_from_all_of_them() {
        let mut rng = rand::rng();
        let drawn: Vec<Ad> = (0..500).flat_map(|_| choose(std::iter::empty(), &mut rng)).collect();
        assert!(ADS.iter().all(|ad| drawn.contains(ad)));
    }
}
