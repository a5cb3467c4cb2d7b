//! An order as a sequence of steps. Up to [`Order::prepare`] nothing has happened and everything may
//! be refused; [`Prepared::settle`] takes money, and from there on it is carried through whatever
//! becomes of the caller.

use boutique_money::{CurrencyCode, Money};
use boutique_proto::{
    Address, CartItem, ChargeRequest, CreditCardInfo, CurrencyConversionRequest, EmptyCartRequest,
    GetCartRequest, GetProductRequest, GetQuoteRequest, OrderItem, OrderResult,
    SendOrderConfirmationRequest, ShipOrderRequest,
};
use boutique_service::{already_logged, detach, time_left, with_deadline};
use futures_util::future::{try_join, try_join_all};
use tonic::{Code, Status};
use tracing::{error, info, warn};

use crate::clients::{Clients, failed, failed_because, in_go};
use crate::domain::{self, Refusal};

/// What a customer wants.
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) user_id: String,
    pub(crate) currency: CurrencyCode,
    pub(crate) email: String,
    pub(crate) address: Address,
    pub(crate) card: CreditCardInfo,
}

/// An order that is known to the last cent, before any of it is charged.
pub(crate) struct Prepared {
    order: Order,
    items: Vec<CartItem>,
    /// The price of one piece of each item.
    prices: Vec<Money>,
    shipping: Money,
    total: Money,
}

/// An order whose card has been charged.
struct Charged {
    prepared: Prepared,
    transaction_id: String,
}

impl Order {
    /// Reads the cart, then products and quote together, then all prices together.
    pub(crate) async fn prepare(self, clients: &Clients) -> Result<Prepared, Status> {
        let items = self.cart(clients).await?;
        let quantities = items
            .iter()
            .map(|item| domain::check_quantity(&item.product_id, item.quantity))
            .collect::<Result<Vec<_>, _>>()?;

        let products = try_join_all(items.iter().map(|item| price_in_usd(clients, item)));
        let (in_usd, quote) = try_join(products, self.quote(clients, &items)).await?;

        let prices = items.iter().zip(in_usd).map(async |(item, price)| {
            let attempt = format!(
                "failed to prepare order: failed to convert price of {:?} to {}",
                item.product_id, self.currency
            );
            self.convert(clients, price).await.map_err(|cause| failed(&attempt, cause))
        });
        let shipping = async {
            self.convert(clients, quote).await.map_err(|cause| {
                let attempt =
                    "failed to convert shipping cost to currency: failed to convert currency";
                failed_because(attempt, cause)
            })
        };
        let (prices, shipping) = try_join(try_join_all(prices), shipping).await?;

        let lines = prices.iter().copied().zip(quantities);
        let total = domain::total(shipping, lines).map_err(Refusal::Total)?;
        Ok(Prepared { order: self, items, prices, shipping, total })
    }

    async fn cart(&self, clients: &Clients) -> Result<Vec<CartItem>, Status> {
        let request = GetCartRequest { user_id: self.user_id.clone() };
        let cart = clients.cart.get_cart(request).await.map_err(|cause| {
            failed_because("cart failure: failed to get user cart during checkout", cause)
        })?;
        let items = cart.items;
        if items.is_empty() {
            return Err(Refusal::EmptyCart.into());
        }
        Ok(items)
    }

    async fn quote(&self, clients: &Clients, items: &[CartItem]) -> Result<Money, Status> {
        let attempt = "shipping quote failure: failed to get shipping quote";
        let request =
            GetQuoteRequest { address: Some(self.address.clone()), items: items.to_vec() };
        let quote = clients.shipping.get_quote(request).await;
        let quote = quote.map_err(|cause| failed_because(attempt, cause))?;
        amount(quote.cost_usd.as_ref()).map_err(|cause| failed_because(attempt, cause))
    }

    /// The same value in the order's currency, and never nothing for something.
    async fn convert(&self, clients: &Clients, from: Money) -> Result<Money, Status> {
        let request = CurrencyConversionRequest {
            from: Some(from.into()),
            to_code: self.currency.to_string(),
        };
        let wire = clients.currency.convert(request).await?;
        // Upstream prices what it has no rate for at nothing, and that is a free order.
        if wire.units == 0 && wire.nanos == 0 && !from.is_zero() {
            return Err(Status::invalid_argument("unsupported currency code"));
        }
        let converted = amount(Some(&wire))?;
        if converted.currency_code() != self.currency || converted.is_negative() {
            return Err(Status::internal("the converted price makes no sense"));
        }
        Ok(converted)
    }
}

impl Prepared {
    /// Takes the money and ships, in a task of its own: a caller who goes away, or whose time is
    /// up, leaves nothing half done.
    pub(crate) async fn settle(self, clients: Clients) -> Result<OrderResult, Status> {
        let left = time_left();
        let work = detach(async move {
            let charge = self.charge(&clients);
            let charged = match left {
                None => charge.await,
                Some(left) => with_deadline(left, charge).await.unwrap_or_else(|_elapsed| {
                    Err(Status::deadline_exceeded("no time left to charge the card"))
                }),
            };
            let transaction_id = charged?;
            Charged { prepared: self, transaction_id }.ship(clients).await
        });
        work.await.unwrap_or_else(|_panic| Err(Status::internal("the order was not finished")))
    }

    async fn charge(&self, clients: &Clients) -> Result<String, Status> {
        let attempt = "failed to charge card: could not charge the card";
        let request = ChargeRequest {
            amount: Some(self.total.into()),
            credit_card: Some(self.order.card.clone()),
        };
        let charged = clients.payment.charge(request).await;
        charged.map(|answer| answer.transaction_id).map_err(|cause| {
            if cause.code() == Code::DeadlineExceeded {
                let id = &self.order.id;
                error!(order.id = %id, "cannot tell whether the card was charged for order {id}");
                let text = format!("{attempt}: {}", in_go(&cause));
                return already_logged(Status::deadline_exceeded(text));
            }
            let mut refused = cause;
            if refused.code() == Code::Unknown {
                // Upstream's payment refuses cards with a code that gRPC does not have.
                refused = Status::invalid_argument(refused.message());
            }
            failed_because(attempt, refused)
        })
    }
}

impl Charged {
    async fn ship(self, clients: Clients) -> Result<OrderResult, Status> {
        let Self { prepared: Prepared { order, items, prices, shipping, total }, transaction_id } =
            self;
        let request =
            ShipOrderRequest { address: Some(order.address.clone()), items: items.clone() };
        let shipped = clients.shipping.ship_order(request).await.map_err(|cause| {
            let id = &order.id;
            error!(
                order.id = %id,
                transaction.id = %transaction_id,
                error = in_go(&cause),
                "charged order {id} but did not ship it",
            );
            let text = format!("shipping error: shipment failed: {}", in_go(&cause));
            already_logged(Status::unavailable(text))
        })?;
        let items = items
            .into_iter()
            .zip(prices)
            .map(|(item, price)| OrderItem { item: Some(item), cost: Some(price.into()) })
            .collect();
        let result = OrderResult {
            order_id: order.id,
            shipping_tracking_id: shipped.tracking_id,
            shipping_cost: Some(shipping.into()),
            shipping_address: Some(order.address),
            items,
        };
        let id = &result.order_id;
        info!(
            order.id = %id,
            transaction.id = %transaction_id,
            currency.code = %total.currency_code(),
            "placed order {id}",
        );
        // Not waited for: the customer's page must not depend on a mail server.
        detach(confirm(clients.clone(), order.email, result.clone()));
        // Waited for, within its edge's deadline: the next page must show an empty cart.
        let request = EmptyCartRequest { user_id: order.user_id };
        if let Err(cause) = clients.cart.empty_cart(request).await {
            warn!(order.id = %id, error = in_go(&cause), "left the cart of order {id} as it was");
        }
        Ok(result)
    }
}

async fn confirm(clients: Clients, email: String, order: OrderResult) {
    let id = order.order_id.clone();
    let request = SendOrderConfirmationRequest { email, order: Some(order) };
    if let Err(cause) = clients.email.send_order_confirmation(request).await {
        warn!(order.id = %id, error = in_go(&cause), "sent no confirmation of order {id}");
    }
}

/// What one piece costs in the catalogue's currency.
async fn price_in_usd(clients: &Clients, item: &CartItem) -> Result<Money, Status> {
    let attempt = format!("failed to prepare order: failed to get product #{:?}", item.product_id);
    let request = GetProductRequest { id: item.product_id.clone() };
    let product = clients.catalog.get_product(request).await;
    let product = product.map_err(|cause| failed(&attempt, cause))?;
    let price = amount(product.price_usd.as_ref()).map_err(|cause| failed(&attempt, cause))?;
    match price.is_positive() {
        true => Ok(price),
        false => Err(failed(&attempt, Status::internal("the price makes no sense"))),
    }
}

fn amount(wire: Option<&boutique_proto::Money>) -> Result<Money, Status> {
    let wire = wire.ok_or_else(|| Status::internal("an amount is missing"))?;
    Money::try_from(wire).map_err(|error| Status::internal(format!("invalid amount: {error}")))
}
