//! The shop's wire: messages, calls, clients and servers generated from `proto/`, and the crossings into
//! domain types. Generated code lives here alone; nobody edits or commits it.

mod codec;
mod convert;

mod generated {
    //! What the build script made of `proto/demo.proto`.
    #![expect(missing_docs, clippy::allow_attributes, reason = "generated")]
    tonic::include_proto!("hipstershop");
}

mod rpc;
mod shared;
mod views;

pub(crate) use codec::ShopCodec;
pub use generated::*;
pub use rpc::{Handlers, Handles, Handling, Rpc};
pub use shared::{Shared, Sharing};
pub use views::{ListIds, ListShared, ListedId, ListedIds, SharedProducts};

/// The compiled `proto/`, for gRPC reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
