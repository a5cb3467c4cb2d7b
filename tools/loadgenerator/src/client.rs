//! An HTTP client for one shop, and the cookies of one visitor.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

/// More than any page of the shop takes; what is slower has failed.
const TIMEOUT: Duration = Duration::from_secs(30);
const MOST_REDIRECTS: usize = 5;

/// Connections to the shop, shared by all visitors.
#[derive(Clone)]
pub(crate) struct Client {
    hyper: HyperClient<HttpConnector, Full<Bytes>>,
    authority: String,
}

/// What a visitor was given to keep.
#[derive(Debug, Default)]
pub(crate) struct Cookies(BTreeMap<String, String>);

/// A page as the visitor sees it, redirects followed.
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) body: String,
}

impl Client {
    pub(crate) fn new(frontend_addr: &str) -> anyhow::Result<Self> {
        let authority = frontend_addr.trim_start_matches("http://").trim_end_matches('/');
        let uri: Option<Uri> = format!("http://{authority}/").parse().ok();
        anyhow::ensure!(
            uri.is_some_and(|uri| uri.authority().is_some()),
            "FRONTEND_ADDR must be host:port"
        );
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let hyper = HyperClient::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .build(connector);
        Ok(Self { hyper, authority: authority.to_owned() })
    }

    /// Waits for the first page.
    pub(crate) async fn wait_until_open(&self, limit: Duration) -> anyhow::Result<()> {
        let began = Instant::now();
        loop {
            let last = match self.visit(&mut Cookies::default(), Method::GET, "/", "").await {
                Ok(page) if page.status == StatusCode::OK => return Ok(()),
                Ok(page) => anyhow::anyhow!("status {}", page.status),
                Err(error) => error,
            };
            if began.elapsed() > limit {
                return Err(last.context(format!("the shop at {} does not open", self.authority)));
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Asks for a page, with a form where there is one.
    pub(crate) async fn visit(
        &self,
        cookies: &mut Cookies,
        method: Method,
        path: &str,
        form: &str,
    ) -> anyhow::Result<Page> {
        let visit = self.follow(cookies, method, path.to_owned(), form.to_owned());
        tokio::time::timeout(TIMEOUT, visit).await.context("no answer in time")?
    }

    async fn follow(
        &self,
        cookies: &mut Cookies,
        mut method: Method,
        mut path: String,
        mut form: String,
    ) -> anyhow::Result<Page> {
        for _ in 0..=MOST_REDIRECTS {
            let mut request = Request::builder()
                .method(method.clone())
                .uri(format!("http://{}{path}", self.authority))
                .header(header::COOKIE, cookies.header());
            if method == Method::POST {
                request = request.header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
            }
            let response = self.hyper.request(request.body(Full::from(form))?).await?;
            let (parts, body) = response.into_parts();
            cookies.keep(&parts.headers);
            let body = body.collect().await.context("the answer ended early")?.to_bytes();
            if !parts.status.is_redirection() {
                let body = String::from_utf8(body.to_vec()).context("the answer is no text")?;
                return Ok(Page { status: parts.status, body });
            }
            let location = parts.headers.get(header::LOCATION).context("nowhere to go")?;
            let location: Uri = location.to_str()?.parse()?;
            path = location.path_and_query().map_or("/", |path| path.as_str()).to_owned();
            (method, form) = (Method::GET, String::new());
        }
        anyhow::bail!("too many redirects")
    }
}

impl Cookies {
    fn header(&self) -> String {
        let pairs: Vec<_> = self.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.join("; ")
    }

    fn keep(&mut self, headers: &http::HeaderMap) {
        let lines = headers.get_all(header::SET_COOKIE).iter();
        for line in lines.filter_map(|line| line.to_str().ok()) {
            let pair = line.split(';').next().and_then(|pair| pair.split_once('='));
            if let Some((name, value)) = pair {
                self.0.insert(name.trim().to_owned(), value.trim().to_owned());
            }
        }
    }
}
