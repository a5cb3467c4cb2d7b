//! Calls as types: what names one, what goes in and what comes out, and who answers it where no wire lies
//! between.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use prost::Message;
use tonic::{Request, Response, Status};

/// A unary call.
pub trait Rpc: Send + 'static {
    /// Its place on the wire: `/package.Service/Method`.
    const PATH: &'static str;
    /// What goes in.
    type Request: Message + 'static;
    /// What comes out, or as much of it as the caller reads.
    type Response: Message + Default;
}

/// An answer that is being made.
pub type Handling<'a, T> = BoxFuture<'a, Result<Response<T>, Status>>;

/// A service that answers a call.
pub trait Handles<R: Rpc>: Send + Sync {
    /// Answers it.
    fn handle(&self, request: Request<R::Request>) -> Handling<'_, R::Response>;
}

/// Who answers the calls of one service inside the process.
#[derive(Clone, Default)]
pub struct Handlers(Vec<Arc<dyn Any + Send + Sync>>);

impl Handlers {
    /// Lets a service answer a call.
    pub fn insert<R: Rpc, T: Handles<R> + 'static>(&mut self, service: &Arc<T>) {
        let service: Arc<dyn Handles<R>> = service.clone();
        self.0.push(Arc::new(service));
    }

    /// Who answers a call, if somebody does.
    pub fn get<R: Rpc>(&self) -> Option<&dyn Handles<R>> {
        // A service has at most four.
        let handler =
            self.0.iter().find_map(|handler| handler.downcast_ref::<Arc<dyn Handles<R>>>());
        handler.map(Arc::as_ref)
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Handlers").field(&self.0.len()).finish()
    }
}
