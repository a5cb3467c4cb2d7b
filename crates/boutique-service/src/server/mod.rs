//! The server side: accepting connections, and what answers their requests.

mod accept;
mod connection;
mod endpoint;
mod health;
mod protocol;
mod router;

pub(crate) use accept::{Listener, Shutdown, accept};
pub(crate) use endpoint::Endpoint;
pub(crate) use health::{Check, Health};
pub use router::Router;
