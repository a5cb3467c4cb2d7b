//! The shared parts of all stand-ins: their settings and their addresses.

use std::net::{SocketAddr, TcpListener};

use axum::Router;

/// A setting of the stand-in's own process.
pub(super) fn setting(name: &str) -> anyhow::Result<String> {
    let env = boutique_service::Env::from_process();
    Ok(env.require(name)?.to_owned())
}

/// The address of a stand-in, printed for the process that started it.
pub(super) fn bind() -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    println!("{}", listener.local_addr()?);
    listener.set_nonblocking(true)?;
    Ok(listener)
}

pub(super) async fn serve(router: Router) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::from_std(bind()?)?;
    let listener = axum::serve::ListenerExt::tap_io(listener, |stream| {
        let _ = stream.set_nodelay(true);
    });
    Ok(axum::serve(listener, router).await?)
}
