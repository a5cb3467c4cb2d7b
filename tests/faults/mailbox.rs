//! A mail server that keeps what it is sent.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

/// A mail server on a free port. Dropping it ends it.
pub(crate) struct Mailbox {
    pub(crate) address: String,
    mails: Arc<Mutex<Vec<String>>>,
    _accepting: AbortOnDropHandle<()>,
}

impl Mailbox {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let mails = Arc::<Mutex<Vec<String>>>::default();
        let kept = mails.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(receive(stream, kept.clone()));
            }
        });
        Ok(Self { address, mails, _accepting: AbortOnDropHandle::new(accepting) })
    }

    /// Returns the number of mails about an order.
    pub(crate) fn count(&self, order_id: &str) -> usize {
        let header = format!("Message-ID: <order-{order_id}@");
        self.mails.lock().unwrap().iter().filter(|mail| mail.contains(&header)).count()
    }

    /// Returns the number of all mails.
    pub(crate) fn len(&self) -> usize {
        self.mails.lock().unwrap().len()
    }
}

async fn receive(stream: TcpStream, kept: Arc<Mutex<Vec<String>>>) -> std::io::Result<()> {
    let (reading, mut writing) = stream.into_split();
    let mut lines = BufReader::new(reading).lines();
    writing.write_all(b"220 test\r\n").await?;
    let mut mail: Option<String> = None;
    while let Some(line) = lines.next_line().await? {
        let answer = match (&mut mail, line.as_str()) {
            (Some(text), ".") => {
                kept.lock().unwrap().push(std::mem::take(text));
                mail = None;
                "250 taken\r\n"
            }
            (Some(text), line) => {
                text.push_str(line);
                text.push('\n');
                continue;
            }
            (None, "DATA") => {
                mail = Some(String::new());
                "354 go on\r\n"
            }
            (None, "QUIT") => "221 bye\r\n",
            (None, _) => "250 fine\r\n",
        };
        writing.write_all(answer.as_bytes()).await?;
    }
    Ok(())
}
