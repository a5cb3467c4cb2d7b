//! A live picture of the shop: its services, their health, and the calls between them. It is made of the metrics of each
//! process, which are read while the page is open.

mod layout;
mod reading;
mod source;
mod view;

use std::sync::Arc;
use std::time::{Duration, Instant};

use boutique_service::{AdminView, Env, EnvError, Registry, Stopping};
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, watch};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
pub(crate) use layout::{BOX_HEIGHT, BOX_WIDTH, Curve, Drawing, Placed, WIDTH, draw};
use source::Source;
pub(crate) use view::{Edge, Scope, Traffic, View};

/// The time between two moments.
const INTERVAL: Duration = Duration::from_secs(2);
/// The time between the first two, so that there is something to see soon.
const FIRST_INTERVAL: Duration = Duration::from_millis(500);
/// The earlier moments that are kept: calls are those of the last ten seconds.
const MAX_MOMENTS: usize = 5;
/// The time for which processes are asked after somebody looked.
const WANTED_FOR: Duration = Duration::from_secs(15);
/// The most who follow it at one time.
const MAX_FOLLOWERS: usize = 32;
/// The longest time that a page waits for a view.
const PAGE_TIMEOUT: Duration = Duration::from_secs(2);

/// The topology, kept up to date while somebody looks at it.
pub(crate) struct Topology {
    source: Source,
    view: watch::Sender<Option<Arc<View>>>,
    wanted_until: Mutex<Option<Instant>>,
    wanted: Notify,
    followers: Arc<Semaphore>,
    ended: CancellationToken,
}

/// Somebody who follows the topology.
pub(crate) struct Follower {
    topology: Arc<Topology>,
    view: watch::Receiver<Option<Arc<View>>>,
    _permit: OwnedSemaphorePermit,
}

impl Topology {
    /// Makes the topology of this process and of those that the settings name, if it is on.
    pub(crate) fn of(
        config: &Config,
        env: &Env,
        registry: &Registry,
    ) -> Result<Option<Arc<Self>>, EnvError> {
        let Some(peers) = &config.topology else { return Ok(None) };
        let source = Source::new(AdminView::new(env, registry)?, peers.clone());
        Ok(Some(Arc::new(Self {
            source,
            view: watch::Sender::new(None),
            wanted_until: Mutex::default(),
            wanted: Notify::new(),
            followers: Arc::new(Semaphore::new(MAX_FOLLOWERS)),
            ended: CancellationToken::new(),
        })))
    }

    /// Asks the processes while somebody looks, until the service stops.
    pub(crate) async fn run(self: Arc<Self>, stopping: Stopping) {
        let mut moments = Vec::new();
        let ask = async {
            loop {
                if !self.is_wanted() {
                    // What was known is too old to compare with.
                    moments.clear();
                    self.source.measure(false);
                    self.view.send_replace(None);
                    self.wanted.notified().await;
                    continue;
                }
                self.source.measure(true);
                let snapshot = self.source.read().await;
                let interval = if moments.is_empty() { FIRST_INTERVAL } else { INTERVAL };
                let view = View::new(&snapshot, &moments);
                self.view.send_replace(Some(Arc::new(view)));
                if moments.len() == MAX_MOMENTS {
                    moments.remove(0);
                }
                moments.push(snapshot);
                tokio::time::sleep(interval).await;
            }
        };
        stopping.begun.run_until_cancelled(ask).await;
        self.ended.cancel();
    }

    fn is_wanted(&self) -> bool {
        self.wanted_until.lock().is_some_and(|until| until > Instant::now())
    }

    /// Lets it be kept up to date for a while.
    fn want(&self) {
        *self.wanted_until.lock() = Some(Instant::now() + WANTED_FOR);
        self.wanted.notify_one();
    }

    /// Returns the latest view, or the first one of those who look now; `None` if that takes too long.
    pub(crate) async fn view(&self) -> Option<Arc<View>> {
        let mut view = self.view.subscribe();
        self.want();
        let first = tokio::time::timeout(PAGE_TIMEOUT, view.wait_for(Option::is_some)).await;
        first.ok()?.ok()?.clone()
    }

    /// Begins to follow it; `None` if too many do.
    pub(crate) fn follow(self: Arc<Self>) -> Option<Follower> {
        let permit = self.followers.clone().try_acquire_owned().ok()?;
        let mut view = self.view.subscribe();
        view.mark_changed();
        Some(Follower { topology: self, view, _permit: permit })
    }
}

impl Follower {
    /// Returns the next view; `None` once the service stops.
    pub(crate) async fn next(&mut self) -> Option<Arc<View>> {
        let Self { topology, view, .. } = self;
        let next = async {
            loop {
                topology.want();
                view.changed().await.ok()?;
                if let Some(view) = view.borrow_and_update().clone() {
                    return Some(view);
                }
            }
        };
        topology.ended.run_until_cancelled(next).await?
    }
}
