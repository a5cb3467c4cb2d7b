//! A visitor: an HTTP client with cookies that follows no redirect by itself.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// The form as the cart page fills it in, for a card that is good for years.
pub const FORM: [(&str, &str); 10] = [
    ("email", "someone@example.com"),
    ("street_address", "1600 Amphitheatre Parkway"),
    ("zip_code", "94043"),
    ("city", "Mountain View"),
    ("state", "CA"),
    ("country", "United States"),
    ("credit_card_number", "4432801561520454"),
    ("credit_card_expiration_month", "1"),
    ("credit_card_expiration_year", "2039"),
    ("credit_card_cvv", "672"),
];

/// The longest time that a test waits for an event.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A client with cookies.
#[derive(Clone)]
pub struct Visitor {
    client: Client<HttpConnector, Full<Bytes>>,
    /// The URL before every path.
    pub base: String,
    /// The cookies received, by name.
    pub cookies: BTreeMap<String, String>,
    /// Headers of every request, as a proxy adds them.
    pub headers: Vec<(&'static str, String)>,
}

/// A response, read whole.
#[derive(Debug)]
pub struct Answer {
    /// The status code.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as text.
    pub body: String,
    /// The body as it came.
    pub bytes: Bytes,
}

impl Answer {
    /// Returns a header; a missing one is empty.
    pub fn header(&self, name: impl header::AsHeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Returns the text of the page between two others.
    pub fn between(&self, before: &str, after: &str) -> &str {
        let rest = self.body.split_once(before).map_or("", |(_, rest)| rest);
        rest.split_once(after).map_or("", |(text, _)| text)
    }

    /// Every cookie that was set, whole.
    pub fn set_cookies(&self) -> Vec<&str> {
        let lines = self.headers.get_all(header::SET_COOKIE).iter();
        lines.map(|line| line.to_str().unwrap()).collect()
    }
}

/// Server-sent events that are followed.
pub struct Events {
    body: Incoming,
    unread: String,
}

impl Events {
    /// Returns the data of the next event; `None` at the end of the stream.
    pub async fn next(&mut self) -> anyhow::Result<Option<String>> {
        loop {
            if let Some((event, rest)) = self.unread.split_once("\n\n") {
                let data = event.lines().filter_map(|line| line.strip_prefix("data: "));
                let data = data.collect::<Vec<_>>().join("\n");
                self.unread = rest.to_owned();
                return Ok(Some(data));
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await;
            match frame.context("no event in time")? {
                Some(frame) => {
                    let data = frame?.into_data().unwrap_or_default();
                    self.unread.push_str(std::str::from_utf8(&data)?);
                }
                None => return Ok(None),
            }
        }
    }

    /// Waits for the data of an event that is the one.
    pub async fn until(&mut self, is_it: impl Fn(&str) -> bool) -> anyhow::Result<String> {
        let mut last = String::new();
        let found = async {
            while let Some(data) = self.next().await? {
                if is_it(&data) {
                    return Ok(data);
                }
                last = data;
            }
            anyhow::bail!("the events ended")
        };
        let found = tokio::time::timeout(PATIENCE, found).await;
        found.unwrap_or_else(|_| Err(anyhow::anyhow!("it never came"))).context(last)
    }
}

impl Visitor {
    /// Makes a visitor without cookies.
    pub fn new(base: impl Into<String>) -> Self {
        let client = Client::builder(TokioExecutor::new()).build(HttpConnector::new());
        Self { client, base: base.into(), cookies: BTreeMap::new(), headers: Vec::new() }
    }

    /// A visitor who speaks HTTP/2 from the first byte, as some proxies do.
    pub fn over_http2(self) -> Self {
        let mut builder = Client::builder(TokioExecutor::new());
        Self { client: builder.http2_only(true).build(HttpConnector::new()), ..self }
    }

    /// Sends a request, and keeps the cookies of the answer.
    pub async fn send(&mut self, request: Request<Full<Bytes>>) -> Answer {
        let response = self.client.request(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = String::from_utf8_lossy(&bytes).into_owned();
        let answer = Answer { status: parts.status, headers: parts.headers, body, bytes };
        for cookie in answer.set_cookies() {
            let (name, value) = cookie.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        answer
    }

    /// A request with this visitor's cookies.
    pub fn request(&self, method: &str, path: &str) -> http::request::Builder {
        let cookies: Vec<_> = self.cookies.iter().map(|(n, v)| format!("{n}={v}")).collect();
        let request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        let request = self.headers.iter().fold(request, |request, (n, v)| request.header(*n, v));
        if cookies.is_empty() { request } else { request.header("cookie", cookies.join("; ")) }
    }

    /// Gets a page.
    pub async fn get(&mut self, path: &str) -> Answer {
        let request = self.request("GET", path).body(Full::default()).unwrap();
        self.send(request).await
    }

    /// Follows the server-sent events of an address.
    pub async fn follow(&mut self, path: &str) -> anyhow::Result<Events> {
        let request = self.request("GET", path).body(Full::default())?;
        let response = self.client.request(request).await?;
        anyhow::ensure!(response.status() == 200, "{path}: {}", response.status());
        let kind = response.headers().get(header::CONTENT_TYPE).cloned();
        anyhow::ensure!(kind.is_some_and(|kind| kind == "text/event-stream"), "{path}: no events");
        Ok(Events { body: response.into_body(), unread: String::new() })
    }

    /// Posts a form.
    pub async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.post_raw(path, Some("application/x-www-form-urlencoded"), form).await
    }

    /// Posts a body as it is.
    pub async fn post_raw(
        &mut self,
        path: &str,
        content_type: Option<&str>,
        body: impl Into<Bytes>,
    ) -> Answer {
        let mut request = self.request("POST", path);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let request = request.body(Full::new(body.into())).unwrap();
        self.send(request).await
    }

    /// Puts a product into the cart.
    pub async fn add(&mut self, product_id: &str, quantity: u32) -> Answer {
        self.post("/cart", &[("product_id", product_id), ("quantity", &quantity.to_string())]).await
    }

    /// Checks out with the form as it stands, but for these fields.
    pub async fn check_out(&mut self, changed: &[(&str, &str)]) -> Answer {
        let kept = FORM.iter().filter(|(name, _)| changed.iter().all(|(other, _)| other != name));
        let fields: Vec<_> = kept.chain(changed).copied().collect();
        self.post("/cart/checkout", &fields).await
    }
}
