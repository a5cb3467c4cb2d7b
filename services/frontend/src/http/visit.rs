//! The visitor: the session and the currency from the cookies, where the request comes from, and an id for it.

use std::sync::Arc;

use ::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::Extension;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use boutique_service::request_id;
use uuid::Uuid;

use super::edge::Edge;
use super::state::Shop;
use crate::config::Config;
use crate::domain;

/// Upstream's name of the session cookie.
const SESSION: &str = "shop_session-id";
/// Its name over TLS: browsers take such a cookie from this host alone, so that no neighbor can plant one.
const HOST_SESSION: &str = "__Host-shop_session-id";
const CURRENCY: &str = "shop_currency";
/// Set by the script of the page.
const THEME: &str = "shop_theme";
/// 48 hours, in seconds.
const MAX_AGE: u32 = 172_800;
/// The longest path in bytes that a redirect repeats.
pub(crate) const MAX_LOCATION: usize = 2048;

/// One request's visitor.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) session: String,
    /// The short hash of the session that pages and logs show.
    pub(crate) session_hash: String,
    pub(crate) request_id: String,
    /// The currency cookie as it came.
    pub(crate) currency: Option<String>,
    /// The theme that was chosen: `light` or `dark`.
    pub(crate) theme: Option<&'static str>,
    /// True if the request came without a session.
    pub(super) is_new: bool,
    pub(crate) edge: Edge,
}

impl Visit {
    pub(crate) fn of(request: &Request, config: &Config) -> Self {
        let edge = Edge::of(request, config.proxies);
        let session_name = session_name(&edge);
        let (mut known, mut currency, mut theme) = (None, None, None);
        for (name, value) in cookies(request.headers()) {
            match name {
                CURRENCY => _ = currency.get_or_insert(value),
                THEME => theme = ["light", "dark"].into_iter().find(|theme| *theme == value),
                _ if name == session_name && domain::is_session(value) => {
                    _ = known.get_or_insert(value);
                }
                _ => {}
            }
        }
        let is_new = known.is_none();
        let session = match known {
            Some(id) => id.to_owned(),
            None if config.single_shared_session => domain::SHARED_SESSION.to_owned(),
            None => Uuid::new_v4().to_string(),
        };
        Self {
            session_hash: domain::short_hash(&session),
            session,
            request_id: request_id().unwrap_or_else(|| Uuid::new_v4().to_string()),
            currency: currency.map(str::to_owned),
            theme,
            is_new,
            edge,
        }
    }

    /// The cookie that makes a new session last.
    pub(crate) fn new_session_cookie(&self, config: &Config) -> Option<HeaderValue> {
        let cookie = || self.cookie(config, session_name(&self.edge), &self.session, MAX_AGE);
        self.is_new.then(cookie).flatten()
    }

    /// The cookie that makes a choice of currency last.
    pub(crate) fn currency_cookie(&self, config: &Config, code: &str) -> Option<HeaderValue> {
        self.cookie(config, CURRENCY, code, MAX_AGE)
    }

    fn cookie(&self, config: &Config, name: &str, value: &str, age: u32) -> Option<HeaderValue> {
        let is_https = self.edge.is_https();
        // The prefix of its name asks for the root.
        let path = if name == HOST_SESSION { "/" } else { path(config) };
        let reach = match (is_https, config.is_framed) {
            // In a frame of another site browsers send nothing less.
            (true, true) => "SameSite=None; Secure; Partitioned",
            (true, false) => "SameSite=Lax; Secure",
            (false, _) => "SameSite=Lax",
        };
        format!("{name}={value}; Path={path}; Max-Age={age}; HttpOnly; {reach}").parse().ok()
    }
}

fn session_name(edge: &Edge) -> &'static str {
    if edge.is_https() { HOST_SESSION } else { SESSION }
}

/// `GET /logout`: expires the shop's own cookies, unless a link of another site led here.
pub(crate) async fn logout(
    State(shop): State<Arc<Shop>>,
    Extension(visit): Extension<Arc<Visit>>,
    headers: HeaderMap,
) -> Response {
    let location = [(header::LOCATION, shop.path("/"))];
    let mut response = (StatusCode::FOUND, location).into_response();
    if visit.edge.is_cross_site_link(&headers) {
        return response;
    }
    for name in [session_name(&visit.edge), CURRENCY] {
        if let Some(expired) = visit.cookie(&shop.config, name, "", 0) {
            response.headers_mut().append(header::SET_COOKIE, expired);
        }
    }
    response
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.trim(), value.trim()))
}

fn path(config: &Config) -> &str {
    if config.base_url.is_empty() { "/" } else { &config.base_url }
}
