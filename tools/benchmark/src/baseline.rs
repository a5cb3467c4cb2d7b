//! The baselines: what the same pages cost if nothing is done for them. `L2` is the shop's call graph on
//! plain tonic and axum with empty handlers, one process a service; `http` answers a page of the same
//! size, `http-redis` does one Redis operation before; `echo` is a bare round trip over loopback.

mod frontend;
mod proto;
mod services;
mod stand_in;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context as _, bail};
use axum::Router;
use axum::routing::get;
use redis::AsyncCommands as _;
use tokio::signal::unix::{SignalKind, signal};

use self::stand_in::{bind, serve, setting};

/// Bytes of a request and of an answer of the catalog's, headers and all.
const MESSAGE: usize = 175;

/// Runs one stand-in until it is told to end. It prints where it listens.
pub(crate) fn run(kind: &str) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut end = signal(SignalKind::terminate())?;
        tokio::select! {
            _ = end.recv() => Ok(()),
            served = serve_as(kind) => served,
        }
    })
}

async fn serve_as(kind: &str) -> anyhow::Result<()> {
    match kind {
        "echo" => echo(),
        "http" => serve(Router::new().fallback(get(async || frontend::page(frontend::HOME)))).await,
        "http-redis" => http_redis().await,
        "frontend" => serve(frontend::router(false)?).await,
        "frontend-reduced" => serve(frontend::router(true)?).await,
        service => services::serve(service).await,
    }
}

async fn http_redis() -> anyhow::Result<()> {
    let client = redis::Client::open(format!("redis://{}", setting("REDIS_ADDR")?))?;
    let redis = client.get_multiplexed_async_connection().await?;
    let answer = async move || {
        let mut redis = redis.clone();
        let _: Result<Option<Vec<u8>>, _> = redis.hget("baseline", "data").await;
        frontend::page(frontend::HOME)
    };
    serve(Router::new().fallback(get(answer))).await
}

/// Answers each message with as many bytes.
fn echo() -> anyhow::Result<()> {
    let listener = bind()?;
    listener.set_nonblocking(false)?;
    let (mut stream, _peer) = listener.accept()?;
    stream.set_nodelay(true)?;
    let mut message = [0; MESSAGE];
    while stream.read_exact(&mut message).is_ok() {
        stream.write_all(&message)?;
    }
    Ok(())
}

/// So many round trips with an echo.
pub(crate) fn round_trips(address: &str, count: u32) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address).context("no echo")?;
    stream.set_nodelay(true)?;
    let mut message = [0; MESSAGE];
    for _ in 0..count {
        stream.write_all(&message)?;
        if stream.read(&mut message)? == 0 {
            bail!("the echo ended");
        }
    }
    Ok(())
}
