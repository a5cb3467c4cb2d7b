//! The wire side in: a message, one look at the catalogue, a message.

use boutique_proto::product_catalog_service_client::ProductCatalogServiceClient;
use boutique_proto::recommendation_service_server::RecommendationService;
use boutique_proto::{Empty, ListRecommendationsRequest, ListRecommendationsResponse};
use boutique_service::Channel;
use tonic::{Request, Response, Status};

use crate::domain;

pub(crate) struct Recommendation {
    catalog: ProductCatalogServiceClient<Channel>,
}

impl Recommendation {
    pub(crate) fn new(catalog: ProductCatalogServiceClient<Channel>) -> Self {
        Self { catalog }
    }
}

#[tonic::async_trait]
impl RecommendationService for Recommendation {
    async fn list_recommendations(
        &self,
        request: Request<ListRecommendationsRequest>,
    ) -> Result<Response<ListRecommendationsResponse>, Status> {
        let listed = self.catalog.clone().list_products(Empty {}).await.map_err(|cause| {
            let mut status = Status::unavailable("cannot list the products");
            status.set_source(std::sync::Arc::new(cause));
            status
        })?;
        let ids = listed.into_inner().products.into_iter().map(|product| product.id).collect();
        let product_ids = domain::suggest(ids, &request.get_ref().product_ids, &mut rand::rng());
        Ok(Response::new(ListRecommendationsResponse { product_ids }))
    }
}
