//! Inbound adapter: parses a message into an order, takes its steps, and writes a message.

use boutique_proto::checkout_service_server::CheckoutService;
use boutique_proto::ext::orders_server::Orders;
use boutique_proto::ext::{
    self, GetOrderRequest, ListOrdersRequest, ListOrdersResponse, ListStuckOrdersRequest,
    RetryStuckOrderRequest,
};
use boutique_proto::{PlaceOrderRequest, PlaceOrderResponse};
use boutique_service::IdempotencyKey;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::checkout::{Checkout, status};
use crate::domain::{Buyer, Refusal, ShippingAddress};
use crate::order::Order;
use crate::store::Entry;

#[tonic::async_trait]
impl CheckoutService for Checkout {
    async fn place_order(
        &self,
        request: Request<PlaceOrderRequest>,
    ) -> Result<Response<PlaceOrderResponse>, Status> {
        let key = IdempotencyKey::of(&request)?;
        let order = parse(request.into_inner())?;
        let placed = self.place(order, key.as_ref()).await?;
        let answer = PlaceOrderResponse { order: Some(placed) };
        Ok(IdempotencyKey::confirm(key.as_ref(), answer))
    }
}

#[tonic::async_trait]
impl Orders for Checkout {
    async fn get_order(
        &self,
        request: Request<GetOrderRequest>,
    ) -> Result<Response<ext::Order>, Status> {
        let GetOrderRequest { user_id, order_id } = request.into_inner();
        let found = self.store.get(&user_id, &order_id).await.map_err(status)?;
        let found = found.ok_or_else(|| Status::not_found("there is no such order"))?;
        Ok(Response::new(found.into()))
    }

    async fn list_orders(
        &self,
        request: Request<ListOrdersRequest>,
    ) -> Result<Response<ListOrdersResponse>, Status> {
        let user_id = request.into_inner().user_id;
        let found = self.store.list(&user_id, usize::MAX).await.map_err(status)?;
        Ok(list(found))
    }

    async fn list_stuck_orders(
        &self,
        _request: Request<ListStuckOrdersRequest>,
    ) -> Result<Response<ListOrdersResponse>, Status> {
        Ok(list(self.store.stuck().await.map_err(status)?))
    }

    async fn retry_stuck_order(
        &self,
        request: Request<RetryStuckOrderRequest>,
    ) -> Result<Response<ext::Order>, Status> {
        let order = self.retry_stuck(&request.into_inner().order_id).await?;
        Ok(Response::new(order.into()))
    }
}

fn list(found: Vec<Entry>) -> Response<ListOrdersResponse> {
    Response::new(ListOrdersResponse { orders: found.into_iter().map(Into::into).collect() })
}

impl From<Entry> for ext::Order {
    fn from(Entry { order, .. }: Entry) -> Self {
        Self {
            state: order.state,
            order: order.order,
            total: order.total,
            placed_at: order.placed_at,
        }
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
