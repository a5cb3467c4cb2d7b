//! The cost of our server and client layers beside plain tonic: CPU per unary call (the catalog's
//! `GetProduct`), lone and with nine in flight. Client and server are processes of their own, on one
//! processor; the two kinds alternate, and the medians of all rounds are compared.
//!
//! `cargo bench -p boutique-service --bench overhead`
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a benchmark prints, and stops where it cannot go on"
)]

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use boutique_proto::product_catalog_service_client::ProductCatalogServiceClient;
use boutique_proto::product_catalog_service_server::{
    ProductCatalogService, ProductCatalogServiceServer,
};
use boutique_proto::{
    Empty, GetProductRequest, ListProductsResponse, Money, Product, SearchProductsRequest,
    SearchProductsResponse, product_catalog_service, services,
};
use boutique_service::{Channel, Env, Registry, Router, ServiceSpec, client};
use boutique_test::serve_router;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tonic::{Request, Response, Status};

const ROUNDS: usize = 11;
const CALLS: usize = 20_000;
const SERVICE: ServiceSpec = services::PRODUCT_CATALOG;

struct Catalog;

#[tonic::async_trait]
impl ProductCatalogService for Catalog {
    async fn list_products(
        &self,
        _: Request<Empty>,
    ) -> Result<Response<ListProductsResponse>, Status> {
        Err(Status::unimplemented(""))
    }
    async fn get_product(
        &self,
        request: Request<GetProductRequest>,
    ) -> Result<Response<Product>, Status> {
        Ok(Response::new(Product {
            id: request.into_inner().id,
            name: "Sunglasses".to_owned(),
            description: "Slim frames that shade the brightest street and the longest drive."
                .to_owned(),
            picture: "/static/img/products/sunglasses.jpg".to_owned(),
            price_usd: Some(Money {
                currency_code: "USD".to_owned(),
                units: 19,
                nanos: 990_000_000,
            }),
            categories: vec!["accessories".to_owned()],
        }))
    }
    async fn search_products(
        &self,
        _: Request<SearchProductsRequest>,
    ) -> Result<Response<SearchProductsResponse>, Status> {
        Err(Status::unimplemented(""))
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    match arguments.get(1).map(String::as_str) {
        Some("server") => runtime.block_on(server(&arguments[2])),
        Some("client") => {
            runtime.block_on(call_from(
                &arguments[2],
                &arguments[3],
                arguments[4].parse().unwrap(),
            ));
        }
        _ => compare(),
    }
}

async fn server(kind: &str) {
    if kind == "ours" {
        let app = Router::grpc(product_catalog_service::into_server(Catalog));
        let running = serve_router(SERVICE, &Env::default(), app).await.unwrap();
        println!("{}", running.address().unwrap());
        std::future::pending::<()>().await;
    }
    let incoming = tonic::transport::server::TcpIncoming::bind("127.0.0.1:0".parse().unwrap())
        .unwrap()
        .with_nodelay(Some(true));
    println!("{}", incoming.local_addr().unwrap());
    tonic::transport::Server::builder()
        .add_service(ProductCatalogServiceServer::new(Catalog))
        .serve_with_incoming(incoming)
        .await
        .unwrap();
}

/// Calls, and prints the nanoseconds of CPU that took here.
async fn call_from(kind: &str, address: &str, in_flight: usize) {
    if kind == "ours" {
        let mut env = Env::default();
        env.set(SERVICE.addr_key, address);
        let catalog: product_catalog_service::Client<Channel> =
            client(&env, &Registry::default()).unwrap();
        println!("{}", calls(in_flight, async |request| catalog.get_product(request).await).await);
    } else {
        let endpoint = tonic::transport::Endpoint::from_shared(format!("http://{address}"));
        let connected = endpoint.unwrap().connect().await.unwrap();
        let client = ProductCatalogServiceClient::new(connected);
        let call =
            async |request| client.clone().get_product(request).await.map(Response::into_inner);
        println!("{}", calls(in_flight, call).await);
    }
}

async fn calls(
    in_flight: usize,
    call: impl AsyncFn(GetProductRequest) -> Result<Product, Status>,
) -> u64 {
    let began = cpu("self");
    let callers = (0..in_flight).map(async |_| {
        for _ in 0..CALLS / in_flight {
            call(GetProductRequest { id: "OLJCESPC7Z".to_owned() }).await.unwrap();
        }
    });
    // Each wakes alone, as in tasks of their own.
    callers.collect::<FuturesUnordered<_>>().collect::<Vec<()>>().await;
    cpu("self") - began
}

fn compare() {
    println!("CPU per call in µs, medians of {ROUNDS} alternating rounds of {CALLS} calls");
    println!("in flight  side    plain   ours   difference");
    for in_flight in [1, 9] {
        let mut results = [[vec![], vec![]], [vec![], vec![]]];
        for _ in 0..ROUNDS {
            for (kind, name) in ["plain", "ours"].into_iter().enumerate() {
                let (client, server) = round(name, in_flight);
                results[kind][0].push(client);
                results[kind][1].push(server);
            }
        }
        for (side, name) in ["client", "server"].into_iter().enumerate() {
            let median = |kind: usize| {
                let mut all: Vec<f64> = results[kind][side].clone();
                all.sort_by(f64::total_cmp);
                all[all.len() / 2]
            };
            let (plain, ours) = (median(0), median(1));
            let percent = (ours / plain - 1.0) * 100.0;
            println!(
                "{in_flight:>9}  {name}  {plain:>6.2} {ours:>6.2}   {:+.2} ({percent:+.0} %)",
                ours - plain
            );
        }
    }
}

/// One round of one kind: CPU per call of the client and of the server.
fn round(kind: &str, in_flight: usize) -> (f64, f64) {
    let mut server = start(&["server", kind]);
    let address = line(&mut server);
    let pid = server.id().to_string();
    let warm = start(&["client", kind, &address, "9"]).wait_with_output().unwrap();
    assert!(warm.status.success());
    let before = cpu(&pid);
    let mut client = start(&["client", kind, &address, &in_flight.to_string()]);
    let in_client: f64 = line(&mut client).parse().unwrap();
    let in_server = (cpu(&pid) - before) as f64;
    server.kill().unwrap();
    server.wait().unwrap();
    client.wait().unwrap();
    (in_client / CALLS as f64 / 1e3, in_server / CALLS as f64 / 1e3)
}

/// This binary again, on one processor.
fn start(arguments: &[&str]) -> Child {
    let own = std::env::current_exe().unwrap();
    let mut command = Command::new("taskset");
    command.args(["-c", "1"]).arg(own).args(arguments);
    command.stdout(Stdio::piped()).spawn().unwrap()
}

fn line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    line.trim().to_owned()
}

/// Nanoseconds that a process's only thread has run for.
fn cpu(pid: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).unwrap();
    text.split(' ').next().unwrap().parse().unwrap()
}
