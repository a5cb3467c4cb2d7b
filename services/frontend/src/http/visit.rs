//! Who is asking: the session and the currency from the cookies, and an id for this one request.

use std::sync::Arc;

use ::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use uuid::Uuid;

use super::state::Shop;
use crate::config::Config;
use crate::domain;

const SESSION: &str = "shop_session-id";
const CURRENCY: &str = "shop_currency";
/// 48 hours, in seconds.
const MAX_AGE: u32 = 172_800;

/// One request's visitor.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) session: String,
    /// What pages and logs show of the session.
    pub(crate) session_hash: String,
    pub(crate) request_id: String,
    /// The currency cookie as it came.
    pub(crate) currency: Option<String>,
    is_new: bool,
    is_https: bool,
    host: Option<String>,
    referer: Option<Uri>,
}

impl Visit {
    pub(crate) fn of(request: &Request, config: &Config) -> Self {
        let headers = request.headers();
        let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
        let (mut known, mut currency) = (None, None);
        for (name, value) in cookies(headers) {
            match name {
                SESSION if domain::is_session(value) => _ = known.get_or_insert(value),
                CURRENCY => _ = currency.get_or_insert(value),
                _ => {}
            }
        }
        let is_new = known.is_none();
        let session = match known {
            Some(id) => id.to_owned(),
            None if config.single_shared_session => domain::SHARED_SESSION.to_owned(),
            None => Uuid::new_v4().to_string(),
        };
        let forwarded = headers.get("x-forwarded-proto").map(HeaderValue::as_bytes);
        Self {
            session_hash: domain::short_hash(&session),
            session,
            request_id: Uuid::new_v4().to_string(),
            currency: currency.map(str::to_owned),
            is_new,
            is_https: config.trust_proxy && forwarded == Some(b"https"),
            host: host(request).map(str::to_owned),
            referer: text(header::REFERER).and_then(|referer| referer.parse().ok()),
        }
    }

    /// The cookie that makes a new session last.
    pub(crate) fn new_session_cookie(&self, config: &Config) -> Option<HeaderValue> {
        self.is_new.then(|| self.cookie(config, SESSION, &self.session)).flatten()
    }

    /// The cookie that makes a choice of currency last.
    pub(crate) fn currency_cookie(&self, config: &Config, code: &str) -> Option<HeaderValue> {
        self.cookie(config, CURRENCY, code)
    }

    /// The page of ours that the visitor comes from, if it is known to be ours.
    pub(crate) fn came_from(&self) -> Option<&str> {
        let referer = self.referer.as_ref()?;
        let is_ours = referer.authority()?.as_str() == self.host.as_deref()?;
        let path = referer.path_and_query()?.as_str();
        (is_ours && !path.starts_with("//")).then_some(path)
    }

    fn cookie(&self, config: &Config, name: &str, value: &str) -> Option<HeaderValue> {
        let (path, secure) = (path(config), if self.is_https { "; Secure" } else { "" });
        let cookie = format!(
            "{name}={value}; Path={path}; Max-Age={MAX_AGE}; HttpOnly; SameSite=Lax{secure}"
        );
        cookie.parse().ok()
    }
}

/// `GET /logout`: expires every cookie that came.
pub(crate) async fn logout(State(shop): State<Arc<Shop>>, headers: HeaderMap) -> Response {
    let location = [(header::LOCATION, shop.path("/"))];
    let mut response = (StatusCode::FOUND, location).into_response();
    let path = path(&shop.config);
    for (name, _) in cookies(&headers) {
        let expired = format!(
            "{name}=; Path={path}; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; HttpOnly; SameSite=Lax"
        );
        if let Ok(cookie) = expired.parse() {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
    response
}

/// Whether a browser says that another site made it send this. Clients that say nothing of the
/// kind, such as load generators, pass.
pub(crate) fn is_cross_site(request: &Request) -> bool {
    let headers = request.headers();
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or_default());
    if let Some(site) = text("sec-fetch-site") {
        return !matches!(site, "same-origin" | "none");
    }
    text("origin").is_some_and(|origin| {
        let origin: Option<Uri> = origin.parse().ok();
        let theirs = origin.as_ref().and_then(Uri::authority);
        theirs.map(|theirs| theirs.as_str()) != host(request)
    })
}

/// The name by which we were asked: a header of HTTP/1, a part of the URI of HTTP/2.
fn host(request: &Request) -> Option<&str> {
    let authority = request.uri().authority().map(|authority| authority.as_str());
    authority.or_else(|| request.headers().get(header::HOST)?.to_str().ok())
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.trim(), value.trim()))
}

fn path(config: &Config) -> &str {
    if config.base_url.is_empty() { "/" } else { &config.base_url }
}
