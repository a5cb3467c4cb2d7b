//! The code that tonic generates from `proto/demo.proto` by itself.
#![expect(clippy::allow_attributes, unreachable_pub, reason = "generated")]

tonic::include_proto!("hipstershop");
