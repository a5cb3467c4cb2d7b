//! The client side: channels to other services, over a connection or inside the process.

mod call;
mod channel;
mod connection;

pub(crate) use channel::set_worker;
pub use channel::{Channel, channel, client, read_timeout};
