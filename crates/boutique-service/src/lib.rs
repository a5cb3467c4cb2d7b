//! Everything that a service needs to run: settings ([`Env`]), a process ([`run`]), a server with health, reflection, traces,
//! deadlines and TLS ([`spawn`]), typed clients of other services ([`client`]), and a graceful shutdown
//! ([`ServerHandle::stop`]).
//!
//! A service is a [`ServiceSpec`] and a function that makes its [`Router`] from the settings and the [`Registry`] of
//! services in the same process; its `main` passes both to [`run`].
//!
//! Requests pass through a stack of tower layers on either side, which are the same for the wire and for calls inside
//! the process: `server/endpoint.rs` and `client/channel.rs` list them.

mod admin;
mod cache;
mod client;
mod collector;
mod compression;
mod context;
mod env;
mod faults;
mod file;
mod grpc;
mod idempotency;
mod layers;
mod listen;
mod log;
mod memory;
mod metrics;
mod net;
mod operation;
mod overload;
mod propagation;
mod push;
mod registry;
mod run;
mod serve;
mod server;
mod span;
mod timeout;
mod tls;
mod trace;

pub use boutique_proto::services::{ServiceSpec, Threads};

pub use crate::admin::AdminView;
pub use crate::cache::Cache;
pub use crate::client::{Channel, channel, client, read_timeout};
pub use crate::context::{detach, request_id, time_left, trace_id, with_deadline};
pub use crate::env::{Env, EnvError, Secret, parse_duration};
pub use crate::file::read_text;
pub use crate::grpc::{is_unanswered, status_of, was_not_processed, with_source};
pub use crate::idempotency::IdempotencyKey;
pub use crate::layers::{Outcome, already_logged};
pub use crate::metrics::{Counter, CounterBy, Gauge, Meter, Sample};
pub use crate::net::{HostPort, Peer};
pub use crate::operation::Operation;
pub use crate::registry::Registry;
pub use crate::run::{run, run_all};
pub use crate::serve::{ServerHandle, spawn, spawn_inproc, stop_all};
pub use crate::server::{Router, Stopping};
pub use crate::span::{linked_span, span, trace_parent};
pub use crate::timeout::Elapsed;
