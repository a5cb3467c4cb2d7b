//! Faults on demand: what breaks, for which requests, and when. They come from `FAULTS`, from flags of flagd, and from the
//! admin port; without any of them no request pays for them.

mod body;
mod description;
mod fault;
mod flags;
mod service;
mod spec;
mod values;

use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard, RwLock};
use serde_json::{Value, json};
use tokio::sync::watch;

pub(crate) use body::{SlowBody, slow_duration};
use description::parse;
pub(crate) use fault::{Fault, Refusal, Subject, as_lost, is_dropped};
pub(crate) use service::{ExtraLatency, ServiceFaults};
use spec::Spec;

use crate::env::{Env, EnvError, Secret};
use crate::file::read_text;

const SETTING: &str = "FAULTS";
/// The largest description in bytes.
const MAX_DESCRIPTION: usize = 256 * 1024;
/// How often the file and the times of the faults are looked at.
const CHECK_INTERVAL: Duration = Duration::from_millis(250);

/// The faults of a process.
pub(crate) struct Faults {
    current: RwLock<Arc<Vec<Arc<Fault>>>>,
    /// Those that services have by a setting of their own; they stay when the others are replaced.
    own: Mutex<Vec<Arc<Fault>>>,
    file: Option<Mutex<Watched>>,
    token: Option<Secret>,
    /// The services of this process, to be told of changes.
    services: Mutex<Vec<Switches>>,
    busy: Mutex<Vec<Arc<AtomicBool>>>,
    changes: watch::Sender<()>,
}

/// What a service asks before it looks for its faults.
#[derive(Clone)]
struct Switches {
    service: &'static str,
    has_any: Arc<AtomicBool>,
    reads_headers: Arc<AtomicBool>,
}

/// The file of the faults, as it was read last.
struct Watched {
    path: PathBuf,
    stamp: Option<Stamp>,
    checked: Instant,
}

type Stamp = (u64, i64, i64, u64);

impl Watched {
    fn stamp(&self) -> Option<Stamp> {
        let file = std::fs::metadata(&self.path).ok()?;
        Some((file.ino(), file.mtime(), file.mtime_nsec(), file.len()))
    }

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
                let mut file = Watched { path: path.into(), stamp: None, checked: Instant::now() };
                file.stamp = file.stamp();
                (file.read().map_err(wrong)?, Some(Mutex::new(file)))
            }
        };
        let faults = Self {
            current: RwLock::default(),
            own: Mutex::default(),
            file,
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
        self.put(specs.into_iter().map(announced).chain(own).collect());
    }

    fn put(&self, faults: Vec<Arc<Fault>>) {
        *self.current.write() = Arc::new(faults);
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

    /// Returns true if this is the token of those who may change faults; without one, nobody may.
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
        for switches in self.lock_services().iter() {
            switches.set(&current);
        }
        self.keep_threads_busy();
        self.changes.send_replace(());
    }

    /// Adds a service of this process, with a fault of its own.
    fn add(&self, service: &'static str, own: Option<Spec>) -> Switches {
        if let Some(spec) = own {
            let fault = announced(spec);
            self.own.lock().push(fault.clone());
            self.put(self.current().iter().cloned().chain([fault]).collect());
        }
        let switches = Switches { service, has_any: Arc::default(), reads_headers: Arc::default() };
        switches.set(&self.current());
        self.lock_services().push(switches.clone());
        self.keep_threads_busy();
        switches
    }

    fn lock_services(&self) -> MutexGuard<'_, Vec<Switches>> {
        self.services.lock()
    }

    /// Reads the file again if it has changed, and does what is due.
    fn refresh(&self) {
        let read = self.file.as_ref().and_then(|file| {
            let mut file = file.lock();
            if file.checked.elapsed() < CHECK_INTERVAL {
                return None;
            }
            file.checked = Instant::now();
            let stamp = file.stamp();
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
        let services = self.lock_services().clone();
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
fn announced(spec: Spec) -> Arc<Fault> {
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
