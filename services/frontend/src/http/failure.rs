//! The error of a page: a status, a fixed text for the visitor, and a cause for the log.

use std::time::Duration;

use ::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use boutique_service::{Outcome, with_deadline};
use tonic::{Code, Status};

use crate::domain::form::Invalid;

/// The error of a page.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    status: StatusCode,
    text: String,
    /// For the log.
    cause: Option<Status>,
    /// The seconds after which the visitor may come back.
    retry_after: Option<u32>,
    /// True if the connection is of no more use, because a body was left unread.
    closes: bool,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        let retry_after = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        Self { status, text: text.into(), cause: None, retry_after, closes: false }
    }

    /// The client asks for too much, and may ask again after this many seconds.
    pub(crate) fn too_many(text: &str, retry_after: u32) -> Self {
        let retry_after = Some(retry_after);
        Self { retry_after, ..Self::new(StatusCode::TOO_MANY_REQUESTS, text) }
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

    /// Returns the status of the response.
    pub(crate) fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the text for the visitor.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Completes a response that shows this failure: its headers, and the cause for the log.
    pub(crate) fn finish(self, response: &mut Response) {
        let headers = response.headers_mut();
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.closes {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response.extensions_mut().insert(Outcome { route: None, cause: self.cause });
    }
}

impl From<&Invalid> for Failure {
    fn from(invalid: &Invalid) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, invalid.to_string())
    }
}

impl From<Invalid> for Failure {
    fn from(invalid: Invalid) -> Self {
        Self::from(&invalid)
    }
}

impl From<askama::Error> for Failure {
    fn from(error: askama::Error) -> Self {
        Self::backend("could not render the page", Status::internal(error.to_string()))
    }
}

/// Names what could not be retrieved.
pub(super) fn retrieved<T>(what: &str, answer: Result<T, Status>) -> Result<T, Failure> {
    answer.map_err(|cause| Failure::backend(&format!("could not retrieve {what}"), cause))
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
