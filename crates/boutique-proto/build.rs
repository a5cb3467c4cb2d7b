//! Generates messages, clients and servers from `proto/` and from the `proto` folders of services, without `protoc`.

use std::fmt::Write as _;
use std::path::PathBuf;

use heck::ToSnakeCase as _;
use prost::Message as _;
use prost_build::{Service, ServiceGenerator};

/// The package of upstream's contract; its types are at the root of the crate.
const UPSTREAM: &str = "hipstershop";

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folders = folders()?;
    let mut files = Vec::new();
    for folder in &folders {
        println!("cargo:rerun-if-changed={}", folder.display());
        for entry in std::fs::read_dir(folder)? {
            files.push(entry?.path());
        }
    }
    files.sort();
    let descriptors = protox::compile(files, folders)?;
    #[expect(clippy::disallowed_methods, reason = "cargo tells build scripts so")]
    let out_dir = std::env::var("OUT_DIR")?;
    std::fs::write(format!("{out_dir}/descriptors.bin"), descriptors.encode_to_vec())?;
    let mut of_upstream = descriptors.clone();
    of_upstream.file.retain(|file| file.package() == UPSTREAM);
    config().skip_debug(["CreditCardInfo"]).compile_fds(of_upstream)?;
    // All files, because messages refer to others, but what is upstream's is made already.
    let own = format!("{out_dir}/own");
    std::fs::create_dir_all(&own)?;
    config()
        .skip_debug(["StoredOrder"])
        .out_dir(own)
        .extern_path(format!(".{UPSTREAM}"), "crate")
        .compile_fds(descriptors)?;
    // A service that is added has its row there.
    println!("cargo:rerun-if-changed=src/services.rs");
    Ok(())
}

/// Returns the folders of contracts: that of the whole shop, and those of services that have one of their own.
fn folders() -> std::io::Result<Vec<PathBuf>> {
    let mut folders = vec![PathBuf::from("../../proto")];
    for service in std::fs::read_dir("../../services")? {
        folders.push(service?.path().join("proto"));
    }
    folders.retain(|folder| folder.is_dir());
    folders.sort();
    Ok(folders)
}

fn config() -> prost_build::Config {
    let tonic = tonic_prost_build::configure().codec_path("crate::ShopCodec").service_generator();
    let mut config = prost_build::Config::new();
    config.service_generator(Box::new(Stubs { tonic }));
    config
}

/// Generates tonic's stubs of a service, and a module with its methods as types and a typed client.
struct Stubs {
    tonic: Box<dyn ServiceGenerator>,
}

impl ServiceGenerator for Stubs {
    fn generate(&mut self, service: Service, code: &mut String) {
        // Writing to a string does not fail.
        let _ = methods(&service, code);
        self.tonic.generate(service, code);
    }
}

/// Writes the module of a service: its methods as types, its typed client, and its server.
fn methods(service: &Service, code: &mut String) -> std::fmt::Result {
    let Service { name, proto_name, package, .. } = service;
    let module = name.to_snake_case();
    let handler = format!("super::{module}_server::{name}");
    let (mut inserts, mut calls) = (String::new(), String::new());
    // A type of this package by its name, one of another package by its path.
    let path = |name: &str| {
        if name.starts_with("crate") { name.to_owned() } else { format!("super::{name}") }
    };
    writeln!(code, "/// `{package}.{proto_name}`.\npub mod {module} {{")?;
    let unary =
        |method: &&prost_build::Method| !method.client_streaming && !method.server_streaming;
    for method in service.methods.iter().filter(unary) {
        let (rpc, function) = (&method.proto_name, &method.name);
        let (request, response) = (path(&method.input_type), path(&method.output_type));
        writeln!(
            code,
            "
            /// `{package}.{proto_name}/{rpc}`.
            #[derive(Debug, Clone, Copy)]
            pub struct {rpc};
            impl crate::Rpc for {rpc} {{
                const PATH: &'static str = \"/{package}.{proto_name}/{rpc}\";
                type Request = {request};
                type Response = {response};
            }}
            impl<T: {handler}> crate::UnaryHandler<{rpc}> for T {{
                fn handle(
                    &self,
                    request: tonic::Request<{request}>,
                ) -> crate::HandlerFuture<'_, {response}> {{
                    {handler}::{function}(self, request)
                }}
            }}"
        )?;
        writeln!(inserts, "handlers.insert::<{rpc}, T>(&service);")?;
        writeln!(
            calls,
            "
                /// Calls `{package}.{proto_name}/{rpc}`.
                pub fn {function}(
                    &self,
                    request: {request},
                ) -> impl Future<Output = Result<{response}, tonic::Status>> + Send {{
                    let answer = self.0.unary::<{rpc}>(tonic::Request::new(request));
                    futures_util::TryFutureExt::map_ok(answer, tonic::Response::into_inner)
                }}
                /// Calls `{package}.{proto_name}/{rpc}` with metadata, and returns that of the answer, too.
                pub fn {function}_with_metadata(
                    &self,
                    request: tonic::Request<{request}>,
                ) -> impl Future<Output = Result<tonic::Response<{response}>, tonic::Status>> + Send {{
                    self.0.unary::<{rpc}>(request)
                }}"
        )?;
    }
    writeln!(
        code,
        "
            /// A typed client; cheap to clone.
            #[derive(Debug, Clone)]
            pub struct Client<C>(C);
            impl<C: crate::UnaryChannel> Client<C> {{
                {calls}
            }}
            impl<C> crate::TypedClient for Client<C> {{
                type Channel = C;
                const GRPC_SERVICE: &'static str = \"{package}.{proto_name}\";
                fn new(channel: C) -> Self {{
                    Self(channel)
                }}
            }}
            /// Makes a server of `service`, and the handlers of its unary methods for callers in the same process.
            pub fn into_server<T: {handler}>(
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
