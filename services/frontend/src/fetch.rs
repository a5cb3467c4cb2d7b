//! Plain HTTP calls to the optional helpers of the frontend: no redirects, one second, a bounded
//! answer.

use std::time::Duration;

use ::http::{HeaderName, HeaderValue, Request, Uri, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

const MAX_ANSWER: usize = 64 * 1024;
/// For what a page waits for.
pub(crate) const SHORT: Duration = Duration::from_secs(1);
/// For the assistant, who thinks.
pub(crate) const LONG: Duration = Duration::from_secs(60);

/// The error of a fetch.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FetchError {
    #[error("no answer in time")]
    Late,
    #[error("no answer: {0}")]
    Failed(Box<dyn std::error::Error + Send + Sync>),
    #[error("the answer's status is {0}")]
    Status(u16),
}

/// Sends a GET request, with one extra header where the other side asks for it.
pub(crate) async fn get(
    uri: Uri,
    extra: Option<(HeaderName, HeaderValue)>,
) -> Result<Bytes, FetchError> {
    get_at_most(MAX_ANSWER, uri, extra).await
}

/// The same for an answer of at most so many bytes.
pub(crate) async fn get_at_most(
    max: usize,
    uri: Uri,
    extra: Option<(HeaderName, HeaderValue)>,
) -> Result<Bytes, FetchError> {
    let mut request = Request::get(uri).body(Full::default()).map_err(failed)?;
    request.headers_mut().extend(extra);
    send(request, SHORT, max).await
}

/// Posts JSON.
pub(crate) async fn post_json(uri: Uri, json: Bytes) -> Result<Bytes, FetchError> {
    let request = Request::post(uri)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(json))
        .map_err(failed)?;
    send(request, LONG, MAX_ANSWER).await
}

async fn send(
    request: Request<Full<Bytes>>,
    limit: Duration,
    max: usize,
) -> Result<Bytes, FetchError> {
    let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
    let exchange = async {
        let response = client.request(request).await.map_err(failed)?;
        if !response.status().is_success() {
            return Err(FetchError::Status(response.status().as_u16()));
        }
        let body = Limited::new(response.into_body(), max).collect().await;
        Ok(body.map_err(FetchError::Failed)?.to_bytes())
    };
    tokio::time::timeout(limit, Box::pin(exchange)).await.map_err(|_elapsed| FetchError::Late)?
}

fn failed(error: impl std::error::Error + Send + Sync + 'static) -> FetchError {
    FetchError::Failed(error.into())
}
