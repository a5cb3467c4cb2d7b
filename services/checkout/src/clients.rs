//! Outbound adapters: the six services that an order needs.

use boutique_proto::{
    cart_service, currency_service, email_service, payment_service, product_catalog_service,
    shipping_service,
};
use boutique_service::{Channel, Env, EnvError, Registry, client};
use tonic::{Code, Status};

/// A client of each service; cheap to clone.
#[derive(Clone)]
pub(crate) struct Clients {
    pub(crate) cart: cart_service::Client<Channel>,
    pub(crate) catalog: product_catalog_service::Client<Channel>,
    pub(crate) currency: currency_service::Client<Channel>,
    pub(crate) email: email_service::Client<Channel>,
    pub(crate) payment: payment_service::Client<Channel>,
    pub(crate) shipping: shipping_service::Client<Channel>,
}

impl Clients {
    /// Reads the services' addresses and deadlines.
    pub(crate) fn from_env(env: &Env, registry: &Registry) -> Result<Self, EnvError> {
        Ok(Self {
            shipping: client(env, registry)?,
            catalog: client(env, registry)?,
            cart: client(env, registry)?,
            currency: client(env, registry)?,
            email: client(env, registry)?,
            payment: client(env, registry)?,
        })
    }
}

/// A step that failed in another service: what was attempted, in upstream's words, with the other's
/// status as cause. The code says whose turn it is: the caller's, or an operator's.
pub(crate) fn failed(attempt: &str, cause: Status) -> Status {
    let code = match cause.code() {
        Code::InvalidArgument | Code::OutOfRange => Code::InvalidArgument,
        Code::NotFound | Code::FailedPrecondition => Code::FailedPrecondition,
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Aborted => {
            Code::Unavailable
        }
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

/// Like [`failed`], with the other's words in our own, as upstream's checkout writes them.
pub(crate) fn failed_because(attempt: &str, cause: Status) -> Status {
    let text = format!("{attempt}: {}", in_go(&cause));
    let code = failed("", cause.clone()).code();
    with_cause(code, text, cause)
}

fn with_cause(code: Code, text: String, cause: Status) -> Status {
    let mut status = Status::new(code, text);
    status.set_source(std::sync::Arc::new(cause));
    status
}

/// A status as Go prints it, which is what upstream's clients are used to read.
pub(crate) fn in_go(status: &Status) -> String {
    format!("rpc error: code = {:?} desc = {}", status.code(), status.message())
}
