//! An order until it is stored: nothing has happened, and everything can be refused.

use std::time::{SystemTime, UNIX_EPOCH};

use boutique_money::Money;
use boutique_proto::ext::{CART_VERSION, OrderState, StoredOrder};
use boutique_proto::{
    Address, CartItem, ConversionError, CreditCardInfo, CurrencyConversionRequest, GetCartRequest,
    GetProductRequest, GetQuoteRequest, OrderItem, OrderResult, converted_amount, required_amount,
};
use boutique_service::trace_parent;
use boutique_store::Fingerprint;
use futures_util::future::{try_join, try_join_all};
use tonic::{Request, Status};

use crate::clients::{Clients, wrap, wrap_with_message};
use crate::domain::{self, Buyer, OrderLine, Refusal, ShippingAddress};
use crate::store::VERSION;

/// An order as it was asked for.
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) buyer: Buyer,
    pub(crate) address: ShippingAddress,
    pub(crate) card: CreditCardInfo,
}

/// The cart that is ordered.
pub(crate) struct OrderedCart {
    /// At least one.
    lines: Vec<OrderLine>,
    /// `None` if the cart service knows no versions.
    pub(crate) version: Option<String>,
}

/// An order that is known to the last cent, before any of it is charged.
pub(crate) struct Prepared<'a> {
    order: &'a Order,
    cart: OrderedCart,
    /// The price of one piece of each line.
    prices: Vec<Money>,
    shipping: Money,
    total: Money,
}

impl Order {
    /// Reads products and quote together, then all prices together.
    pub(crate) async fn prepare(
        &self,
        cart: OrderedCart,
        clients: &Clients,
    ) -> Result<Prepared<'_>, Status> {
        let lines = &cart.lines;
        let products = try_join_all(lines.iter().map(|line| price_in_usd(clients, line)));
        let (in_usd, quote) = try_join(products, self.quote(clients, lines)).await?;

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
        Ok(Prepared { order: self, cart, prices, shipping, total })
    }

    /// Reads the cart; `None` if it is empty.
    pub(crate) async fn cart(&self, clients: &Clients) -> Result<Option<OrderedCart>, Status> {
        let request = Request::new(GetCartRequest { user_id: self.buyer.user_id.clone() });
        let cart = clients.cart.get_cart_with_metadata(request).await.map_err(|cause| {
            wrap_with_message("cart failure: failed to get user cart during checkout", cause)
        })?;
        let version = cart.metadata().get(CART_VERSION).and_then(|value| value.to_str().ok());
        let version = version.map(str::to_owned);
        let items = cart.into_inner().items.into_iter();
        let lines = items.map(|item| OrderLine::parse(item.product_id, item.quantity));
        let lines: Vec<OrderLine> = lines.collect::<Result<_, _>>()?;
        Ok((!lines.is_empty()).then_some(OrderedCart { lines, version }))
    }

    /// The fingerprint of the request, as one with this key.
    pub(crate) fn fingerprint(&self, key: &str) -> Vec<u8> {
        let ShippingAddress { street, city, state, country, zip_code } = &self.address;
        let fields = [street, city, state, country, &self.buyer.email];
        let plain = fields.into_iter().fold(Fingerprint::new(key), |all, f| all.with(f.as_bytes()));
        plain
            .with(&zip_code.to_be_bytes())
            .with(self.buyer.currency.as_str().as_bytes())
            .with_secret(self.card.credit_card_number.as_bytes())
            .finish()
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

impl Prepared<'_> {
    /// Makes the order as it is stored before its card is charged, without the card.
    pub(crate) fn into_stored(self, key: &str) -> StoredOrder {
        let Self { order, cart, prices, shipping, total } = self;
        let Order { id, buyer, address, .. } = order;
        let items = items(&cart.lines).into_iter().zip(prices);
        let items = items
            .map(|(item, price)| OrderItem { item: Some(item), cost: Some(price.into()) })
            .collect();
        let placed_at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut stored = StoredOrder {
            version: VERSION,
            user_id: buyer.user_id.clone(),
            key: key.to_owned(),
            fingerprint: order.fingerprint(key),
            order: Some(OrderResult {
                order_id: id.clone(),
                shipping_tracking_id: String::new(),
                shipping_cost: Some(shipping.into()),
                shipping_address: Some(address.into()),
                items,
            }),
            total: Some(total.into()),
            email: buyer.email.clone(),
            placed_at: i64::try_from(placed_at.as_millis()).unwrap_or(i64::MAX),
            cart_version: cart.version.unwrap_or_default(),
            trace_parent: trace_parent().unwrap_or_default(),
            ..StoredOrder::default()
        };
        stored.set_state(OrderState::Charging);
        stored
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
