//! Whole shops to measure: ours in its forms, the baseline, and any other by its address.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use boutique_proto::services::{SERVICES, ServiceSpec};

use crate::process::{Machine, Meter, Running, first_page, free_ports};
use crate::workload::{HOME, Workload};

/// The `CACHE_TTL` of the cached profile.
const CACHE_TTL: &str = "10s";

/// A shop that is running.
pub(crate) struct System {
    pub(crate) label: String,
    /// The address of its frontend.
    pub(crate) address: String,
    /// Upstream's settings of its addresses, where they are known.
    pub(crate) addresses: BTreeMap<String, String>,
    /// Its parts by name; Redis is counted apart.
    pub(crate) meters: Vec<(String, Meter)>,
    /// True if its pages are ours, and can be checked.
    pub(crate) is_shop: bool,
    /// From exec to the first page.
    pub(crate) opened_in: Option<Duration>,
    /// Memory after the start and before any request, in MB.
    pub(crate) fresh: f64,
    _processes: Vec<Running>,
}

pub(crate) type Settings = BTreeMap<String, String>;

fn settings<const N: usize>(pairs: [(&str, &str); N]) -> Settings {
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

impl System {
    /// The whole shop in one process.
    pub(crate) fn one(machine: &Machine, label: &str, extra: &Settings) -> anyhow::Result<Self> {
        let mut env = settings([("TOKIO_WORKER_THREADS", "1")]);
        let [port] = free_ports()?;
        env.insert("PORT".to_owned(), port.to_string());
        env.extend(extra.clone());
        let address = format!("127.0.0.1:{port}");
        let shop = machine.part("boutique", label, &env)?;
        let began = Instant::now();
        let shop = Running::new(shop)?;
        let opened_in = Some(first_page(&address, began)?);
        let meters = vec![("boutique".to_owned(), shop.meter())];
        Self::settled(label, address, Settings::new(), meters, true, opened_in, vec![shop])
    }

    /// The shop as ten processes, all started at once.
    pub(crate) fn ten(machine: &Machine, label: &str, extra: &Settings) -> anyhow::Result<Self> {
        let mut env = settings([("TOKIO_WORKER_THREADS", "1"), ("LISTEN_ADDR", "127.0.0.1")]);
        let ports: [u16; SERVICES.len()] = free_ports()?;
        for (service, port) in SERVICES.iter().zip(ports) {
            env.insert(service.addr_key.to_owned(), format!("127.0.0.1:{port}"));
        }
        env.extend(extra.clone());
        let mut parts = Vec::new();
        for (service, port) in SERVICES.iter().zip(ports) {
            env.insert("PORT".to_owned(), port.to_string());
            parts.push((service.name, machine.part(service.name, label, &env)?));
        }
        let began = Instant::now();
        let (mut meters, mut processes) = (Vec::new(), Vec::new());
        for (name, part) in parts {
            let process = Running::new(part)?;
            meters.push((name.to_owned(), process.meter()));
            processes.push(process);
        }
        let address = env["FRONTEND_ADDR"].clone();
        let opened_in = Some(first_page(&address, began)?);
        Self::settled(label, address, env, meters, true, opened_in, processes)
    }

    /// The baseline L2: the same processes and calls with nothing in them.
    pub(crate) fn baseline(
        machine: &Machine,
        label: &str,
        is_reduced: bool,
    ) -> anyhow::Result<Self> {
        let mut env = Settings::new();
        let (mut meters, mut processes) = (Vec::new(), Vec::new());
        // Upstream's; others have no stand-in, because no page calls them.
        let is_upstreams = |service: &&ServiceSpec| {
            let mut methods = service.methods.iter();
            service.methods.is_empty()
                || methods.any(|method| method.path.starts_with("/hipstershop."))
        };
        for service in SERVICES.iter().filter(is_upstreams) {
            let kind = match service.name {
                "frontend" if is_reduced => "frontend-reduced",
                "recommendationservice" if is_reduced => "recommendationservice-reduced",
                name => name,
            };
            let (process, address) = machine.baseline(kind, label, &env)?;
            env.insert(service.addr_key.to_owned(), address);
            meters.push((service.name.to_owned(), process.meter()));
            processes.push(process);
        }
        let address = env["FRONTEND_ADDR"].clone();
        Self::settled(label, address, env, meters, false, None, processes)
    }

    /// A baseline of a single process.
    pub(crate) fn page(
        machine: &Machine,
        label: &str,
        kind: &str,
        extra: &Settings,
    ) -> anyhow::Result<Self> {
        let (process, address) = machine.baseline(kind, label, extra)?;
        let meters = vec![(kind.to_owned(), process.meter())];
        Self::settled(label, address, Settings::new(), meters, false, None, vec![process])
    }

    /// A shop that somebody else has started: its address and the meters of its parts.
    pub(crate) fn other(label: &str, address: &str, meters: &[String]) -> anyhow::Result<Self> {
        let named = meters.iter().map(|text| {
            let (name, meter) =
                text.split_once('=').context("a meter is name=pid or name=cgroup")?;
            Ok((name.to_owned(), Meter::parse(meter)?))
        });
        let named = named.collect::<anyhow::Result<Vec<_>>>()?;
        let address = address.trim_start_matches("http://").trim_end_matches('/').to_owned();
        Self::settled(label, address, Settings::new(), named, true, None, Vec::new())
    }

    fn settled(
        label: &str,
        address: String,
        addresses: Settings,
        meters: Vec<(String, Meter)>,
        is_shop: bool,
        opened_in: Option<Duration>,
        processes: Vec<Running>,
    ) -> anyhow::Result<Self> {
        let label = label.to_owned();
        let mut system = Self {
            label,
            address,
            addresses,
            meters,
            is_shop,
            opened_in,
            fresh: 0.0,
            _processes: processes,
        };
        system.fresh = system.memory()?;
        Ok(system)
    }

    /// Returns true if it can be put under this load: a baseline of a single process knows one page.
    pub(crate) fn answers(&self, workload: &Workload) -> bool {
        match (self.addresses.is_empty(), self.is_shop) {
            (false, _) => true,
            (true, true) => !workload.is_grpc,
            (true, false) => *workload == HOME,
        }
    }

    /// The settings of the cached profile.
    pub(crate) fn cached() -> Settings {
        settings([("CACHE_TTL", CACHE_TTL)])
    }

    /// Each part's CPU so far, in seconds.
    pub(crate) fn cpu(&self) -> anyhow::Result<Vec<f64>> {
        self.meters.iter().map(|(_, meter)| meter.cpu()).collect()
    }

    /// All parts' memory, in MB.
    pub(crate) fn memory(&self) -> anyhow::Result<f64> {
        self.meters.iter().map(|(_, meter)| meter.memory()).sum()
    }
}
