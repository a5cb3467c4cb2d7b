//! `cargo run`: opens the shop, says where, and closes it on Ctrl-C.

use std::io::Write as _;
use std::process::ExitCode;

use boutique_service::{Env, process};

/// Ten services allocate from one heap here: a request costs up to a fifth less than with the system's
/// allocator. Without huge pages (`no_thp`), which would double the process's memory.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let env = Env::from_process();
    process("boutique", env, None, async |env| {
        let carts = match env.get("REDIS_ADDR") {
            Some(_) => "in Redis (REDIS_ADDR)",
            None => "in memory (REDIS_ADDR would keep them)",
        };
        let mail = match env.get("SMTP_URL") {
            Some(_) => "by SMTP (SMTP_URL)",
            None => "in the log (SMTP_URL would send it)",
        };
        let path = env.get("BASE_URL").unwrap_or_default().to_owned();
        let shop = boutique::open(env).await?;
        let port = shop.address().map_or(0, |address| address.port());
        // Nobody is left to tell when stdout is gone.
        let _ = writeln!(
            std::io::stdout(),
            "Online Boutique in Rust: ten services, one process\n\
             \x20 carts  {carts}\n\
             \x20 mail   {mail}\n\
             \x20 stop   Ctrl-C\n\
             \x20 open   http://localhost:{port}{path}/",
        );
        Ok(shop.into_services())
    })
}
