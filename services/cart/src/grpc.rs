//! Inbound adapter: parses a message into domain types, calls the store, and writes a message.

use std::sync::Arc;

use boutique_proto::cart_service_server::CartService;
use boutique_proto::ext::{self, CART_VERSION, RemoveItemsRequest};
use boutique_proto::{AddItemRequest, Cart, CartItem, Empty, EmptyCartRequest, GetCartRequest};
use boutique_service::{Counter, IdempotencyKey, Meter, with_source};
use boutique_store::StoreError;
use tonic::{Request, Response, Status};

use crate::change::Change;
use crate::domain::{MAX_LINES, NewLine, Refusal, UserId};
use crate::store::{CartError, Store};

#[derive(Clone)]
pub(crate) struct Carts {
    store: Arc<Store>,
    additions: Counter,
    started: Counter,
}

impl Carts {
    pub(crate) fn new(store: Arc<Store>, meter: &Meter) -> Self {
        let additions = meter.counter("shop.cart.additions", "Products that were added to carts");
        let started = meter.counter("shop.carts.started", "Carts that were empty and are not");
        Self { store, additions, started }
    }
}

#[tonic::async_trait]
impl CartService for Carts {
    async fn add_item(&self, request: Request<AddItemRequest>) -> Result<Response<Empty>, Status> {
        let key = IdempotencyKey::of(&request)?;
        let AddItemRequest { user_id, item } = request.into_inner();
        let user = UserId::parse(user_id)?;
        let item = item.ok_or(Refusal::NoItem)?;
        let line = NewLine::parse(item.product_id, item.quantity)?;
        let change = Change::new(key.as_ref(), std::slice::from_ref(&line));
        let was_empty = self.store.add(&user, line, &change).await?;
        self.additions.increment();
        if was_empty {
            self.started.increment();
        }
        Ok(IdempotencyKey::confirm(key.as_ref(), Empty {}))
    }

    async fn get_cart(&self, request: Request<GetCartRequest>) -> Result<Response<Cart>, Status> {
        let user = UserId::parse(request.into_inner().user_id)?;
        // Upstream's cart of an unknown user is the empty message, without the user's id.
        let Some(cart) = self.store.get(&user).await? else {
            return Ok(Response::new(Cart::default()));
        };
        let items = cart
            .lines
            .into_iter()
            .map(|line| CartItem { product_id: line.product_id, quantity: line.quantity })
            .collect();
        let response = Response::new(Cart { user_id: user.into_string(), items });
        Ok(with_version(response, cart.version))
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

/// Tells the version of the cart in the metadata.
fn with_version<T>(mut response: Response<T>, version: Option<String>) -> Response<T> {
    if let Some(version) = version.and_then(|version| version.parse().ok()) {
        response.metadata_mut().insert(CART_VERSION, version);
    }
    response
}

#[tonic::async_trait]
impl ext::carts_server::Carts for Carts {
    async fn remove_items(
        &self,
        request: Request<RemoveItemsRequest>,
    ) -> Result<Response<Empty>, Status> {
        let key = IdempotencyKey::of(&request)?;
        let RemoveItemsRequest { user_id, items } = request.into_inner();
        let user = UserId::parse(user_id)?;
        if items.len() > MAX_LINES {
            return Err(Refusal::FullCart.into());
        }
        let lines = items.into_iter().map(|item| NewLine::parse(item.product_id, item.quantity));
        let lines: Vec<NewLine> = lines.collect::<Result<_, _>>()?;
        let change = Change::new(key.as_ref(), &lines);
        let version = self.store.remove(&user, &lines, &change).await?;
        let response = IdempotencyKey::confirm(key.as_ref(), Empty {});
        Ok(with_version(response, version))
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NoItem | Refusal::UserId | Refusal::ProductId | Refusal::Quantity => {
                Self::invalid_argument(refusal.to_string())
            }
            Refusal::FullLine | Refusal::FullCart => Self::resource_exhausted(refusal.to_string()),
            Refusal::OtherChange => Self::failed_precondition(refusal.to_string()),
        }
    }
}

impl From<CartError> for Status {
    fn from(error: CartError) -> Self {
        let status = match &error {
            CartError::Refused(refusal) => return (*refusal).into(),
            CartError::Store(StoreError::Unreachable(_) | StoreError::Full) => {
                Self::unavailable("Can't access cart storage.")
            }
            CartError::Store(StoreError::Unreadable(_)) => {
                Self::internal("Can't read the stored cart.")
            }
        };
        with_source(status, error)
    }
}
