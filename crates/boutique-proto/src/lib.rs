//! The wire contract of the shop: messages, typed clients and servers generated from `proto/`, conversions between
//! messages and domain types, and the table of [`services`]. Generated code is neither edited nor committed.

mod codec;
mod convert;

mod generated {
    //! The output of the build script for `proto/demo.proto`.
    #![expect(missing_docs, clippy::allow_attributes, reason = "generated")]
    tonic::include_proto!("hipstershop");
}

pub mod ext {
    //! The extensions of upstream's contract: `boutique.ext.v1`, from `proto/ext.proto`.
    #![expect(missing_docs, clippy::allow_attributes, reason = "generated")]
    include!(concat!(env!("OUT_DIR"), "/own/boutique.ext.v1.rs"));

    /// The metadata key of the version of a cart.
    pub const CART_VERSION: &str = "cart-version";
    /// The metadata key of an order's id, with the status of a PlaceOrder whose order goes on, or is there already.
    pub const ORDER_ID: &str = "order-id";
}

mod rpc;
pub mod services;
mod wrong_data;

pub(crate) use codec::ShopCodec;
pub use convert::{AmountError, ConversionError, converted_amount, required_amount};
pub use generated::*;
pub use rpc::{HandlerFuture, Handlers, Rpc, TypedClient, UnaryChannel, UnaryHandler};
pub use wrong_data::{WrongData, wrong_data};

/// The compiled `proto/`, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
