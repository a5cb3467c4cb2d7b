//! The gRPC wire in one place: the framing of messages, `grpc-timeout`, the status of a reply, and the end of a stream at
//! its deadline.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::future::Pending;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, Version, header};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Collected, LengthLimitError, Limited};
use prost::Message;
use tokio::time::Instant;
use tonic::metadata::MetadataMap;
use tonic::{Code, Extensions, Response, Status};

use crate::net::Target;
use crate::timeout::{TimeoutAt, timeout_at};

/// The compression flag and the length before each message.
pub(crate) const FRAME_HEADER: usize = 5;
/// The largest message in bytes; gRPC's default.
pub(crate) const MAX_MESSAGE: usize = 4 * 1024 * 1024;
const USER_AGENT: &str = concat!("grpc-rust-boutique/", env!("CARGO_PKG_VERSION"));

type BoxError = Box<dyn StdError + Send + Sync>;

/// Returns true if these headers are those of a gRPC request.
pub(crate) fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// Encodes a message with its frame header.
pub(crate) fn encode(message: &impl Message) -> Bytes {
    let mut frame = begin_frame(message.encoded_len());
    // Encoding fails only where a buffer has no room, and this one grows.
    let _ = message.encode(&mut frame);
    frame.freeze()
}

/// Begins the frame of a message of this length that is not compressed: its header, and room for the message.
pub(crate) fn begin_frame(length: usize) -> BytesMut {
    let mut frame = BytesMut::with_capacity(FRAME_HEADER + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    frame
}

/// Makes the request of a call to `path`, with its body.
pub(crate) fn request<B>(
    target: &Target,
    path: Cow<'static, str>,
    timeout: Option<Duration>,
    body: B,
) -> Result<Request<B>, http::Error> {
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(if target.is_tls { Scheme::HTTPS } else { Scheme::HTTP });
    uri.authority = Some(target.authority.clone());
    uri.path_and_query = Some(match path {
        Cow::Borrowed(path) => PathAndQuery::from_static(path),
        Cow::Owned(path) => path.parse()?,
    });
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_parts(uri)?;
    *request.version_mut() = Version::HTTP_2;
    let headers = request.headers_mut();
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
    if let Some(timeout) = timeout {
        headers.insert("grpc-timeout", not_indexed(timeout_header(timeout)));
    }
    Ok(request)
}

/// Marks a value that is another one in each call, so that HPACK does not put it into its table, where it would only
/// drive out what repeats.
pub(crate) fn not_indexed(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

/// Returns the `user-agent` of calls that a service makes: its name first, as gRPC has it.
pub(crate) fn user_agent(service: &str) -> Option<HeaderValue> {
    HeaderValue::try_from(format!("{service} {USER_AGENT}")).ok()
}

/// The name of a status code in gRPC's documents, as in `NOT_FOUND`.
pub(crate) fn code_name(code: Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    name
}

/// Collects a body of at most one message; a larger one fails with a [`LengthLimitError`].
async fn collect<B>(body: B, max: usize) -> Result<Collected<Bytes>, BoxError>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    Limited::new(body, FRAME_HEADER + max).collect().await
}

/// Returns the status that an error is or has among its sources, if there is one.
pub fn status_of<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a Status> {
    error.downcast_ref().or_else(|| error.source().and_then(status_of))
}

/// The length of the first message in a body, if its frame header is complete.
fn message_length(body: &[u8]) -> Option<usize> {
    let length = body.get(1..FRAME_HEADER)?.try_into().ok()?;
    Some(u32::from_be_bytes(length) as usize)
}

/// Collects the body of a unary request, which must be one message of at most `max` bytes. tonic would answer a larger
/// one with another code, and take the first of several.
pub(crate) async fn collect_request<B>(body: B, max: usize) -> Result<Bytes, Status>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let body = collect(body, max).await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            Status::resource_exhausted(format!("the message is larger than {max} bytes"))
        } else if let Some(status) = status_of(&*error) {
            Status::new(status.code(), status.message())
        } else {
            Status::internal("the message did not arrive whole")
        }
    })?;
    let body = body.to_bytes();
    if body.len() > FRAME_HEADER + message_length(&body).unwrap_or_default() {
        return Err(Status::internal("a unary call has one message"));
    }
    Ok(body)
}

/// Collects the reply of a unary call to `method`: its message and its metadata, or the status that says why there is no
/// message.
pub(crate) async fn collect_reply<B>(
    method: &str,
    status: StatusCode,
    headers: HeaderMap,
    body: B,
) -> Result<Response<Bytes>, Status>
where
    B: Body<Data = Bytes, Error: Into<BoxError>>,
{
    let body = collect(body, MAX_MESSAGE).await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            Status::resource_exhausted(format!("{method} answers more than 4 MiB"))
        } else {
            unavailable(method, Lost(Some(error)).into())
        }
    })?;
    let told = Status::from_header_map(body.trailers().unwrap_or(&headers));
    let status = told.unwrap_or_else(|| of_http_status(status));
    if status.code() != Code::Ok {
        return Err(status);
    }
    let mut body = body.to_bytes();
    match message_length(&body) {
        Some(length) if body[0] == 0 && body.len() == FRAME_HEADER + length => {
            let metadata = MetadataMap::from_headers(headers);
            Ok(Response::from_parts(metadata, body.split_off(FRAME_HEADER), Extensions::default()))
        }
        Some(_) | None => Err(Status::internal("the answer is not one plain message")),
    }
}

/// Decodes the message that `method` answers.
pub(crate) fn decode<M: Message + Default>(
    method: &str,
    reply: Response<Bytes>,
) -> Result<Response<M>, Status> {
    let (metadata, message, extensions) = reply.into_parts();
    let message = M::decode(message)
        .map_err(|_| Status::internal(format!("cannot read what {method} answers")))?;
    Ok(Response::from_parts(metadata, message, extensions))
}

/// The status of a call whose request or reply was lost.
pub(crate) fn unavailable(method: &str, cause: BoxError) -> Status {
    let mut status = Status::unavailable(format!("cannot reach {method}"));
    status.set_source(cause.into());
    status
}

/// The source of the status of a call whose answer was lost, and its own, if it has one.
#[derive(Debug, thiserror::Error)]
#[error("the answer was lost")]
pub(crate) struct Lost(#[source] pub(crate) Option<BoxError>);

/// The source of the status of a call that was certainly never processed, and its own, if it has one.
#[derive(Debug, thiserror::Error)]
#[error("the call was not processed")]
pub(crate) struct NotProcessed(#[source] pub(crate) Option<BoxError>);

/// Adds what a status comes from, for the log of this process; it crosses no wire.
pub fn with_source(mut status: Status, source: impl StdError + Send + Sync + 'static) -> Status {
    status.set_source(Arc::new(source));
    status
}

/// Notes that the call with this status was certainly never processed.
pub(crate) fn not_processed(status: Status) -> Status {
    with_source(status, NotProcessed(None))
}

/// Takes back what [`not_processed`] notes: an earlier attempt of the call may have been processed.
pub(crate) fn may_be_processed(status: &mut Status) {
    if was_not_processed(status) {
        status.set_source(Arc::new(Lost(None)));
    }
}

/// Returns true if it is unknown whether the call that ended with this status was processed: its answer was lost, or did
/// not come in time.
pub fn is_unanswered(status: &Status) -> bool {
    let is_lost = status.source().is_some_and(|source| source.is::<Lost>());
    !was_not_processed(status) && (is_lost || status.code() == Code::DeadlineExceeded)
}

/// Returns true if the call that ended with this status was certainly never processed: there was no connection to send it
/// over, or no time. False says nothing.
pub fn was_not_processed(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<NotProcessed>() {
            return true;
        }
        source = error.source();
    }
    false
}

/// The status of a reply without `grpc-status`, as gRPC defines it: the reply comes from an intermediary.
fn of_http_status(http: StatusCode) -> Status {
    let code = match http {
        StatusCode::BAD_REQUEST => Code::Internal,
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN => Code::PermissionDenied,
        StatusCode::NOT_FOUND => Code::Unimplemented,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => Code::Unavailable,
        _ => Code::Unknown,
    };
    Status::new(code, format!("the answer has no grpc-status; its HTTP status is {http}"))
}

/// Formats a `grpc-timeout`. It has at most eight digits: microseconds hold 99 seconds, milliseconds a day.
pub(crate) fn timeout_header(timeout: Duration) -> HeaderValue {
    let (value, unit) = match timeout.as_micros() {
        micros @ ..=99_999_999 => (micros, 'u'),
        micros => ((micros / 1000).min(99_999_999), 'm'),
    };
    HeaderValue::try_from(format!("{value}{unit}"))
        .unwrap_or_else(|_| HeaderValue::from_static("1S"))
}

/// Parses `grpc-timeout`: up to eight digits and a unit. A malformed one counts as absent.
pub(crate) fn timeout_of(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let value = digits.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(value * 3600)),
        "M" => Some(Duration::from_secs(value * 60)),
        "S" => Some(Duration::from_secs(value)),
        "m" => Some(Duration::from_millis(value)),
        "u" => Some(Duration::from_micros(value)),
        "n" => Some(Duration::from_nanos(value)),
        _ => None,
    }
}

pin_project_lite::pin_project! {
    /// The body of a stream, which ends with DEADLINE_EXCEEDED at its deadline.
    pub(crate) struct DeadlineBody<B> {
        #[pin]
        body: B,
        #[pin]
        timer: TimeoutAt<Pending<()>>,
        is_over: bool,
    }
}

impl<B> DeadlineBody<B> {
    pub(crate) fn new(body: B, deadline: Instant) -> Self {
        Self { body, timer: timeout_at(deadline, std::future::pending()), is_over: false }
    }
}

impl<B: Body<Data = Bytes>> Body for DeadlineBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        if *this.is_over {
            return Poll::Ready(None);
        }
        if this.timer.poll(cx).is_pending() {
            return this.body.poll_frame(cx);
        }
        *this.is_over = true;
        let mut trailers = HeaderMap::new();
        // Adding fails for details that are no header value; there are none.
        let _ = Status::deadline_exceeded("deadline exceeded").add_header(&mut trailers);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.body.is_end_stream()
    }
}
