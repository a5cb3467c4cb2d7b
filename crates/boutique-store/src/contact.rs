//! The contact with a store: whether it answers, for health and for the log.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use redis::Cmd;
use tokio::sync::watch;

use crate::error::StoreError;
use crate::redis::{Redis, Repeat};

/// The interval at which a store is asked whether it answers.
const ASK_INTERVAL: Duration = Duration::from_millis(500);

/// The contact with a store: true while it answers.
#[derive(Debug)]
pub struct Contact {
    /// True once it has answered.
    pub first: watch::Receiver<bool>,
    /// True if it answered when it was asked last.
    pub now: watch::Receiver<bool>,
}

impl Contact {
    /// The contact with a store in this process's memory.
    pub fn here() -> Self {
        let always = || watch::Sender::new(true).subscribe();
        Self { first: always(), now: always() }
    }
}

/// Watches a Redis by asking `question`, until nobody wants to know any more. What keeps it from answering at the
/// beginning (an address, a password) and that it is lost and back is logged in one line each, under the name `what`.
pub fn watch(redis: Arc<Redis>, what: &'static str, question: Cmd) -> Contact {
    let (first, now) = (watch::Sender::new(false), watch::Sender::new(false));
    let contact = Contact { first: first.subscribe(), now: now.subscribe() };
    tokio::spawn(async move {
        let mut is_logged = false;
        loop {
            let answer = ask(&redis, &question).await;
            let is_first = !*first.borrow();
            match &answer {
                Err(error) if !is_logged => {
                    let cause = error.source().map(ToString::to_string);
                    let state = if is_first { "not ready" } else { "lost" };
                    tracing::error!(error = cause, "{state}: cannot reach {what}");
                }
                Ok(()) if is_logged && !is_first => tracing::info!("{what} answers again"),
                Ok(()) | Err(_) => {}
            }
            is_logged = answer.is_err();
            now.send_if_modified(|is_well| std::mem::replace(is_well, answer.is_ok()) != *is_well);
            first.send_if_modified(|was_well| answer.is_ok() && !std::mem::replace(was_well, true));
            // Nobody waits for it any more where the service has ended.
            if tokio::time::timeout(ASK_INTERVAL, now.closed()).await.is_ok() {
                return;
            }
        }
    });
    contact
}

async fn ask(redis: &Redis, question: &Cmd) -> Result<(), StoreError> {
    let ask = |mut link| async move { question.exec_async(&mut link).await };
    redis.run("watch", Repeat::Always, ask).await
}
