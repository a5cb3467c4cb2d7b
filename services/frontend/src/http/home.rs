//! `GET /`: every product at a glance.

use std::sync::Arc;

use askama::Template;
use axum::Extension;
use axum::extract::State;
use axum::response::Response;
use boutique_service::detach;
use futures_util::future::try_join_all;

use super::failure::{Failure, within};
use super::page::{self, Frame};
use super::visit::Visit;
use super::{PAGE, Shop};
use crate::clients::Priced;
use crate::domain;

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage<'a> {
    frame: Frame<'a>,
    products: Vec<(Arc<Priced>, String)>,
}

pub(crate) async fn home(
    State(shop): State<Arc<Shop>>,
    Extension(visit): Extension<Arc<Visit>>,
) -> Result<Response, Failure> {
    within(PAGE, async || {
        // Upstream asks for ads here and shows none; the call is made, but nobody waits for it.
        if shop.clients.is_faithful() {
            let ads = shop.clients.clone();
            detach(async move { ads.ads(Vec::new()).await.is_ok() });
        }

        let (supported, products, cart) = tokio::try_join!(
            async { retrieved("currencies", shop.clients.currencies().await) },
            async { retrieved("products", shop.clients.products().await) },
            async { retrieved("cart", shop.clients.cart(&visit.session).await) },
        )?;
        let currency = domain::chosen(visit.currency.as_deref(), &supported);
        let products = try_join_all(products.iter().map(async |priced| {
            let price = shop.clients.convert(priced.price, currency).await.map_err(|cause| {
                let id = &priced.product.id;
                Failure::backend(
                    &format!("failed to do currency conversion for product {id}"),
                    cause,
                )
            })?;
            Ok::<_, Failure>((priced.clone(), domain::price(price)))
        }))
        .await?;

        let frame = Frame::full(&shop, &visit, &supported, currency, &cart);
        page::answer(&shop, &visit, Some(currency), &HomePage { frame, products })
    })
    .await
}

/// Names what could not be retrieved.
pub(super) fn retrieved<T>(what: &str, answer: Result<T, tonic::Status>) -> Result<T, Failure> {
    answer.map_err(|cause| Failure::backend(&format!("could not retrieve {what}"), cause))
}
