//! Faults on demand: effects on requests or on the process, for a share of requests and for a time. They come from `FAULTS`,
//! from flags of flagd, and from the admin port.

mod body;
mod description;
mod fault;
mod flags;
mod service;
mod spec;
mod values;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock};
use serde_json::{Value, json};
use tokio::sync::watch;

pub(crate) use body::{SlowBody, slow_duration};
use description::parse;
pub(crate) use fault::{Fault, Refusal, Subject, as_lost, is_dropped};
pub(crate) use service::{ExtraLatency, ServiceFaults};
use spec::Spec;

use crate::env::{Env, EnvError, Secret};
use crate::file::{Stamp, read_text, stamp};

const SETTING: &str = "FAULTS";
/// The largest description in bytes.
const MAX_DESCRIPTION: usize = 256 * 1024;
/// The interval at which the file and the times of faults are checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// The faults of a process.
pub(crate) struct Faults {
    current: RwLock<Arc<Vec<Arc<Fault>>>>,
    /// Those that services have by a setting of their own; they stay when the others are replaced.
    own: Mutex<Vec<Arc<Fault>>>,
    file: Option<Mutex<WatchedFile>>,
    /// The time of the last check of the file and of the times of the faults.
    checked: Mutex<Instant>,
    token: Option<Secret>,
    /// The services of this process, to be told of changes.
    services: Mutex<Vec<Switches>>,
    busy: Mutex<Vec<Arc<AtomicBool>>>,
    changes: watch::Sender<()>,
}

/// The flags that the requests of a service read before they look for faults.
#[derive(Clone)]
struct Switches {
    service: &'static str,
    has_any: Arc<AtomicBool>,
    reads_headers: Arc<AtomicBool>,
}

/// The file of the faults, as it was read last.
struct WatchedFile {
    path: PathBuf,
    stamp: Option<Stamp>,
}

impl WatchedFile {
    fn read(&self) -> Result<Vec<Spec>, String> {
        let text = read_text(&self.path, MAX_DESCRIPTION)?;
        parse(&text).map_err(|problem| format!("must name a description of faults: {problem}"))
    }
}

impl Faults {
    /// Reads the faults of `FAULTS`, which is a description or the path of a file with one.
    pub(crate) fn from_env(env: &Env) -> Result<Self, EnvError> {
        let wrong = |problem: String| EnvError::new(SETTING, problem);
        let (specs, file) = match env.get(SETTING).map(str::trim) {
            None | Some("") => (Vec::new(), None),
            // No path looks like that.
            Some(text) if text.contains(['{', '[', '\n']) || text.contains(": ") => {
                let wrong = |problem| wrong(format!("must be a description of faults: {problem}"));
                (parse(text).map_err(wrong)?, None)
            }
            Some(path) => {
                let file = WatchedFile { path: path.into(), stamp: stamp(path.as_ref()) };
                (file.read().map_err(wrong)?, Some(Mutex::new(file)))
            }
        };
        let faults = Self {
            current: RwLock::default(),
            own: Mutex::default(),
            file,
            checked: Mutex::new(Instant::now()),
            token: env.secret("ADMIN_TOKEN")?,
            services: Mutex::default(),
            busy: Mutex::default(),
            changes: watch::Sender::new(()),
        };
        faults.set(specs);
        Ok(faults)
    }

    /// Returns true if there are faults, or can be some.
    pub(crate) fn are_possible(&self) -> bool {
        self.token.is_some() || self.file.is_some() || !self.current().is_empty()
    }

    fn current(&self) -> Arc<Vec<Arc<Fault>>> {
        self.current.read().clone()
    }

    /// Returns the faults that a service has now.
    fn on(&self, service: &str) -> Vec<Arc<Fault>> {
        let current = self.current();
        current.iter().filter(|fault| fault.is_of(service) && fault.is_on()).cloned().collect()
    }

    /// Replaces all faults. The error names the line and the reason; the faults stay.
    pub(crate) fn replace(&self, description: &str) -> Result<(), String> {
        self.set(parse(description)?);
        Ok(())
    }

    fn set(&self, specs: Vec<Spec>) {
        let own = self.own.lock().clone();
        *self.current.write() = Arc::new(specs.into_iter().map(logged).chain(own).collect());
        self.changed();
    }

    /// Switches the fault of this name; returns false if there is none.
    pub(crate) fn switch(&self, name: &str, on: bool) -> bool {
        let current = self.current();
        let Some(fault) = current.iter().find(|fault| fault.name() == name) else { return false };
        fault.switch(on);
        let state = if on { "on" } else { "off" };
        tracing::warn!(fault.name = name, "the fault {name} was switched {state}");
        self.changed();
        true
    }

    /// Returns true if this is `ADMIN_TOKEN`; false where that is not set.
    pub(crate) fn is_token(&self, token: &str) -> bool {
        self.token.as_ref().is_some_and(|own| {
            let (own, token) = (own.value().as_bytes(), token.as_bytes());
            // All bytes are compared, so that the time taken tells nothing of them.
            let differences =
                own.iter().zip(token).fold(0, |all, (one, other)| all | (one ^ other));
            own.len() == token.len() && differences == 0
        })
    }

    /// Returns the state of all faults for people and programs.
    pub(crate) fn to_json(&self) -> Value {
        let faults = self.current().iter().map(|fault| fault.to_json()).collect::<Vec<_>>();
        json!({ "faults": faults, "can_be_changed": self.token.is_some() })
    }

    fn changed(&self) {
        let current = self.current();
        for switches in self.services.lock().iter() {
            switches.set(&current);
        }
        self.keep_threads_busy();
        self.changes.send_replace(());
    }

    /// Adds a service of this process, with a fault of its own.
    fn add(&self, service: &'static str, own: Option<Spec>) -> Switches {
        if let Some(fault) = own.map(logged) {
            self.own.lock().push(fault.clone());
            Arc::make_mut(&mut self.current.write()).push(fault);
        }
        let switches = Switches { service, has_any: Arc::default(), reads_headers: Arc::default() };
        self.services.lock().push(switches.clone());
        self.changed();
        switches
    }

    /// Reads the file again if it has changed, and starts and ends what is due. All services of a process ask; the first
    /// one in each interval does it.
    fn refresh(&self) {
        let mut checked = self.checked.lock();
        if checked.elapsed() < CHECK_INTERVAL {
            return;
        }
        *checked = Instant::now();
        let read = self.file.as_ref().and_then(|file| {
            let mut file = file.lock();
            let stamp = stamp(&file.path);
            if stamp == file.stamp {
                return None;
            }
            file.stamp = stamp;
            Some(file.read())
        });
        match read {
            Some(Ok(specs)) => self.set(specs),
            Some(Err(problem)) => {
                tracing::error!("{SETTING} {problem}; the faults before it are kept");
            }
            None => self.keep_threads_busy(),
        }
    }

    /// Starts and ends threads that compute, so that there are as many as the faults that are on ask for.
    fn keep_threads_busy(&self) {
        let services = self.services.lock().clone();
        let current = self.current();
        let own = current.iter().filter(|fault| {
            fault.spec.action.busy_threads > 0
                && services.iter().any(|switches| fault.is_of(switches.service))
                && fault.is_on()
        });
        let wanted = own.map(|fault| fault.spec.action.busy_threads).sum();
        let mut busy = self.busy.lock();
        while busy.len() > wanted {
            if let Some(ended) = busy.pop() {
                ended.store(true, Ordering::Relaxed);
            }
        }
        while busy.len() < wanted {
            let ended = Arc::<AtomicBool>::default();
            busy.push(ended.clone());
            let compute = move || {
                while !ended.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
            };
            if std::thread::Builder::new().name("busy".to_owned()).spawn(compute).is_err() {
                tracing::warn!("cannot start a thread to keep busy");
                return;
            }
        }
    }
}

/// Makes a fault, and logs that it is there.
fn logged(spec: Spec) -> Arc<Fault> {
    let fault = Arc::new(Fault::new(spec));
    let state = if fault.is_enabled() { "on" } else { "off" };
    tracing::warn!(fault.name = fault.name(), "the fault {} is {state}", fault.name());
    fault
}

impl Drop for Faults {
    fn drop(&mut self) {
        for ended in self.busy.get_mut() {
            ended.store(true, Ordering::Relaxed);
        }
    }
}

impl Switches {
    fn set(&self, faults: &[Arc<Fault>]) {
        let own: Vec<_> =
            faults.iter().filter(|fault| fault.is_enabled() && fault.is_of(self.service)).collect();
        let reads = own.iter().any(|fault| fault.spec.requests.read_headers());
        self.has_any.store(!own.is_empty(), Ordering::Relaxed);
        self.reads_headers.store(reads, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Faults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Faults").finish_non_exhaustive()
    }
}
