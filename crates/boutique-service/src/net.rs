//! Sockets: options of connections, and the addresses of services.

use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use http::uri::Authority;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// The longest time that sent bytes may stay unacknowledged before the peer counts as gone.
const USER_TIMEOUT: Duration = Duration::from_secs(15);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(5);

/// Sends small messages at once, and detects a peer that is gone.
pub(crate) fn tune(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    socket.set_tcp_keepalive(
        &TcpKeepalive::new().with_time(USER_TIMEOUT).with_interval(KEEPALIVE_INTERVAL),
    )?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(USER_TIMEOUT))?;
    Ok(())
}

/// The other end of a connection; in the extensions of every request of an HTTP service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its address; one of IPv4 that came by IPv6 as IPv4.
    pub address: IpAddr,
    /// True if the connection is TLS.
    pub is_tls: bool,
}

/// A host as people and their tools write it, with a port or without one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// A name, an IPv4 address, or an IPv6 address without brackets.
    pub host: String,
    /// 1 to 65535.
    pub port: Option<u16>,
}

impl HostPort {
    /// Parses `host`, `host:port`, `[IPv6]`, `[IPv6]:port`, or an IPv6 address without brackets, which has no port.
    pub fn parse(text: &str) -> Option<Self> {
        if is_ipv6(text) {
            return Some(Self { host: text.to_owned(), port: None });
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(inner) => {
                let (host, rest) = inner.split_once(']').filter(|(host, _)| is_ipv6(host))?;
                let port = if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) };
                (host, port)
            }
            None => {
                let (host, port) = match text.split_once(':') {
                    Some((host, port)) => (host, Some(port)),
                    None => (text, None),
                };
                let is_plain = |c: char| c.is_ascii_alphanumeric() || ".-_".contains(c);
                (Some(host).filter(|host| !host.is_empty() && host.chars().all(is_plain))?, port)
            }
        };
        let port = match port {
            // A sign would be parsed.
            Some(digits) if !digits.starts_with('+') => {
                Some(digits.parse().ok().filter(|port| *port > 0)?)
            }
            Some(_) => return None,
            None => None,
        };
        Some(Self { host: host.to_owned(), port })
    }
}

/// Returns true for an IPv6 address, with or without a zone (`fe80::1%eth0`).
fn is_ipv6(text: &str) -> bool {
    let (address, zone) = text.split_once('%').map_or((text, None), |(a, z)| (a, Some(z)));
    address.parse::<Ipv6Addr>().is_ok()
        && zone.is_none_or(|zone| !zone.is_empty() && zone.chars().all(|c| c.is_alphanumeric()))
}

/// The address of a service, with or without TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) authority: Authority,
    pub(crate) is_tls: bool,
}

impl Target {
    /// The target of requests that do not leave the process.
    pub(crate) fn local() -> Self {
        Self { authority: Authority::from_static("inproc"), is_tls: false }
    }

    /// Returns the name, or the IP address without brackets.
    pub(crate) fn host(&self) -> &str {
        self.authority.host().trim_start_matches('[').trim_end_matches(']')
    }

    /// Parses `host:port`, also after `dns:///`, `dns:`, `passthrough:///`, `ipv4:`, `ipv6:`, `http://` or `https://`, as
    /// gRPC clients take it. A host is a name, an IPv4 address, or an IPv6 address in brackets; `default_port` is that
    /// of an address without one.
    pub(crate) fn parse(address: &str, default_port: Option<u16>) -> Option<Self> {
        let (rest, is_tls) = match address.strip_prefix("https://") {
            Some(rest) => (rest, true),
            None => {
                let schemes = ["dns:///", "dns:", "passthrough:///", "ipv4:", "ipv6:", "http://"];
                let plain = schemes.iter().find_map(|scheme| address.strip_prefix(scheme));
                (plain.unwrap_or(address), false)
            }
        };
        let HostPort { host, port } = HostPort::parse(rest.trim_end_matches('/'))?;
        let port = port.or(default_port)?;
        let authority =
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        Some(Self { authority: authority.parse().ok()?, is_tls })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn address_has_a_host_and_a_port() {
        for (address, authority, is_tls) in [
            ("cartservice:7070", "cartservice:7070", false),
            ("dns:///cartservice:7070", "cartservice:7070", false),
            ("http://127.0.0.1:7070/", "127.0.0.1:7070", false),
            ("https://cartservice:7070", "cartservice:7070", true),
            ("https://[::1]:7070", "[::1]:7070", true),
            ("dns:cartservice:7070", "cartservice:7070", false),
            ("passthrough:///10.0.0.1:7070", "10.0.0.1:7070", false),
            ("ipv4:10.0.0.1:7070", "10.0.0.1:7070", false),
            ("ipv6:[2001:db8::1]:7070", "[2001:db8::1]:7070", false),
        ] {
            let expected = Target { authority: authority.parse().unwrap(), is_tls };
            assert_eq!(Target::parse(address, None), Some(expected), "{address}");
        }
        for address in [
            "",
            "cartservice",
            "https://cartservice",
            "ftp://cartservice:1",
            "a b:1",
            ":3550",
            "http://:3550",
            "dns:///:3550",
            "cartservice:0",
            "cartservice:99999",
            "cartservice:",
            "user@cartservice:1",
            "[cartservice]:1",
            "::1",
            "cartservice:+1",
            "cartservice:1:2",
        ] {
            assert_eq!(Target::parse(address, None), None, "{address}");
        }
        for (address, authority) in [
            ("collector", "collector:4317"),
            ("collector:1", "collector:1"),
            ("::1", "[::1]:4317"),
            ("[::1]", "[::1]:4317"),
            ("http://10.0.0.1", "10.0.0.1:4317"),
        ] {
            let target = Target::parse(address, Some(4317));
            assert_eq!(target.unwrap().authority.as_str(), authority, "{address}");
        }
    }
}
