//! The service's own settings.

use ::http::Uri;
use boutique_service::{Env, EnvError};

use crate::deployment::Platform;

pub(crate) struct Config {
    /// Before every route, link, redirect and asset; empty, or `/` and something.
    pub(crate) base_url: String,
    /// What `ENV_PLATFORM` says, if it says something we know.
    pub(crate) platform: Option<Platform>,
    pub(crate) is_cymbal: bool,
    /// A banner on top of every page.
    pub(crate) message: Option<String>,
    /// Where the shopping assistant is, if there is one.
    pub(crate) assistant: Option<Uri>,
    /// Whether all new visitors share one session.
    pub(crate) single_shared_session: bool,
    /// Where packaging details are, if anywhere.
    pub(crate) packaging_url: Option<Uri>,
    /// Whether what a proxy says of the original request is believed.
    pub(crate) trust_proxy: bool,
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
        let packaging_url = env.get("PACKAGING_SERVICE_URL");
        let message = env.get("FRONTEND_MESSAGE").map(str::trim).filter(|text| !text.is_empty());
        Ok(Self {
            base_url: base_url.to_owned(),
            platform: env.get("ENV_PLATFORM").and_then(Platform::parse),
            is_cymbal: env.flag("CYMBAL_BRANDING")?.unwrap_or(false),
            message: message.map(str::to_owned),
            assistant,
            single_shared_session: env.flag("ENABLE_SINGLE_SHARED_SESSION")?.unwrap_or(false),
            packaging_url: packaging_url
                .map(|url| uri("PACKAGING_SERVICE_URL", url))
                .transpose()?,
            trust_proxy: env.flag("TRUST_PROXY")?.unwrap_or(false),
            pod: env.get("HOSTNAME").map(str::to_owned),
        })
    }
}

fn uri(name: &str, text: &str) -> Result<Uri, EnvError> {
    let parsed: Option<Uri> = text.parse().ok();
    parsed
        .filter(|uri| uri.scheme_str() == Some("http") && uri.authority().is_some())
        .ok_or_else(|| EnvError::new(name, "must be an address reached over plain http"))
}
