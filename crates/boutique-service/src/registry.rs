//! The services of this process, and what they share: the threads that serve connections, TLS, and metrics.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use boutique_proto::services::ServiceSpec;
use tokio::runtime::Handle;

use crate::env::{Env, EnvError};
use crate::faults::Faults;
use crate::metrics::{Meter, Metrics};
use crate::server::Endpoint;
use crate::tls::Tls;

/// The scheme of the address of a service in the same process.
pub(crate) const INPROC: &str = "inproc:";

/// The services of this process by name, for those that call them without a connection.
#[derive(Clone, Default)]
pub struct Registry {
    endpoints: BTreeMap<&'static str, Arc<Endpoint>>,
    /// The runtimes that connections are spread over, beside the first.
    pub(crate) workers: Vec<Handle>,
    tls: Arc<OnceLock<Arc<Tls>>>,
    metrics: Arc<Metrics>,
    faults: Arc<OnceLock<Arc<Faults>>>,
}

impl Registry {
    /// Adds a service; the address that reaches it is returned.
    pub(crate) fn insert(&mut self, endpoint: Arc<Endpoint>) -> String {
        let name = endpoint.name();
        self.endpoints.insert(name, endpoint);
        format!("{INPROC}{name}")
    }

    /// Returns the service of this name.
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Endpoint>> {
        self.endpoints.get(name)
    }

    /// Makes the counters of a service. They are counted whether anybody reads them or not.
    pub fn meter(&self, spec: &ServiceSpec) -> Meter {
        Meter::new(self.metrics.clone(), spec.name)
    }

    /// Returns the metrics of the process.
    pub(crate) fn metrics(&self) -> &Arc<Metrics> {
        &self.metrics
    }

    /// Returns the process's faults; `FAULTS` is read by the first who asks.
    pub(crate) fn faults(&self, env: &Env) -> Result<Arc<Faults>, EnvError> {
        if let Some(faults) = self.faults.get() {
            return Ok(faults.clone());
        }
        let faults = Arc::new(Faults::from_env(env)?);
        Ok(self.faults.get_or_init(|| faults).clone())
    }

    /// Returns the process's certificates and roots; the files are read by the first who asks.
    pub(crate) fn tls(&self, env: &Env) -> Result<Arc<Tls>, EnvError> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls.clone());
        }
        let tls = Arc::new(Tls::from_env(env)?);
        Ok(self.tls.get_or_init(|| tls).clone())
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.endpoints.keys()).finish()
    }
}
