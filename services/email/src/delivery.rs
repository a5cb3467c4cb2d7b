//! Outbound adapter: SMTP where `SMTP_URL` names a server, else a line in the log.

use boutique_service::{Env, EnvError};
use lettre::message::{Mailbox, MultiPart};
use lettre::transport::smtp::client::{Certificate, CertificateStore, Tls, TlsParameters};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
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

/// Where confirmations go.
pub(crate) enum Delivery {
    /// Nowhere, as upstream's.
    Log,
    Smtp(Box<Smtp>),
}

/// A mail server, and the sender.
pub(crate) struct Smtp {
    server: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Delivery {
    pub(crate) fn from_env(env: &Env) -> Result<Self, EnvError> {
        let from = env.get("SMTP_FROM").unwrap_or(FROM).parse().map_err(|_| {
            EnvError::new("SMTP_FROM", "must be a mailbox such as Shop <a@b.example>")
        })?;
        let Some(url) = env.secret("SMTP_URL")? else { return Ok(Self::Log) };
        // The URL may hold a password, so the parser's own words stay out of the message.
        let wrong =
            || EnvError::new("SMTP_URL", "must be smtp://[user:password@]host[:port] or smtps://…");
        let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(&url).map_err(|_| wrong())?;
        let url = Url::parse(&url).map_err(|_| wrong())?;
        let builder = match tls(env, &url)? {
            Some(tls) => builder.tls(tls),
            None => builder,
        };
        Ok(Self::Smtp(Box::new(Smtp { server: builder.build(), from })))
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
        smtp.server.send(message).await.map_err(|error| DeliveryError::Send(reason(&error)))?;
        info!(order.id = order_id, "mailed a confirmation of order {order_id}");
        Ok(())
    }
}

/// The TLS that differs from what the URL alone asks for: a password is sent over TLS where the server offers it, and
/// `SMTP_CA_FILE` replaces the public roots.
fn tls(env: &Env, url: &Url) -> Result<Option<Tls>, EnvError> {
    let asked = url.query_pairs().find(|(name, _)| name == "tls").map(|(_, value)| value);
    let mode = match (url.scheme(), asked.as_deref()) {
        ("smtps", _) => Tls::Wrapper,
        (_, Some("required")) => Tls::Required,
        (_, Some(_)) => Tls::Opportunistic,
        (_, None) if url.password().is_some() => Tls::Opportunistic,
        (_, None) => return Ok(None),
    };
    let mut parameters = TlsParameters::builder(url.host_str().unwrap_or_default().to_owned());
    if let Some(file) = env.get("SMTP_CA_FILE") {
        let wrong = |problem: String| EnvError::new("SMTP_CA_FILE", problem);
        let pem = std::fs::read(file)
            .map_err(|error| wrong(format!("must name a file that can be read: {error}")))?;
        let root = Certificate::from_pem(&pem)
            .map_err(|_| wrong("must hold certificates in PEM format".to_owned()))?;
        parameters =
            parameters.certificate_store(CertificateStore::None).add_root_certificate(root);
    }
    let parameters = parameters
        .build()
        .map_err(|_| EnvError::new("SMTP_URL", "must name a host that TLS can check"))?;
    Ok(Some(mode(parameters)))
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
        let server: AsyncSmtpTransport<Tokio1Executor> =
            AsyncSmtpTransport::<Tokio1Executor>::from_url(&url).unwrap().build();
        let refused = reason(&server.test_connection().await.unwrap_err());
        assert!(refused.contains("refused"), "{refused}");
    }
}
