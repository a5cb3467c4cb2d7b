//! The wire side in: a message, the domain's checks, the steps of the order, a message.

use boutique_proto::checkout_service_server::CheckoutService;
use boutique_proto::{PlaceOrderRequest, PlaceOrderResponse};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::clients::Clients;
use crate::domain::{self, Refusal};
use crate::order::Order;

pub(crate) struct Checkout {
    clients: Clients,
}

impl Checkout {
    pub(crate) fn new(clients: Clients) -> Self {
        Self { clients }
    }
}

#[tonic::async_trait]
impl CheckoutService for Checkout {
    async fn place_order(
        &self,
        request: Request<PlaceOrderRequest>,
    ) -> Result<Response<PlaceOrderResponse>, Status> {
        let order = order(request.into_inner())?;
        let prepared = order.prepare(&self.clients).await?;
        let result = prepared.settle(self.clients.clone()).await?;
        Ok(Response::new(PlaceOrderResponse { order: Some(result) }))
    }
}

fn order(request: PlaceOrderRequest) -> Result<Order, Refusal> {
    let id = Uuid::new_v4().to_string();
    let PlaceOrderRequest { user_id, user_currency, address, email, credit_card } = request;
    let currency = domain::check(&domain::Request {
        user_id: &user_id,
        user_currency: &user_currency,
        email: &email,
        address: address.as_ref().map(|address| {
            [
                address.street_address.as_str(),
                address.city.as_str(),
                address.state.as_str(),
                address.country.as_str(),
            ]
        }),
        has_card: credit_card.is_some(),
    })?;
    let (Some(address), Some(card)) = (address, credit_card) else {
        return Err(Refusal::NoAddress);
    };
    Ok(Order { id, user_id, currency, email, address, card })
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::User
            | Refusal::Currency
            | Refusal::Email
            | Refusal::NoAddress
            | Refusal::LongAddress
            | Refusal::NoCard => Self::invalid_argument(refusal.to_string()),
            Refusal::EmptyCart | Refusal::Quantity(_) | Refusal::Total(_) => {
                Self::failed_precondition(refusal.to_string())
            }
        }
    }
}
