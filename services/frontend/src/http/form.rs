//! Reads a form: urlencoded, of a bounded size, in a bounded time.

use std::time::Duration;

use ::http::{HeaderMap, StatusCode, header};
use axum::body::Body;
use axum::extract::Request;
use boutique_service::status_of;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};

use tonic::{Code, Status};

use super::failure::Failure;
use crate::domain::form::Fields;

const MAX_FORM: usize = 64 * 1024;
/// The longest time that a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads the fields of a request: those of its body, then those of its query.
pub(crate) async fn fields(request: Request) -> Result<Fields, Failure> {
    let (parts, body) = request.into_parts();
    if !is_form(&parts.headers) {
        let text = "a form is sent as application/x-www-form-urlencoded";
        return Err(Failure::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, text).closing());
    }
    let body = read(body, &parts.headers, MAX_FORM).await?;
    Ok(Fields::parse(&[&body, parts.uri.query().unwrap_or_default().as_bytes()])?)
}

/// A body of at most `limit` bytes.
pub(crate) async fn read(body: Body, headers: &HeaderMap, limit: usize) -> Result<Bytes, Failure> {
    let too_large = || {
        let text = format!("a body has at most {limit} bytes");
        Failure::new(StatusCode::PAYLOAD_TOO_LARGE, text).closing()
    };
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    if announced.and_then(|length| length.parse().ok()).is_some_and(|length: usize| length > limit)
    {
        return Err(too_large());
    }
    let reading = Limited::new(body, limit).collect();
    match tokio::time::timeout(BODY_TIMEOUT, reading).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Ok(Err(error)) if status_of(&*error).is_some_and(is_overloaded) => {
            Err(Failure::new(StatusCode::SERVICE_UNAVAILABLE, "too many requests").closing())
        }
        Ok(Err(_broken)) => {
            Err(Failure::new(StatusCode::BAD_REQUEST, "the body did not arrive whole").closing())
        }
        Err(_elapsed) => {
            Err(Failure::new(StatusCode::REQUEST_TIMEOUT, "the body took too long").closing())
        }
    }
}

/// Returns true if the process has no room for more bodies.
fn is_overloaded(status: &Status) -> bool {
    status.code() == Code::ResourceExhausted
}

/// A body that says nothing of itself is taken for a form only if there is none.
fn is_form(headers: &HeaderMap) -> bool {
    match headers.get(header::CONTENT_TYPE) {
        Some(kind) => {
            let kind = kind.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
            kind.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded")
        }
        None => {
            let length = headers.get(header::CONTENT_LENGTH);
            !headers.contains_key(header::TRANSFER_ENCODING)
                && length.is_none_or(|length| length.as_bytes() == b"0")
        }
    }
}
