//! The wire side out: the six services an order needs.

use boutique_proto::cart_service_client::CartServiceClient;
use boutique_proto::currency_service_client::CurrencyServiceClient;
use boutique_proto::email_service_client::EmailServiceClient;
use boutique_proto::payment_service_client::PaymentServiceClient;
use boutique_proto::product_catalog_service_client::ProductCatalogServiceClient;
use boutique_proto::shipping_service_client::ShippingServiceClient;
use boutique_service::{Channel, Env, EnvError, channel};
use tonic::{Code, Status};

/// One client for each service; cheap to clone.
#[derive(Clone)]
pub(crate) struct Clients {
    pub(crate) cart: CartServiceClient<Channel>,
    pub(crate) catalog: ProductCatalogServiceClient<Channel>,
    pub(crate) currency: CurrencyServiceClient<Channel>,
    pub(crate) email: EmailServiceClient<Channel>,
    pub(crate) payment: PaymentServiceClient<Channel>,
    pub(crate) shipping: ShippingServiceClient<Channel>,
}

impl Clients {
    pub(crate) fn from_env(env: &Env) -> Result<Self, EnvError> {
        Ok(Self {
            shipping: ShippingServiceClient::new(channel(env, "SHIPPING_SERVICE_ADDR")?),
            catalog: ProductCatalogServiceClient::new(channel(
                env,
                "PRODUCT_CATALOG_SERVICE_ADDR",
            )?),
            cart: CartServiceClient::new(channel(env, "CART_SERVICE_ADDR")?),
            currency: CurrencyServiceClient::new(channel(env, "CURRENCY_SERVICE_ADDR")?),
            email: EmailServiceClient::new(channel(env, "EMAIL_SERVICE_ADDR")?),
            payment: PaymentServiceClient::new(channel(env, "PAYMENT_SERVICE_ADDR")?),
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
