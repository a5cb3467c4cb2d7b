//! The service's own settings: which store, and how Redis is reached. An address may be written
//! the way upstream's client library takes it (`host:port,password=…`) or as a URL.

use std::time::Duration;

use boutique_service::{Env, EnvError};
use redis::{Client, IntoConnectionInfo as _, TlsCertificates};

use crate::store::{Memory, Redis, Store};

/// As long as the session cookie lives.
const CART_TTL: Duration = Duration::from_secs(48 * 3600);
/// What carts in memory may take: some 60,000 of one line, and a quarter of a pod's memory.
const CART_MEMORY: usize = 16 * 1024 * 1024;
const REDIS_PORT: u16 = 6379;

pub(crate) fn store(env: &Env) -> Result<Store, EnvError> {
    let names = [
        "SPANNER_PROJECT",
        "SPANNER_CONNECTION_STRING",
        "SPANNER_INSTANCE",
        "SPANNER_DATABASE",
        "ALLOYDB_PRIMARY_IP",
        "ALLOYDB_DATABASE_NAME",
        "ALLOYDB_TABLE_NAME",
        "ALLOYDB_SECRET_NAME",
    ];
    env.refuse(&names, "must not be set: carts are kept in memory or in Redis (REDIS_ADDR)")?;
    let ttl = env.duration("CART_TTL")?.unwrap_or(CART_TTL);
    if ttl < Duration::from_secs(1) {
        return Err(EnvError::new("CART_TTL", "must be at least 1s"));
    }
    match env.get("REDIS_ADDR") {
        None => {
            Ok(Store::Memory(Memory::new(ttl, env.bytes("CART_MEMORY")?.unwrap_or(CART_MEMORY))))
        }
        Some(address) => Ok(Store::Redis(Redis::new(client(env, address)?, ttl)?)),
    }
}

/// Nothing in a message repeats the address, which may hold a password.
fn client(env: &Env, address: &str) -> Result<Client, EnvError> {
    let url = match address.contains("://") {
        true => address.to_owned(),
        false => url(address).map_err(|problem| EnvError::new("REDIS_ADDR", problem))?,
    };
    let wrong = |_| {
        EnvError::new(
            "REDIS_ADDR",
            "must be host:port[,password=…] or redis[s]://[user:password@]host[:port][/db]",
        )
    };
    if !["redis://", "rediss://"].iter().any(|scheme| url.starts_with(scheme)) {
        return Err(wrong(()));
    }
    let info = url.as_str().into_connection_info().map_err(|_| wrong(()))?;
    let Some(file) = env.get("REDIS_CA_FILE") else {
        return Client::open(info).map_err(|_| wrong(()));
    };
    let root = std::fs::read(file).map_err(|error| {
        EnvError::new("REDIS_CA_FILE", format_args!("must name a file that can be read: {error}"))
    })?;
    Client::build_with_tls(info, TlsCertificates { client_tls: None, root_cert: Some(root) })
        .map_err(|_| {
            EnvError::new("REDIS_CA_FILE", "must hold certificates, with REDIS_ADDR asking for TLS")
        })
}

/// A URL for an address in StackExchange.Redis's notation: one `host:port`, then options after
/// commas. Options that only tune that library are accepted and change nothing.
fn url(address: &str) -> Result<String, String> {
    let (mut endpoint, mut user, mut password) = (None, String::new(), None);
    let (mut tls, mut database) = (false, 0_i64);
    for part in address.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let Some((name, value)) = part.split_once('=') else {
            if endpoint.replace(part).is_some() {
                return Err("must name one host:port only".to_owned());
            }
            continue;
        };
        let number = || "must have numbers for defaultDatabase".to_owned();
        match name.trim().to_ascii_lowercase().as_str() {
            "user" => user = value.to_owned(),
            "password" => password = Some(value.to_owned()),
            "ssl" => tls = value.trim().eq_ignore_ascii_case("true"),
            "defaultdatabase" => database = value.trim().parse().map_err(|_| number())?,
            "abortconnect"
            | "abortonconnectfail"
            | "allowadmin"
            | "asynctimeout"
            | "channelprefix"
            | "checkcertificaterevocation"
            | "configchannel"
            | "configcheckseconds"
            | "connectretry"
            | "connecttimeout"
            | "highintegrity"
            | "keepalive"
            | "name"
            | "protocol"
            | "proxy"
            | "resolvedns"
            | "responsetimeout"
            | "setclientlibrary"
            | "sslhost"
            | "sslprotocols"
            | "synctimeout"
            | "tiebreaker"
            | "tunnel"
            | "version"
            | "writebuffer" => {}
            // What stands there may be part of a password, so it is not repeated.
            _ => {
                return Err("must have no option that StackExchange.Redis does not know".to_owned());
            }
        }
    }
    let endpoint = endpoint.ok_or("must name a host:port")?;
    let port = match endpoint.rsplit_once(':') {
        Some((host, _)) if !host.contains(':') || host.ends_with(']') => String::new(),
        Some(_) | None => format!(":{REDIS_PORT}"),
    };
    let scheme = if tls { "rediss" } else { "redis" };
    let login = match password {
        None if user.is_empty() => String::new(),
        password => {
            format!("{}:{}@", encode(&user), encode(&password.unwrap_or_default()))
        }
    };
    Ok(format!("{scheme}://{login}{endpoint}{port}/{database}"))
}

/// Percent-encodes what could end a URL's user or password.
fn encode(text: &str) -> String {
    let keep = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.' | b'~');
    let encoded = text.bytes().map(|b| match keep(b) {
        true => char::from(b).to_string(),
        false => format!("%{b:02X}"),
    });
    encoded.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_upstreams_client_library_become_urls() {
        for (address, expected) in [
            ("redis-cart:6379", "redis://redis-cart:6379/0"),
            ("redis-cart", "redis://redis-cart:6379/0"),
            ("[::1]:6380", "redis://[::1]:6380/0"),
            ("r:1,password=a=b@c/d", "redis://:a%3Db%40c%2Fd@r:1/0"),
            ("r:1, user=u ,Password=p,ssl=True", "rediss://u:p@r:1/0"),
            ("r:1,abortConnect=false,defaultDatabase=3", "redis://r:1/3"),
        ] {
            assert_eq!(url(address).as_deref(), Ok(expected), "{address}");
        }
        for wrong in ["", ",password=x", "a:1,b:2", "r:1,hunter2=1", "r:1,defaultDatabase=x"] {
            assert!(url(wrong).is_err(), "{wrong}");
        }
    }
}
