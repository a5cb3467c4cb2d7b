//! The frontend's part of the graph: the calls of every page, and a page of the right size.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::proto::ad_service_client::AdServiceClient;
use super::proto::cart_service_client::CartServiceClient;
use super::proto::checkout_service_client::CheckoutServiceClient;
use super::proto::currency_service_client::CurrencyServiceClient;
use super::proto::product_catalog_service_client::ProductCatalogServiceClient;
use super::proto::recommendation_service_client::RecommendationServiceClient;
use super::proto::shipping_service_client::ShippingServiceClient;
use super::proto::{
    AdRequest, AddItemRequest, CartItem, CurrencyConversionRequest, Empty, EmptyCartRequest,
    GetCartRequest, GetProductRequest, GetQuoteRequest, ListRecommendationsRequest, Money,
    PlaceOrderRequest,
};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use futures_util::future::{try_join, try_join_all};
use tonic::Status;
use tonic::transport::Channel;

use super::services::channel;

/// Bytes of our own pages, with a cart of one line.
pub(super) const HOME: usize = 4_600;
const PRODUCT: usize = 3_800;
const CART: usize = 6_600;
const ORDER: usize = 2_700;

static VISITORS: AtomicU64 = AtomicU64::new(0);
const SESSION: &str = "shop_session-id";

struct Shop {
    ad: AdServiceClient<Channel>,
    cart: CartServiceClient<Channel>,
    catalog: ProductCatalogServiceClient<Channel>,
    checkout: CheckoutServiceClient<Channel>,
    currency: CurrencyServiceClient<Channel>,
    recommendation: RecommendationServiceClient<Channel>,
    shipping: ShippingServiceClient<Channel>,
    /// Without the calls that a cache may answer.
    is_reduced: bool,
}

/// The pages of the load; reduced ones without the calls that a cache may answer.
pub(super) fn router(is_reduced: bool) -> anyhow::Result<Router> {
    let shop = Arc::new(Shop {
        ad: AdServiceClient::new(channel("AD_SERVICE_ADDR")?),
        cart: CartServiceClient::new(channel("CART_SERVICE_ADDR")?),
        catalog: ProductCatalogServiceClient::new(channel("PRODUCT_CATALOG_SERVICE_ADDR")?),
        checkout: CheckoutServiceClient::new(channel("CHECKOUT_SERVICE_ADDR")?),
        currency: CurrencyServiceClient::new(channel("CURRENCY_SERVICE_ADDR")?),
        recommendation: RecommendationServiceClient::new(channel("RECOMMENDATION_SERVICE_ADDR")?),
        shipping: ShippingServiceClient::new(channel("SHIPPING_SERVICE_ADDR")?),
        is_reduced,
    });
    Ok(Router::new()
        .route("/", get(home))
        .route("/product/{id}", get(product))
        .route("/cart", get(cart).post(add))
        .route("/cart/empty", post(empty))
        .route("/cart/checkout", post(checkout))
        .route("/setCurrency", post(async || Redirect::to("/")))
        .with_state(shop))
}

/// So many bytes of a page.
pub(super) fn page(bytes: usize) -> Html<&'static str> {
    const PAGE: &str = include_str!("services.rs");
    Html(&PAGE[..bytes])
}

/// The visitor's id, and the page with a cookie for those who had none.
fn visitor(headers: &HeaderMap) -> (String, bool) {
    let cookies = headers.get("cookie").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let session =
        cookies.split("; ").find_map(|pair| pair.strip_prefix(SESSION)?.strip_prefix('='));
    match session {
        Some(session) => (session.to_owned(), false),
        None => (format!("{:036x}", VISITORS.fetch_add(1, Ordering::Relaxed)), true),
    }
}

type Failure = (http::StatusCode, String);
type Answer = Result<Response, Failure>;

fn answer(bytes: usize, visitor: &(String, bool)) -> Answer {
    let cookie = visitor.1.then(|| [("set-cookie", format!("{SESSION}={}; Path=/", visitor.0))]);
    Ok((cookie, page(bytes)).into_response())
}

#[expect(clippy::needless_pass_by_value, reason = "it is what map_err hands on")]
fn failed(status: Status) -> Failure {
    (http::StatusCode::INTERNAL_SERVER_ERROR, status.to_string())
}

impl Shop {
    async fn currencies(&self) -> Result<(), Status> {
        if !self.is_reduced {
            self.currency.clone().get_supported_currencies(Empty {}).await?;
        }
        Ok(())
    }

    async fn items(&self, user_id: &str) -> Result<Vec<CartItem>, Status> {
        let request = GetCartRequest { user_id: user_id.to_owned() };
        Ok(self.cart.clone().get_cart(request).await?.into_inner().items)
    }

    /// The product's price.
    async fn product(&self, id: &str) -> Result<Option<Money>, Status> {
        if self.is_reduced {
            return Ok(None);
        }
        let request = GetProductRequest { id: id.to_owned() };
        Ok(self.catalog.clone().get_product(request).await?.into_inner().price_usd)
    }

    async fn convert(&self, from: Option<Money>) -> Result<(), Status> {
        if !self.is_reduced {
            let request = CurrencyConversionRequest { from, to_code: "EUR".to_owned() };
            self.currency.clone().convert(request).await?;
        }
        Ok(())
    }

    async fn recommendations(&self, user_id: &str, product_ids: Vec<String>) -> Result<(), Status> {
        let request = ListRecommendationsRequest { user_id: user_id.to_owned(), product_ids };
        let answer = self.recommendation.clone().list_recommendations(request).await?;
        let ids = answer.into_inner().product_ids;
        try_join_all(ids.iter().map(|id| self.product(id))).await?;
        Ok(())
    }

    async fn ads(&self) -> Result<(), Status> {
        let request = AdRequest { context_keys: vec!["accessories".to_owned()] };
        self.ad.clone().get_ads(request).await.map(|_| ())
    }

    async fn price(&self, item: &CartItem) -> Result<(), Status> {
        let price = self.product(&item.product_id).await?;
        self.convert(price).await
    }
}

async fn home(State(shop): State<Arc<Shop>>, headers: HeaderMap) -> Answer {
    let visitor = visitor(&headers);
    if shop.is_reduced {
        shop.items(&visitor.0).await.map_err(failed)?;
        return answer(HOME, &visitor);
    }
    let ads = shop.clone();
    tokio::spawn(async move { ads.ads().await.is_ok() });
    let mut catalog = shop.catalog.clone();
    let (listed, _, _) = tokio::try_join!(
        catalog.list_products(Empty {}),
        shop.currencies(),
        shop.items(&visitor.0)
    )
    .map_err(failed)?;
    let products = listed.into_inner().products.into_iter();
    try_join_all(products.map(|product| shop.convert(product.price_usd))).await.map_err(failed)?;
    answer(HOME, &visitor)
}

async fn product(
    State(shop): State<Arc<Shop>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Answer {
    let visitor = visitor(&headers);
    let beside = shop.recommendations(&visitor.0, vec![id.clone()]);
    let cart = shop.items(&visitor.0);
    if shop.is_reduced {
        tokio::try_join!(cart, beside, shop.ads()).map_err(failed)?;
        return answer(PRODUCT, &visitor);
    }
    let first = tokio::try_join!(shop.product(&id), shop.currencies(), cart, beside);
    let (price, ..) = first.map_err(failed)?;
    try_join(shop.convert(price), shop.ads()).await.map_err(failed)?;
    answer(PRODUCT, &visitor)
}

async fn cart(State(shop): State<Arc<Shop>>, headers: HeaderMap) -> Answer {
    let visitor = visitor(&headers);
    let (items, ()) = try_join(shop.items(&visitor.0), shop.currencies()).await.map_err(failed)?;
    let ids = items.iter().map(|item| item.product_id.clone()).collect();
    let quote = async {
        let request = GetQuoteRequest { address: None, items: items.clone() };
        let quote = shop.shipping.clone().get_quote(request).await?.into_inner();
        shop.convert(quote.cost_usd).await
    };
    let lines = try_join_all(items.iter().map(|item| shop.price(item)));
    tokio::try_join!(quote, lines, shop.recommendations(&visitor.0, ids)).map_err(failed)?;
    answer(CART, &visitor)
}

async fn add(State(shop): State<Arc<Shop>>, headers: HeaderMap, form: String) -> Answer {
    let visitor = visitor(&headers);
    let mut fields = form_urlencoded::parse(form.as_bytes());
    let product_id = fields.find(|(name, _)| name == "product_id");
    let product_id = product_id.map(|(_, value)| value.into_owned()).unwrap_or_default();
    shop.product(&product_id).await.map_err(failed)?;
    let item = Some(CartItem { product_id, quantity: 1 });
    let request = AddItemRequest { user_id: visitor.0, item };
    shop.cart.clone().add_item(request).await.map_err(failed)?;
    Ok(Redirect::to("/cart").into_response())
}

async fn empty(State(shop): State<Arc<Shop>>, headers: HeaderMap) -> Answer {
    let request = EmptyCartRequest { user_id: visitor(&headers).0 };
    shop.cart.clone().empty_cart(request).await.map_err(failed)?;
    Ok(Redirect::to("/").into_response())
}

async fn checkout(State(shop): State<Arc<Shop>>, headers: HeaderMap, _form: String) -> Answer {
    let visitor = visitor(&headers);
    let request = PlaceOrderRequest {
        user_id: visitor.0.clone(),
        user_currency: "EUR".to_owned(),
        ..PlaceOrderRequest::default()
    };
    shop.checkout.clone().place_order(request).await.map_err(failed)?;
    let unwaited = shop.clone();
    tokio::spawn(async move { unwaited.currencies().await.is_ok() });
    shop.recommendations(&visitor.0, Vec::new()).await.map_err(failed)?;
    answer(ORDER, &visitor)
}
