//! Turns the names of a service into the addresses of its endpoints, again and again.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::{Notify, watch};

use super::address::Tiers;
use crate::net::Target;

/// The time between two look-ups. The system's resolver tells no time to live.
const INTERVAL: Duration = Duration::from_secs(5);
/// The same while there is no address at all.
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
/// The least time between two look-ups, however many calls ask for one.
const MIN_INTERVAL: Duration = Duration::from_millis(250);
/// The most addresses of one name that are called.
const MAX_ADDRESSES: usize = 64;

/// The address of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) target: Arc<Target>,
    /// `None` if each connection looks the name up itself.
    pub(super) address: Option<SocketAddr>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => address.fmt(f),
            None => self.target.authority.fmt(f),
        }
    }
}

/// The result of the last look-up.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    /// Sets of equal endpoints, the preferred set first.
    pub(super) tiers: Vec<Vec<Place>>,
    /// The reason why there is none.
    pub(super) error: Option<Arc<str>>,
}

/// Looks names up while anybody wants to know.
#[derive(Debug)]
pub(super) struct Resolver {
    names: Tiers,
    /// Each process takes other ones of many addresses.
    seed: RandomState,
    found: watch::Sender<Found>,
    is_started: AtomicBool,
    wanted: Notify,
}

impl Resolver {
    /// Makes a resolver, which starts at the first call. With `spreads` false each name is one endpoint, whatever
    /// its addresses.
    pub(super) fn new(names: Tiers, spreads: bool) -> Arc<Self> {
        let place = |target: &Arc<Target>| match (spreads, ip(target)) {
            (false, _) => Some(Place { target: target.clone(), address: None }),
            (true, Some(address)) => Some(Place { target: target.clone(), address: Some(address) }),
            (true, None) => None,
        };
        let known = names.iter().map(|tier| tier.iter().map(place).collect());
        let known: Option<Vec<_>> = known.collect();
        Arc::new(Self {
            is_started: AtomicBool::new(known.is_some()),
            found: watch::Sender::new(Found { tiers: known.unwrap_or_default(), error: None }),
            names,
            seed: RandomState::new(),
            wanted: Notify::new(),
        })
    }

    pub(super) fn subscribe(&self) -> watch::Receiver<Found> {
        let mut found = self.found.subscribe();
        found.mark_changed();
        found
    }

    /// Starts looking up, unless that has begun or is not needed.
    pub(super) fn start(self: &Arc<Self>) {
        if !self.is_started.load(Ordering::Relaxed)
            && !self.is_started.swap(true, Ordering::Relaxed)
        {
            tokio::spawn(self.clone().run());
        }
    }

    /// Asks for a look-up now: an endpoint may have moved.
    pub(super) fn refresh(&self) {
        self.wanted.notify_one();
    }

    async fn run(self: Arc<Self>) {
        let mut known = BTreeMap::new();
        loop {
            let found = self.look_up(&mut known).await;
            let interval = if found.tiers.is_empty() { RETRY_INTERVAL } else { INTERVAL };
            self.found.send_if_modified(|last| {
                let is_new = last.tiers != found.tiers || last.error != found.error;
                *last = found;
                is_new
            });
            tokio::time::sleep(MIN_INTERVAL).await;
            // Not all clients at the same time.
            let pause = interval.mul_f64(0.8 + 0.4 * fastrand::f64()).saturating_sub(MIN_INTERVAL);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.wanted.notified() => {}
                () = self.found.closed() => return,
            }
        }
    }

    /// Looks all names up at the same time. What was known of a name stays if it cannot be looked up now.
    async fn look_up(&self, known: &mut BTreeMap<String, Vec<SocketAddr>>) -> Found {
        let names: Vec<&Arc<Target>> = self.names.iter().flatten().collect();
        let answers = join_all(names.iter().map(|target| self.addresses(target))).await;
        let mut error = None;
        for (target, answer) in names.iter().zip(answers) {
            match answer {
                Ok(addresses) => drop(known.insert(target.authority.to_string(), addresses)),
                Err(cause) => {
                    error.get_or_insert(format!("cannot resolve {}: {cause}", target.authority));
                }
            }
        }
        let mut tiers = Vec::new();
        for names in &self.names {
            // A host with addresses of both families is one endpoint: the family that the system prefers counts.
            let (mut preferred, mut other) = (Vec::new(), Vec::new());
            for target in names {
                let addresses = known.get(target.authority.as_str()).map_or(&[][..], Vec::as_slice);
                for address in addresses {
                    let is_preferred = address.is_ipv4() == addresses[0].is_ipv4();
                    let tier = if is_preferred { &mut preferred } else { &mut other };
                    tier.push(Place { target: target.clone(), address: Some(*address) });
                }
            }
            tiers.extend([preferred, other].into_iter().filter(|tier| !tier.is_empty()));
        }
        let error = error.filter(|_| tiers.is_empty());
        Found { tiers, error: error.map(Into::into) }
    }

    /// Looks up the addresses of a name: the family that the system prefers first, each in an order that stays.
    async fn addresses(&self, target: &Target) -> std::io::Result<Vec<SocketAddr>> {
        let port = target.authority.port_u16().unwrap_or_default();
        let found = tokio::net::lookup_host((target.host(), port)).await?;
        let mut addresses: Vec<SocketAddr> = found.collect();
        let prefers_ipv4 = addresses.first().is_some_and(SocketAddr::is_ipv4);
        addresses.sort_by_cached_key(|address| {
            (address.is_ipv4() != prefers_ipv4, self.seed.hash_one(address), *address)
        });
        addresses.dedup();
        addresses.truncate(MAX_ADDRESSES);
        Ok(addresses)
    }
}

/// The address of a target that has one instead of a name.
fn ip(target: &Target) -> Option<SocketAddr> {
    let host = target.host();
    let ip: IpAddr = host.parse().ok()?;
    Some(SocketAddr::new(ip, target.authority.port_u16()?))
}
