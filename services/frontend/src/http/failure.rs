//! What went wrong with a page, and the error page that says so: a status, a fixed text, and an id
//! to ask about, but nothing of what happened behind the scenes.

use std::time::Duration;

use ::http::{HeaderValue, StatusCode, header};
use askama::Template;
use axum::response::{Html, IntoResponse, Response};
use boutique_service::with_deadline;
use tonic::{Code, Status};

use super::Shop;
use super::page::Frame;
use super::visit::Visit;
use crate::domain::form::Invalid;

/// Why there is no page.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    status: StatusCode,
    text: String,
    /// For the log.
    cause: Option<Status>,
    /// Whether the connection is of no more use, because a body was left unread.
    closes: bool,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into(), cause: None, closes: false }
    }

    /// A service behind the page failed: what was attempted, in upstream's words.
    pub(crate) fn backend(attempt: &str, cause: Status) -> Self {
        let status = match cause.code() {
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            Code::Unavailable
            | Code::DeadlineExceeded
            | Code::ResourceExhausted
            | Code::Cancelled
            | Code::Aborted => StatusCode::SERVICE_UNAVAILABLE,
            Code::Ok
            | Code::Unknown
            | Code::AlreadyExists
            | Code::PermissionDenied
            | Code::Unimplemented
            | Code::Internal
            | Code::DataLoss
            | Code::Unauthenticated => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self { cause: Some(cause), ..Self::new(status, attempt) }
    }

    /// The same failure, after which the connection is closed.
    pub(crate) fn closing(self) -> Self {
        Self { closes: true, ..self }
    }

    /// Leaves the cause with an answer that has a form of its own, for the log.
    pub(crate) fn tell(self, response: &mut Response) {
        if let Some(cause) = self.cause {
            response.extensions_mut().insert(cause);
        }
    }

    /// The error page.
    pub(crate) fn page(self, shop: &Shop, visit: &Visit) -> Response {
        let (status, closes) = (self.status, self.closes);
        let template = ErrorPage { frame: Frame::bare(shop, visit), status, text: &self.text };
        let body = template.render().unwrap_or_else(|_| self.text.clone());
        let mut response = (status, Html(body)).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if closes {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        self.tell(&mut response);
        response
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    frame: Frame<'a>,
    status: StatusCode,
    text: &'a str,
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, invalid.to_string())
    }
}

impl From<askama::Error> for Failure {
    fn from(error: askama::Error) -> Self {
        Self::backend("could not render the page", Status::internal(error.to_string()))
    }
}

/// Leaves the page to [`super::around`], which knows the visitor.
impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Bounds what a handler does; whatever it calls gets no more time than is left.
pub(crate) async fn within<T>(
    limit: Duration,
    work: impl AsyncFnOnce() -> Result<T, Failure>,
) -> Result<T, Failure> {
    // Boxed where it begins, because a page is large to carry around.
    with_deadline(limit, Box::pin(work())).await.unwrap_or_else(|_elapsed| {
        let cause = Status::deadline_exceeded("the page took too long");
        Err(Failure::backend("could not finish the page in time", cause))
    })
}
