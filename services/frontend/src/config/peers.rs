//! The admin ports of other processes.

use boutique_proto::services::SERVICES;
use boutique_service::{Env, EnvError, HostPort};

/// The part of an address that stands for the name of each service.
const SERVICE: &str = "{service}";

/// A service, and the host and port of the admin ports of its replicas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PeerAddress {
    pub(crate) service: String,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl PeerAddress {
    /// Reads a list of `service=host:port`, and of addresses of all services, as in `{service}-metrics:9464`.
    pub(crate) fn list(env: &Env, setting: &str) -> Result<Vec<Self>, EnvError> {
        let entries = env.get(setting).unwrap_or_default().split(',').map(str::trim);
        let mut peers = Vec::new();
        for entry in entries.filter(|entry| !entry.is_empty()) {
            let found = match entry.split_once('=') {
                Some((service, address)) => Self::parse(service, address).map(|peer| vec![peer]),
                None if entry.contains(SERVICE) => {
                    let of = |name: &str| Self::parse(name, &entry.replace(SERVICE, name));
                    SERVICES.iter().map(|spec| of(spec.name)).collect()
                }
                None => None,
            };
            let allowed = "must be a list of service=host:port, or {service}-metrics:port";
            peers.extend(found.ok_or_else(|| EnvError::new(setting, allowed))?);
        }
        Ok(peers)
    }

    fn parse(service: &str, address: &str) -> Option<Self> {
        let HostPort { host, port } = HostPort::parse(address)?;
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let is_service = !service.is_empty() && service.chars().all(is_name);
        is_service.then_some(Self { service: service.to_owned(), host, port: port? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Result<Vec<PeerAddress>, EnvError> {
        PeerAddress::list(&Env::from([("PEERS", text)]), "PEERS")
    }

    #[test]
    fn addresses_are_named_or_made_of_names() {
        let peers = list("cartservice=10.0.0.1:9464, ad=[::1]:1,").unwrap();
        let peers: Vec<_> = peers.iter().map(|p| (&*p.service, &*p.host, p.port)).collect();
        assert_eq!(peers, [("cartservice", "10.0.0.1", 9464), ("ad", "::1", 1)]);
        let peers = list("{service}-metrics:9464").unwrap();
        assert_eq!(peers.len(), SERVICES.len());
        assert!(peers.iter().all(|peer| peer.host == format!("{}-metrics", peer.service)));
        assert_eq!(list(""), Ok(Vec::new()));
    }

    #[test]
    fn addresses_that_mean_nothing_are_refused() {
        for text in [
            "cartservice",
            "cartservice:9464",
            "a=b",
            "=b:1",
            "a=b:0",
            "{service}",
            "a b=c:1",
            "<a>=b:1",
        ] {
            let error = list(text).unwrap_err().to_string();
            assert!(error.contains("PEERS must be a list of service=host:port"), "{text}: {error}");
        }
    }
}
