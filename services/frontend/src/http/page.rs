//! The frame of every page.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderValue, StatusCode, header};
use askama::Template;
use axum::response::{Html, IntoResponse as _, Response};
use boutique_money::CurrencyCode;
use boutique_proto::CartItem;
use boutique_service::with_deadline;
use time::OffsetDateTime;

use super::assets;
use super::failure::Failure;
use super::notes::{Currencies, Notes, log_partial};
use super::plain::Plain;
use super::state::Shop;
use super::visit::Visit;
use crate::copy::Priced;
use crate::deployment::{Details, Platform};
use crate::domain;
use crate::domain::picture::Picture;

/// The number of recommendations that a page shows of those it asked for.
const SHOWN: usize = 4;
/// The longest time that a page waits for the size of a cart that it is not about.
const BADGE_TIMEOUT: Duration = Duration::from_millis(200);
/// The bytes that are reserved for a page: most are smaller, and so are never copied into a larger buffer.
const PAGE_CAPACITY: usize = 16 * 1024;
/// The most bytes of picture sources in a header; pages with more allow every host.
const MAX_SOURCES: usize = 2048;

/// The frame of a page: what its header and footer say.
pub(crate) struct Frame<'a> {
    pub(crate) base_url: &'a str,
    pub(crate) title: &'static str,
    pub(crate) is_cymbal: bool,
    /// The theme that the visitor chose; else the system's.
    pub(crate) theme: Option<&'static str>,
    pub(crate) message: Option<&'a str>,
    /// The note of what the page does without.
    pub(crate) note: Option<String>,
    pub(crate) has_assistant: bool,
    /// True if there is a page about the services behind the shop.
    pub(crate) has_topology: bool,
    pub(crate) platform: Platform,
    pub(crate) details: Option<&'a Details>,
    pub(crate) session_hash: &'a str,
    pub(crate) request_id: &'a str,
    pub(crate) year: i32,
    /// The words of the search.
    pub(crate) query: String,
    /// On pages that offer a choice of currency.
    pub(crate) currency: Option<Menu<'a>>,
    /// The number of pieces in the cart, on pages that say so.
    pub(crate) cart_size: i64,
    /// The sources of the pictures that the page shows, for its Content-Security-Policy.
    sources: RefCell<BTreeSet<String>>,
}

/// The currencies to choose from.
pub(crate) struct Menu<'a> {
    pub(crate) codes: Vec<&'a str>,
    pub(crate) current: CurrencyCode,
    pub(crate) symbol: &'static str,
}

impl<'a> Frame<'a> {
    /// A frame without the menu and the size of the cart.
    pub(crate) fn bare(shop: &'a Shop, visit: &'a Visit) -> Self {
        let config = &shop.config;
        Self {
            base_url: &config.base_url,
            title: if config.is_cymbal { "Cymbal Shops" } else { "Online Boutique" },
            is_cymbal: config.is_cymbal,
            theme: visit.theme,
            message: config.message.as_deref(),
            note: None,
            has_assistant: config.assistant.is_some(),
            has_topology: shop.topology.is_some(),
            platform: shop.deployment.platform(),
            details: shop.deployment.details(),
            session_hash: &visit.session_hash,
            request_id: &visit.request_id,
            year: OffsetDateTime::now_utc().year(),
            query: String::new(),
            currency: None,
            cart_size: 0,
            sources: RefCell::default(),
        }
    }

    /// The same with so many pieces in the cart.
    pub(crate) fn with_cart(self, cart_size: i64) -> Self {
        Self { cart_size, ..self }
    }

    /// Returns the `src` of a product's picture, and lets the page's policy allow it.
    pub(crate) fn picture(&self, picture: &str) -> String {
        let picture = Picture::parse(picture);
        let src = picture.src(self.base_url);
        self.sources.borrow_mut().extend(picture.source());
        src
    }

    /// Returns the `srcset` of a picture of ours that was made of a drawing, which is sharp at any size.
    pub(crate) fn drawing(&self, picture: &str) -> Option<Plain<'_>> {
        assets::drawing(self.base_url, picture)
    }

    /// Returns the link to a file at a path below `/static/`, which browsers may keep for good.
    pub(crate) fn asset(&self, path: &'static str) -> Plain<'a> {
        assets::link(self.base_url, path)
    }

    /// Lets the page show a picture that a script will ask for.
    pub(crate) fn allow(&self, picture: &str) {
        self.sources.borrow_mut().extend(Picture::parse(picture).source());
    }

    /// Returns the page's Content-Security-Policy, if it needs one of its own.
    fn policy(&self, shop: &Shop) -> Option<HeaderValue> {
        let sources = self.sources.borrow();
        if sources.is_empty() {
            return None;
        }
        let sources: Vec<&str> = sources.iter().map(String::as_str).collect();
        let mut sources = sources.join(" ");
        if sources.len() > MAX_SOURCES {
            "data: http: https:".clone_into(&mut sources);
        }
        let policy = shop.config.policy.to_str().ok()?;
        format!("{policy}; img-src 'self' {sources}").parse().ok()
    }

    /// The whole frame, but for what the page does without: the menu where currencies are unknown, and the cart's size
    /// where the cart is.
    pub(crate) fn full(
        shop: &'a Shop,
        visit: &'a Visit,
        currencies: Option<&'a Currencies>,
        cart: Option<&[CartItem]>,
        notes: &Notes,
    ) -> Self {
        let menu = |currencies: &'a Currencies| {
            let current = currencies.current;
            let symbol = domain::symbol(current.as_str());
            Menu { codes: domain::menu(&currencies.supported), current, symbol }
        };
        Self {
            currency: currencies.map(menu),
            cart_size: cart.map_or(0, size),
            note: notes.text(),
            ..Self::bare(shop, visit)
        }
    }
}

/// Returns the number of pieces in the visitor's cart, for a page that is about something else: 0 where it cannot be had
/// soon.
pub(crate) async fn cart_size(shop: &Shop, visit: &Visit) -> i64 {
    if visit.is_new {
        return 0;
    }
    let cart = with_deadline(BADGE_TIMEOUT, shop.clients.cart(&visit.session)).await;
    cart.ok().and_then(Result::ok).map_or(0, |cart| size(&cart))
}

/// Returns the number of pieces in a cart.
pub(crate) fn size(cart: &[CartItem]) -> i64 {
    cart.iter().map(|item| i64::from(item.quantity)).sum()
}

/// The page as an answer. A currency cookie that meant nothing is replaced by what was shown.
pub(crate) fn answer(
    shop: &Shop,
    visit: &Visit,
    shown: Option<CurrencyCode>,
    frame: &Frame<'_>,
    page: &impl Template,
) -> Result<Response, Failure> {
    let mut body = String::with_capacity(PAGE_CAPACITY);
    page.render_into(&mut body)?;
    let mut response = Html(body).into_response();
    if let Some(policy) = frame.policy(shop) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    if let (Some(cookie), Some(shown)) = (&visit.currency, shown)
        && cookie != shown.as_str()
        && let Some(mended) = visit.currency_cookie(&shop.config, shown.as_str())
    {
        response.headers_mut().append(header::SET_COOKIE, mended);
    }
    Ok(response)
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    frame: Frame<'a>,
    status: StatusCode,
    text: &'a str,
    /// The next step for a shopper.
    advice: &'static str,
}

/// The page that shows a failure: what to do about it, its status, its text, and an id to ask about.
pub(crate) fn error(failure: Failure, shop: &Shop, visit: &Visit, cart_size: i64) -> Response {
    let (status, text) = (failure.status(), failure.text());
    let frame = Frame::bare(shop, visit).with_cart(cart_size);
    let page = ErrorPage { frame, status, text, advice: advice(status) };
    let body = page.render().unwrap_or_else(|_| text.to_owned());
    let mut response = (status, Html(body)).into_response();
    failure.finish(&mut response);
    response
}

fn advice(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => {
            "There is nothing here. The product may be sold out for good, or the link may be old."
        }
        StatusCode::TOO_MANY_REQUESTS => "That was a lot at once. Please come back in a while.",
        StatusCode::SERVICE_UNAVAILABLE => {
            "A part of the shop does not answer at the moment. Please try again in a few seconds: your cart is kept."
        }
        status if status.is_client_error() => {
            "The shop could not make sense of that. Please go back, and check what you entered."
        }
        _ => "This is our mistake, not yours. Please try again: your cart is kept.",
    }
}

/// Products to show beside others, or none where they could not be had: a page does without.
pub(crate) async fn recommendations(
    shop: &Shop,
    visit: &Visit,
    product_ids: Vec<String>,
) -> Vec<Arc<Priced>> {
    match shop.clients.recommendations(&visit.session, product_ids).await {
        Ok(mut products) => {
            products.truncate(SHOWN);
            products
        }
        Err(cause) => {
            log_partial(&cause, "left out the recommendations");
            Vec::new()
        }
    }
}
