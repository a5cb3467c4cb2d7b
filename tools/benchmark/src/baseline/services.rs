//! The nine services behind the frontend on plain tonic, each answering the least that the graph needs.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::proto::ad_service_server::{AdService, AdServiceServer};
use super::proto::cart_service_client::CartServiceClient;
use super::proto::cart_service_server::{CartService, CartServiceServer};
use super::proto::checkout_service_server::{CheckoutService, CheckoutServiceServer};
use super::proto::currency_service_client::CurrencyServiceClient;
use super::proto::currency_service_server::{CurrencyService, CurrencyServiceServer};
use super::proto::email_service_client::EmailServiceClient;
use super::proto::email_service_server::{EmailService, EmailServiceServer};
use super::proto::payment_service_client::PaymentServiceClient;
use super::proto::payment_service_server::{PaymentService, PaymentServiceServer};
use super::proto::product_catalog_service_client::ProductCatalogServiceClient;
use super::proto::product_catalog_service_server::{
    ProductCatalogService, ProductCatalogServiceServer,
};
use super::proto::recommendation_service_server::{
    RecommendationService, RecommendationServiceServer,
};
use super::proto::shipping_service_client::ShippingServiceClient;
use super::proto::shipping_service_server::{ShippingService, ShippingServiceServer};
use super::proto::{
    Ad, AdRequest, AdResponse, AddItemRequest, Cart, CartItem, ChargeRequest, ChargeResponse,
    CurrencyConversionRequest, Empty, EmptyCartRequest, GetCartRequest, GetProductRequest,
    GetQuoteRequest, GetQuoteResponse, GetSupportedCurrenciesResponse, ListProductsResponse,
    ListRecommendationsRequest, ListRecommendationsResponse, Money, OrderItem, OrderResult,
    PlaceOrderRequest, PlaceOrderResponse, Product, SearchProductsRequest, SearchProductsResponse,
    SendOrderConfirmationRequest, ShipOrderRequest, ShipOrderResponse,
};
use anyhow::bail;
use futures_util::future::{try_join, try_join_all};
use tonic::transport::server::{Router, TcpIncoming};
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status};

const IDS: [&str; 9] = [
    "0PUK6V6EV0",
    "1YMWWN1N4O",
    "2ZYFJ3GM2N",
    "66VCHSJNUP",
    "6E92ZMYYFZ",
    "9SIQT8TOJO",
    "L9ECAV7KIM",
    "LS4PSXUNUM",
    "OLJCESPC7Z",
];

/// Serves one of them.
pub(super) async fn serve(name: &str) -> anyhow::Result<()> {
    let mut server = Server::builder();
    let router = match name {
        "adservice" => server.add_service(AdServiceServer::new(StandIn)),
        "cartservice" => server.add_service(CartServiceServer::new(Carts::default())),
        "currencyservice" => server.add_service(CurrencyServiceServer::new(StandIn)),
        "emailservice" => server.add_service(EmailServiceServer::new(StandIn)),
        "paymentservice" => server.add_service(PaymentServiceServer::new(StandIn)),
        "productcatalogservice" => server.add_service(ProductCatalogServiceServer::new(StandIn)),
        "shippingservice" => server.add_service(ShippingServiceServer::new(StandIn)),
        "recommendationservice" => {
            let catalog =
                ProductCatalogServiceClient::new(channel("PRODUCT_CATALOG_SERVICE_ADDR")?);
            server.add_service(RecommendationServiceServer::new(Recommendation(Some(catalog))))
        }
        // Its list is cached in the reduced graph.
        "recommendationservice-reduced" => {
            server.add_service(RecommendationServiceServer::new(Recommendation(None)))
        }
        "checkoutservice" => server.add_service(CheckoutServiceServer::new(Checkout::new()?)),
        _ => bail!("there is no baseline named {name}"),
    };
    listen(router).await
}

async fn listen(router: Router) -> anyhow::Result<()> {
    let listener = tokio::net::TcpListener::from_std(super::stand_in::bind()?)?;
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    Ok(router.serve_with_incoming(incoming).await?)
}

/// A plain channel to the address under this setting.
pub(super) fn channel(name: &str) -> anyhow::Result<Channel> {
    let address = super::stand_in::setting(name)?;
    Ok(Channel::from_shared(format!("http://{address}"))?.connect_lazy())
}

fn money(units: i64, nanos: i32) -> Option<Money> {
    Some(Money { currency_code: "USD".to_owned(), units, nanos })
}

fn product(id: &str) -> Product {
    Product {
        id: id.to_owned(),
        name: "Sunglasses".to_owned(),
        description: "Slim frames that shade the brightest street and the longest drive."
            .to_owned(),
        picture: "/static/img/products/sunglasses.jpg".to_owned(),
        price_usd: money(19, 990_000_000),
        categories: vec!["accessories".to_owned()],
    }
}

/// The services that know nothing.
struct StandIn;

#[tonic::async_trait]
impl AdService for StandIn {
    async fn get_ads(&self, _: Request<AdRequest>) -> Result<Response<AdResponse>, Status> {
        let ad = Ad {
            redirect_url: "/product/2ZYFJ3GM2N".to_owned(),
            text: "Hairdryer for sale. 50% off.".to_owned(),
        };
        Ok(Response::new(AdResponse { ads: vec![ad] }))
    }
}

#[tonic::async_trait]
impl CurrencyService for StandIn {
    async fn get_supported_currencies(
        &self,
        _: Request<Empty>,
    ) -> Result<Response<GetSupportedCurrenciesResponse>, Status> {
        let currency_codes = vec!["EUR".to_owned(); 33];
        Ok(Response::new(GetSupportedCurrenciesResponse { currency_codes }))
    }

    async fn convert(
        &self,
        request: Request<CurrencyConversionRequest>,
    ) -> Result<Response<Money>, Status> {
        Ok(Response::new(request.into_inner().from.unwrap_or_default()))
    }
}

#[tonic::async_trait]
impl EmailService for StandIn {
    async fn send_order_confirmation(
        &self,
        _: Request<SendOrderConfirmationRequest>,
    ) -> Result<Response<Empty>, Status> {
        Ok(Response::new(Empty {}))
    }
}

#[tonic::async_trait]
impl PaymentService for StandIn {
    async fn charge(&self, _: Request<ChargeRequest>) -> Result<Response<ChargeResponse>, Status> {
        let transaction_id = "12345678-1234-1234-1234-123456789123".to_owned();
        Ok(Response::new(ChargeResponse { transaction_id }))
    }
}

#[tonic::async_trait]
impl ProductCatalogService for StandIn {
    async fn list_products(
        &self,
        _: Request<Empty>,
    ) -> Result<Response<ListProductsResponse>, Status> {
        Ok(Response::new(ListProductsResponse { products: IDS.map(product).into() }))
    }

    async fn get_product(
        &self,
        request: Request<GetProductRequest>,
    ) -> Result<Response<Product>, Status> {
        Ok(Response::new(product(&request.into_inner().id)))
    }

    async fn search_products(
        &self,
        _: Request<SearchProductsRequest>,
    ) -> Result<Response<SearchProductsResponse>, Status> {
        Ok(Response::new(SearchProductsResponse::default()))
    }
}

#[tonic::async_trait]
impl ShippingService for StandIn {
    async fn get_quote(
        &self,
        _: Request<GetQuoteRequest>,
    ) -> Result<Response<GetQuoteResponse>, Status> {
        Ok(Response::new(GetQuoteResponse { cost_usd: money(8, 990_000_000) }))
    }

    async fn ship_order(
        &self,
        _: Request<ShipOrderRequest>,
    ) -> Result<Response<ShipOrderResponse>, Status> {
        let tracking_id = "AB-12345-678901234".to_owned();
        Ok(Response::new(ShipOrderResponse { tracking_id }))
    }
}

/// Carts in memory: the graph depends on what is in them.
#[derive(Default, Clone)]
struct Carts(Arc<Mutex<HashMap<String, Vec<CartItem>>>>);

#[tonic::async_trait]
impl CartService for Carts {
    async fn add_item(&self, request: Request<AddItemRequest>) -> Result<Response<Empty>, Status> {
        let AddItemRequest { user_id, item } = request.into_inner();
        let item = item.unwrap_or_default();
        let mut carts = self.0.lock();
        let items = carts.entry(user_id).or_default();
        match items.iter_mut().find(|other| other.product_id == item.product_id) {
            Some(other) => other.quantity += item.quantity,
            None => items.push(item),
        }
        Ok(Response::new(Empty {}))
    }

    async fn get_cart(&self, request: Request<GetCartRequest>) -> Result<Response<Cart>, Status> {
        let user_id = request.into_inner().user_id;
        let carts = self.0.lock();
        let items = carts.get(&user_id).cloned().unwrap_or_default();
        Ok(Response::new(Cart { user_id, items }))
    }

    async fn empty_cart(
        &self,
        request: Request<EmptyCartRequest>,
    ) -> Result<Response<Empty>, Status> {
        let mut carts = self.0.lock();
        carts.remove(&request.into_inner().user_id);
        Ok(Response::new(Empty {}))
    }
}

struct Recommendation(Option<ProductCatalogServiceClient<Channel>>);

#[tonic::async_trait]
impl RecommendationService for Recommendation {
    async fn list_recommendations(
        &self,
        request: Request<ListRecommendationsRequest>,
    ) -> Result<Response<ListRecommendationsResponse>, Status> {
        if let Some(catalog) = &self.0 {
            catalog.clone().list_products(Empty {}).await?;
        }
        let seen = request.into_inner().product_ids;
        let others = IDS.iter().filter(|id| seen.iter().all(|seen| seen != *id)).take(5);
        let product_ids = others.map(ToString::to_string).collect();
        Ok(Response::new(ListRecommendationsResponse { product_ids }))
    }
}

struct Checkout {
    cart: CartServiceClient<Channel>,
    catalog: ProductCatalogServiceClient<Channel>,
    currency: CurrencyServiceClient<Channel>,
    email: EmailServiceClient<Channel>,
    payment: PaymentServiceClient<Channel>,
    shipping: ShippingServiceClient<Channel>,
}

impl Checkout {
    fn new() -> anyhow::Result<Self> {
        Ok(Self {
            cart: CartServiceClient::new(channel("CART_SERVICE_ADDR")?),
            catalog: ProductCatalogServiceClient::new(channel("PRODUCT_CATALOG_SERVICE_ADDR")?),
            currency: CurrencyServiceClient::new(channel("CURRENCY_SERVICE_ADDR")?),
            email: EmailServiceClient::new(channel("EMAIL_SERVICE_ADDR")?),
            payment: PaymentServiceClient::new(channel("PAYMENT_SERVICE_ADDR")?),
            shipping: ShippingServiceClient::new(channel("SHIPPING_SERVICE_ADDR")?),
        })
    }

    async fn convert(&self, from: Option<Money>) -> Result<Money, Status> {
        let request = CurrencyConversionRequest { from, to_code: "EUR".to_owned() };
        Ok(self.currency.clone().convert(request).await?.into_inner())
    }
}

#[tonic::async_trait]
impl CheckoutService for Checkout {
    async fn place_order(
        &self,
        request: Request<PlaceOrderRequest>,
    ) -> Result<Response<PlaceOrderResponse>, Status> {
        let PlaceOrderRequest { user_id, address, email, credit_card, .. } = request.into_inner();
        let request = GetCartRequest { user_id: user_id.clone() };
        let items = self.cart.clone().get_cart(request).await?.into_inner().items;
        let products = try_join_all(items.iter().map(async |item| {
            let request = GetProductRequest { id: item.product_id.clone() };
            self.catalog.clone().get_product(request).await
        }));
        let mut shipping = self.shipping.clone();
        let quote = GetQuoteRequest { address: address.clone(), items: items.clone() };
        let (products, quote) = try_join(products, shipping.get_quote(quote)).await?;
        let prices =
            products.into_iter().map(|product| self.convert(product.into_inner().price_usd));
        let cost = self.convert(quote.into_inner().cost_usd);
        let (prices, cost) = try_join(try_join_all(prices), cost).await?;
        let charge = ChargeRequest { amount: Some(cost.clone()), credit_card };
        self.payment.clone().charge(charge).await?;
        let ship = ShipOrderRequest { address: address.clone(), items: items.clone() };
        let shipped = shipping.ship_order(ship).await?.into_inner();
        let line = |(item, cost)| OrderItem { item: Some(item), cost: Some(cost) };
        let order = OrderResult {
            order_id: "12345678-1234-1234-1234-123456789123".to_owned(),
            shipping_tracking_id: shipped.tracking_id,
            shipping_cost: Some(cost),
            shipping_address: address,
            items: items.into_iter().zip(prices).map(line).collect(),
        };
        let mut mailer = self.email.clone();
        let mail = SendOrderConfirmationRequest { email, order: Some(order.clone()) };
        tokio::spawn(async move { mailer.send_order_confirmation(mail).await.is_ok() });
        self.cart.clone().empty_cart(EmptyCartRequest { user_id }).await?;
        Ok(Response::new(PlaceOrderResponse { order: Some(order) }))
    }
}
