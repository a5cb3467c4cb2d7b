//! The wire side out: the catalogue, of which only the ids matter here.

use std::sync::Arc;

use boutique_proto::{Empty, ListedIds, ShopCodec};
use boutique_service::{Cache, Channel, Env, EnvError, channel};
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::{Request, Status};

const LIST_PRODUCTS: PathAndQuery =
    PathAndQuery::from_static("/hipstershop.ProductCatalogService/ListProducts");

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
        let mut client = Grpc::new(self.channel.clone());
        client.ready().await?;
        let codec = ShopCodec::<Empty, ListedIds>::default();
        let listed = client.unary(Request::new(Empty {}), LIST_PRODUCTS, codec).await?;
        Ok(listed.into_inner().products.into_iter().map(|product| product.id).collect())
    }
}
