//! The accept loop: connections are counted, told apart, and handed to the threads that serve them, until the server
//! shuts down.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::connection;
use super::listener::Listener;
use crate::net::tune;

/// The most connections at one time; further ones are closed at once.
const MAX_CONNECTIONS: usize = 8192;

/// Accepts connections until the server drains, and hands them in turn to the workers and to this thread.
pub(crate) async fn accept(socket: TcpListener, workers: Vec<Handle>, listener: Listener) {
    let here = Handle::current();
    let mut turns = workers.iter().chain([&here]).cycle();
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
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
        let Ok(permit) = permits.clone().try_acquire_owned() else { continue };
        let connection = connection::serve(stream, peer.ip().to_canonical(), listener.clone());
        let aborted = shutdown.aborted.clone();
        let task = async move {
            aborted.run_until_cancelled_owned(connection).await;
            drop(permit);
        };
        shutdown.connections.spawn_on(task, turns.next().unwrap_or(&here));
    }
}

fn prepare(stream: TcpStream) -> std::io::Result<std::net::TcpStream> {
    tune(&stream)?;
    // The runtime that serves it registers it again.
    stream.into_std()
}
