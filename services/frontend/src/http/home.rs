//! `GET /`: every product at a glance.

use std::sync::Arc;

use askama::Template;
use axum::extract::Request;
use axum::response::Response;
use boutique_service::detach;
use futures_util::future::try_join_all;

use super::failure::{Failure, retrieved, within};
use super::page::{self, Frame};
use super::state::Shop;
use super::visit::Visit;
use crate::clients::Priced;
use crate::domain;

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage<'a> {
    frame: Frame<'a>,
    products: Vec<(Arc<Priced>, String)>,
}

pub(crate) async fn home(
    shop: Arc<Shop>,
    visit: Arc<Visit>,
    _request: Request,
) -> Result<Response, Failure> {
    within(shop.config.limits.page, async || {
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
        let page = HomePage { frame, products };
        page::answer(&shop, &visit, Some(currency), &page.frame, &page)
    })
    .await
}
