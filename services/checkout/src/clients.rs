//! The wire side out: the six services an order needs.

use boutique_service::{Channel, Env, EnvError, channel};
use tonic::{Code, Status};

/// A way to call each service; cheap to clone.
#[derive(Clone)]
pub(crate) struct Clients {
    pub(crate) cart: Channel,
    pub(crate) catalog: Channel,
    pub(crate) currency: Channel,
    pub(crate) email: Channel,
    pub(crate) payment: Channel,
    pub(crate) shipping: Channel,
}

impl Clients {
    pub(crate) fn from_env(env: &Env) -> Result<Self, EnvError> {
        Ok(Self {
            shipping: channel(env, "SHIPPING_SERVICE_ADDR")?,
            catalog: channel(env, "PRODUCT_CATALOG_SERVICE_ADDR")?,
            cart: channel(env, "CART_SERVICE_ADDR")?,
            currency: channel(env, "CURRENCY_SERVICE_ADDR")?,
            email: channel(env, "EMAIL_SERVICE_ADDR")?,
            payment: channel(env, "PAYMENT_SERVICE_ADDR")?,
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
