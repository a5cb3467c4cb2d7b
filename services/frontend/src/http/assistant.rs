//! `/assistant` and `/bot`: the page of the optional shopping assistant, and the way to it.

use std::sync::Arc;

use ::http::{StatusCode, header};
use askama::Template;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tonic::Status;

use super::failure::{Failure, retrieved, within};
use super::form;
use super::notes::{Currencies, Notes};
use super::page::{self, Frame};
use super::state::Shop;
use super::visit::Visit;
use crate::fetch;

/// Room for a picture of a room.
const MAX_QUESTION: usize = 1024 * 1024;

#[derive(Template)]
#[template(path = "assistant.html")]
struct AssistantPage<'a> {
    frame: Frame<'a>,
}

/// `GET /assistant`.
pub(crate) async fn page(
    shop: Arc<Shop>,
    visit: Arc<Visit>,
    _request: Request,
) -> Result<Response, Failure> {
    if shop.config.assistant.is_none() {
        return Err(switched_off());
    }
    within(shop.config.limits.page, async || {
        let supported = retrieved("currencies", shop.clients.currencies().await)?;
        let products = shop.clients.products().await;
        let currencies = Currencies::of(&visit, supported);
        let frame = Frame::full(&shop, &visit, Some(&currencies), None, &Notes::default());
        // The script shows whichever products the assistant names.
        for priced in products.iter().flat_map(|products| products.iter()) {
            frame.allow(&priced.product.picture);
        }
        let page = AssistantPage { frame };
        page::answer(&shop, &visit, Some(currencies.current), &page.frame, &page)
    })
    .await
}

/// The assistant's answer.
#[derive(Deserialize)]
struct Answer {
    content: String,
}

/// `POST /bot`: passes a question on.
pub(crate) async fn bot(
    shop: Arc<Shop>,
    _visit: Arc<Visit>,
    request: Request,
) -> Result<Response, Failure> {
    let Some(assistant) = shop.config.assistant.clone() else { return Err(switched_off()) };
    let (parts, body) = request.into_parts();
    let question = form::read(body, &parts.headers, MAX_QUESTION).await?;
    if !serde_json::from_slice::<Value>(&question).is_ok_and(|question| question.is_object()) {
        return Err(Failure::new(StatusCode::BAD_REQUEST, "a question is a JSON object"));
    }
    let answer = fetch::post_json(assistant, question).await.map_err(|error| error.to_string());
    let answer = answer
        .and_then(|json| serde_json::from_slice(&json).map_err(|error| error.to_string()))
        .map_err(|error| {
            Failure::backend("could not reach the assistant", Status::unavailable(error))
        })?;
    let Answer { content } = answer;
    let body = format!("{}\n", json!({ "message": content }));
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

fn switched_off() -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "there is no assistant in this shop").closing()
}
