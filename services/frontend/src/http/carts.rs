//! A bound on the carts of one client address, for a shop that strangers reach (`MAX_CARTS_PER_ADDRESS`).

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The time in which the carts of an address are counted.
const WINDOW: Duration = Duration::from_secs(3600);
/// The most carts that are remembered, in some two megabytes. With more, counting begins anew.
const MAX_REMEMBERED: usize = 65_536;

/// The number of carts that each address has filled within an hour.
pub(crate) struct CartsByAddress {
    max: usize,
    window: Mutex<Window>,
}

struct Window {
    began: Instant,
    hasher: RandomState,
    carts: HashSet<u64>,
    counts: HashMap<IpAddr, usize>,
}

impl Window {
    fn new(began: Instant) -> Self {
        let (carts, counts) = (HashSet::new(), HashMap::new());
        Self { began, hasher: RandomState::new(), carts, counts }
    }
}

impl CartsByAddress {
    /// Takes at most `max` carts from an address within an hour.
    pub(crate) fn new(max: usize, now: Instant) -> Self {
        Self { max, window: Mutex::new(Window::new(now)) }
    }

    /// Returns false if this session's cart is one too many for the address. A session is what a client says, so a
    /// client that says another one each time is counted each time.
    pub(crate) fn admit(&self, address: IpAddr, session: &str, now: Instant) -> bool {
        let address = network(address);
        let mut window = self.window.lock();
        if now.duration_since(window.began) >= WINDOW || window.carts.len() >= MAX_REMEMBERED {
            *window = Window::new(now);
        }
        let cart = window.hasher.hash_one((address, session));
        if window.carts.contains(&cart) {
            return true;
        }
        let count = window.counts.entry(address).or_default();
        if *count >= self.max {
            return false;
        }
        *count += 1;
        window.carts.insert(cart)
    }
}

/// The addresses that one client has: of IPv6 a network of 64 bits.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carts_are_counted_by_address_for_an_hour() {
        let now = Instant::now();
        let carts = CartsByAddress::new(2, now);
        let [here, there] = [IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2])];
        assert!(carts.admit(here, "a", now) && carts.admit(here, "b", now));
        assert!(!carts.admit(here, "c", now), "the third");
        assert!(carts.admit(here, "a", now), "one of the two");
        assert!(carts.admit(there, "c", now), "of another address");
        let later = now + WINDOW;
        assert!(carts.admit(here, "c", later));
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        let now = Instant::now();
        let carts = CartsByAddress::new(1, now);
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        assert!(carts.admit(address("2001:db8::1"), "a", now));
        assert!(!carts.admit(address("2001:db8::ffff:2"), "b", now));
        assert!(carts.admit(address("2001:db8:0:1::1"), "b", now));
    }

    #[test]
    fn memory_is_bounded() {
        let now = Instant::now();
        let carts = CartsByAddress::new(usize::MAX, now);
        for number in 0..2 * MAX_REMEMBERED {
            assert!(carts.admit(IpAddr::from([10, 0, 0, 1]), &number.to_string(), now));
        }
        assert!(carts.window.lock().carts.len() <= MAX_REMEMBERED);
    }
}
