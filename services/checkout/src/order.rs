//! An order as a sequence of steps. Up to [`Order::prepare`] nothing has happened and everything can be refused;
//! [`Prepared::settle`] charges the card, and from there on the order is completed whatever becomes of the caller.

use boutique_money::Money;
use boutique_proto::{
    Address, CartItem, ChargeRequest, ConversionError, CreditCardInfo, CurrencyConversionRequest,
    EmptyCartRequest, GetCartRequest, GetProductRequest, GetQuoteRequest, OrderItem, OrderResult,
    SendOrderConfirmationRequest, ShipOrderRequest, converted_amount, required_amount,
};
use boutique_service::{already_logged, detach, time_left, with_deadline};
use futures_util::future::{try_join, try_join_all};
use tonic::{Code, Status};
use tracing::{error, info, warn};

use crate::clients::{Clients, go_style_message, wrap, wrap_with_message};
use crate::domain::{self, Buyer, OrderLine, Refusal, ShippingAddress};

/// An order as it was asked for.
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) buyer: Buyer,
    pub(crate) address: ShippingAddress,
    pub(crate) card: CreditCardInfo,
}

/// An order that is known to the last cent, before any of it is charged.
pub(crate) struct Prepared {
    order: Order,
    lines: Vec<OrderLine>,
    /// The price of one piece of each line.
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
        let lines = self.cart(clients).await?;

        let products = try_join_all(lines.iter().map(|line| price_in_usd(clients, line)));
        let (in_usd, quote) = try_join(products, self.quote(clients, &lines)).await?;

        let prices = lines.iter().zip(in_usd).map(async |(line, price)| {
            let attempt = format!(
                "failed to prepare order: failed to convert price of {:?} to {}",
                line.product_id, self.buyer.currency
            );
            self.convert(clients, price).await.map_err(|cause| wrap(&attempt, cause))
        });
        let shipping = async {
            self.convert(clients, quote).await.map_err(|cause| {
                let attempt =
                    "failed to convert shipping cost to currency: failed to convert currency";
                wrap_with_message(attempt, cause)
            })
        };
        let (prices, shipping) = try_join(try_join_all(prices), shipping).await?;

        let priced = prices.iter().copied().zip(lines.iter().map(|line| line.quantity));
        let total = domain::total(shipping, priced).map_err(Refusal::Total)?;
        Ok(Prepared { order: self, lines, prices, shipping, total })
    }

    async fn cart(&self, clients: &Clients) -> Result<Vec<OrderLine>, Status> {
        let request = GetCartRequest { user_id: self.buyer.user_id.clone() };
        let cart = clients.cart.get_cart(request).await.map_err(|cause| {
            wrap_with_message("cart failure: failed to get user cart during checkout", cause)
        })?;
        if cart.items.is_empty() {
            return Err(Refusal::EmptyCart.into());
        }
        let lines = cart.items.into_iter().map(|i| OrderLine::parse(i.product_id, i.quantity));
        Ok(lines.collect::<Result<_, _>>()?)
    }

    async fn quote(&self, clients: &Clients, lines: &[OrderLine]) -> Result<Money, Status> {
        let attempt = "shipping quote failure: failed to get shipping quote";
        let request =
            GetQuoteRequest { address: Some((&self.address).into()), items: items(lines) };
        let quote = clients.shipping.get_quote(request).await;
        let quote = quote.map_err(|cause| wrap_with_message(attempt, cause))?;
        amount(quote.cost_usd.as_ref()).map_err(|cause| wrap_with_message(attempt, cause))
    }

    /// The same value in the order's currency, and never nothing for something.
    async fn convert(&self, clients: &Clients, from: Money) -> Result<Money, Status> {
        let request = CurrencyConversionRequest {
            from: Some(from.into()),
            to_code: self.buyer.currency.to_string(),
        };
        let wire = clients.currency.convert(request).await?;
        converted_amount(from, self.buyer.currency, &wire).map_err(|error| match error {
            ConversionError::Zero => Status::invalid_argument("unsupported currency code"),
            ConversionError::Currency | ConversionError::Sign | ConversionError::Amount(_) => {
                Status::internal(error.to_string())
            }
        })
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
                let text = format!("{attempt}: {}", go_style_message(&cause));
                return already_logged(Status::deadline_exceeded(text));
            }
            let mut refused = cause;
            if refused.code() == Code::Unknown {
                // Upstream's payment refuses cards with a code that gRPC does not have.
                refused = Status::invalid_argument(refused.message());
            }
            wrap_with_message(attempt, refused)
        })
    }
}

impl Charged {
    async fn ship(self, clients: Clients) -> Result<OrderResult, Status> {
        let Self { prepared: Prepared { order, lines, prices, shipping, total }, transaction_id } =
            self;
        let request =
            ShipOrderRequest { address: Some((&order.address).into()), items: items(&lines) };
        let shipped = clients.shipping.ship_order(request).await.map_err(|cause| {
            let id = &order.id;
            error!(
                order.id = %id,
                transaction.id = %transaction_id,
                error = go_style_message(&cause),
                "charged order {id} but did not ship it",
            );
            let text = format!("shipping error: shipment failed: {}", go_style_message(&cause));
            already_logged(Status::unavailable(text))
        })?;
        let items = items(&lines)
            .into_iter()
            .zip(prices)
            .map(|(item, price)| OrderItem { item: Some(item), cost: Some(price.into()) })
            .collect();
        let result = OrderResult {
            order_id: order.id,
            shipping_tracking_id: shipped.tracking_id,
            shipping_cost: Some(shipping.into()),
            shipping_address: Some((&order.address).into()),
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
        detach(confirm(clients.clone(), order.buyer.email, result.clone()));
        // Waited for, within its edge's deadline: the next page must show an empty cart.
        let request = EmptyCartRequest { user_id: order.buyer.user_id };
        if let Err(cause) = clients.cart.empty_cart(request).await {
            warn!(order.id = %id, error = go_style_message(&cause), "left the cart of order {id} as it was");
        }
        Ok(result)
    }
}

async fn confirm(clients: Clients, email: String, order: OrderResult) {
    let id = order.order_id.clone();
    let request = SendOrderConfirmationRequest { email, order: Some(order) };
    if let Err(cause) = clients.email.send_order_confirmation(request).await {
        warn!(order.id = %id, error = go_style_message(&cause), "sent no confirmation of order {id}");
    }
}

/// The price of one piece in the catalog's currency.
async fn price_in_usd(clients: &Clients, line: &OrderLine) -> Result<Money, Status> {
    let attempt = format!("failed to prepare order: failed to get product #{:?}", line.product_id);
    let request = GetProductRequest { id: line.product_id.clone() };
    let product = clients.catalog.get_product(request).await;
    let product = product.map_err(|cause| wrap(&attempt, cause))?;
    let price = amount(product.price_usd.as_ref()).map_err(|cause| wrap(&attempt, cause))?;
    if price.is_negative() {
        return Err(wrap(&attempt, Status::internal("the price makes no sense")));
    }
    Ok(price)
}

fn amount(wire: Option<&boutique_proto::Money>) -> Result<Money, Status> {
    required_amount(wire).map_err(|error| Status::internal(error.to_string()))
}

/// The lines as messages have them.
fn items(lines: &[OrderLine]) -> Vec<CartItem> {
    let item = |line: &OrderLine| CartItem {
        product_id: line.product_id.clone(),
        quantity: line.quantity.cast_signed(),
    };
    lines.iter().map(item).collect()
}

impl From<&ShippingAddress> for Address {
    fn from(address: &ShippingAddress) -> Self {
        Self {
            street_address: address.street.clone(),
            city: address.city.clone(),
            state: address.state.clone(),
            country: address.country.clone(),
            zip_code: address.zip_code,
        }
    }
}
