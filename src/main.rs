//! `cargo run`: starts the shop, prints where it is, and stops it on Ctrl-C. `boutique services` prints the table of
//! services, for scripts.

use std::io::Write as _;
use std::process::ExitCode;

use boutique_proto::services::SERVICES;
use boutique_service::{Env, Registry, ServerHandle, Threads, run_all};

/// Ten services allocate from one heap here: a request costs up to a fifth less than with the system's allocator.
/// Without huge pages (`no_thp`), which would double the process's memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        None => run_all("boutique", Env::from_process(), Threads::PerCore, open),
        Some("services") => print_services(),
        Some(_) => {
            eprintln!("usage: boutique [services]");
            ExitCode::from(2)
        }
    }
}

/// Prints name, port and address setting of each service, each after those that it calls.
fn print_services() -> ExitCode {
    let rows = SERVICES.iter().map(|s| format!("{} {} {}\n", s.name, s.port, s.addr_key));
    match std::io::stdout().write_all(rows.collect::<String>().as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

async fn open(env: &mut Env, registry: &mut Registry) -> anyhow::Result<Vec<ServerHandle>> {
    let carts = match env.get("REDIS_ADDR") {
        Some(_) => "in Redis (REDIS_ADDR)",
        None => "in memory (REDIS_ADDR would keep them)",
    };
    let orders = match env.get("ORDER_STORE_ADDR") {
        Some(_) => "in Redis (ORDER_STORE_ADDR)",
        None => "in memory (ORDER_STORE_ADDR would keep them)",
    };
    let mail = match env.get("SMTP_URL") {
        Some(_) => "by SMTP (SMTP_URL)",
        None => "in the log (SMTP_URL would send it)",
    };
    let shop = boutique::open(env, registry).await?;
    let path = env.get("BASE_URL").unwrap_or_default();
    let has_topology = env.flag("ENABLE_TOPOLOGY")?.unwrap_or(false);
    let port = shop.address().map_or(0, |address| address.port());
    // Where stdout is gone, there is nobody left to tell.
    let _ = writeln!(
        std::io::stdout(),
        "Online Boutique in Rust: ten services, one process\n\
         \x20 carts  {carts}\n\
         \x20 orders {orders}\n\
         \x20 mail   {mail}\n\
         \x20 stop   Ctrl-C\n\
         \x20 open   http://localhost:{port}{path}/",
    );
    if has_topology {
        let _ = writeln!(std::io::stdout(), "  watch  http://localhost:{port}{path}/topology");
    }
    Ok(shop.into_services())
}
