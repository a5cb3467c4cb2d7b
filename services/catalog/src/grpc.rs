//! The wire side in: a message, one look at the catalogue, a message.

use std::sync::Arc;
use std::time::Duration;

use boutique_proto::product_catalog_service_server::ProductCatalogService;
use boutique_proto::{
    Empty, GetProductRequest, Handles, Handling, ListIds, ListProductsResponse, ListedId,
    ListedIds, SearchProductsRequest, SearchProductsResponse,
};
use tonic::{Request, Response, Status};

use crate::domain::{Catalogue, Product, Refusal};
use crate::store::Store;

#[derive(Clone)]
pub(crate) struct ProductCatalog {
    store: Arc<Store>,
    extra_latency: Duration,
}

impl ProductCatalog {
    pub(crate) fn new(store: Arc<Store>, extra_latency: Duration) -> Self {
        Self { store, extra_latency }
    }

    async fn catalogue(&self) -> Arc<Catalogue> {
        if !self.extra_latency.is_zero() {
            tokio::time::sleep(self.extra_latency).await;
        }
        self.store.catalogue().await
    }
}

#[tonic::async_trait]
impl ProductCatalogService for ProductCatalog {
    async fn list_products(
        &self,
        _request: Request<Empty>,
    ) -> Result<Response<ListProductsResponse>, Status> {
        Ok(Response::new(list(&*self.catalogue().await)))
    }

    async fn get_product(
        &self,
        request: Request<GetProductRequest>,
    ) -> Result<Response<boutique_proto::Product>, Status> {
        let catalogue = self.catalogue().await;
        Ok(Response::new(catalogue.find(&request.get_ref().id)?.into()))
    }

    async fn search_products(
        &self,
        request: Request<SearchProductsRequest>,
    ) -> Result<Response<SearchProductsResponse>, Status> {
        let catalogue = self.catalogue().await;
        let results = catalogue.search(&request.get_ref().query)?.map(Into::into).collect();
        Ok(Response::new(SearchProductsResponse { results }))
    }
}

/// Whoever asks from inside the process for the ids alone is not given the rest.
impl Handles<ListIds> for ProductCatalog {
    fn handle(&self, _request: Request<Empty>) -> Handling<'_, ListedIds> {
        Box::pin(async {
            let catalogue = self.catalogue().await;
            let ids =
                catalogue.products().iter().map(|product| ListedId { id: product.id.clone() });
            Ok(Response::new(ListedIds { products: ids.collect() }))
        })
    }
}

/// The whole catalogue as a message.
pub(crate) fn list(catalogue: &Catalogue) -> ListProductsResponse {
    ListProductsResponse { products: catalogue.products().iter().map(Into::into).collect() }
}

impl From<&Product> for boutique_proto::Product {
    fn from(product: &Product) -> Self {
        Self {
            id: product.id.clone(),
            name: product.name.clone(),
            description: product.description.clone(),
            picture: product.picture.clone(),
            price_usd: Some(product.price.into()),
            categories: product.categories.clone(),
        }
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unknown(_) => Self::not_found(refusal.to_string()),
            Refusal::LongQuery => Self::invalid_argument(refusal.to_string()),
        }
    }
}
