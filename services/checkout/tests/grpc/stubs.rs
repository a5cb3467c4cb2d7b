//! The six services an order needs, played by one server that notes every call and can be told to
//! fail, to hang, to lose its answer, or to answer a stage only once all of its calls have arrived. Effects have keys, as
//! those of the shop's own services; `like_upstream` leaves out what upstream's services do not have.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use boutique_proto::cart_service_server::CartService;
use boutique_proto::currency_service_server::CurrencyService;
use boutique_proto::email_service_server::EmailService;
use boutique_proto::ext::{self, Charge, GetChargeRequest, RemoveItemsRequest, VoidChargeRequest};
use boutique_proto::payment_service_server::PaymentService;
use boutique_proto::product_catalog_service_server::ProductCatalogService;
use boutique_proto::shipping_service_server::ShippingService;
use boutique_proto::*;
use boutique_service::{Env, IdempotencyKey, Router, ServerHandle, ServiceSpec};
use boutique_test::serve_router;
use tokio::sync::{Barrier, Notify};
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status};

/// One call as the other side saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) method: &'static str,
    pub(crate) timeout_micros: Option<u64>,
    pub(crate) traceparent: Option<String>,
}

#[derive(Debug, Clone)]
pub(crate) enum Fault {
    Fail(Status),
    /// Does what it is asked, and fails.
    Lose,
    /// Answers nothing until the test ends.
    Hang,
    /// Prices everything at nothing, as upstream does without a rate.
    Zero,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) items: Mutex<Vec<CartItem>>,
    pub(crate) seen: Mutex<Vec<Seen>>,
    pub(crate) faults: Mutex<HashMap<&'static str, Fault>>,
    pub(crate) is_upstream: AtomicBool,
    /// Counts the changes of the cart.
    pub(crate) version: AtomicUsize,
    pub(crate) charged: Mutex<Vec<Money>>,
    /// The charges by key, and whether they are void.
    pub(crate) charges: Mutex<HashMap<String, Charge>>,
    pub(crate) parcels: Mutex<HashMap<String, String>>,
    taken_out: Mutex<Vec<String>>,
    pub(crate) mailed: Mutex<Vec<SendOrderConfirmationRequest>>,
    pub(crate) shipped: Notify,
    /// The number of calls of a method's stage, and the barrier at which they meet.
    pub(crate) stages: Mutex<HashMap<&'static str, Arc<Barrier>>>,
    never: Notify,
}

#[derive(Clone, Default)]
pub(crate) struct Stub(pub(crate) Arc<State>);

impl Stub {
    pub(crate) fn with_items(items: &[(&str, i32)]) -> Self {
        let stub = Self::default();
        let item = |(id, quantity): &(&str, i32)| CartItem {
            product_id: (*id).to_owned(),
            quantity: *quantity,
        };
        *stub.0.items.lock().unwrap() = items.iter().map(item).collect();
        stub
    }

    pub(crate) fn fault(&self, method: &'static str, fault: Fault) {
        self.0.faults.lock().unwrap().insert(method, fault);
    }

    /// Plays upstream's services.
    pub(crate) fn like_upstream(self) -> Self {
        self.0.is_upstream.store(true, Ordering::SeqCst);
        self
    }

    pub(crate) fn heal(&self) {
        self.0.faults.lock().unwrap().clear();
    }

    /// Adds a line to the cart.
    pub(crate) fn add(&self, id: &str, quantity: i32) {
        self.0.version.fetch_add(1, Ordering::SeqCst);
        self.0.items.lock().unwrap().push(CartItem { product_id: id.to_owned(), quantity });
    }

    fn cart_version(&self) -> tonic::metadata::MetadataValue<tonic::metadata::Ascii> {
        format!("g-{}", self.0.version.load(Ordering::SeqCst)).parse().unwrap()
    }

    /// The number of charges that are not void.
    pub(crate) fn charges(&self) -> usize {
        let charges = self.0.charges.lock().unwrap();
        charges.values().filter(|charge| !charge.is_void).count()
    }

    /// Calls to these methods answer only once `calls` of them are there together.
    pub(crate) fn stage(&self, methods: &[&'static str], calls: usize) {
        let barrier = Arc::new(Barrier::new(calls));
        for method in methods {
            self.0.stages.lock().unwrap().insert(method, barrier.clone());
        }
    }

    pub(crate) fn calls(&self) -> Vec<&'static str> {
        self.0.seen.lock().unwrap().iter().map(|seen| seen.method).collect()
    }

    pub(crate) fn count(&self, method: &str) -> usize {
        self.calls().into_iter().filter(|seen| *seen == method).count()
    }

    /// Serves all six on ports of their own, and tells where.
    pub(crate) async fn start(&self) -> anyhow::Result<(Env, Vec<ServerHandle>)> {
        let mut env = Env::default();
        let mut running = Vec::new();
        let apps = [
            (
                "CART_SERVICE_ADDR",
                self.with(
                    Router::grpc(cart_service::into_server(self.clone())),
                    ext::carts::into_server(self.clone()),
                ),
            ),
            (
                "PRODUCT_CATALOG_SERVICE_ADDR",
                Router::grpc(product_catalog_service::into_server(self.clone())),
            ),
            ("CURRENCY_SERVICE_ADDR", Router::grpc(currency_service::into_server(self.clone()))),
            ("SHIPPING_SERVICE_ADDR", Router::grpc(shipping_service::into_server(self.clone()))),
            (
                "PAYMENT_SERVICE_ADDR",
                self.with(
                    Router::grpc(payment_service::into_server(self.clone())),
                    ext::charges::into_server(self.clone()),
                ),
            ),
            ("EMAIL_SERVICE_ADDR", Router::grpc(email_service::into_server(self.clone()))),
        ];
        for (addr_key, app) in apps {
            let service = ServiceSpec::unlisted("stub", addr_key);
            let served = serve_router(service, &Env::default(), app).await?;
            env.set(addr_key, served.address().unwrap().to_string());
            running.push(served);
        }
        Ok((env, running))
    }

    /// Adds a service that upstream does not have.
    fn with<S>(&self, router: Router, service: (S, Handlers)) -> Router
    where
        S: tower::Service<http::Request<tonic::body::Body>, Error = std::convert::Infallible>,
        S: tonic::server::NamedService + Clone + Send + Sync + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        if self.0.is_upstream.load(Ordering::SeqCst) { router } else { router.add_grpc(service) }
    }

    fn loses(&self, method: &'static str) -> Result<(), Status> {
        match self.0.faults.lock().unwrap().get(method) {
            Some(Fault::Lose) => Err(Status::unavailable("lost")),
            _ => Ok(()),
        }
    }

    async fn note(&self, method: &'static str, metadata: &MetadataMap) -> Result<(), Status> {
        let text = |name: &str| metadata.get(name).map(|v| v.to_str().unwrap().to_owned());
        let micros = |text: String| text.trim_end_matches('u').parse().ok();
        self.0.seen.lock().unwrap().push(Seen {
            method,
            timeout_micros: text("grpc-timeout").and_then(micros),
            traceparent: text("traceparent"),
        });
        let stage = self.0.stages.lock().unwrap().get(method).cloned();
        if let Some(stage) = stage {
            stage.wait().await;
        }
        let fault = self.0.faults.lock().unwrap().get(method).cloned();
        match fault {
            Some(Fault::Fail(status)) => Err(status),
            Some(Fault::Hang) => {
                self.0.never.notified().await;
                Ok(())
            }
            Some(Fault::Zero | Fault::Lose) | None => Ok(()),
        }
    }
}

pub(crate) fn usd(units: i64, nanos: i32) -> Money {
    Money { currency_code: "USD".to_owned(), units, nanos }
}

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl CartService for Stub {
    async fn add_item(&self, _: Request<AddItemRequest>) -> Answer<Empty> {
        Err(Status::unimplemented("not asked for"))
    }
    async fn get_cart(&self, request: Request<GetCartRequest>) -> Answer<Cart> {
        self.note("GetCart", request.metadata()).await?;
        let items = self.0.items.lock().unwrap().clone();
        let mut cart = Response::new(Cart { user_id: request.into_inner().user_id, items });
        if !self.0.is_upstream.load(Ordering::SeqCst) {
            cart.metadata_mut().insert(ext::CART_VERSION, self.cart_version());
        }
        Ok(cart)
    }
    async fn empty_cart(&self, request: Request<EmptyCartRequest>) -> Answer<Empty> {
        self.note("EmptyCart", request.metadata()).await?;
        self.0.items.lock().unwrap().clear();
        Ok(Response::new(Empty {}))
    }
}

fn key<T>(request: &Request<T>) -> String {
    let key = IdempotencyKey::of(request).unwrap();
    key.map_or_else(|| format!("none {}", fastrand::u64(..)), |key| key.as_str().to_owned())
}

#[tonic::async_trait]
impl ext::carts_server::Carts for Stub {
    async fn remove_items(&self, request: Request<RemoveItemsRequest>) -> Answer<Empty> {
        self.note("RemoveItems", request.metadata()).await?;
        let key = key(&request);
        let mut taken_out = self.0.taken_out.lock().unwrap();
        if !taken_out.contains(&key) {
            taken_out.push(key);
            self.0.version.fetch_add(1, Ordering::SeqCst);
            let removed = request.into_inner().items;
            self.0.items.lock().unwrap().retain(|item| !removed.contains(item));
        }
        drop(taken_out);
        self.loses("RemoveItems")?;
        let mut response = Response::new(Empty {});
        response.metadata_mut().insert(ext::CART_VERSION, self.cart_version());
        Ok(response)
    }
}

#[tonic::async_trait]
impl ProductCatalogService for Stub {
    async fn list_products(&self, _: Request<Empty>) -> Answer<ListProductsResponse> {
        Err(Status::unimplemented("not asked for"))
    }
    async fn get_product(&self, request: Request<GetProductRequest>) -> Answer<Product> {
        self.note("GetProduct", request.metadata()).await?;
        let id = request.into_inner().id;
        let price_usd = Some(usd(10, 500_000_000));
        Ok(Response::new(Product { id, price_usd, ..Product::default() }))
    }
    async fn search_products(
        &self,
        _: Request<SearchProductsRequest>,
    ) -> Answer<SearchProductsResponse> {
        Err(Status::unimplemented("not asked for"))
    }
}

#[tonic::async_trait]
impl CurrencyService for Stub {
    async fn get_supported_currencies(
        &self,
        _: Request<Empty>,
    ) -> Answer<GetSupportedCurrenciesResponse> {
        Err(Status::unimplemented("not asked for"))
    }
    /// One dollar is two of anything else.
    async fn convert(&self, request: Request<CurrencyConversionRequest>) -> Answer<Money> {
        self.note("Convert", request.metadata()).await?;
        let CurrencyConversionRequest { from, to_code } = request.into_inner();
        let mut money = from.unwrap_or_default();
        if to_code != money.currency_code {
            (money.units, money.nanos) =
                (money.units * 2 + i64::from(money.nanos / 500_000_000), 0);
        }
        if matches!(self.0.faults.lock().unwrap().get("Convert"), Some(Fault::Zero)) {
            (money.units, money.nanos) = (0, 0);
        }
        money.currency_code = to_code;
        Ok(Response::new(money))
    }
}

#[tonic::async_trait]
impl ShippingService for Stub {
    async fn get_quote(&self, request: Request<GetQuoteRequest>) -> Answer<GetQuoteResponse> {
        self.note("GetQuote", request.metadata()).await?;
        Ok(Response::new(GetQuoteResponse { cost_usd: Some(usd(9, 0)) }))
    }
    async fn ship_order(&self, request: Request<ShipOrderRequest>) -> Answer<ShipOrderResponse> {
        self.note("ShipOrder", request.metadata()).await?;
        self.0.shipped.notify_one();
        let key = key(&request);
        let mut parcels = self.0.parcels.lock().unwrap();
        let tracking_id = parcels.entry(key).or_insert_with(|| "AB-1-2".to_owned()).clone();
        drop(parcels);
        self.loses("ShipOrder")?;
        Ok(Response::new(ShipOrderResponse { tracking_id }))
    }
}

#[tonic::async_trait]
impl PaymentService for Stub {
    async fn charge(&self, request: Request<ChargeRequest>) -> Answer<ChargeResponse> {
        self.note("Charge", request.metadata()).await?;
        let key = key(&request);
        let transaction_id = "transaction-1".to_owned();
        let mut charges = self.0.charges.lock().unwrap();
        match charges.get(&key) {
            Some(charge) if charge.is_void => return Err(Status::failed_precondition("void")),
            Some(_) => {}
            None => {
                let amount = request.into_inner().amount.unwrap_or_default();
                self.0.charged.lock().unwrap().push(amount);
                let charge = Charge { transaction_id: transaction_id.clone(), is_void: false };
                charges.insert(key, charge);
            }
        }
        drop(charges);
        self.loses("Charge")?;
        Ok(Response::new(ChargeResponse { transaction_id }))
    }
}

#[tonic::async_trait]
impl ext::charges_server::Charges for Stub {
    async fn get_charge(&self, request: Request<GetChargeRequest>) -> Answer<Charge> {
        self.note("GetCharge", request.metadata()).await?;
        let key = request.into_inner().idempotency_key;
        let charge = self.0.charges.lock().unwrap().get(&key).cloned();
        charge.map(Response::new).ok_or_else(|| Status::not_found("nothing was charged"))
    }

    async fn void_charge(&self, request: Request<VoidChargeRequest>) -> Answer<Charge> {
        self.note("VoidCharge", request.metadata()).await?;
        let key = request.into_inner().idempotency_key;
        let mut charges = self.0.charges.lock().unwrap();
        let charge = charges.entry(key).or_default();
        charge.is_void = true;
        Ok(Response::new(charge.clone()))
    }
}

#[tonic::async_trait]
impl EmailService for Stub {
    async fn send_order_confirmation(
        &self,
        request: Request<SendOrderConfirmationRequest>,
    ) -> Answer<Empty> {
        self.note("SendOrderConfirmation", request.metadata()).await?;
        self.0.mailed.lock().unwrap().push(request.into_inner());
        self.loses("SendOrderConfirmation")?;
        Ok(Response::new(Empty {}))
    }
}
