//! Handlers of pages: a handler returns a page or a [`Failure`], and a failure becomes an error page here.

use std::sync::Arc;

use ::http::{StatusCode, header};
use axum::Extension;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use futures_util::future::BoxFuture;

use super::failure::Failure;
use super::page;
use super::state::Shop;
use super::visit::Visit;

/// Makes an axum handler of a function that returns a page or a failure.
pub(super) fn respond<H, F>(
    handler: H,
) -> impl Fn(State<Arc<Shop>>, Extension<Arc<Visit>>, Request) -> BoxFuture<'static, Response>
+ Clone
+ Send
+ Sync
+ 'static
where
    H: Fn(Arc<Shop>, Arc<Visit>, Request) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Result<Response, Failure>> + Send + 'static,
{
    move |State(shop), Extension(visit), request| {
        let answer = handler(shop.clone(), visit.clone(), request);
        Box::pin(async move {
            let failure = match answer.await {
                Ok(page) => return page,
                Err(failure) => failure,
            };
            // A shop that is in trouble is not asked for more.
            let cart_size = match failure.status() {
                StatusCode::NOT_FOUND | StatusCode::UNPROCESSABLE_ENTITY => {
                    Box::pin(page::cart_size(&shop, &visit)).await
                }
                _ => 0,
            };
            page::error(failure, &shop, &visit, cart_size)
        })
    }
}

/// A redirect that makes a browser GET the other page.
pub(super) fn see(location: String) -> Response {
    (StatusCode::FOUND, [(header::LOCATION, location)]).into_response()
}
