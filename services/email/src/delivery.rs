//! Outbound adapter: SMTP where `SMTP_URL` names a server, else a line in the log.

use boutique_service::{Env, EnvError, HostPort, Secret, span};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::{SMTP_PORT, SUBMISSION_PORT, SUBMISSIONS_PORT};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use percent_encoding::percent_decode_str;
use tokio::sync::Mutex;
use tracing::info;
use url::Url;

const FROM: &str = "Online Boutique <orders@boutique.example>";
const SUBJECT: &str = "Your Order Confirmation";

/// A rendered confirmation.
pub(crate) struct Mail {
    pub(crate) html: String,
    pub(crate) text: String,
}

/// The reason why a mail did not go out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeliveryError {
    #[error("cannot compose the mail")]
    Compose(#[source] lettre::error::Error),
    #[error("the mail server did not take the mail ({0})")]
    Send(String),
}

/// The destination of confirmations.
pub(crate) enum Delivery {
    /// Nowhere, as upstream's.
    Log,
    Smtp(Box<Smtp>),
}

/// A mail server, and the sender.
pub(crate) struct Smtp {
    from: Mailbox,
    root: Option<Certificate>,
    server: Mutex<(Secret, Server)>,
}

type Server = AsyncSmtpTransport<Tokio1Executor>;

impl Delivery {
    pub(crate) fn from_env(env: &Env) -> Result<Self, EnvError> {
        let from = env.get("SMTP_FROM").unwrap_or(FROM).parse().map_err(|_| {
            EnvError::new("SMTP_FROM", "must be a mailbox such as Shop <a@b.example>")
        })?;
        let Some(url) = env.secret("SMTP_URL")? else { return Ok(Self::Log) };
        let root = root(env)?;
        let server = server(url.value(), root.as_ref())
            .map_err(|problem| EnvError::new("SMTP_URL", problem))?;
        Ok(Self::Smtp(Box::new(Smtp { from, root, server: Mutex::new((url, server)) })))
    }

    pub(crate) async fn deliver(
        &self,
        to: Address,
        mail: Mail,
        order_id: &str,
    ) -> Result<(), DeliveryError> {
        let Self::Smtp(smtp) = self else {
            info!(
                order.id = order_id,
                "wrote a confirmation of order {order_id}, SMTP_URL is not set"
            );
            return Ok(());
        };
        let message = Message::builder()
            .from(smtp.from.clone())
            .message_id(Some(message_id(order_id, smtp.from.email.domain())))
            .to(Mailbox::new(None, to))
            .subject(SUBJECT)
            .multipart(MultiPart::alternative_plain_html(mail.text, mail.html))
            .map_err(DeliveryError::Compose)?;
        let server = smtp.server().await;
        let sent = span("smtp", server.send(message)).await;
        sent.map_err(|error| DeliveryError::Send(reason(&error)))?;
        info!(order.id = order_id, "mailed a confirmation of order {order_id}");
        Ok(())
    }
}

impl Smtp {
    /// The server; another one where the file with its URL has changed.
    async fn server(&self) -> Server {
        let (url, server) = &mut *self.server.lock().await;
        if let Some(changed) = url.reread(|url| self::server(url, self.root.as_ref())) {
            *server = changed;
        }
        server.clone()
    }
}

/// The certificates that the server's is checked by, if not by the public roots.
fn root(env: &Env) -> Result<Option<Certificate>, EnvError> {
    let Some(file) = env.get("SMTP_CA_FILE") else { return Ok(None) };
    let wrong = |problem: String| EnvError::new("SMTP_CA_FILE", problem);
    let pem = std::fs::read(file)
        .map_err(|error| wrong(format!("must name a file that can be read: {error}")))?;
    let root = Certificate::from_pem(&pem)
        .map_err(|_| wrong("must hold certificates in PEM format".to_owned()))?;
    Ok(Some(root))
}

/// The begin of TLS: with the connection, or by STARTTLS, which the server must or may offer.
enum Mode {
    Wrapper,
    Required,
    Opportunistic,
}

/// Makes the server of an `SMTP_URL`: a URL, or a host with or without a port. It may hold a password, so an error repeats
/// nothing of it.
fn server(text: &str, root: Option<&Certificate>) -> Result<Server, String> {
    let wrong = || "must be smtp://[user:password@]host[:port], smtps://…, or host:port".to_owned();
    // A word alone is more likely a mistake than a host.
    let is_host = |host: &HostPort| host.port.is_some() || host.host.contains(['.', ':']);
    if let Some(HostPort { host, port }) = HostPort::parse(text).filter(is_host) {
        return Ok(Server::builder_dangerous(host).port(port.unwrap_or(SMTP_PORT)).build());
    }
    let url = Url::parse(text).map_err(|_| wrong())?;
    let decoded =
        |text: &str| percent_decode_str(text).decode_utf8().map(String::from).map_err(|_| wrong());
    let asked = url.query_pairs().find(|(name, _)| name == "tls").map(|(_, value)| value);
    let (default_port, mode) = match (url.scheme(), asked.as_deref()) {
        ("smtps", None) => (SUBMISSIONS_PORT, Some(Mode::Wrapper)),
        ("smtp", Some("required")) => (SUBMISSION_PORT, Some(Mode::Required)),
        ("smtp", Some("opportunistic")) => (SUBMISSION_PORT, Some(Mode::Opportunistic)),
        // A password is sent over TLS where the server offers it.
        ("smtp", None) if url.password().is_some() => (SMTP_PORT, Some(Mode::Opportunistic)),
        ("smtp", None) => (SMTP_PORT, None),
        _ => return Err(wrong()),
    };
    let host = url.host_str().unwrap_or_default();
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let host = HostPort::parse(&decoded(host)?).filter(|host| host.port.is_none());
    let host = host.ok_or_else(wrong)?.host;
    let port = url.port().unwrap_or(default_port);
    let mut builder = Server::builder_dangerous(&host).port(port);
    if let Some(mode) = mode {
        let mut parameters = TlsParameters::builder(host);
        if let Some(root) = root {
            parameters = parameters
                .certificate_store(CertificateStore::None)
                .add_root_certificate(root.clone());
        }
        let parameters =
            parameters.build().map_err(|_| "must name a host that TLS can check".to_owned())?;
        builder = builder.tls(match mode {
            Mode::Wrapper => Tls::Wrapper(parameters),
            Mode::Required => Tls::Required(parameters),
            Mode::Opportunistic => Tls::Opportunistic(parameters),
        });
    }
    if let Some(password) = url.password() {
        let user = decoded(url.username())?;
        builder = builder.credentials(Credentials::new(user, decoded(password)?));
    }
    let name = decoded(url.path().trim_matches('/'))?;
    if !name.is_empty() {
        builder = builder.hello_name(ClientId::Domain(name));
    }
    Ok(builder.build())
}

/// The reason of a failure, for the log. A server's answer may repeat the customer's address, so only its code is kept.
fn reason(error: &lettre::transport::smtp::Error) -> String {
    if let Some(code) = error.status() {
        return format!("code {code}");
    }
    if error.is_timeout() {
        return "timeout".to_owned();
    }
    if error.is_response() {
        return "an answer that is not SMTP".to_owned();
    }
    let kind = if error.is_tls() { "TLS: " } else { "" };
    let cause = std::error::Error::source(error).map(ToString::to_string);
    format!("{kind}{}", cause.unwrap_or_else(|| "no connection".to_owned()))
}

/// The id of an order's mail; the same each time it is sent, so that a mailbox can tell.
fn message_id(order_id: &str, domain: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let id: String = order_id.chars().filter(|c| is_plain(*c)).take(64).collect();
    format!("<order-{id}@{domain}>")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_id_holds_nothing_that_a_header_cannot() {
        assert_eq!(message_id("0190a7c2-1", "shop.example"), "<order-0190a7c2-1@shop.example>");
        assert_eq!(message_id("a>\r\nBcc: x@y", "b.example"), "<order-aBccxy@b.example>");
        assert_eq!(message_id(&"a".repeat(100), "b").len(), 64 + "<order-@b>".len());
    }

    #[tokio::test]
    async fn reason_of_a_failure_is_kept_without_what_the_server_said() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("smtp://{}", listener.local_addr().unwrap());
        drop(listener);
        let server = server(&url, None).unwrap();
        let refused = reason(&server.test_connection().await.unwrap_err());
        assert!(refused.contains("refused"), "{refused}");
    }

    #[test]
    fn a_server_is_a_url_or_a_host() {
        for text in [
            "mail:2525",
            "mail.example",
            "10.0.0.5",
            "::1",
            "[::1]:2525",
            "smtp://mail",
            "smtp://[2001:db8::1]:2525/shop.example",
            "smtp://a:p%40ss@mail.example?tls=required",
            "smtps://a:b@[::1]",
        ] {
            assert!(server(text, None).is_ok(), "{text}");
        }
        for text in [
            "",
            "mail",
            ":25",
            "mail:0",
            "mail:99999",
            "a b",
            "smtp://",
            "ftp://mail",
            "smtp://mail?tls=maybe",
            "smtps://mail?tls=required",
        ] {
            assert!(server(text, None).is_err(), "{text}");
        }
    }
}
