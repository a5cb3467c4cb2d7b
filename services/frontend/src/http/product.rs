//! `GET /product/{id}`: one product, with others beside it and an ad below.

use std::sync::Arc;

use ::http::{StatusCode, Uri, header};
use askama::Template;
use axum::RequestExt as _;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use boutique_proto::{Ad, Product};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::failure::{Failure, retrieved, within};
use super::notes::{Note, Notes, log_partial};
use super::page::{self, Frame};
use super::state::Shop;
use super::visit::Visit;
use crate::copy::Priced;
use crate::domain::picture::Picture;
use crate::{domain, fetch};

#[derive(Template)]
#[template(path = "product.html")]
struct ProductPage<'a> {
    frame: Frame<'a>,
    product: &'a Product,
    price: String,
    /// The whole URL of its picture, for previews elsewhere.
    picture: Option<String>,
    packaging: Option<Packaging>,
    recommendations: Vec<Arc<Priced>>,
    ad: Option<Ad>,
}

/// The packaging service's answer: kilograms and centimetres, by its own account.
#[derive(Deserialize)]
struct Packaging {
    #[serde(default)]
    weight: f64,
    #[serde(default)]
    width: f64,
    #[serde(default)]
    height: f64,
    #[serde(default)]
    depth: f64,
}

pub(crate) async fn product(
    shop: Arc<Shop>,
    visit: Arc<Visit>,
    mut request: Request,
) -> Result<Response, Failure> {
    let Path(id) = match request.extract_parts::<Path<String>>().await {
        Ok(id) => id,
        Err(malformed) => return Ok(malformed.into_response()),
    };
    within(shop.config.limits.page, async || {
        let (priced, supported, cart, recommendations) = tokio::join!(
            shop.clients.product_or_copy(&id),
            shop.clients.currencies(),
            shop.clients.cart(&visit.session),
            page::recommendations(&shop, &visit, vec![id.clone()]),
        );
        let mut notes = Notes::default();
        let priced = notes.of_catalog(retrieved("product", priced)?);
        let currencies = notes.currencies(&visit, supported)?;
        let cart = notes.or_note(Note::NoCart, "could not retrieve cart", cart)?;
        let current = currencies.as_ref().map(|currencies| currencies.current);
        let product = &priced.product;
        let (price, ad, packaging) = tokio::join!(
            notes.convert(&shop, current, vec![priced.price]),
            ad(&shop, product.categories.clone()),
            packaging(&shop, &product.id),
        );
        let failed = |(_, cause)| Failure::backend("failed to convert currency", cause);
        let price = price.map_err(failed)?.into_iter().map(domain::price).collect();

        let frame = Frame::full(&shop, &visit, currencies.as_ref(), cart.as_deref(), &notes);
        let picture = match Picture::parse(&product.picture) {
            own @ Picture::Own(_) => visit.edge.url(&own.src(frame.base_url)),
            Picture::Foreign { url, .. } => Some(url.to_owned()),
            Picture::Data(_) => None,
        };
        let page = ProductPage { frame, product, price, picture, packaging, recommendations, ad };
        page::answer(&shop, &visit, current, &page.frame, &page)
    })
    .await
}

/// One of the ads that suit the product, or none where they could not be had.
async fn ad(shop: &Shop, categories: Vec<String>) -> Option<Ad> {
    match shop.clients.ads(categories).await {
        Ok(mut ads) => {
            // An ad leads to a page of ours, whoever wrote it.
            ads.retain(|ad| ad.redirect_url.starts_with('/') && !ad.redirect_url.starts_with("//"));
            let has_target = join_all(ads.iter().map(|ad| has_target(shop, ad))).await;
            let mut has_target = has_target.into_iter();
            ads.retain(|_| has_target.next().unwrap_or(false));
            fastrand::choice(ads)
        }
        Err(cause) => {
            log_partial(&cause, "left out the ad");
            None
        }
    }
}

/// Returns false if the ad leads to a product that the catalog lacks.
async fn has_target(shop: &Shop, ad: &Ad) -> bool {
    let path = ad.redirect_url.split(['?', '#']).next().unwrap_or_default();
    match path.strip_prefix("/product/") {
        Some(id) => shop.clients.has_product(id).await,
        None => true,
    }
}

async fn packaging(shop: &Shop, id: &str) -> Option<Packaging> {
    let base = shop.config.packaging_url.as_ref()?;
    let id: String = form_urlencoded::byte_serialize(id.as_bytes()).collect();
    let uri: Uri = format!("{}/{id}", base.to_string().trim_end_matches('/')).parse().ok()?;
    let answer = fetch::get(uri, None).await.map_err(|error| error.to_string());
    match answer.and_then(|json| serde_json::from_slice(&json).map_err(|error| error.to_string())) {
        Ok(packaging) => Some(packaging),
        Err(error) => {
            warn!(error, "left out the packaging");
            None
        }
    }
}

/// `Product` as upstream writes it in JSON: the wire's names, and nothing that is empty.
#[derive(Serialize)]
struct Meta<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    id: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    description: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    picture: &'a str,
    price_usd: Price<'a>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    categories: &'a [String],
}

#[derive(Serialize)]
struct Price<'a> {
    currency_code: &'a str,
    #[serde(skip_serializing_if = "is_zero")]
    units: i64,
    #[serde(skip_serializing_if = "is_zero")]
    nanos: i32,
}

fn is_zero<T: PartialEq + Default>(number: &T) -> bool {
    *number == T::default()
}

/// `GET /product-meta/{ids}`: one product as JSON, for scripts.
pub(crate) async fn meta(State(shop): State<Arc<Shop>>, Path(ids): Path<String>) -> Response {
    let json = |status: StatusCode, body: String| {
        (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
    };
    let found = within(shop.config.limits.page, async || {
        retrieved("product", shop.clients.product(&ids).await)
    });
    let priced = match found.await {
        Ok(priced) => priced,
        Err(failure) => {
            let text = r#"{"error":"could not retrieve product"}"#.to_owned();
            let mut answer = json(failure.status(), text);
            failure.finish(&mut answer);
            return answer;
        }
    };
    let (product, price) = (&priced.product, priced.price);
    let code = price.currency_code();
    let meta = Meta {
        id: &product.id,
        name: &product.name,
        description: &product.description,
        picture: &product.picture,
        price_usd: Price {
            currency_code: code.as_str(),
            units: price.units(),
            nanos: price.nanos(),
        },
        categories: &product.categories,
    };
    json(StatusCode::OK, serde_json::to_string(&meta).unwrap_or_default())
}
