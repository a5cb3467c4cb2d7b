//! The layers around every request, on either side and by whatever way it travels. A layer sees a [`Request`] of any
//! message and the [`Ending`] of any reply, so that the wire and calls inside the process pass through the same ones.

mod catch_panic;
mod context;
mod deadline;
mod fault;
mod log;
mod metrics;
mod request;
mod shed;
mod trace;

pub(crate) use catch_panic::CatchPanicLayer;
pub(crate) use context::ContextLayer;
pub(crate) use deadline::DeadlineLayer;
pub(crate) use fault::{AlterableReply, FaultLayer, changed};
pub(crate) use log::LogLayer;
pub use log::already_logged;
pub(crate) use metrics::MetricsLayer;
pub use request::Outcome;
pub(crate) use request::{
    Ending, Protocol, Reply, Request, RequestInfo, http_status, is_server_error,
};
pub(crate) use shed::ShedLayer;
pub(crate) use trace::TraceLayer;
