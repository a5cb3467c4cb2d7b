//! The inbound gRPC adapter: a message, one domain call, a message.

use boutique_proto::ext::gifts_server::Gifts;
use boutique_proto::ext::{WriteCardRequest, WriteCardResponse};
use tonic::{Request, Response, Status};

use crate::domain;

pub(crate) struct Cards;

#[tonic::async_trait]
impl Gifts for Cards {
    async fn write_card(
        &self,
        request: Request<WriteCardRequest>,
    ) -> Result<Response<WriteCardResponse>, Status> {
        match domain::text(&request.get_ref().name) {
            Some(text) => Ok(Response::new(WriteCardResponse { text })),
            None => Err(Status::invalid_argument("a card needs a name")),
        }
    }
}
