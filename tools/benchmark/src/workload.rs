//! The loads that are put on each system.

/// A load, and what one unit of it is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) arguments: &'static str,
    /// True if it needs the addresses of the services.
    pub(crate) is_grpc: bool,
}

/// The place among the workloads of the page that every system has.
pub(crate) const HOME: usize = 1;

/// Eight connections that never wait.
pub(crate) const WORKLOADS: [Workload; 5] = [
    Workload { name: "shop mix", arguments: "--profile shop", is_grpc: false },
    Workload { name: "home", arguments: "--profile page:home", is_grpc: false },
    Workload { name: "product", arguments: "--profile page:product", is_grpc: false },
    Workload { name: "cart of 2", arguments: "--profile page:cart --items 2", is_grpc: false },
    Workload {
        name: "order of 2, gRPC",
        arguments: "--profile checkout-grpc --items 2 --refusals 0",
        is_grpc: true,
    },
];
