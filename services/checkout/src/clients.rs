//! Outbound adapters: the six services that an order needs.

use boutique_proto::ext::{carts, charges};
use boutique_proto::services::{CART, PAYMENT};
use boutique_proto::{
    TypedClient as _, cart_service, currency_service, email_service, payment_service,
    product_catalog_service, shipping_service,
};
use boutique_service::{Channel, Env, EnvError, Registry, channel, client, with_source};
use tonic::{Code, Status};

/// A client of each service; cheap to clone.
#[derive(Clone)]
pub(crate) struct Clients {
    pub(crate) cart: cart_service::Client<Channel>,
    pub(crate) carts: carts::Client<Channel>,
    pub(crate) catalog: product_catalog_service::Client<Channel>,
    pub(crate) currency: currency_service::Client<Channel>,
    pub(crate) email: email_service::Client<Channel>,
    pub(crate) payment: payment_service::Client<Channel>,
    pub(crate) charges: charges::Client<Channel>,
    pub(crate) shipping: shipping_service::Client<Channel>,
}

impl Clients {
    /// Reads the services' addresses and deadlines.
    pub(crate) fn from_env(env: &Env, registry: &Registry) -> Result<Self, EnvError> {
        let cart = channel(env, registry, &CART)?;
        let payment = channel(env, registry, &PAYMENT)?;
        Ok(Self {
            shipping: client(env, registry)?,
            catalog: client(env, registry)?,
            cart: cart_service::Client::new(cart.clone()),
            carts: carts::Client::new(cart),
            currency: client(env, registry)?,
            email: client(env, registry)?,
            payment: payment_service::Client::new(payment.clone()),
            charges: charges::Client::new(payment),
        })
    }
}

/// Wraps the status of a step that failed in another service: `attempt` is upstream's text, the status becomes the
/// source. The code says who has to act: the caller, or an operator.
pub(crate) fn wrap(attempt: &str, cause: Status) -> Status {
    let code = match cause.code() {
        Code::InvalidArgument | Code::OutOfRange => Code::InvalidArgument,
        Code::NotFound | Code::FailedPrecondition => Code::FailedPrecondition,
        Code::Unavailable | Code::DeadlineExceeded | Code::Aborted => Code::Unavailable,
        Code::ResourceExhausted => Code::ResourceExhausted,
        Code::Ok
        | Code::Cancelled
        | Code::Unknown
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss
        | Code::Unauthenticated => Code::Internal,
    };
    with_cause(code, attempt.to_owned(), cause)
}

/// Like [`wrap`], with the message of the cause in the text, as upstream's checkout writes it.
pub(crate) fn wrap_with_message(attempt: &str, cause: Status) -> Status {
    let text = format!("{attempt}: {}", go_style_message(&cause));
    let code = wrap("", cause.clone()).code();
    with_cause(code, text, cause)
}

fn with_cause(code: Code, text: String, cause: Status) -> Status {
    with_source(Status::new(code, text), cause)
}

/// Formats a status as Go does, and so upstream's services.
pub(crate) fn go_style_message(status: &Status) -> String {
    format!("rpc error: code = {:?} desc = {}", status.code(), status.message())
}
