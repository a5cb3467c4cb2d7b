//! What every service needs to run, once for all ten: settings ([`Env`]), a process around them
//! ([`run`]), a server with health, reflection, traces, deadlines and panic isolation ([`spawn`]),
//! typed callers ([`channel`]), and the way out ([`Running::stop`]).
//!
//! A service is a [`ServiceSpec`] constant and a function that makes its [`App`] from an [`Env`];
//! `main` hands both to [`run`].

mod cache;
mod call;
mod client;
mod connection;
mod deadline;
mod env;
mod frame;
mod health;
mod layer;
mod log;
mod peer;
mod process;
mod server;
mod telemetry;
pub mod testing;

pub use crate::cache::Cache;
pub use crate::call::{detach, time_left, trace_id, with_deadline};
pub use crate::client::{Channel, channel, client};
pub use crate::deadline::Late;
pub use crate::env::{Env, EnvError, parse_duration};
pub use crate::layer::already_logged;
pub use crate::process::{process, run};
pub use crate::server::{App, Running, inproc, spawn};
pub use boutique_proto::services::ServiceSpec;
