//! The client side: channels to other services, over connections to their endpoints or inside the process.

mod address;
mod balance;
mod channel;
mod connection;
mod endpoint;
mod exchange;
mod load;
mod open;
mod peer;
mod resolve;
mod retry;

pub(crate) use channel::set_worker;
pub use channel::{Channel, channel, client, read_timeout};
