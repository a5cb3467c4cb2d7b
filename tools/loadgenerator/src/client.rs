//! An HTTP/1.1 client for one shop: connections that all visitors share, and the cookies of one.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::target::Target;

/// More than any page of the shop takes; what is slower has failed.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(30);
const MOST_REDIRECTS: usize = 5;
/// More than any page has: the home page of 28,000 products.
const MAX_PAGE: usize = 32 * 1024 * 1024;
const FORM: HeaderValue = HeaderValue::from_static("application/x-www-form-urlencoded");
const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("boutique-loadgenerator/", env!("CARGO_PKG_VERSION")));

type Connection = SendRequest<Full<Bytes>>;

/// Connections to the shop; cheap to clone.
#[derive(Clone)]
pub(crate) struct Client(Rc<Shared>);

struct Shared {
    target: Target,
    host: HeaderValue,
    tls: Option<TlsConnector>,
    /// Connections that no visitor uses at the moment; the last one used is the next.
    idle: RefCell<Vec<Connection>>,
    requests: Cell<u64>,
}

/// The cookies of a visitor.
#[derive(Debug, Default)]
pub(crate) struct Cookies {
    pairs: Vec<(String, String)>,
    /// As they are sent.
    header: Option<HeaderValue>,
}

/// A page as the visitor sees it, redirects followed.
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) body: Bytes,
}

impl Client {
    /// A client for this shop, over TLS with these authorities where it is asked for.
    pub(crate) fn new(target: Target, tls: Arc<rustls::ClientConfig>) -> anyhow::Result<Self> {
        let host = HeaderValue::from_str(&target.authority())?;
        let tls = target.is_tls.then(|| TlsConnector::from(tls));
        let (idle, requests) = Default::default();
        Ok(Self(Rc::new(Shared { target, host, tls, idle, requests })))
    }

    /// Returns the number of HTTP requests sent so far; a visit takes several when it is redirected.
    pub(crate) fn requests(&self) -> u64 {
        self.0.requests.get()
    }

    /// Asks for a page, with a form where there is one.
    pub(crate) async fn visit(
        &self,
        cookies: &mut Cookies,
        method: Method,
        path: &str,
        form: String,
    ) -> anyhow::Result<Page> {
        let visit = self.follow(cookies, method, path, form);
        tokio::time::timeout(TIMEOUT, visit).await.context("no answer in time")?
    }

    async fn follow(
        &self,
        cookies: &mut Cookies,
        mut method: Method,
        path: &str,
        mut form: String,
    ) -> anyhow::Result<Page> {
        let mut uri: Uri = format!("{}{path}", self.0.target.base).parse()?;
        for _ in 0..=MOST_REDIRECTS {
            let request = self.request(cookies, &method, uri, form)?;
            let (head, body) = self.exchange(request).await?;
            cookies.keep(&head);
            if !head.status().is_redirection() {
                return Ok(Page { status: head.status(), body });
            }
            let location = head.headers().get(header::LOCATION).context("redirected to nowhere")?;
            let location: Uri = location.to_str()?.parse()?;
            let path = location.path_and_query().map_or("/", |path| path.as_str());
            (method, uri, form) = (Method::GET, path.parse()?, String::new());
        }
        bail!("too many redirects")
    }

    fn request(
        &self,
        cookies: &Cookies,
        method: &Method,
        uri: Uri,
        form: String,
    ) -> anyhow::Result<Request<Full<Bytes>>> {
        let mut request = Request::new(Full::from(form));
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(header::HOST, self.0.host.clone());
        headers.insert(header::USER_AGENT, USER_AGENT);
        if let Some(cookies) = &cookies.header {
            headers.insert(header::COOKIE, cookies.clone());
        }
        if method == Method::POST {
            headers.insert(header::CONTENT_TYPE, FORM);
        }
        Ok(request)
    }

    /// One request over a connection that is there, or over a new one.
    async fn exchange(
        &self,
        mut request: Request<Full<Bytes>>,
    ) -> anyhow::Result<(Response<()>, Bytes)> {
        self.0.requests.set(self.0.requests.get() + 1);
        loop {
            let idle = self.0.idle.borrow_mut().pop();
            let is_new = idle.is_none();
            let mut connection = match idle {
                Some(connection) if connection.is_ready() => connection,
                Some(_closed) => continue,
                None => self.connect().await?,
            };
            match connection.try_send_request(request).await {
                Ok(response) => {
                    let (head, body) = response.into_parts();
                    let body = read(body).await.context("the answer ended early")?;
                    // Free once the shop has not said that it closes.
                    if connection.ready().await.is_ok() {
                        self.0.idle.borrow_mut().push(connection);
                    }
                    return Ok((Response::from_parts(head, ()), body));
                }
                Err(mut error) => match error.take_message() {
                    // It was never sent: the shop had closed the connection.
                    Some(unsent) if !is_new => request = unsent,
                    _ => return Err(error.into_error().into()),
                },
            }
        }
    }

    async fn connect(&self) -> anyhow::Result<Connection> {
        let Target { host, port, .. } = &self.0.target;
        let stream = TcpStream::connect((host.as_str(), *port)).await.context("cannot connect")?;
        stream.set_nodelay(true)?;
        match &self.0.tls {
            None => speak(stream).await,
            Some(tls) => {
                let name = ServerName::try_from(host.clone())?;
                let stream = tls.connect(name, stream).await;
                speak(stream.context("TLS error")?).await
            }
        }
    }
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + 'static,
) -> anyhow::Result<Connection> {
    let (sender, driver) = handshake(TokioIo::new(stream)).await?;
    // How it ends is told by its requests.
    tokio::task::spawn_local(async move { driver.await.is_ok() });
    Ok(sender)
}

async fn read(mut body: Incoming) -> anyhow::Result<Bytes> {
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        anyhow::ensure!(all.len() + data.len() <= MAX_PAGE, "the page does not end");
        all.extend_from_slice(&data);
    }
    Ok(all.freeze())
}

impl Cookies {
    /// Takes a cookie as if the shop had given it.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.pairs.retain(|(other, _)| other != name);
        self.pairs.push((name.to_owned(), value.to_owned()));
        let mut text = String::new();
        for (name, value) in &self.pairs {
            let separator = if text.is_empty() { "" } else { "; " };
            let _ = write!(text, "{separator}{name}={value}");
        }
        self.header = HeaderValue::try_from(text).ok();
    }

    /// Returns the value of a cookie.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    fn keep<T>(&mut self, response: &Response<T>) {
        let lines = response.headers().get_all(header::SET_COOKIE).iter();
        for line in lines.filter_map(|line| line.to_str().ok()) {
            let pair = line.split(';').next().and_then(|pair| pair.split_once('='));
            if let Some((name, value)) = pair {
                self.set(name.trim(), value.trim());
            }
        }
    }
}
