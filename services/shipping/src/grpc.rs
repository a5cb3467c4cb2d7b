//! The inbound gRPC adapter: a message, one domain call, a message.

use boutique_proto::shipping_service_server::ShippingService;
use boutique_proto::{GetQuoteRequest, GetQuoteResponse, ShipOrderRequest, ShipOrderResponse};
use tonic::{Request, Response, Status};
use tracing::info;

use crate::domain::{self, Destination, Refusal};

pub(crate) struct Shipping;

#[tonic::async_trait]
impl ShippingService for Shipping {
    async fn get_quote(
        &self,
        request: Request<GetQuoteRequest>,
    ) -> Result<Response<GetQuoteResponse>, Status> {
        let cost = domain::quote(request.get_ref().items.iter().map(|item| item.quantity))?;
        Ok(Response::new(GetQuoteResponse { cost_usd: Some(cost.into()) }))
    }

    async fn ship_order(
        &self,
        request: Request<ShipOrderRequest>,
    ) -> Result<Response<ShipOrderResponse>, Status> {
        let destination = request.get_ref().address.as_ref().map(|address| Destination {
            street: &address.street_address,
            city: &address.city,
            state: &address.state,
        });
        let tracking_id = domain::tracking_id(destination, &mut rand::rng())?;
        info!(shipping.tracking.id = %tracking_id, "shipped parcel {tracking_id}");
        Ok(Response::new(ShipOrderResponse { tracking_id }))
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoAddress | Refusal::LongAddress | Refusal::Quantity => {
                Self::invalid_argument(refusal.to_string())
            }
        }
    }
}
