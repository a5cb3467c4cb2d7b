//! The service's own settings.

use std::path::PathBuf;
use std::time::Duration;

use boutique_service::{Env, EnvError};

pub(crate) struct Config {
    /// The file that the products are read from instead of the list compiled in.
    pub(crate) file: Option<PathBuf>,
    /// The delay of every call, for those who want to see a slow catalog.
    pub(crate) extra_latency: Duration,
}

impl Config {
    pub(crate) fn from_env(env: &Env) -> Result<Self, EnvError> {
        env.refuse(
            &[
                "ALLOYDB_CLUSTER_NAME",
                "ALLOYDB_INSTANCE_NAME",
                "ALLOYDB_DATABASE_NAME",
                "ALLOYDB_TABLE_NAME",
                "ALLOYDB_SECRET_NAME",
            ],
            "must not be set: this catalog is read from a file (CATALOG_FILE), not from AlloyDB",
        )?;
        Ok(Self {
            file: env.get("CATALOG_FILE").map(PathBuf::from),
            extra_latency: env.duration("EXTRA_LATENCY")?.unwrap_or_default(),
        })
    }
}
