//! Inbound adapter: parses a message into an order, takes its steps, and writes a message.

use boutique_proto::checkout_service_server::CheckoutService;
use boutique_proto::{PlaceOrderRequest, PlaceOrderResponse};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::clients::Clients;
use crate::domain::{Buyer, Refusal, ShippingAddress};
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
        let order = parse(request.into_inner())?;
        let prepared = order.prepare(&self.clients).await?;
        let result = prepared.settle(self.clients.clone()).await?;
        Ok(Response::new(PlaceOrderResponse { order: Some(result) }))
    }
}

fn parse(request: PlaceOrderRequest) -> Result<Order, Refusal> {
    let PlaceOrderRequest { user_id, user_currency, address, email, credit_card } = request;
    let buyer = Buyer::parse(user_id, email, &user_currency)?;
    let address = address.ok_or(Refusal::NoAddress)?;
    let address = ShippingAddress {
        street: address.street_address,
        city: address.city,
        state: address.state,
        country: address.country,
        zip_code: address.zip_code,
    };
    let address = address.parse()?;
    let card = credit_card.ok_or(Refusal::NoCard)?;
    Ok(Order { id: Uuid::new_v4().to_string(), buyer, address, card })
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::User
            | Refusal::Currency
            | Refusal::Email
            | Refusal::NoAddress
            | Refusal::LongAddress
            | Refusal::ZipCode
            | Refusal::NoCard => Self::invalid_argument(refusal.to_string()),
            Refusal::EmptyCart | Refusal::Quantity(_) | Refusal::Total(_) => {
                Self::failed_precondition(refusal.to_string())
            }
        }
    }
}
