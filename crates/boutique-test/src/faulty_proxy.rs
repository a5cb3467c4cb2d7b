//! A TCP proxy between a caller and a service, with faults on demand.

use std::net::SocketAddr;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

/// The fault of a [`FaultyProxy`]'s connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It forwards everything at once.
    None,
    /// It accepts connections and forwards nothing, as a process that is stopped. What was sent arrives later.
    Freeze,
    /// It resets all connections and listens no more.
    Refuse,
    /// It forwards what the service says this much later.
    Delay(Duration),
}

/// A proxy on a free loopback port. Dropping it ends it and its connections.
pub struct FaultyProxy {
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    service: watch::Sender<String>,
    _accepting: AbortOnDropHandle<std::io::Result<()>>,
}

impl FaultyProxy {
    /// Starts a proxy before `service`, an address.
    pub async fn start(service: impl ToString) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let fault = watch::Sender::new(Fault::None);
        let service = watch::Sender::new(service.to_string());
        let accepting = accept(listener, service.subscribe(), fault.subscribe());
        let accepting = AbortOnDropHandle::new(tokio::spawn(accepting));
        Ok(Self { address, fault, service, _accepting: accepting })
    }

    /// Returns the address to call instead of the service's.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Forwards new connections to another service; those that are open stay.
    pub fn redirect(&self, service: &impl ToString) {
        self.service.send_replace(service.to_string());
    }

    /// Switches to another fault.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }
}

async fn accept(
    listener: TcpListener,
    service: watch::Receiver<String>,
    mut fault: watch::Receiver<Fault>,
) -> std::io::Result<()> {
    let address = listener.local_addr()?;
    let mut listener = Some(listener);
    loop {
        if *fault.borrow_and_update() == Fault::Refuse {
            listener = None;
            let _ = fault.wait_for(|fault| *fault != Fault::Refuse).await;
        }
        let open = match listener.take() {
            Some(open) => open,
            None => TcpListener::bind(address).await?,
        };
        tokio::select! {
            near = open.accept() => {
                tokio::spawn(connect(near?.0, service.borrow().clone(), fault.clone()));
            }
            changed = fault.changed() => if changed.is_err() { return Ok(()) },
        }
        listener = Some(open);
    }
}

async fn connect(
    mut near: TcpStream,
    service: String,
    mut fault: watch::Receiver<Fault>,
) -> std::io::Result<()> {
    near.set_nodelay(true)?;
    let (to_service, to_caller) = (fault.clone(), fault.clone());
    let forward = async {
        let mut far = TcpStream::connect(service).await?;
        far.set_nodelay(true)?;
        let (from_near, into_near) = near.split();
        let (from_far, into_far) = far.split();
        tokio::try_join!(
            copy(from_near, into_far, to_service, false),
            copy(from_far, into_near, to_caller, true),
        )
    };
    // The proxy itself may be gone.
    let end = fault.wait_for(|fault| *fault == Fault::Refuse);
    let is_reset = tokio::select! {
        forwarded = forward => forwarded.is_err(),
        ended = end => ended.is_ok(),
    };
    if is_reset {
        SockRef::from(&near).set_linger(Some(Duration::ZERO))?;
    }
    Ok(())
}

/// Copies what arrives, in order; answers as late as the fault says.
async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut into: impl AsyncWrite + Unpin,
    mut fault: watch::Receiver<Fault>,
    is_answer: bool,
) -> std::io::Result<()> {
    let (sender, mut arrived) = mpsc::channel(64);
    let read = async move {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let count = from.read(&mut buffer).await?;
            let fault = fault.wait_for(|fault| *fault != Fault::Freeze).await;
            let delay = match *fault.map_err(std::io::Error::other)? {
                Fault::Delay(delay) if is_answer => delay,
                Fault::None | Fault::Freeze | Fault::Refuse | Fault::Delay(_) => Duration::ZERO,
            };
            let chunk = (Instant::now() + delay, buffer[..count].to_vec());
            if sender.send(chunk).await.is_err() || count == 0 {
                return std::io::Result::Ok(());
            }
        }
    };
    let write = async move {
        while let Some((due, chunk)) = arrived.recv().await {
            tokio::time::sleep_until(due).await;
            if chunk.is_empty() {
                break;
            }
            into.write_all(&chunk).await?;
        }
        into.shutdown().await
    };
    tokio::try_join!(read, write).map(|_| ())
}
