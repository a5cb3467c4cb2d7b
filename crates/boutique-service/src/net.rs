//! Sockets: options of connections, and the addresses of services.

use std::net::IpAddr;
use std::time::Duration;

use http::uri::Authority;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;

/// How long sent bytes may stay unacknowledged before the peer counts as gone.
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

/// Where a service is, and whether it is called over TLS.
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

    /// Parses `host:port`, `dns:///host:port`, `http://host:port` or `https://host:port`.
    pub(crate) fn parse(address: &str) -> Option<Self> {
        let (rest, is_tls) = match address.strip_prefix("https://") {
            Some(rest) => (rest, true),
            None => {
                let plain = ["dns:///", "http://"].iter().find_map(|s| address.strip_prefix(s));
                (plain.unwrap_or(address), false)
            }
        };
        let authority: Authority = rest.trim_end_matches('/').parse().ok()?;
        authority.port_u16()?;
        Some(Self { authority, is_tls })
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
        ] {
            let expected = Target { authority: authority.parse().unwrap(), is_tls };
            assert_eq!(Target::parse(address), Some(expected), "{address}");
        }
        for address in ["", "cartservice", "https://cartservice", "ftp://cartservice:1", "a b:1"] {
            assert_eq!(Target::parse(address), None, "{address}");
        }
    }
}
