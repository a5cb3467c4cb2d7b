//! The target of the load, and whether it is allowed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context as _, bail, ensure};
use http::Uri;

/// The address of a shop: scheme, host, port, and the path before every other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) is_tls: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Empty, or `/` and something.
    pub(crate) base: String,
}

impl Target {
    /// Reads `host:port` as upstream writes it, or a URL.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let url = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
        let uri: Uri = url.parse().context("it is neither host:port nor a URL")?;
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => bail!("only http and https are spoken"),
        };
        let authority = uri.authority().context("it names no host")?;
        ensure!(!authority.as_str().contains('@'), "a user has no place in it");
        ensure!(uri.query().is_none(), "a query has no place in it");
        let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
        ensure!(!host.is_empty(), "it names no host");
        let after_host =
            authority.as_str().rsplit_once(authority.host()).map_or("", |(_, end)| end);
        ensure!(after_host.is_empty() || authority.port_u16().is_some(), "its port is none");
        let port = authority.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        Ok(Self { is_tls, host, port, base: uri.path().trim_end_matches('/').to_owned() })
    }

    /// No address, for a profile that needs none.
    pub(crate) fn nowhere() -> Self {
        Self { is_tls: false, host: "nowhere".to_owned(), port: 0, base: String::new() }
    }

    /// As a `Host` header has it.
    pub(crate) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

/// Refuses a host that may be somebody else's: only loopback and private addresses, names of a
/// cluster, and names that lead nowhere else are known to be the user's own.
pub(crate) async fn check_owned(host: &str, port: u16) -> anyhow::Result<()> {
    if is_service_name(host) {
        return Ok(());
    }
    let addresses: Vec<IpAddr> = match host.parse() {
        Ok(address) => vec![address],
        Err(_) => tokio::net::lookup_host((host, port))
            .await
            .with_context(|| format!("cannot look up {host}"))?
            .map(|address| address.ip())
            .collect(),
    };
    ensure!(
        !addresses.is_empty() && addresses.iter().all(|address| is_private(*address)),
        "{host} is not loopback, private or a service's name; load is sent there only with \
         --i-own-this-target"
    );
    Ok(())
}

/// A name without a dot, or one that only a cluster or this machine resolves.
fn is_service_name(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let is_name = host.parse::<IpAddr>().is_err();
    let is_local = [".localhost", ".svc", ".cluster.local"].iter().any(|end| host.ends_with(end));
    is_name && (is_local || !host.contains('.'))
}

fn is_private(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            address.is_loopback()
                || address.is_private()
                || is_shared(address)
                || address.is_link_local()
        }
        IpAddr::V6(address) => {
            address == Ipv6Addr::LOCALHOST
                || address.is_unique_local()
                || address.is_unicast_link_local()
        }
    }
}

/// 100.64.0.0/10 (RFC 6598), which some clusters give their pods.
fn is_shared(address: Ipv4Addr) -> bool {
    let [first, second, ..] = address.octets();
    first == 100 && (64..128).contains(&second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_host_and_port_or_a_url() {
        let target = |text: &str| {
            let Target { is_tls, host, port, base } = Target::parse(text).unwrap();
            (is_tls, host, port, base)
        };
        assert_eq!(target("frontend:80"), (false, "frontend".to_owned(), 80, String::new()));
        assert_eq!(target("http://127.0.0.1"), (false, "127.0.0.1".to_owned(), 80, String::new()));
        assert_eq!(
            target("https://shop.svc/eu/"),
            (true, "shop.svc".to_owned(), 443, "/eu".to_owned())
        );
        assert_eq!(target("[::1]:8080"), (false, "::1".to_owned(), 8080, String::new()));
        assert_eq!(Target::parse("[::1]:8080").unwrap().authority(), "[::1]:8080");
        for wrong in ["", "ftp://a", "http://", "me@host:80", "host:80?x=1", "host:99999", "a b"] {
            assert!(Target::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn load_goes_to_what_is_the_users_own() {
        for own in [
            "frontend",
            "localhost",
            "frontend.shop.svc",
            "frontend.shop.svc.cluster.local",
            "127.0.0.1",
            "::1",
            "10.1.2.3",
            "192.168.0.1",
            "172.31.255.255",
            "100.64.0.1",
            "169.254.1.1",
            "fd00::1",
            "::ffff:10.0.0.1",
        ] {
            assert!(check_owned(own, 80).await.is_ok(), "{own}");
        }
        for foreign in ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8"]
        {
            let refused = check_owned(foreign, 80).await.unwrap_err().to_string();
            assert!(refused.contains("--i-own-this-target"), "{foreign}: {refused}");
        }
    }
}
