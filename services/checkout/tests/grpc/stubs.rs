//! The six services an order needs, played by one server that notes every call and can be told to
//! fail, to hang, or to answer a stage only once all of its calls have arrived.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use boutique_proto::cart_service_server::CartService;
use boutique_proto::currency_service_server::CurrencyService;
use boutique_proto::email_service_server::EmailService;
use boutique_proto::payment_service_server::PaymentService;
use boutique_proto::product_catalog_service_server::ProductCatalogService;
use boutique_proto::shipping_service_server::ShippingService;
use boutique_proto::*;
use boutique_service::{Env, Router, ServerHandle, ServiceSpec};
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
    pub(crate) charged: Mutex<Vec<Money>>,
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
            ("CART_SERVICE_ADDR", Router::grpc(cart_service::into_server(self.clone()))),
            (
                "PRODUCT_CATALOG_SERVICE_ADDR",
                Router::grpc(product_catalog_service::into_server(self.clone())),
            ),
            ("CURRENCY_SERVICE_ADDR", Router::grpc(currency_service::into_server(self.clone()))),
            ("SHIPPING_SERVICE_ADDR", Router::grpc(shipping_service::into_server(self.clone()))),
            ("PAYMENT_SERVICE_ADDR", Router::grpc(payment_service::into_server(self.clone()))),
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
            Some(Fault::Zero) | None => Ok(()),
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
        Ok(Response::new(Cart { user_id: request.into_inner().user_id, items }))
    }
    async fn empty_cart(&self, request: Request<EmptyCartRequest>) -> Answer<Empty> {
        self.note("EmptyCart", request.metadata()).await?;
        self.0.items.lock().unwrap().clear();
        Ok(Response::new(Empty {}))
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
        Ok(Response::new(ShipOrderResponse { tracking_id: "AB-1-2".to_owned() }))
    }
}

#[tonic::async_trait]
impl PaymentService for Stub {
    async fn charge(&self, request: Request<ChargeRequest>) -> Answer<ChargeResponse> {
        self.note("Charge", request.metadata()).await?;
        let amount = request.into_inner().amount.unwrap_or_default();
        self.0.charged.lock().unwrap().push(amount);
        Ok(Response::new(ChargeResponse { transaction_id: "transaction-1".to_owned() }))
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
        Ok(Response::new(Empty {}))
    }
}
