//! The accept loop: connections are admitted and handed to the threads that serve them, until the server shuts down.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::time::sleep;

use super::activity::Activity;
use super::admission::Connections;
use super::connection;
use super::listener::Listener;
use crate::net::tune;

/// Accepts connections until the server drains, and hands them in turn to the workers and to this thread.
pub(crate) async fn accept(socket: TcpListener, workers: Vec<Handle>, listener: Listener) {
    let here = Handle::current();
    let mut turns = workers.iter().chain([&here]).cycle();
    let connections = Connections::new(listener.limits);
    let shutdown = &listener.shutdown;
    loop {
        let accepted = tokio::select! {
            biased;
            () = shutdown.drained() => return,
            accepted = socket.accept() => accepted,
        };
        let accepted = accepted.and_then(|(stream, peer)| Ok((prepare(stream)?, peer)));
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Most likely out of file descriptors, which only time gives back.
                tracing::warn!(error = %error, "cannot accept a connection");
                sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let address = peer.ip().to_canonical();
        let activity = Arc::<Activity>::default();
        let slot = connections.admit(address, &activity);
        let connection = connection::serve(stream, address, listener.clone(), (slot, activity));
        let aborted = shutdown.aborted.clone();
        let task = async move { _ = aborted.run_until_cancelled_owned(connection).await };
        shutdown.connections.spawn_on(task, turns.next().unwrap_or(&here));
    }
}

fn prepare(stream: TcpStream) -> std::io::Result<std::net::TcpStream> {
    tune(&stream)?;
    // The runtime that serves it registers it again.
    stream.into_std()
}
