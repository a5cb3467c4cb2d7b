//! The wire side out: SMTP where `SMTP_URL` names a server, else a line in the log.

use boutique_service::{Env, EnvError};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use tracing::info;

const FROM: &str = "Online Boutique <orders@boutique.example>";
const SUBJECT: &str = "Your Order Confirmation";

/// A rendered confirmation.
pub(crate) struct Mail {
    pub(crate) html: String,
    pub(crate) text: String,
}

/// Why a mail did not go out.
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

/// A mail server, and whom its mail is from.
pub(crate) struct Smtp {
    server: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

impl Delivery {
    pub(crate) fn from_env(env: &Env) -> Result<Self, EnvError> {
        let from = env.get("SMTP_FROM").unwrap_or(FROM).parse().map_err(|_| {
            EnvError::new("SMTP_FROM", "must be a mailbox such as Shop <a@b.example>")
        })?;
        let Some(url) = env.get("SMTP_URL") else { return Ok(Self::Log) };
        // The URL may hold a password, so the parser's own words stay out of the message.
        let wrong = |_| {
            EnvError::new("SMTP_URL", "must be smtp://[user:password@]host[:port] or smtps://…")
        };
        let server = AsyncSmtpTransport::<Tokio1Executor>::from_url(url).map_err(wrong)?.build();
        Ok(Self::Smtp(Box::new(Smtp { server, from })))
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
            .to(Mailbox::new(None, to))
            .subject(SUBJECT)
            .multipart(MultiPart::alternative_plain_html(mail.text, mail.html))
            .map_err(DeliveryError::Compose)?;
        // A server's answer may repeat the customer's address, so only its kind is kept.
        smtp.server.send(message).await.map_err(|error| {
            let kind = match error.status() {
                Some(code) => format!("code {code}"),
                None if error.is_timeout() => "timeout".to_owned(),
                None => "no connection".to_owned(),
            };
            DeliveryError::Send(kind)
        })?;
        info!(order.id = order_id, "mailed a confirmation of order {order_id}");
        Ok(())
    }
}
