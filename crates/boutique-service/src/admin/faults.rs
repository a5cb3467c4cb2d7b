//! Faults at the admin port: a page, and an API for programs.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;

use crate::faults::Faults;

const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      form-action 'none'; frame-ancestors 'none'; base-uri 'none'";

/// The page at `/`, the faults as JSON at `/faults`, where a description replaces them (PUT), and a switch for each at
/// `/faults/{name}` (PUT of `{"enabled": true}`). Changes need the token as `Authorization: Bearer`.
pub(super) fn routes(faults: Arc<Faults>) -> Router {
    let file = |kind: &'static str, text: &'static str| {
        let headers = [(header::CONTENT_TYPE, kind), (header::CONTENT_SECURITY_POLICY, POLICY)];
        get(move || std::future::ready((headers, text)))
    };
    Router::new()
        .route("/", file("text/html; charset=utf-8", include_str!("page.html")))
        .route("/page.css", file("text/css; charset=utf-8", include_str!("page.css")))
        .route("/page.js", file("text/javascript; charset=utf-8", include_str!("page.js")))
        .route("/faults", get(list).put(replace))
        .route("/faults/{name}", axum::routing::put(switch))
        .with_state(faults)
}

async fn list(State(faults): State<Arc<Faults>>) -> Response {
    let headers = [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store")];
    (headers, faults.to_json().to_string()).into_response()
}

async fn replace(
    State(faults): State<Arc<Faults>>,
    headers: HeaderMap,
    description: String,
) -> Response {
    if let Some(refusal) = refusal(&faults, &headers) {
        return refusal;
    }
    match faults.replace(&description) {
        Ok(()) => list(State(faults)).await,
        Err(problem) => (StatusCode::UNPROCESSABLE_ENTITY, problem + "\n").into_response(),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Switch {
    enabled: bool,
}

async fn switch(
    State(faults): State<Arc<Faults>>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Response {
    if let Some(refusal) = refusal(&faults, &headers) {
        return refusal;
    }
    match serde_json::from_str(&body) {
        Ok(Switch { enabled }) if faults.switch(&name, enabled) => list(State(faults)).await,
        Ok(_) => (StatusCode::NOT_FOUND, "there is no fault of this name\n").into_response(),
        Err(_) => {
            let problem = "the body must be {\"enabled\": true} or {\"enabled\": false}\n";
            (StatusCode::UNPROCESSABLE_ENTITY, problem).into_response()
        }
    }
}

/// Returns the answer to a request without the token.
fn refusal(faults: &Faults, headers: &HeaderMap) -> Option<Response> {
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default();
    if faults.is_token(token) {
        return None;
    }
    let problem = "changes need the token of ADMIN_TOKEN, as in Authorization: Bearer <token>\n";
    let headers = [(header::WWW_AUTHENTICATE, "Bearer")];
    Some((StatusCode::UNAUTHORIZED, headers, problem).into_response())
}
