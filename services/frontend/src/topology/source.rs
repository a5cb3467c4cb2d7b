//! The processes that are asked: this one, and others at their admin ports.

use std::net::SocketAddr;
use std::time::Instant;

use ::http::Uri;
use boutique_service::AdminView;
use futures_util::future::join_all;

use super::reading::Reading;
use super::view::{Process, Scope, Snapshot};
use crate::config::PeerAddress;
use crate::fetch;

/// The largest text of an admin port in bytes.
const MAX_TEXT: usize = 8 * 1024 * 1024;
/// The most processes of one service that are asked.
const MAX_REPLICAS: usize = 64;
/// The address of this process, where it has none.
const OWN: &str = "";

/// Where readings come from.
pub(crate) struct Source {
    own: AdminView,
    peers: Vec<PeerAddress>,
}

impl Source {
    /// This process, and the admin ports of others.
    pub(crate) fn new(own: AdminView, peers: Vec<PeerAddress>) -> Self {
        Self { own, peers }
    }

    /// Starts measuring the requests of this process, or stops it unless its metrics are exported.
    pub(crate) fn measure(&self, is_wanted: bool) {
        self.own.measure(is_wanted);
    }

    /// Asks every process.
    pub(crate) async fn read(&self) -> Snapshot {
        let peers = join_all(self.peers.iter().map(read_replicas));
        let (own, peers) = tokio::join!(self.read_own(), peers);
        let mut processes: Vec<Process> = peers.into_iter().flatten().collect();
        let served = own.reading.iter().flat_map(|reading| reading.serving.keys());
        let scope = match &self.peers[..] {
            [] if served.clone().count() > 1 => Scope::Process,
            [] => Scope::Own,
            _ => Scope::Peers,
        };
        // Where the replicas of this service are asked, this process is one of them.
        if !served.clone().any(|own| self.peers.iter().any(|peer| peer.service == *own)) {
            processes.push(own);
        }
        Snapshot { at: Instant::now(), scope, processes }
    }

    async fn read_own(&self) -> Process {
        let view = self.own.clone();
        // Beside the thread that answers requests.
        let read =
            tokio::task::spawn_blocking(move || Reading::parse(&view.metrics(), &view.faults()));
        Process { address: OWN.to_owned(), service: None, reading: read.await.ok() }
    }
}

async fn read_replicas(peer: &PeerAddress) -> Vec<Process> {
    let process = |address: String, reading| Process {
        address,
        service: Some(peer.service.clone()),
        reading,
    };
    let lookup = tokio::net::lookup_host((peer.host.as_str(), peer.port));
    let found: Vec<SocketAddr> = match tokio::time::timeout(fetch::SHORT, lookup).await {
        Ok(Ok(found)) => found.collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    };
    // A pod may have an address of either family.
    let is_ipv4 = found.first().is_some_and(SocketAddr::is_ipv4);
    let of_family = |address: &SocketAddr| address.is_ipv4() == is_ipv4;
    let found = found.into_iter().filter(of_family).take(MAX_REPLICAS);
    let read = found.map(|address| async move {
        let reading = read_admin_port(&format!("http://{address}")).await;
        process(address.to_string(), reading)
    });
    let mut replicas = join_all(read).await;
    if replicas.is_empty() {
        replicas.push(process(peer.host.clone(), None));
    }
    replicas
}

async fn read_admin_port(base: &str) -> Option<Reading> {
    let get = async |path: &str| {
        let uri: Uri = format!("{base}{path}").parse().ok()?;
        let bytes = fetch::get_at_most(MAX_TEXT, uri, None).await.ok()?;
        String::from_utf8(bytes.into()).ok()
    };
    let (metrics, faults) = tokio::join!(get("/metrics"), get("/faults"));
    let (metrics, faults) = (metrics?, faults.unwrap_or_default());
    tokio::task::spawn_blocking(move || Reading::parse(&metrics, &faults)).await.ok()
}
