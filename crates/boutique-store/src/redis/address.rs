//! The address of Redis and the way to it: the configuration string of StackExchange.Redis, which is upstream's client
//! library, or a URL. Every key that its documentation has is obeyed, or refused with the reason.

use std::time::Duration;

use boutique_service::HostPort;
use redis::{IntoConnectionInfo as _, ProtocolVersion};

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
/// The defaults, shorter than the library's: a page waits 500 ms for its cart.
const CONNECT_TIMEOUT: Duration = Duration::from_millis(200);
const COMMAND_TIMEOUT: Duration = Duration::from_millis(300);

/// A parsed `REDIS_ADDR`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// Host and port of each server, or of each sentinel.
    pub(crate) endpoints: Vec<(String, u16)>,
    /// The name under which sentinels know the servers.
    pub(crate) service_name: Option<String>,
    pub(crate) is_tls: bool,
    pub(crate) user: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) database: i64,
    pub(crate) client_name: Option<String>,
    pub(crate) is_resp3: bool,
    pub(crate) sends_library_name: bool,
    pub(crate) connect_timeout: Duration,
    pub(crate) command_timeout: Duration,
    pub(crate) keep_alive: Option<Duration>,
}

impl Address {
    /// Parses an address. Nothing in an error repeats it, because it may hold a password.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        if text.contains("://") { url(text) } else { configuration(text) }
    }

    fn new() -> Self {
        Self {
            endpoints: Vec::new(),
            service_name: None,
            is_tls: false,
            user: None,
            password: None,
            database: 0,
            client_name: None,
            is_resp3: false,
            sends_library_name: true,
            connect_timeout: CONNECT_TIMEOUT,
            command_timeout: COMMAND_TIMEOUT,
            keep_alive: None,
        }
    }
}

fn url(text: &str) -> Result<Address, String> {
    let wrong = || {
        "must be host:port[,password=…] or redis[s]://[user:password@]host[:port][/db]".to_owned()
    };
    if !["redis://", "rediss://"].iter().any(|scheme| text.starts_with(scheme)) {
        return Err(wrong());
    }
    let info = text.into_connection_info().map_err(|_| wrong())?;
    let (host, port, is_tls) = if let redis::ConnectionAddr::Tcp(host, port) = info.addr() {
        (host.clone(), *port, false)
    } else if let redis::ConnectionAddr::TcpTls { host, port, .. } = info.addr() {
        (host.clone(), *port, true)
    } else {
        return Err(wrong());
    };
    let settings = info.redis_settings();
    Ok(Address {
        endpoints: vec![(host, port)],
        is_tls,
        user: settings.username().map(str::to_owned),
        password: settings.password().map(str::to_owned),
        database: settings.db(),
        is_resp3: settings.protocol() != ProtocolVersion::RESP2,
        ..Address::new()
    })
}

/// Endpoints and options between commas, in any order.
fn configuration(text: &str) -> Result<Address, String> {
    let mut address = Address::new();
    let (mut endpoints, mut asynchronous, mut ssl_host) = (Vec::new(), None, None);
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let Some((name, value)) = part.split_once('=') else {
            endpoints.push(part);
            continue;
        };
        let value = value.trim();
        let name = name.trim();
        if let Some(command) = name.strip_prefix('$') {
            renamed(command, value)?;
            continue;
        }
        let key = name.to_ascii_lowercase();
        match key.as_str() {
            "user" => address.user = some(value),
            "password" => address.password = some(value),
            "ssl" => address.is_tls = boolean("ssl", value)?,
            "sslhost" => ssl_host = some(value),
            "defaultdatabase" => address.database = number("defaultDatabase", value)?,
            "servicename" => address.service_name = some(value),
            "name" => address.client_name = some(value),
            "protocol" => address.is_resp3 = is_resp3(value)?,
            "setclientlibrary" => {
                address.sends_library_name = boolean("setClientLibrary", value)?;
            }
            "connecttimeout" => address.connect_timeout = millis("connectTimeout", value)?,
            "synctimeout" => address.command_timeout = millis("syncTimeout", value)?,
            "asynctimeout" => asynchronous = Some(millis("asyncTimeout", value)?),
            "keepalive" => {
                let seconds: i64 = number("keepAlive", value)?;
                address.keep_alive = u64::try_from(seconds).ok().map(Duration::from_secs);
            }
            _ => without_effect(&key, value)?,
        }
    }
    address.command_timeout = asynchronous.unwrap_or(address.command_timeout);
    let port = if address.service_name.is_some() { SENTINEL_PORT } else { REDIS_PORT };
    let parsed = endpoints.iter().map(|endpoint| host_and_port(endpoint, port));
    address.endpoints = parsed.collect::<Result<_, _>>()?;
    if address.endpoints.is_empty() {
        return Err("must name a host:port".to_owned());
    }
    let is_own = |host: &str| address.endpoints.iter().all(|(own, _)| own == host);
    if ssl_host.is_some_and(|host| !is_own(&host)) {
        return Err("must have no sslHost but the endpoint's own: certificates are checked for it"
            .to_owned());
    }
    Ok(address)
}

/// Options that change nothing here, or cannot be obeyed.
fn without_effect(key: &str, value: &str) -> Result<(), String> {
    let is = |name: &str| boolean(name, value);
    match key {
        // No commands of administrators are sent, nothing is published, and names are resolved at every connection.
        "allowadmin" => is("allowAdmin").map(drop),
        "resolvedns" => is("resolveDns").map(drop),
        "heartbeatconsistencychecks" => is("heartbeatConsistencyChecks").map(drop),
        "channelprefix" | "configchannel" | "tiebreaker" => Ok(()),
        "configcheckseconds" => number::<u32>("configCheckSeconds", value).map(drop),
        "connectretry" => number::<u32>("connectRetry", value).map(drop),
        "heartbeatinterval" => number::<u32>("heartbeatInterval", value).map(drop),
        // Neither has had an effect there for years.
        "responsetimeout" => number::<i64>("responseTimeout", value).map(drop),
        "writebuffer" => number::<i64>("writeBuffer", value).map(drop),
        "version" => {
            if value.split('.').all(|part| part.parse::<u32>().is_ok()) {
                Ok(())
            } else {
                Err("must have a version such as 7.0 for version".to_owned())
            }
        }
        "abortconnect" | "abortonconnectfail" if is("abortConnect")? => refused(
            "abortConnect=true",
            "the service is not ready until Redis answers, and waits for it",
        ),
        "abortconnect" | "abortonconnectfail" => Ok(()),
        "checkcertificaterevocation" if is("checkCertificateRevocation")? => {
            refused("checkCertificateRevocation=true", "revocation lists are not read")
        }
        "checkcertificaterevocation" => Ok(()),
        "highintegrity" if is("highIntegrity")? => {
            refused("highIntegrity=true", "answers are not checked by a token")
        }
        "highintegrity" => Ok(()),
        "proxy" if value.eq_ignore_ascii_case("none") => Ok(()),
        "proxy" => refused("a proxy", "changes are made by scripts, which it does not pass on"),
        "tunnel" => refused("a tunnel", "connections are made to the endpoint itself"),
        "sslprotocols" => ssl_protocols(value),
        // It may be part of a password, so it is not repeated.
        _ => Err("must have no option that StackExchange.Redis does not know".to_owned()),
    }
}

fn refused(option: &str, why: &str) -> Result<(), String> {
    Err(format!("must not have {option}: {why}"))
}

/// A command under another name, or disabled where that is empty.
fn renamed(command: &str, value: &str) -> Result<(), String> {
    const USED: [&str; 12] = [
        "HGET", "GET", "EVAL", "EVALSHA", "SCRIPT", "AUTH", "HELLO", "SELECT", "CLIENT", "PING",
        "SENTINEL", "CLUSTER",
    ];
    let is_used = USED.iter().any(|used| used.eq_ignore_ascii_case(command));
    // Without CLUSTER a server is taken for one that is no cluster, which is found out by its answers.
    if is_used && !(command.eq_ignore_ascii_case("CLUSTER") && value.is_empty()) {
        return Err("must not rename or disable a command that is needed".to_owned());
    }
    Ok(())
}

/// TLS 1.2 and 1.3 are spoken, whichever the server has.
fn ssl_protocols(value: &str) -> Result<(), String> {
    let names: Vec<_> =
        value.split(['|', ' ']).map(str::trim).filter(|name| !name.is_empty()).collect();
    let has = |name: &str| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    if has("none") || (has("tls12") && has("tls13")) {
        return Ok(());
    }
    refused("sslProtocols without both Tls12 and Tls13", "the server chooses between these")
}

fn is_resp3(value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "resp2" | "2" => Ok(false),
        "resp3" | "3" => Ok(true),
        _ => Err("must have resp2 or resp3 for protocol".to_owned()),
    }
}

fn some(value: &str) -> Option<String> {
    Some(value).filter(|value| !value.is_empty()).map(str::to_owned)
}

/// As StackExchange.Redis reads them.
fn boolean(name: &str, value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err(format!("must have true or false for {name}")),
    }
}

fn number<T: std::str::FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("must have a number for {name}"))
}

fn millis(name: &str, value: &str) -> Result<Duration, String> {
    match number(name, value)? {
        0 => Err(format!("must have at least a millisecond for {name}")),
        millis => Ok(Duration::from_millis(millis)),
    }
}

fn host_and_port(text: &str, default: u16) -> Result<(String, u16), String> {
    let HostPort { host, port } =
        HostPort::parse(text).ok_or_else(|| "must name a host:port".to_owned())?;
    Ok((host, port.unwrap_or(default)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Address {
        Address::parse(text).unwrap_or_else(|problem| panic!("{text}: {problem}"))
    }

    #[test]
    fn endpoints_are_hosts_with_or_without_a_port() {
        for (text, endpoints) in [
            ("redis-cart:6379", &[("redis-cart", 6379)][..]),
            ("redis-cart", &[("redis-cart", 6379)]),
            ("10.0.0.5", &[("10.0.0.5", 6379)]),
            ("[::1]:6380", &[("::1", 6380)]),
            ("[::1]", &[("::1", 6379)]),
            ("::1", &[("::1", 6379)]),
            ("a:1, b:2,c", &[("a", 1), ("b", 2), ("c", 6379)]),
            ("s1,s2:5,serviceName=mymaster", &[("s1", 26379), ("s2", 5)]),
            ("redis://h:1/2", &[("h", 1)]),
            ("rediss://h", &[("h", 6379)]),
        ] {
            let found = parse(text).endpoints;
            let found: Vec<_> = found.iter().map(|(host, port)| (host.as_str(), *port)).collect();
            assert_eq!(found, endpoints, "{text}");
        }
    }

    #[test]
    fn options_are_obeyed() {
        let all = parse(
            "r:1,password=a=b@c/d, USER=u ,ssl=True,defaultDatabase=3,name=cart,protocol=resp3,\
             connectTimeout=5000,syncTimeout=1000,asyncTimeout=2000,keepAlive=60,setClientLibrary=no",
        );
        assert_eq!(all.password.as_deref(), Some("a=b@c/d"));
        assert_eq!((all.user.as_deref(), all.database, all.is_tls), (Some("u"), 3, true));
        assert_eq!(all.client_name.as_deref(), Some("cart"));
        assert!(all.is_resp3 && !all.sends_library_name);
        assert_eq!(all.connect_timeout, Duration::from_secs(5));
        assert_eq!(all.command_timeout, Duration::from_secs(2));
        assert_eq!(all.keep_alive, Some(Duration::from_secs(60)));
        for (value, is_tls) in [
            ("true", true),
            ("TRUE", true),
            ("yes", true),
            ("on", true),
            ("1", true),
            ("false", false),
            ("no", false),
            ("Off", false),
            ("0", false),
        ] {
            assert_eq!(parse(&format!("r:1,ssl={value}")).is_tls, is_tls, "{value}");
        }
        assert_eq!(parse("a,b,serviceName=m").service_name.as_deref(), Some("m"));
        for harmless in [
            "abortConnect=false",
            "abortOnConnectFail=no",
            "allowAdmin=true",
            "channelPrefix=x",
            "checkCertificateRevocation=false",
            "configChannel=x",
            "configCheckSeconds=60",
            "connectRetry=3",
            "heartbeatInterval=1000",
            "highIntegrity=false",
            "proxy=None",
            "resolveDns=true",
            "responseTimeout=1",
            "sslHost=r",
            "sslProtocols=Tls12|Tls13",
            "tieBreaker=x",
            "version=7.0",
            "writeBuffer=4096",
            "$CLUSTER=",
            "$CONFIG=",
            "$INFO=x",
        ] {
            assert!(parse(&format!("r:1,{harmless}")).endpoints.len() == 1, "{harmless}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "host:port"),
            (",password=x", "host:port"),
            (":6379", "host:port"),
            ("r:x", "host:port"),
            ("r:0", "host:port"),
            ("r:99999", "host:port"),
            ("[r]:1", "host:port"),
            ("::1:6379:x", "host:port"),
            ("a b:1", "host:port"),
            ("http://r:1", "redis[s]://"),
            ("r:1,ssl=maybe", "true or false for ssl"),
            ("r:1,ssl=", "true or false for ssl"),
            ("r:1,abortConnect=true", "not ready until Redis answers"),
            ("r:1,checkCertificateRevocation=1", "revocation"),
            ("r:1,highIntegrity=on", "token"),
            ("r:1,proxy=twemproxy", "scripts"),
            ("r:1,tunnel=http:a:1", "tunnel"),
            ("r:1,sslHost=other", "sslHost"),
            ("r:1,sslProtocols=Tls12", "Tls13"),
            ("r:1,sslProtocols=Tls", "Tls12"),
            ("r:1,defaultDatabase=x", "number for defaultDatabase"),
            ("r:1,connectTimeout=0", "millisecond"),
            ("r:1,connectTimeout=-1", "number for connectTimeout"),
            ("r:1,protocol=4", "resp2 or resp3"),
            ("r:1,version=new", "version"),
            ("r:1,$EVAL=", "command that is needed"),
            ("r:1,$HGET=HGET2", "command that is needed"),
            ("r:1,hunter2=1", "does not know"),
        ] {
            let problem = Address::parse(text).err().unwrap_or_else(|| panic!("{text}"));
            assert!(problem.starts_with("must") && problem.contains(reason), "{text}: {problem}");
            assert!(!problem.contains("hunter2"), "{problem}");
        }
    }
}
