//! The wire side out: the catalogue, of which only the ids matter here.

use std::sync::Arc;

use boutique_proto::{Empty, ListIds};
use boutique_service::{Cache, Channel, Env, EnvError, channel};
use tonic::Status;

/// The catalogue's ids, kept for `CACHE_TTL`.
pub(crate) struct Catalog {
    channel: Channel,
    ids: Cache<(), Arc<[String]>>,
}

impl Catalog {
    pub(crate) fn from_env(env: &Env) -> Result<Self, EnvError> {
        let channel = channel(env, "PRODUCT_CATALOG_SERVICE_ADDR")?;
        Ok(Self { channel, ids: Cache::from_env(env)? })
    }

    /// The id of every product, in the catalogue's order.
    pub(crate) async fn ids(&self) -> Result<Arc<[String]>, Status> {
        self.ids.get(&(), async || self.list().await).await
    }

    /// `ListProducts`, with everything else in the answer left unread: decoding whole products
    /// would cost several times what this service does for itself.
    async fn list(&self) -> Result<Arc<[String]>, Status> {
        let listed = self.channel.call(ListIds, Empty {}).await?;
        Ok(listed.products.into_iter().map(|product| product.id).collect())
    }
}
