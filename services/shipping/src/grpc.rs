//! The inbound gRPC adapter: a message, one domain call, a message.

use boutique_proto::shipping_service_server::ShippingService;
use boutique_proto::{GetQuoteRequest, GetQuoteResponse, ShipOrderRequest, ShipOrderResponse};
use boutique_service::IdempotencyKey;
use boutique_store::{Fingerprint, KeyStore, Once};
use prost::Message as _;
use tonic::{Request, Response, Status};
use tracing::info;

use crate::domain::{self, Destination, Refusal};

pub(crate) struct Shipping {
    /// The parcels by their idempotency keys.
    parcels: KeyStore,
}

impl Shipping {
    pub(crate) fn new(parcels: KeyStore) -> Self {
        Self { parcels }
    }
}

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
        let key = IdempotencyKey::of(&request)?;
        let destination = request.get_ref().address.as_ref().map(|address| Destination {
            street: &address.street_address,
            city: &address.city,
            state: &address.state,
        });
        let id = domain::tracking_id(destination, &mut rand::rng())?;
        let mut once = Once { id, is_new: true };
        if let Some(key) = &key {
            let message = request.get_ref().encode_to_vec();
            let fingerprint = Fingerprint::new(key.as_str()).with(&message).finish();
            once = self.parcels.once(key.as_str(), fingerprint, once.id).await?;
        }
        let tracking_id = once.id;
        if once.is_new {
            info!(shipping.tracking.id = %tracking_id, "shipped parcel {tracking_id}");
        }
        Ok(IdempotencyKey::confirm(key.as_ref(), ShipOrderResponse { tracking_id }))
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
