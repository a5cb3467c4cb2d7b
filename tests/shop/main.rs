//! The whole shop through its front door: in this process, in one process of its own, and in ten.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

mod bad_input;
mod browse;
mod cached;
mod canary;
mod checkout;
mod collector;
mod degraded;
mod lifecycle;
mod load;
mod orders;
mod processes;
#[expect(dead_code, reason = "shared with the cart's tests, which use all of it")]
#[path = "../../services/cart/tests/grpc/redis_server.rs"]
mod redis_server;
mod traces;
mod visitor;
mod wire;
