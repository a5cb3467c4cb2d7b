//! Generates the wire from `proto/`, without `protoc`.

use std::fmt::Write as _;

use heck::ToSnakeCase as _;
use prost::Message as _;
use prost_build::{Service, ServiceGenerator};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let descriptors = protox::compile(["demo.proto"], ["../../proto"])?;
    #[expect(clippy::disallowed_methods, reason = "cargo tells build scripts so")]
    let out_dir = std::env::var("OUT_DIR")?;
    std::fs::write(format!("{out_dir}/descriptors.bin"), descriptors.encode_to_vec())?;
    let tonic = tonic_prost_build::configure().codec_path("crate::ShopCodec").service_generator();
    prost_build::Config::new()
        .skip_debug(["CreditCardInfo"])
        .service_generator(Box::new(Stubs { tonic }))
        .compile_fds(descriptors)?;
    println!("cargo:rerun-if-changed=../../proto");
    Ok(())
}

/// tonic's stubs of a service, and beside them a module with a type for each of its unary calls.
struct Stubs {
    tonic: Box<dyn ServiceGenerator>,
}

impl ServiceGenerator for Stubs {
    fn generate(&mut self, service: Service, code: &mut String) {
        // Text is written to a string, which takes everything.
        let _ = calls(&service, code);
        self.tonic.generate(service, code);
    }
}

fn calls(service: &Service, code: &mut String) -> std::fmt::Result {
    let Service { name, proto_name, package, .. } = service;
    let module = name.to_snake_case();
    let handler = format!("super::{module}_server::{name}");
    let mut inserts = String::new();
    writeln!(code, "/// The calls of `{package}.{proto_name}`.\npub mod {module} {{")?;
    let unary =
        |method: &&prost_build::Method| !method.client_streaming && !method.server_streaming;
    for method in service.methods.iter().filter(unary) {
        let (call, function) = (&method.proto_name, &method.name);
        let (request, response) = (&method.input_type, &method.output_type);
        writeln!(
            code,
            "
            /// `{package}.{proto_name}/{call}`.
            #[derive(Debug, Clone, Copy)]
            pub struct {call};
            impl crate::Rpc for {call} {{
                const PATH: &'static str = \"/{package}.{proto_name}/{call}\";
                type Request = super::{request};
                type Response = super::{response};
            }}
            impl<T: {handler}> crate::Handles<{call}> for T {{
                fn handle(
                    &self,
                    request: tonic::Request<super::{request}>,
                ) -> crate::Handling<'_, super::{response}> {{
                    {handler}::{function}(self, request)
                }}
            }}"
        )?;
        writeln!(inserts, "handlers.insert::<{call}, T>(&service);")?;
    }
    writeln!(
        code,
        "
            /// What answers them: over the wire, and to callers in the same process.
            pub fn answered_by<T: {handler}>(
                service: T,
            ) -> (super::{module}_server::{name}Server<T>, crate::Handlers) {{
                let service = std::sync::Arc::new(service);
                let mut handlers = crate::Handlers::default();
                {inserts}
                (super::{module}_server::{name}Server::from_arc(service), handlers)
            }}
        }}"
    )
}
