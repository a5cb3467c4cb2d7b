//! The wire side out: the catalogue, of which only the ids matter here.

use boutique_proto::{Empty, ListIds, ListedIds, Shared};
use boutique_service::{Cache, Channel, Env, EnvError, channel};
use tonic::Status;

/// The catalogue's ids, kept for `CACHE_TTL`.
pub(crate) struct Catalog {
    channel: Channel,
    ids: Cache<(), Shared<ListedIds>>,
}

impl Catalog {
    pub(crate) fn from_env(env: &Env) -> Result<Self, EnvError> {
        let channel = channel(env, "PRODUCT_CATALOG_SERVICE_ADDR")?;
        Ok(Self { channel, ids: Cache::from_env(env)? })
    }

    /// `ListProducts`, with everything but the ids left unread: decoding whole products would cost
    /// several times what this service does for itself.
    pub(crate) async fn ids(&self) -> Result<Shared<ListedIds>, Status> {
        self.ids.get(&(), async || self.channel.call(ListIds, Empty {}).await).await
    }
}
