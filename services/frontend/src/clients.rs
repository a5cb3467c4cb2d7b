//! Outbound adapters: the seven services that pages are made of. With `CACHE_TTL` pages may show what the
//! catalog and the currency service said a little while ago; an order is never made of that.

use std::sync::Arc;
use std::time::{Duration, Instant};

use boutique_money::{CurrencyCode, Money};
use boutique_proto::ext::{
    GetOrderRequest, ListOrdersRequest, Order, RemoveItemsRequest, carts, orders,
};
use boutique_proto::{
    Ad, AdRequest, AddItemRequest, CartItem, CurrencyConversionRequest, Empty, EmptyCartRequest,
    GetCartRequest, GetProductRequest, GetQuoteRequest, ListRecommendationsRequest, OrderResult,
    PlaceOrderRequest, Product, SearchProductsRequest, TypedClient as _, ad_service, cart_service,
    checkout_service, converted_amount, currency_service, product_catalog_service,
    recommendation_service, required_amount, services, shipping_service,
};
use boutique_service::{
    Cache, Channel, Env, EnvError, IdempotencyKey, Registry, channel, client, detach,
};
use futures_util::future::try_join_all;
use prost::Message as _;
use tonic::{Code, Request, Status};
use uuid::Uuid;

use crate::copy::{CatalogCopy, Priced};

/// A way to call each service; cheap to clone.
#[derive(Clone)]
pub(crate) struct Clients {
    ad: ad_service::Client<Channel>,
    cart: cart_service::Client<Channel>,
    catalog: product_catalog_service::Client<Channel>,
    carts: carts::Client<Channel>,
    checkout: checkout_service::Client<Channel>,
    orders: orders::Client<Channel>,
    currency: currency_service::Client<Channel>,
    recommendation: recommendation_service::Client<Channel>,
    shipping: shipping_service::Client<Channel>,
    cached: Arc<Cached>,
    copy: Arc<CatalogCopy>,
}

/// Answers that pages may show a little late.
struct Cached {
    currencies: Cache<(), Arc<[String]>>,
    products: Cache<(), Arc<[Arc<Priced>]>>,
    product: Cache<String, Arc<Priced>>,
    converted: Cache<(Money, CurrencyCode), Money>,
    /// True for a product of an ad that the catalog has; kept in any case.
    ad_targets: Cache<String, bool>,
}

/// The time that an answer about the product of an ad is kept.
const AD_TARGET_TTL: Duration = Duration::from_secs(60);

impl Clients {
    pub(crate) fn from_env(env: &Env, registry: &Registry) -> Result<Self, EnvError> {
        let cart = channel(env, registry, &services::CART)?;
        let checkout = channel(env, registry, &services::CHECKOUT)?;
        let meter = registry.meter(&services::FRONTEND);
        Ok(Self {
            catalog: client(env, registry)?,
            currency: client(env, registry)?,
            cart: cart_service::Client::new(cart.clone()),
            carts: carts::Client::new(cart),
            recommendation: client(env, registry)?,
            checkout: checkout_service::Client::new(checkout.clone()),
            orders: orders::Client::new(checkout),
            shipping: client(env, registry)?,
            ad: client(env, registry)?,
            copy: Arc::default(),
            cached: Arc::new(Cached {
                // The two lists are there once each.
                currencies: Cache::from_env(env, &meter, |(), _| 0)?,
                products: Cache::from_env(env, &meter, |(), _| 0)?,
                product: Cache::from_env(env, &meter, |id: &String, priced: &Arc<Priced>| {
                    id.len() + size_of::<Priced>() + priced.product.encoded_len()
                })?,
                converted: Cache::from_env(env, &meter, |_, _| 0)?,
                ad_targets: Cache::new(AD_TARGET_TTL, &meter, |id: &String, _| id.len()),
            }),
        })
    }

    /// Returns true if every page makes all the calls that upstream's makes.
    pub(crate) fn is_faithful(&self) -> bool {
        !self.cached.product.is_on()
    }

    /// The currencies that have a rate, in the table's order.
    pub(crate) async fn currencies(&self) -> Result<Arc<[String]>, Status> {
        let ask = async || {
            let answer = self.currency.get_supported_currencies(Empty {}).await?;
            Ok(answer.currency_codes.into())
        };
        self.cached.currencies.get(&(), ask).await
    }

    /// The same value in another currency, and never nothing for something.
    pub(crate) async fn convert(&self, from: Money, to: CurrencyCode) -> Result<Money, Status> {
        self.cached.converted.get(&(from, to), async || self.ask_to_convert(from, to).await).await
    }

    async fn ask_to_convert(&self, from: Money, to: CurrencyCode) -> Result<Money, Status> {
        let request =
            CurrencyConversionRequest { from: Some(from.into()), to_code: to.to_string() };
        let wire = self.currency.convert(request).await?;
        converted_amount(from, to, &wire).map_err(|error| Status::internal(error.to_string()))
    }

    pub(crate) async fn products(&self) -> Result<Arc<[Arc<Priced>]>, Status> {
        let ask = async || {
            let answer = self.catalog.list_products(Empty {}).await?;
            let products = answer.products.into_iter().map(priced);
            let products: Arc<[Arc<Priced>]> = products.collect::<Result<_, _>>()?;
            self.copy.put(&products, Instant::now());
            Ok(products)
        };
        self.cached.products.get(&(), ask).await
    }

    /// All products, and true if they are a copy because the catalog does not answer.
    pub(crate) async fn products_or_copy(&self) -> Result<(Arc<[Arc<Priced>]>, bool), Status> {
        match self.products().await {
            Ok(products) => Ok((products, false)),
            Err(status) if !is_outage(&status) => Err(status),
            Err(status) => match self.copy.products(Instant::now()) {
                Some(products) => Ok((products, true)),
                None => Err(status),
            },
        }
    }

    /// The products that have these words, and true if they are of a copy because the catalog does not answer.
    pub(crate) async fn search(&self, query: &str) -> Result<(Arc<[Arc<Priced>]>, bool), Status> {
        let request = SearchProductsRequest { query: query.to_owned() };
        let status = match self.catalog.search_products(request).await {
            Ok(answer) => {
                let found = answer.results.into_iter().map(priced);
                return Ok((found.collect::<Result<_, _>>()?, false));
            }
            Err(status) if !is_outage(&status) => return Err(status),
            Err(status) => status,
        };
        let all = self.copy.products(Instant::now()).ok_or(status)?;
        let query = query.to_lowercase();
        let has = |text: &str| text.to_lowercase().contains(&query);
        let found = all
            .iter()
            .filter(|priced| has(&priced.product.name) || has(&priced.product.description));
        Ok((found.cloned().collect(), true))
    }

    /// A product as the catalog listed it last, without a call to it.
    pub(crate) fn listed(&self, id: &str) -> Option<Arc<Priced>> {
        let products = self.copy.products(Instant::now())?;
        products.iter().find(|priced| priced.product.id == id).cloned()
    }

    pub(crate) async fn product(&self, id: &str) -> Result<Arc<Priced>, Status> {
        let ask = async || {
            let request = GetProductRequest { id: id.to_owned() };
            let product = priced(self.catalog.get_product(request).await?)?;
            if self.copy.wants_renewal(Instant::now()) {
                let clients = self.clone();
                detach(async move { clients.products().await.is_ok() });
            }
            Ok(product)
        };
        self.cached.product.get(id, ask).await
    }

    /// The product of this id, and true if it is a copy because the catalog does not answer.
    pub(crate) async fn product_or_copy(&self, id: &str) -> Result<(Arc<Priced>, bool), Status> {
        match self.product(id).await {
            Ok(product) => Ok((product, false)),
            Err(status) if !is_outage(&status) => Err(status),
            Err(status) => {
                let products = self.copy.products(Instant::now());
                let same = |priced: &&Arc<Priced>| priced.product.id == id;
                let found = products.as_deref().and_then(|all| all.iter().find(same));
                found.map(|product| (product.clone(), true)).ok_or(status)
            }
        }
    }

    pub(crate) async fn cart(&self, user_id: &str) -> Result<Vec<CartItem>, Status> {
        let request = GetCartRequest { user_id: user_id.to_owned() };
        Ok(self.cart.get_cart(request).await?.items)
    }

    pub(crate) async fn add_item(&self, user_id: &str, item: CartItem) -> Result<(), Status> {
        let request = AddItemRequest { user_id: user_id.to_owned(), item: Some(item) };
        let request = match IdempotencyKey::parse(&Uuid::new_v4().to_string()) {
            Some(key) => key.request(request),
            None => Request::new(request),
        };
        self.cart.add_item_with_metadata(request).await.map(|_| ())
    }

    /// Takes these quantities out of a cart.
    pub(crate) async fn remove_items(
        &self,
        user_id: &str,
        items: Vec<CartItem>,
    ) -> Result<(), Status> {
        let request = RemoveItemsRequest { user_id: user_id.to_owned(), items };
        self.carts.remove_items(request).await.map(|_| ())
    }

    pub(crate) async fn empty_cart(&self, user_id: &str) -> Result<(), Status> {
        let request = EmptyCartRequest { user_id: user_id.to_owned() };
        self.cart.empty_cart(request).await.map(|_| ())
    }

    /// Returns the cost of shipping these items, in US dollars.
    pub(crate) async fn quote(&self, items: Vec<CartItem>) -> Result<Money, Status> {
        let request = GetQuoteRequest { address: None, items };
        amount(self.shipping.get_quote(request).await?.cost_usd.as_ref())
    }

    /// Products to show beside those with the given ids, all of them known to the catalog.
    pub(crate) async fn recommendations(
        &self,
        user_id: &str,
        product_ids: Vec<String>,
    ) -> Result<Vec<Arc<Priced>>, Status> {
        let request = ListRecommendationsRequest { user_id: user_id.to_owned(), product_ids };
        let answer = self.recommendation.list_recommendations(request).await?;
        let ids = answer.product_ids;
        try_join_all(ids.iter().map(async |id| Ok(self.product_or_copy(id).await?.0))).await
    }

    pub(crate) async fn ads(&self, context_keys: Vec<String>) -> Result<Vec<Ad>, Status> {
        Ok(self.ad.get_ads(AdRequest { context_keys }).await?.ads)
    }

    /// Returns false if the catalog lacks this product.
    pub(crate) async fn has_product(&self, id: &str) -> bool {
        let ask = async || match self.product(id).await {
            Ok(_) => Ok(true),
            Err(status) if status.code() == Code::NotFound => Ok(false),
            Err(status) => Err(status),
        };
        self.cached.ad_targets.get(id, ask).await.unwrap_or(true)
    }

    /// Places an order, once for a key.
    pub(crate) async fn place_order(
        &self,
        request: PlaceOrderRequest,
        key: Option<&IdempotencyKey>,
    ) -> Result<OrderResult, Status> {
        let request = match key {
            Some(key) => key.request(request),
            None => Request::new(request),
        };
        let placed = self.checkout.place_order_with_metadata(request).await?.into_inner();
        placed.order.ok_or_else(|| Status::internal("the order is missing"))
    }

    /// An order of a user, whatever became of it.
    pub(crate) async fn order(&self, user_id: &str, order_id: &str) -> Result<Order, Status> {
        let (user_id, order_id) = (user_id.to_owned(), order_id.to_owned());
        self.orders.get_order(GetOrderRequest { user_id, order_id }).await
    }

    /// The orders of a user, the latest first.
    pub(crate) async fn orders(&self, user_id: &str) -> Result<Vec<Order>, Status> {
        let request = ListOrdersRequest { user_id: user_id.to_owned() };
        Ok(self.orders.list_orders(request).await?.orders)
    }
}

/// Returns true if the service could not answer, as opposed to one that refused.
pub(crate) fn is_outage(status: &Status) -> bool {
    match status.code() {
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Cancelled => {
            true
        }
        Code::Ok
        | Code::Unknown
        | Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unimplemented
        | Code::Internal
        | Code::DataLoss
        | Code::Unauthenticated => false,
    }
}

/// Parses an amount that another service must have sent.
pub(crate) fn amount(wire: Option<&boutique_proto::Money>) -> Result<Money, Status> {
    required_amount(wire).map_err(|error| Status::internal(error.to_string()))
}

fn priced(product: Product) -> Result<Arc<Priced>, Status> {
    let price = amount(product.price_usd.as_ref())?;
    Ok(Arc::new(Priced { product, price }))
}
