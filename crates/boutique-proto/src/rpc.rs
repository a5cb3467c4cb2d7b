//! Unary methods as types, and the two sides of a call: a channel that makes it and a handler that answers it.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use prost::Message;
use tonic::{Request, Response, Status};

use crate::services::ServiceSpec;

/// A unary method.
pub trait Rpc: Send + Sync + 'static {
    /// `/package.Service/Method`.
    const PATH: &'static str;
    /// The request message.
    type Request: Message + 'static;
    /// The response message.
    type Response: Message + Default + 'static;
}

/// A way to make unary calls, whatever lies between caller and handler.
pub trait UnaryChannel: Clone {
    /// Calls a method. Metadata travels both ways.
    fn unary<R: Rpc>(
        &self,
        request: Request<R::Request>,
    ) -> impl Future<Output = Result<Response<R::Response>, Status>> + Send;
}

/// A generated client of one service: it has the methods of that service and no others.
///
/// ```
/// # use boutique_proto::{Cart, GetCartRequest, UnaryChannel, cart_service};
/// # async fn example(cart: cart_service::Client<impl UnaryChannel>) -> Result<Cart, tonic::Status> {
/// cart.get_cart(GetCartRequest { user_id: "u".to_owned() }).await
/// # }
/// ```
///
/// A call to another service does not compile:
///
/// ```compile_fail,E0599
/// # use boutique_proto::{Cart, GetCartRequest, UnaryChannel, payment_service};
/// # async fn example(payment: payment_service::Client<impl UnaryChannel>) -> Result<Cart, tonic::Status> {
/// payment.get_cart(GetCartRequest { user_id: "u".to_owned() }).await
/// # }
/// ```
pub trait TypedClient {
    /// The channel that it calls through.
    type Channel;
    /// The `package.Service` that it calls.
    const GRPC_SERVICE: &'static str;

    /// Makes a client that calls through `channel`.
    fn new(channel: Self::Channel) -> Self;

    /// The service's row in [`crate::services::SERVICES`], if it has one.
    fn spec() -> Option<&'static ServiceSpec> {
        ServiceSpec::of_grpc(Self::GRPC_SERVICE)
    }
}

/// The future of a response.
pub type HandlerFuture<'a, T> = BoxFuture<'a, Result<Response<T>, Status>>;

/// A service that answers a unary method.
pub trait UnaryHandler<R: Rpc>: Send + Sync {
    /// Answers one request.
    fn handle(&self, request: Request<R::Request>) -> HandlerFuture<'_, R::Response>;
}

/// The unary methods of a process's service, to be called without a connection.
#[derive(Clone, Default)]
pub struct Handlers {
    /// Each an `Arc<dyn UnaryHandler<R>>` of its own `R`.
    handlers: Vec<Arc<dyn Any + Send + Sync>>,
    paths: Vec<&'static str>,
}

impl Handlers {
    /// Registers a service as the handler of a method.
    pub fn insert<R: Rpc, T: UnaryHandler<R> + 'static>(&mut self, service: &Arc<T>) {
        let handler: Arc<dyn UnaryHandler<R>> = service.clone();
        self.handlers.push(Arc::new(handler));
        self.paths.push(R::PATH);
    }

    /// Adds the methods of another service.
    pub fn extend(&mut self, other: Self) {
        self.handlers.extend(other.handlers);
        self.paths.extend(other.paths);
    }

    /// Returns the handler registered for a method, if any.
    pub fn get<R: Rpc>(&self) -> Option<&Arc<dyn UnaryHandler<R>>> {
        // A service has at most four.
        self.handlers.iter().find_map(|handler| handler.downcast_ref())
    }

    /// Returns the paths of all methods that have a handler.
    pub fn paths(&self) -> &[&'static str] {
        &self.paths
    }

    /// Returns true if the method at `path` is unary and has a handler.
    pub fn has(&self, path: &str) -> bool {
        self.paths.contains(&path)
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handlers").field(&self.paths).finish()
    }
}
