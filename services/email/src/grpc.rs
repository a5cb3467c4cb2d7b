//! The inbound gRPC adapter: a message, the confirmation rendered from it, and its delivery.

use askama::Template;
use boutique_proto::email_service_server::EmailService;
use boutique_proto::{
    Empty, OrderItem, OrderResult, SendOrderConfirmationRequest, required_amount,
};
use lettre::Address;
use tonic::{Request, Response, Status};

use crate::delivery::{Delivery, DeliveryError, Mail};
use crate::domain::{self, Confirmation, Line};

pub(crate) struct Email {
    delivery: Delivery,
}

impl Email {
    pub(crate) fn new(delivery: Delivery) -> Self {
        Self { delivery }
    }
}

#[derive(Template)]
#[template(path = "confirmation.html")]
struct Html<'a>(&'a Confirmation);

#[derive(Template)]
#[template(path = "confirmation.txt")]
struct Text<'a>(&'a Confirmation);

#[tonic::async_trait]
impl EmailService for Email {
    async fn send_order_confirmation(
        &self,
        request: Request<SendOrderConfirmationRequest>,
    ) -> Result<Response<Empty>, Status> {
        let SendOrderConfirmationRequest { email, order } = request.into_inner();
        let to: Address =
            email.parse().map_err(|_| Status::invalid_argument("email is not an address"))?;
        let order = order.ok_or_else(|| Status::invalid_argument("order is missing"))?;
        let confirmation = confirmation(order);
        let mail = render(&confirmation).map_err(|error| {
            let mut status =
                Status::internal("An error occurred when preparing the confirmation mail.");
            status.set_source(std::sync::Arc::new(error));
            status
        })?;
        self.delivery.deliver(to, mail, &confirmation.order_id).await?;
        Ok(Response::new(Empty {}))
    }
}

fn render(confirmation: &Confirmation) -> askama::Result<Mail> {
    Ok(Mail { html: Html(confirmation).render()?, text: Text(confirmation).render()? })
}

/// The parts of an order that a mail shows. Upstream reads none of them, so what is missing is left out.
fn confirmation(order: OrderResult) -> Confirmation {
    let address = order.shipping_address.unwrap_or_default();
    Confirmation {
        order_id: order.order_id,
        tracking_id: order.shipping_tracking_id,
        shipping_cost: amount(order.shipping_cost.as_ref()),
        address: domain::address(
            &address.street_address,
            &address.city,
            &address.state,
            &address.country,
            address.zip_code,
        ),
        items: order.items.into_iter().filter_map(line).collect(),
    }
}

fn line(item: OrderItem) -> Option<Line> {
    let price = amount(item.cost.as_ref());
    let item = item.item?;
    Some(Line { product_id: item.product_id, quantity: item.quantity, price })
}

fn amount(wire: Option<&boutique_proto::Money>) -> Option<String> {
    required_amount(wire).map(domain::amount).ok()
}

impl From<DeliveryError> for Status {
    fn from(error: DeliveryError) -> Self {
        let mut status = match error {
            // Upstream's words.
            DeliveryError::Send(_) => {
                Self::unavailable("An error occurred when sending the email.")
            }
            DeliveryError::Compose(_) => {
                Self::internal("An error occurred when preparing the confirmation mail.")
            }
        };
        status.set_source(std::sync::Arc::new(error));
        status
    }
}
