//! Inbound adapter: parses a message into domain types, calls the store, and writes a message.

use std::sync::Arc;

use boutique_proto::cart_service_server::CartService;
use boutique_proto::{AddItemRequest, Cart, CartItem, Empty, EmptyCartRequest, GetCartRequest};
use boutique_store::StoreError;
use tonic::{Request, Response, Status};

use crate::domain::{NewLine, Refusal, UserId};
use crate::store::{CartError, Store};

pub(crate) struct Carts {
    store: Arc<Store>,
}

impl Carts {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self { store }
    }
}

#[tonic::async_trait]
impl CartService for Carts {
    async fn add_item(&self, request: Request<AddItemRequest>) -> Result<Response<Empty>, Status> {
        let AddItemRequest { user_id, item } = request.into_inner();
        let user = UserId::parse(user_id)?;
        let item = item.ok_or(Refusal::NoItem)?;
        let line = NewLine::parse(item.product_id, item.quantity)?;
        self.store.add(&user, line).await?;
        Ok(Response::new(Empty {}))
    }

    async fn get_cart(&self, request: Request<GetCartRequest>) -> Result<Response<Cart>, Status> {
        let user = UserId::parse(request.into_inner().user_id)?;
        // Upstream's cart of an unknown user is the empty message, without the user's id.
        let Some(lines) = self.store.get(&user).await? else {
            return Ok(Response::new(Cart::default()));
        };
        let items = lines
            .into_iter()
            .map(|line| CartItem { product_id: line.product_id, quantity: line.quantity })
            .collect();
        Ok(Response::new(Cart { user_id: user.into_string(), items }))
    }

    async fn empty_cart(
        &self,
        request: Request<EmptyCartRequest>,
    ) -> Result<Response<Empty>, Status> {
        let user = UserId::parse(request.into_inner().user_id)?;
        self.store.empty(&user).await?;
        Ok(Response::new(Empty {}))
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoItem | Refusal::UserId | Refusal::ProductId | Refusal::Quantity => {
                Self::invalid_argument(refusal.to_string())
            }
            Refusal::FullLine | Refusal::FullCart => Self::resource_exhausted(refusal.to_string()),
        }
    }
}

impl From<CartError> for Status {
    fn from(error: CartError) -> Self {
        let mut status = match &error {
            CartError::Refused(refusal) => return (*refusal).into(),
            CartError::Store(StoreError::Unreachable(_) | StoreError::Full) => {
                Self::unavailable("Can't access cart storage.")
            }
            CartError::Store(StoreError::Unreadable(_)) => {
                Self::internal("Can't read the stored cart.")
            }
        };
        status.set_source(Arc::new(error));
        status
    }
}
