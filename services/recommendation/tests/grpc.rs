//! recommendationservice over its own wire, with a catalog that the test plays.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::sync::Arc;

use boutique_proto::product_catalog_service_server::ProductCatalogService;
use boutique_proto::recommendation_service_client::RecommendationServiceClient;
use boutique_proto::{
    Empty, GetProductRequest, ListProductsResponse, ListRecommendationsRequest, Product,
    SearchProductsRequest, SearchProductsResponse, product_catalog_service, services,
};
use boutique_service::{Env, Router, ServerHandle, ServiceSpec};
use boutique_test::{loopback, serve, serve_router};
use recommendationservice::{SERVICE, routes};
use tonic::transport::Channel;
use tonic::{Code, Request, Response, Status};

const CATALOG: ServiceSpec = services::PRODUCT_CATALOG;

/// A catalog of these ids, or one that fails.
struct Catalog(Option<Arc<[&'static str]>>);

#[tonic::async_trait]
impl ProductCatalogService for Catalog {
    async fn list_products(
        &self,
        _request: Request<Empty>,
    ) -> Result<Response<ListProductsResponse>, Status> {
        let ids = self.0.as_ref().ok_or_else(|| Status::internal("broken"))?;
        let products =
            ids.iter().map(|id| Product { id: (*id).to_owned(), ..Product::default() }).collect();
        Ok(Response::new(ListProductsResponse { products }))
    }

    async fn get_product(
        &self,
        _: Request<GetProductRequest>,
    ) -> Result<Response<Product>, Status> {
        Err(Status::unimplemented("not asked for"))
    }

    async fn search_products(
        &self,
        _: Request<SearchProductsRequest>,
    ) -> Result<Response<SearchProductsResponse>, Status> {
        Err(Status::unimplemented("not asked for"))
    }
}

type Started = (RecommendationServiceClient<Channel>, ServerHandle, Option<ServerHandle>);

async fn start(ids: Option<&[&'static str]>) -> anyhow::Result<Started> {
    let catalog = Catalog(ids.map(Arc::from));
    let router = Router::grpc(product_catalog_service::into_server(catalog));
    let catalog = serve_router(CATALOG, &Env::default(), router).await?;
    let mut env = Env::default();
    env.set(CATALOG.addr_key, catalog.address().unwrap().to_string());
    let (channel, running) = loopback(SERVICE, &env, routes).await?;
    Ok((RecommendationServiceClient::new(channel), catalog, running))
}

fn without(product_ids: &[&str]) -> ListRecommendationsRequest {
    let product_ids = product_ids.iter().map(|id| (*id).to_owned()).collect();
    ListRecommendationsRequest { user_id: String::new(), product_ids }
}

#[tokio::test]
async fn what_is_in_view_is_not_suggested() -> anyhow::Result<()> {
    let (mut recommendation, _catalog, _running) =
        start(Some(&["a", "b", "c", "d", "e", "f", "g"])).await?;

    let answer = recommendation.list_recommendations(without(&["a", "nobody"])).await?;

    let mut ids = answer.into_inner().product_ids;
    assert_eq!(ids.len(), 5);
    ids.sort();
    ids.dedup();
    assert!(ids.len() == 5 && !ids.contains(&"a".to_owned()), "{ids:?}");
    Ok(())
}

#[tokio::test]
async fn nothing_is_suggested_from_an_empty_catalog() -> anyhow::Result<()> {
    let (mut recommendation, _catalog, _running) = start(Some(&[])).await?;

    let answer = recommendation.list_recommendations(without(&[])).await?;

    assert!(answer.into_inner().product_ids.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_catalog_that_is_out_is_unavailable() -> anyhow::Result<()> {
    let (mut broken, _catalog, _running) = start(None).await?;
    let refused = broken.list_recommendations(without(&[])).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);

    let (mut gone, catalog, _running) = start(Some(&["a"])).await?;
    catalog.stop().await;
    let refused = gone.list_recommendations(without(&[])).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    Ok(())
}

#[tokio::test]
async fn a_missing_address_stops_the_start_and_is_named() {
    let error = serve(SERVICE, &Env::default(), routes).await.unwrap_err();
    assert_eq!(error.to_string(), "PRODUCT_CATALOG_SERVICE_ADDR is not set");
}
