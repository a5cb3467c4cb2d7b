//! A service with a method of each kind.

use std::pin::Pin;
use std::time::{Duration, Instant};

use futures_util::stream::{self, Stream, StreamExt as _, TryStreamExt as _};
use tonic::{Request, Response, Status, Streaming};

mod generated {
    //! The output of the build script for `proto/echo.proto`.
    #![expect(missing_docs, clippy::allow_attributes, reason = "generated")]
    tonic::include_proto!("boutique.test.v1");
}

pub use generated::*;

/// Answers with what it is sent. A text `refuse` is refused; a unary call of `metadata KEY` answers that key's values, and
/// one of `busy` takes a millisecond of its thread.
#[derive(Debug, Clone, Copy, Default)]
pub struct EchoService;

type Responses = Pin<Box<dyn Stream<Item = Result<EchoResponse, Status>> + Send>>;

fn echo(request: EchoRequest) -> Result<EchoResponse, Status> {
    if request.text == "refuse" {
        return Err(Status::invalid_argument("as told"));
    }
    Ok(EchoResponse { text: request.text })
}

#[tonic::async_trait]
impl echo_server::Echo for EchoService {
    type RepeatStream = Responses;
    type EachStream = Responses;

    async fn unary(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        if let Some(key) = request.get_ref().text.strip_prefix("metadata ") {
            let values = request.metadata().get_all(key).iter().filter_map(|v| v.to_str().ok());
            let text = values.collect::<Vec<_>>().join(",");
            return Ok(Response::new(EchoResponse { text }));
        }
        if request.get_ref().text == "busy" {
            let began = Instant::now();
            while began.elapsed() < Duration::from_millis(1) {}
        }
        echo(request.into_inner()).map(Response::new)
    }

    async fn repeat(&self, request: Request<EchoRequest>) -> Result<Response<Responses>, Status> {
        let times = request.get_ref().times as usize;
        let text = echo(request.into_inner())?;
        let all = stream::repeat_with(move || Ok(text.clone()));
        let answer: Responses = if times == 0 {
            let paused = all.take(1).chain(stream::pending());
            Box::pin(paused)
        } else {
            Box::pin(all.take(times))
        };
        Ok(Response::new(answer))
    }

    async fn join(
        &self,
        request: Request<Streaming<EchoRequest>>,
    ) -> Result<Response<EchoResponse>, Status> {
        let texts: Vec<String> =
            request.into_inner().map_ok(|request| request.text).try_collect().await?;
        Ok(Response::new(EchoResponse { text: texts.concat() }))
    }

    async fn each(
        &self,
        request: Request<Streaming<EchoRequest>>,
    ) -> Result<Response<Responses>, Status> {
        Ok(Response::new(Box::pin(request.into_inner().map(|request| echo(request?)))))
    }
}
