//! The inbound gRPC adapter: a message, one look at the catalog, a message.

use boutique_proto::recommendation_service_server::RecommendationService;
use boutique_proto::{ListRecommendationsRequest, ListRecommendationsResponse};
use boutique_service::with_source;
use tonic::{Code, Request, Response, Status};

use crate::clients::Catalog;
use crate::domain;

pub(crate) struct Recommendation {
    catalog: Catalog,
}

impl Recommendation {
    pub(crate) fn new(catalog: Catalog) -> Self {
        Self { catalog }
    }
}

#[tonic::async_trait]
impl RecommendationService for Recommendation {
    async fn list_recommendations(
        &self,
        request: Request<ListRecommendationsRequest>,
    ) -> Result<Response<ListRecommendationsResponse>, Status> {
        let ids = self.catalog.ids().await.map_err(|cause| {
            let is_busy = cause.code() == Code::ResourceExhausted;
            let code = if is_busy { Code::ResourceExhausted } else { Code::Unavailable };
            with_source(Status::new(code, "cannot list the products"), cause)
        })?;
        let seen = &request.get_ref().product_ids;
        let product_ids = domain::suggest(&ids, seen, &mut rand::rng());
        Ok(Response::new(ListRecommendationsResponse { product_ids }))
    }
}
