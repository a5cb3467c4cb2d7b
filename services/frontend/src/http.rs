//! Inbound adapter: the routes, and what surrounds every request: session, security headers, and the access line.

mod assets;
mod assistant;
mod cart;
mod carts;
mod checkout;
mod checkout_form;
mod currency;
mod edge;
mod failure;
mod form;
mod handler;
mod home;
mod notes;
mod order;
mod page;
mod paging;
mod plain;
mod product;
mod rate;
mod search;
mod state;
#[cfg(debug_assertions)]
mod styleguide;
mod topology;
mod visit;

use std::sync::Arc;
use std::time::Instant;

use ::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get, post};
use boutique_service::Outcome;
use http_body::Body as _;
use tracing::{debug, info};

use self::carts::CartsByAddress;
use self::failure::Failure;
use self::handler::respond;
use self::rate::RateLimit;
use self::state::Shop;
use self::visit::{MAX_LOCATION, Visit};
use crate::clients::Clients;
use crate::config::Config;
use crate::deployment::Deployment;
use crate::domain;
use crate::topology::Topology;

/// Everything the frontend answers, below the base URL.
pub(crate) fn router(
    config: Config,
    clients: Clients,
    deployment: Deployment,
    topology: Option<Arc<Topology>>,
) -> Router {
    let carts = config.max_carts.map(|max| CartsByAddress::new(max, Instant::now()));
    let by_address = config.rate_per_address.map(RateLimit::new);
    let by_session = config.rate_per_session.map(RateLimit::new);
    let shop =
        Arc::new(Shop { config, clients, deployment, topology, carts, by_address, by_session });
    let mut routes = Router::new();
    if !shop.config.base_url.is_empty() {
        // A directory without its slash leads to the directory, as in web servers.
        let redirect =
            async |State(shop): State<Arc<Shop>>, uri: Uri| moved(&shop.path("/"), uri.query());
        routes = routes.route(&shop.config.base_url, get(redirect));
    }
    if shop.topology.is_some() {
        routes = routes
            .route(&shop.path("/topology"), get(respond(topology::page)))
            .route(&shop.path("/topology/events"), get(respond(topology::events)));
    }
    #[cfg(debug_assertions)]
    {
        routes = routes.route(&shop.path("/styleguide"), get(respond(styleguide::page)));
    }
    let routes = routes
        .route(&shop.path("/"), get(respond(home::home)))
        .route(&shop.path("/product/{id}"), get(respond(product::product)))
        .route(&shop.path("/product-meta/{ids}"), get(product::meta))
        .route(&shop.path("/cart"), get(respond(cart::view)).post(respond(cart::add)))
        .route(&shop.path("/category/{name}"), get(respond(home::category)))
        .route(&shop.path("/search"), get(respond(search::search)))
        .route(&shop.path("/cart/empty"), post(respond(cart::empty)))
        .route(&shop.path("/cart/remove"), post(respond(cart::remove)))
        .route(&shop.path("/cart/update"), post(respond(cart::update)))
        .route(&shop.path("/cart/checkout"), post(respond(checkout::place)))
        .route(&shop.path("/orders"), get(respond(order::list)))
        .route(&shop.path("/orders/{id}"), get(respond(order::view)))
        .route(&shop.path("/setCurrency"), post(respond(currency::set)))
        .route(&shop.path("/logout"), get(visit::logout))
        .route(&shop.path("/assistant"), get(respond(assistant::page)))
        .route(&shop.path("/bot"), post(respond(assistant::bot)))
        .route(&shop.path("/static/{*path}"), get(assets::asset))
        .route(&shop.path("/robots.txt"), any(async || "User-agent: *\nDisallow: /"))
        .route(&shop.path("/_healthz"), any(async || "ok"))
        .fallback(async || (StatusCode::NOT_FOUND, "404 page not found\n"));
    routes.layer(from_fn_with_state(shop.clone(), around)).with_state(shop)
}

/// Half a year, in seconds, during which browsers come back over TLS.
const HSTS: HeaderValue = HeaderValue::from_static("max-age=15768000");
/// The most bytes of a path in a log line.
const MAX_LOGGED: usize = 256;
const CROSS_SITE: &str = "this request came from another site\n\
    Behind a proxy, the shop must be told its public address: pass on Host as it came, or set TRUST_PROXY=1 and pass on \
    X-Forwarded-Host, X-Forwarded-Proto and, where it is no default, X-Forwarded-Port, or Forwarded.";

/// The middleware around every request.
async fn around(State(shop): State<Arc<Shop>>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let visit = Arc::new(Visit::of(&request, &shop.config));
    request.extensions_mut().insert(visit.clone());

    // Pages belong to a session; what is the same for everybody does not make one.
    let below = uri.path().strip_prefix(&shop.config.base_url).unwrap_or_default();
    let is_page =
        !below.starts_with("/static/") && !["/robots.txt", "/_healthz", "/logout"].contains(&below);

    let mut response = if let Some(clean) = domain::cleaned(uri.path()) {
        moved(&clean, uri.query())
    } else if method == Method::POST && visit.edge.is_cross_site(request.headers()) {
        page::error(Failure::new(StatusCode::FORBIDDEN, CROSS_SITE), &shop, &visit, 0)
    } else if is_page && !admits(&shop, &visit, began) {
        page::error(Failure::too_many("too many requests", 1), &shop, &visit, 0)
    } else {
        next.run(request).await
    };
    let headers = response.headers_mut();
    if is_page {
        if let Some(cookie) = visit.new_session_cookie(&shop.config) {
            headers.append(header::SET_COOKIE, cookie);
        }
        headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    }
    secure(headers, &shop, &visit);
    let outcome = response.extensions_mut().get_or_insert_default::<Outcome>();
    outcome.route = route.map(|route| route.as_str().to_owned());
    log(&method, uri.path(), &visit, &response, began, is_page);
    response
}

/// Returns false if a request is one too many of its address or its session. A client that says no session has none.
fn admits(shop: &Shop, visit: &Visit, now: Instant) -> bool {
    if let (Some(limit), Some(client)) = (&shop.by_address, visit.edge.client())
        && !limit.admit(carts::network(client), now)
    {
        return false;
    }
    match &shop.by_session {
        Some(limit) if !visit.is_new => limit.admit(visit.session.clone(), now),
        Some(_) | None => true,
    }
}

/// Leads to another address of the same page.
fn moved(path: &str, query: Option<&str>) -> Response {
    let location = match query {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    if location.len() > MAX_LOCATION {
        return (StatusCode::URI_TOO_LONG, "414 address too long\n").into_response();
    }
    (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, location)]).into_response()
}

fn secure(headers: &mut ::http::HeaderMap, shop: &Shop, visit: &Visit) {
    let policy = || shop.config.policy.clone();
    headers.entry(header::CONTENT_SECURITY_POLICY).or_insert_with(policy);
    if !shop.config.is_framed {
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    }
    if visit.edge.is_https() {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, HSTS);
    }
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "same-origin"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

fn log(
    method: &Method,
    path: &str,
    visit: &Visit,
    response: &Response,
    began: Instant,
    is_page: bool,
) {
    let status = response.status().as_u16();
    let path = &path[..path.floor_char_boundary(MAX_LOGGED)];
    macro_rules! line {
        ($level:ident) => {
            $level!(
                http.req.path = path,
                client.address = visit.edge.client().map(tracing::field::display),
                http.req.method = method.as_str(),
                http.req.id = visit.request_id,
                session = visit.session_hash,
                http.resp.took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
                http.resp.status = status,
                http.resp.bytes = response.body().size_hint().lower(),
                "answered {method} with {status}",
            )
        };
    }
    // Probes and pictures would drown everything else.
    if is_page { line!(info) } else { line!(debug) }
}
