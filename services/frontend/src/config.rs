//! The service's own settings.

mod peers;

use std::time::Duration;

use ::http::{HeaderValue, Uri};
use boutique_service::{Env, EnvError, read_timeout};

pub(crate) use self::peers::PeerAddress;
use crate::deployment::Platform;

/// The time limits of answers to visitors, everything included.
pub(crate) struct Limits {
    /// Of a page.
    pub(crate) page: Duration,
    /// Of a change of the cart.
    pub(crate) change: Duration,
    /// Of an order.
    pub(crate) order: Duration,
}

impl Limits {
    /// Reads the limits. Longer reads lengthen them: a page is up to three reads one after the other.
    fn from_env(env: &Env) -> Result<Self, EnvError> {
        let reads = read_timeout(env)?.unwrap_or_default();
        let order = env.duration("CHECKOUT_TIMEOUT")?.unwrap_or_default();
        let change = Duration::from_secs(2);
        Ok(Self {
            page: Duration::from_secs(3).max(reads.saturating_mul(3)),
            change: change.saturating_add(reads),
            order: Duration::from_secs(8).saturating_add(reads).max(order),
        })
    }
}

pub(crate) struct Config {
    pub(crate) limits: Limits,

    /// Before every route, link, redirect and asset; empty, or `/` and something.
    pub(crate) base_url: String,
    /// The platform of `ENV_PLATFORM`, if it is a known one.
    pub(crate) platform: Option<Platform>,
    pub(crate) is_cymbal: bool,
    /// A banner on top of every page.
    pub(crate) message: Option<String>,
    /// The address of the shopping assistant, if there is one.
    pub(crate) assistant: Option<Uri>,
    /// True if all new visitors share one session.
    pub(crate) single_shared_session: bool,
    /// The URL of packaging details, if there is one.
    pub(crate) packaging_url: Option<Uri>,
    /// The number of proxies before the shop whose word on the original request is taken.
    pub(crate) proxies: usize,
    /// The Content-Security-Policy of every answer, but for the pictures of a page.
    pub(crate) policy: HeaderValue,
    /// True if other pages may show the shop in a frame.
    pub(crate) is_framed: bool,
    /// The most carts that one address may fill within an hour.
    pub(crate) max_carts: Option<usize>,
    /// The requests per second of one address.
    pub(crate) rate_per_address: Option<u32>,
    /// The requests per second of one session.
    pub(crate) rate_per_session: Option<u32>,
    /// The processes that the topology shows beside this one, if there is that page.
    pub(crate) topology: Option<Vec<PeerAddress>>,
    /// The pod's name, as Kubernetes tells it.
    pub(crate) pod: Option<String>,
}

impl Config {
    pub(crate) fn from_env(env: &Env) -> Result<Self, EnvError> {
        let base_url = env.get("BASE_URL").unwrap_or_default().trim_end_matches('/');
        let is_path = |text: &str| {
            let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.~".contains(c);
            text.starts_with('/') && !text.contains("//") && text.chars().all(plain)
        };
        if !base_url.is_empty() && !is_path(base_url) {
            return Err(EnvError::new("BASE_URL", "must be a path such as /online-boutique"));
        }
        let assistant = match env.flag("ENABLE_ASSISTANT")? {
            Some(true) => {
                let address = env.require("SHOPPING_ASSISTANT_SERVICE_ADDR")?;
                Some(uri("SHOPPING_ASSISTANT_SERVICE_ADDR", &format!("http://{address}"))?)
            }
            Some(false) | None => None,
        };
        let ancestors = frame_ancestors(env)?;
        let packaging_url = env.get("PACKAGING_SERVICE_URL");
        let message = env.get("FRONTEND_MESSAGE").map(str::trim).filter(|text| !text.is_empty());
        Ok(Self {
            limits: Limits::from_env(env)?,
            base_url: base_url.to_owned(),
            platform: env.get("ENV_PLATFORM").and_then(Platform::parse),
            is_cymbal: env.flag("CYMBAL_BRANDING")?.unwrap_or(false),
            message: message.map(str::to_owned),
            assistant,
            single_shared_session: env.flag("ENABLE_SINGLE_SHARED_SESSION")?.unwrap_or(false),
            packaging_url: packaging_url
                .map(|url| uri("PACKAGING_SERVICE_URL", url))
                .transpose()?,
            proxies: proxies(env)?,
            policy: policy(ancestors)?,
            is_framed: ancestors.is_some(),
            max_carts: max_carts(env)?,
            rate_per_address: rate(env, "RATE_LIMIT_PER_ADDRESS")?,
            rate_per_session: rate(env, "RATE_LIMIT_PER_SESSION")?,
            topology: match env.flag("ENABLE_TOPOLOGY")? {
                Some(true) => Some(PeerAddress::list(env, "TOPOLOGY_ADMIN_ADDRS")?),
                Some(false) | None => None,
            },
            pod: env.get("HOSTNAME").map(str::to_owned),
        })
    }
}

fn max_carts(env: &Env) -> Result<Option<usize>, EnvError> {
    let allowed = "a number of carts, at least 1";
    match env.parse("MAX_CARTS_PER_ADDRESS", allowed)? {
        Some(0) => Err(EnvError::new("MAX_CARTS_PER_ADDRESS", format_args!("must be {allowed}"))),
        max => Ok(max),
    }
}

fn rate(env: &Env, name: &str) -> Result<Option<u32>, EnvError> {
    let allowed = "a number of requests per second, at least 1";
    match env.parse(name, allowed)? {
        Some(0) => Err(EnvError::new(name, format_args!("must be {allowed}"))),
        rate => Ok(rate),
    }
}

/// The number of trusted proxies: a switch, or how many stand one behind the other.
fn proxies(env: &Env) -> Result<usize, EnvError> {
    const MAX_PROXIES: usize = 10;
    let allowed = "0 or false, 1 or true, or the number of proxies, at most 10";
    match env.get("TRUST_PROXY").map(|value| value.trim().to_ascii_lowercase()).as_deref() {
        None | Some("false") => Ok(0),
        Some("true") => Ok(1),
        Some(_) => env
            .parse("TRUST_PROXY", allowed)?
            .filter(|proxies| *proxies <= MAX_PROXIES)
            .ok_or_else(|| EnvError::new("TRUST_PROXY", format_args!("must be {allowed}"))),
    }
}

/// The pages that may show the shop in a frame, as `frame-ancestors` lists them.
fn frame_ancestors(env: &Env) -> Result<Option<&str>, EnvError> {
    let Some(ancestors) = env.get("FRAME_ANCESTORS").map(str::trim) else { return Ok(None) };
    let is_source = |source: &str| {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~:/*[]".contains(&b);
        source == "'self'" || source.bytes().all(plain)
    };
    if !ancestors.split_ascii_whitespace().all(is_source) {
        let problem = "must be a list of sources such as https://lab.example 'self'";
        return Err(EnvError::new("FRAME_ANCESTORS", problem));
    }
    Ok(Some(ancestors).filter(|ancestors| !ancestors.is_empty()))
}

fn policy(ancestors: Option<&str>) -> Result<HeaderValue, EnvError> {
    let policy = format!(
        "default-src 'self'; object-src 'none'; base-uri 'none'; frame-ancestors {}; form-action 'self'",
        ancestors.unwrap_or("'none'"),
    );
    policy.parse().map_err(|_| EnvError::new("FRAME_ANCESTORS", "must be a list of sources"))
}

fn uri(name: &str, text: &str) -> Result<Uri, EnvError> {
    let parsed: Option<Uri> = text.parse().ok();
    parsed
        .filter(|uri| uri.scheme_str() == Some("http") && uri.authority().is_some())
        .ok_or_else(|| EnvError::new(name, "must be an address reached over plain http"))
}
