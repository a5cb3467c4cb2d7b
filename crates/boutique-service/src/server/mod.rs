//! The server side: accepting connections, and what answers their requests.

mod accept;
mod activity;
mod admission;
mod budget;
mod class;
mod connection;
mod endpoint;
mod flood;
mod health;
mod listener;
mod outgoing;
mod protocol;
mod reply;
mod router;
mod turns;

pub(crate) use accept::accept;
pub(crate) use admission::ConnectionLimits;
pub(crate) use endpoint::Endpoint;
pub(crate) use health::{Check, Health};
pub(crate) use listener::{Listener, Shutdown};
pub use router::{Router, Stopping};
