//! The loads that are put on each system.

/// A load, and what one unit of it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Workload {
    pub(crate) name: &'static str,
    pub(crate) arguments: &'static str,
    /// True if it needs the addresses of the services.
    pub(crate) is_grpc: bool,
}

/// Upstream's mix of pages.
pub(crate) const SHOP_MIX: Workload = page("shop mix", "--profile shop");
/// The page that every system has.
pub(crate) const HOME: Workload = page("home", "--profile page:home");
const PRODUCT: Workload = page("product", "--profile page:product");
const CART: Workload = page("cart of 2", "--profile page:cart --items 2");
/// Two AddItems and a PlaceOrder.
pub(crate) const ORDER: Workload = Workload {
    name: "order of 2, gRPC",
    arguments: "--profile checkout-grpc --items 2 --refusals 0",
    is_grpc: true,
};

const fn page(name: &'static str, arguments: &'static str) -> Workload {
    Workload { name, arguments, is_grpc: false }
}

/// All of them, each by eight connections that never wait.
pub(crate) const WORKLOADS: [Workload; 5] = [SHOP_MIX, HOME, PRODUCT, CART, ORDER];
