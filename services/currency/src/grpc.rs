//! The inbound gRPC adapter: a message, one domain call, a message.

use boutique_money::{CurrencyCode, Money};
use boutique_proto::currency_service_server::CurrencyService;
use boutique_proto::{CurrencyConversionRequest, Empty, GetSupportedCurrenciesResponse};
use tonic::{Request, Response, Status};

use crate::domain::{Rates, Refusal};

pub(crate) struct Currency {
    rates: Rates,
    supported: GetSupportedCurrenciesResponse,
}

impl Currency {
    pub(crate) fn new(rates: Rates) -> Self {
        let currency_codes = rates.codes().map(|code| code.to_string()).collect();
        Self { rates, supported: GetSupportedCurrenciesResponse { currency_codes } }
    }
}

#[tonic::async_trait]
impl CurrencyService for Currency {
    async fn get_supported_currencies(
        &self,
        _request: Request<Empty>,
    ) -> Result<Response<GetSupportedCurrenciesResponse>, Status> {
        Ok(Response::new(self.supported.clone()))
    }

    async fn convert(
        &self,
        request: Request<CurrencyConversionRequest>,
    ) -> Result<Response<boutique_proto::Money>, Status> {
        let CurrencyConversionRequest { from, to_code } = request.get_ref();
        let from = from.as_ref().ok_or_else(|| Status::invalid_argument("from is missing"))?;
        let from = Money::try_from(from).map_err(Refusal::Amount)?;
        let to = CurrencyCode::parse(to_code).map_err(|_| Refusal::Unsupported)?;
        Ok(Response::new(self.rates.convert(from, to)?.into()))
    }
}

impl From<Refusal> for Status {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Unsupported | Refusal::Amount(_) => {
                Self::invalid_argument(refusal.to_string())
            }
        }
    }
}
