//! Inbound adapter: reads a message, looks into the catalog, and writes a message.

use std::sync::Arc;

use boutique_proto::product_catalog_service_server::ProductCatalogService;
use boutique_proto::{
    Empty, GetProductRequest, ListProductsResponse, SearchProductsRequest, SearchProductsResponse,
};
use tonic::{Request, Response, Status};

use crate::domain::{Product, Refusal};
use crate::store::{Stock, Store};

pub(crate) struct ProductCatalog {
    store: Arc<Store>,
}

impl ProductCatalog {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self { store }
    }

    async fn stock(&self) -> Arc<Stock> {
        self.store.stock().await
    }
}

#[tonic::async_trait]
impl ProductCatalogService for ProductCatalog {
    async fn list_products(
        &self,
        _request: Request<Empty>,
    ) -> Result<Response<ListProductsResponse>, Status> {
        Ok(Response::new(self.stock().await.messages.clone()))
    }

    async fn get_product(
        &self,
        request: Request<GetProductRequest>,
    ) -> Result<Response<boutique_proto::Product>, Status> {
        let stock = self.stock().await;
        Ok(Response::new(stock.find(&request.get_ref().id)?.clone()))
    }

    async fn search_products(
        &self,
        request: Request<SearchProductsRequest>,
    ) -> Result<Response<SearchProductsResponse>, Status> {
        let stock = self.stock().await;
        let places = stock.catalog.search(&request.get_ref().query)?;
        let results = places.map(|place| stock.messages.products[place].clone()).collect();
        Ok(Response::new(SearchProductsResponse { results }))
    }
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
