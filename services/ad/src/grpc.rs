//! The inbound gRPC adapter: a message, one domain call, a message.

use boutique_proto::ad_service_server::AdService;
use boutique_proto::{Ad, AdRequest, AdResponse};
use tonic::{Request, Response, Status};

use crate::domain;

pub(crate) struct Ads;

#[tonic::async_trait]
impl AdService for Ads {
    async fn get_ads(&self, request: Request<AdRequest>) -> Result<Response<AdResponse>, Status> {
        let keys = request.get_ref().context_keys.iter().map(String::as_str);
        let chosen = domain::choose(keys, &mut rand::rng());
        let ads = chosen
            .into_iter()
            .map(|ad| Ad { redirect_url: ad.redirect_url.to_owned(), text: ad.text.to_owned() })
            .collect();
        Ok(Response::new(AdResponse { ads }))
    }
}
