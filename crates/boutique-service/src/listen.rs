//! The addresses that a process listens on.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};

use anyhow::Context as _;
use tokio::net::TcpListener;

use crate::env::{Env, EnvError};
use crate::net::HostPort;

/// An address to listen on, and the settings that it comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListenAddress {
    /// `None` for every address.
    pub(crate) ip: Option<IpAddr>,
    pub(crate) port: u16,
    ip_key: &'static str,
    port_key: &'static str,
}

/// Returns the port that a service listens on: `PORT`, or upstream's name for it at the cart service.
fn port(default_port: u16, env: &Env) -> Result<u16, EnvError> {
    for name in ["PORT", "ASPNETCORE_HTTP_PORTS"] {
        if let Some(port) = env.parse(name, "a port, 0 to 65535")? {
            return Ok(port);
        }
    }
    Ok(default_port)
}

impl ListenAddress {
    /// The address of a service, by `LISTEN_ADDR` and `PORT`.
    pub(crate) fn of_service(default_port: u16, env: &Env) -> Result<Self, EnvError> {
        let (ip, port) = address_of_service(default_port, env)?;
        Ok(Self { ip, port, ip_key: "LISTEN_ADDR", port_key: "PORT" })
    }

    /// The address in one setting: `address:port`, or `:port` for every address.
    pub(crate) fn parse(key: &'static str, text: &str) -> Result<Self, EnvError> {
        let problem =
            "must be an address of this machine with a port, or every address as in :9464";
        let wrong = || EnvError::new(key, problem);
        let text = text.trim();
        let (ip, port) = match text.strip_prefix('*').unwrap_or(text).strip_prefix(':') {
            Some(port) if !port.starts_with(':') => (None, port.parse().map_err(|_| wrong())?),
            Some(_) | None => {
                let found = text.to_socket_addrs().ok().and_then(|mut found| found.next());
                let found = found.ok_or_else(wrong)?;
                (Some(found.ip()), found.port())
            }
        };
        Ok(Self { ip, port, ip_key: key, port_key: key })
    }

    /// Binds a listener, which accepts connections from then on.
    pub(crate) fn bind(self) -> anyhow::Result<(TcpListener, SocketAddr)> {
        let Self { ip, port, ip_key, port_key } = self;
        let listener = match ip {
            Some(ip) => listen(SocketAddr::new(ip, port)),
            // On a machine without IPv6, IPv4 alone.
            None => match listen(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))) {
                Err(error) if error.kind() != ErrorKind::AddrInUse => {
                    listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)))
                }
                bound => bound,
            },
        };
        let listener = listener.map_err(|error| {
            if error.kind() == ErrorKind::AddrInUse {
                EnvError::new(port_key, format_args!("must be a free port: {port} is taken"))
            } else if error.kind() == ErrorKind::AddrNotAvailable {
                EnvError::new(ip_key, "must be an address of this machine")
            } else {
                EnvError::new(port_key, format_args!("must be a port that can be bound: {error}"))
            }
        })?;
        let address = listener.local_addr().context("cannot learn the listener's address")?;
        Ok((listener, address))
    }
}

fn address_of_service(default_port: u16, env: &Env) -> Result<(Option<IpAddr>, u16), EnvError> {
    let wrong = |problem: &str| EnvError::new("LISTEN_ADDR", problem);
    let text = env.get("LISTEN_ADDR").unwrap_or_default().trim();
    // `*` and `:port` are every address.
    let (text, is_every) = match text.strip_prefix('*').unwrap_or(text) {
        "" => return Ok((None, port(default_port, env)?)),
        rest if rest.starts_with(':') && !rest.starts_with("::") => (format!("every{rest}"), true),
        _ => (text.to_owned(), false),
    };
    let HostPort { host, port: own } = HostPort::parse(&text)
        .ok_or_else(|| wrong("must be an IP address or a name, with a port or without one"))?;
    let port = match own {
        Some(own) if port(own, env)? != own => {
            return Err(wrong("must not have another port than PORT"));
        }
        Some(own) => own,
        None => port(default_port, env)?,
    };
    if is_every {
        return Ok((None, port));
    }
    let found = (host.as_str(), port).to_socket_addrs().ok().and_then(|mut found| found.next());
    let found = found.ok_or_else(|| wrong("must be an address of this machine, or its name"))?;
    Ok((Some(found.ip()), port))
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(1024)?;
    TcpListener::from_std(socket.into())
}
