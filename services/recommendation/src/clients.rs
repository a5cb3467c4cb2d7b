//! Outbound adapter: the product catalog, of which only the ids are needed.

use std::sync::Arc;

use boutique_proto::{Empty, product_catalog_service, services};
use boutique_service::{Cache, Channel, Env, EnvError, Registry, client};
use tonic::Status;

/// The ids of the catalog's products, kept for `CACHE_TTL`.
pub(crate) struct Catalog {
    catalog: product_catalog_service::Client<Channel>,
    ids: Cache<(), Arc<[String]>>,
}

impl Catalog {
    /// Reads `PRODUCT_CATALOG_SERVICE_ADDR` and `CACHE_TTL`.
    pub(crate) fn from_env(env: &Env, registry: &Registry) -> Result<Self, EnvError> {
        Ok(Self {
            catalog: client(env, registry)?,
            ids: Cache::from_env(env, &registry.meter(&services::RECOMMENDATION), |(), _| 0)?,
        })
    }

    /// Returns the ids of all products.
    pub(crate) async fn ids(&self) -> Result<Arc<[String]>, Status> {
        let ask = async || {
            let listed = self.catalog.list_products(Empty {}).await?;
            Ok(listed.products.into_iter().map(|product| product.id).collect())
        };
        self.ids.get(&(), ask).await
    }
}
