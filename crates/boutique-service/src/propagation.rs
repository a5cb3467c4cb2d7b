//! The trace context of a request as headers, from hop to hop: W3C, B3 and `x-request-id`. What is malformed or longer
//! than its format allows is dropped, because every call of the request repeats it.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::trace::{
    SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState,
};

use crate::grpc;

/// The W3C limits of `tracestate` and `baggage`, in bytes.
const MAX_TRACE_STATE: usize = 512;
const MAX_BAGGAGE: usize = 8192;
/// The longest id, in bytes.
const MAX_ID: usize = 128;

/// A `traceparent` of version 00, and the places of its parts.
const TRACE_PARENT: &[u8; 55] = b"00-00000000000000000000000000000000-0000000000000000-00";
const VERSION: Range<usize> = 0..2;
const TRACE: Range<usize> = 3..35;
const SPAN: Range<usize> = 36..52;
const FLAGS: Range<usize> = 53..55;

static TRACE_PARENT_NAME: HeaderName = HeaderName::from_static("traceparent");

/// Another header that is passed on. Its name is one of [`HEADERS`].
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    TraceState,
    Baggage,
    B3,
    B3Multi,
    Id,
}

static HEADERS: [(HeaderName, Kind); 11] = [
    (HeaderName::from_static("tracestate"), Kind::TraceState),
    (HeaderName::from_static("baggage"), Kind::Baggage),
    (HeaderName::from_static("b3"), Kind::B3),
    (HeaderName::from_static("x-b3-traceid"), Kind::B3Multi),
    (HeaderName::from_static("x-b3-spanid"), Kind::B3Multi),
    (HeaderName::from_static("x-b3-parentspanid"), Kind::B3Multi),
    (HeaderName::from_static("x-b3-sampled"), Kind::B3Multi),
    (HeaderName::from_static("x-b3-flags"), Kind::B3Multi),
    (HeaderName::from_static("x-request-id"), Kind::Id),
    (HeaderName::from_static("x-ot-span-context"), Kind::Id),
    (HeaderName::from_static("x-cloud-trace-context"), Kind::Id),
];

/// The formats in which a service reads and writes its own spans: `OTEL_PROPAGATORS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Formats {
    pub(crate) trace_context: bool,
    pub(crate) baggage: bool,
    pub(crate) b3: bool,
    pub(crate) b3_multi: bool,
}

/// The context of a request, if it has one; shared, because every call of the request carries it.
#[derive(Clone, Default)]
pub(crate) struct TraceContext(Option<Arc<Parts>>);

/// The headers as received, and this service's own span if it records one.
#[derive(Clone, Default)]
struct Parts {
    trace_parent: Option<TraceParent>,
    /// The others.
    received: Vec<(HeaderName, Kind, HeaderValue)>,
    own: Option<Own>,
    /// The `traceparent` of the calls of this request, made for the first of them.
    written: OnceLock<Option<HeaderValue>>,
}

/// This service's own span.
#[derive(Clone)]
struct Own {
    span: SpanContext,
    is_recorded: bool,
    formats: Formats,
}

/// A valid `traceparent`, as version 00 has it. Its bytes are ASCII.
#[derive(Clone, Copy)]
struct TraceParent([u8; TRACE_PARENT.len()]);

impl TraceContext {
    pub(crate) fn from_headers(headers: &HeaderMap) -> Self {
        let (mut parents, mut trace_parent) = (0, None);
        let mut received = Vec::new();
        for (name, value) in headers {
            // All of them begin with one of three letters; most headers do not.
            if !matches!(name.as_str().as_bytes().first(), Some(b't' | b'b' | b'x')) {
                continue;
            }
            if *name == TRACE_PARENT_NAME {
                parents += 1;
                trace_parent = TraceParent::parse(value.as_bytes());
                continue;
            }
            let known = HEADERS.iter().find(|(known, _)| known == name);
            if let Some((name, kind)) = known
                && is_valid(name, *kind, value)
            {
                received.push((name.clone(), *kind, value.clone()));
            }
        }
        let trace_parent = trace_parent.filter(|_| parents == 1);
        drop_invalid(&mut received, trace_parent.is_some());
        if trace_parent.is_none() && received.is_empty() {
            return Self(None);
        }
        Self(Some(Arc::new(Parts { trace_parent, received, ..Parts::default() })))
    }

    /// Returns the same trace with `span` as the parent of what follows, written in these formats. `is_recorded` is true if
    /// spans of the trace are recorded here, so that each call below it has one of its own.
    pub(crate) fn with_span(self, span: SpanContext, is_recorded: bool, formats: Formats) -> Self {
        let mut parts = self.0.unwrap_or_default();
        let changed = Arc::make_mut(&mut parts);
        changed.own = Some(Own { span, is_recorded, formats });
        changed.written = OnceLock::new();
        Self(Some(parts))
    }

    /// Writes the context for the next service: the headers as received, but for those that the own span replaces.
    pub(crate) fn write_to(&self, headers: &mut HeaderMap) {
        let Some(parts) = &self.0 else { return };
        if let Some(value) = parts.written() {
            headers.insert(TRACE_PARENT_NAME.clone(), value.clone());
        }
        let own = parts.own.as_ref();
        for (name, kind, value) in &parts.received {
            if own.is_none_or(|own| !own.formats.replace(*kind)) {
                headers.append(name.clone(), grpc::not_indexed(value.clone()));
            }
        }
        if let Some(own) = own {
            own.write_to(headers);
        }
    }

    /// Returns the own span, or the one received, as a `traceparent`.
    pub(crate) fn trace_parent(&self) -> Option<String> {
        let parts = self.0.as_ref()?;
        let own = parts.own.as_ref().map(|own| TraceParent::of(&own.span));
        Some(own.or(parts.trace_parent)?.part(0..TRACE_PARENT.len()).to_owned())
    }

    /// Returns the span that a `traceparent` names.
    pub(crate) fn of_trace_parent(text: &str) -> Option<SpanContext> {
        TraceParent::parse(text.as_bytes())?.span(TraceState::default())
    }

    /// Returns the trace id as hexadecimal digits.
    pub(crate) fn id(&self) -> Option<String> {
        let parts = self.0.as_ref()?;
        if let Some(own) = &parts.own {
            return Some(own.span.trace_id().to_string());
        }
        let by_w3c = parts.trace_parent.as_ref().map(|parent| parent.part(TRACE));
        let by_b3 = || parts.get("b3").and_then(|text| text.split_once('-')).map(|(id, _)| id);
        by_w3c.or_else(by_b3).or_else(|| parts.get("x-b3-traceid")).map(str::to_owned)
    }

    /// Returns the id of this service's own span as hexadecimal digits, if it records one.
    pub(crate) fn span_id(&self) -> Option<String> {
        Some(self.own()?.span.span_id().to_string())
    }

    /// Returns the id of the trace if this service records it.
    pub(crate) fn sampled_id(&self) -> Option<String> {
        let span = &self.own()?.span;
        span.is_sampled().then(|| span.trace_id().to_string())
    }

    /// Returns true if this process has begun a span of the trace and does not sample it.
    pub(crate) fn is_left_out(&self) -> bool {
        self.own().is_some_and(|own| !own.span.is_sampled())
    }

    /// Returns true if the caller does not sample the trace, and says so as `traceparent`.
    pub(crate) fn is_left_out_by_caller(&self) -> bool {
        let received = self.0.as_ref().and_then(|parts| parts.trace_parent);
        received.is_some_and(|parent| !parent.is_sampled())
    }

    fn own(&self) -> Option<&Own> {
        self.0.as_ref()?.own.as_ref()
    }

    /// Returns `x-request-id`.
    pub(crate) fn request_id(&self) -> Option<&str> {
        self.0.as_ref()?.get("x-request-id")
    }

    /// Returns true if the baggage has this value under this key.
    pub(crate) fn has_baggage(&self, key: &str, value: &str) -> bool {
        let Some(parts) = &self.0 else { return false };
        let lists = parts.received.iter().filter(|(name, ..)| name == "baggage");
        let mut members =
            lists.filter_map(|(.., list)| list.to_str().ok()).flat_map(|list| list.split(','));
        members.any(|member| {
            let member = member.split(';').next().unwrap_or_default();
            member.split_once('=').is_some_and(|(k, v)| k.trim() == key && v.trim() == value)
        })
    }

    /// Returns the parent of a new span: the own span, or the caller's in one of these formats.
    pub(crate) fn parent(&self, formats: Formats) -> Context {
        let span = self.0.as_ref().and_then(|parts| match &parts.own {
            Some(own) => Some(own.span.clone()),
            None => parts.remote_span(formats),
        });
        match span {
            Some(span) => Context::new().with_remote_span_context(span),
            None => Context::new(),
        }
    }
}

impl Parts {
    /// Returns the `traceparent` for the next service: the own span's where that is written so, or the one received.
    fn written(&self) -> Option<&HeaderValue> {
        let write = || {
            let own = self.own.as_ref().filter(|own| own.formats.trace_context);
            let parent = own.map(|own| TraceParent::of(&own.span)).or(self.trace_parent)?;
            let mut value = HeaderValue::from_bytes(&parent.0).ok()?;
            // Each call has a span of its own where spans are recorded. Otherwise all calls of a request have the same
            // value, often several on one connection, and HPACK's table makes it one byte for all but the first.
            value.set_sensitive(own.is_some_and(|own| own.is_recorded));
            Some(value)
        };
        self.written.get_or_init(write).as_ref()
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.received.iter().find(|(known, ..)| known == name)?.2.to_str().ok()
    }

    fn remote_span(&self, formats: Formats) -> Option<SpanContext> {
        let by_w3c = || {
            let state = self.get("tracestate").and_then(|text| text.parse().ok());
            self.trace_parent?.span(state.unwrap_or_default())
        };
        let by_b3 = || {
            let mut parts = self.get("b3")?.split('-');
            let (trace, span) = (parts.next()?, parts.next()?);
            context(trace, span, sampled(parts.next()), TraceState::default())
        };
        let by_b3_multi = || {
            let is_debug = self.get("x-b3-flags") == Some("1");
            let said = if is_debug { Some("d") } else { self.get("x-b3-sampled") };
            let (trace, span) = (self.get("x-b3-traceid")?, self.get("x-b3-spanid")?);
            context(trace, span, sampled(said), TraceState::default())
        };
        let w3c = formats.trace_context.then(by_w3c).flatten();
        let b3 = || formats.b3.then(by_b3).flatten();
        let b3_multi = || formats.b3_multi.then(by_b3_multi).flatten();
        w3c.or_else(b3).or_else(b3_multi)
    }
}

impl TraceParent {
    /// Reads `version-traceid-spanid-flags`; later versions may have more after it.
    fn parse(text: &[u8]) -> Option<Self> {
        let (parent, rest) = text.split_first_chunk()?;
        let is_later = parent[VERSION] != *b"00" && rest.first() == Some(&b'-');
        let fits = |(byte, shape): (&u8, &u8)| {
            let is_digit = byte.is_ascii_digit() | (b'a'..=b'f').contains(byte);
            if *shape == b'-' { *byte == b'-' } else { is_digit }
        };
        let is_zero = |part: Range<usize>| parent[part.clone()] == TRACE_PARENT[part];
        let is_valid = (rest.is_empty() || is_later)
            && text.len() <= MAX_ID
            // Not `all`, which looks at a byte at a time.
            && parent.iter().zip(TRACE_PARENT).map(fits).fold(true, |all, fits| all & fits)
            && parent[VERSION] != *b"ff"
            && !is_zero(TRACE)
            && !is_zero(SPAN);
        let mut parent = *parent;
        parent[VERSION].copy_from_slice(b"00");
        is_valid.then_some(Self(parent))
    }

    fn of(span: &SpanContext) -> Self {
        let mut text = *TRACE_PARENT;
        write_hex(&mut text[TRACE], &span.trace_id().to_bytes());
        write_hex(&mut text[SPAN], &span.span_id().to_bytes());
        write_hex(&mut text[FLAGS], &[u8::from(span.is_sampled())]);
        Self(text)
    }

    fn part(&self, range: Range<usize>) -> &str {
        std::str::from_utf8(&self.0[range]).unwrap_or_default()
    }

    /// Returns the lowest bit of the flags.
    fn is_sampled(&self) -> bool {
        let digit = char::from(self.0[FLAGS.end - 1]).to_digit(16);
        digit.is_some_and(|flags| flags & 1 == 1)
    }

    fn span(&self, state: TraceState) -> Option<SpanContext> {
        let flags = TraceFlags::default().with_sampled(self.is_sampled());
        context(self.part(TRACE), self.part(SPAN), flags, state)
    }
}

fn context(trace: &str, span: &str, flags: TraceFlags, state: TraceState) -> Option<SpanContext> {
    let trace = TraceId::from_hex(trace).ok()?;
    let span = SpanId::from_hex(span).ok()?;
    let context = SpanContext::new(trace, span, flags, true, state);
    context.is_valid().then_some(context)
}

/// B3's decision; where it is left to whoever is called, that is to sample.
fn sampled(text: Option<&str>) -> TraceFlags {
    match text {
        Some("0" | "false") => TraceFlags::NOT_SAMPLED,
        Some(_) | None => TraceFlags::SAMPLED,
    }
}

impl Formats {
    pub(crate) const DEFAULT: Self =
        Self { trace_context: true, baggage: true, b3: false, b3_multi: false };
    const NONE: Self = Self { trace_context: false, baggage: false, b3: false, b3_multi: false };

    /// Parses a list such as `tracecontext,baggage,b3`; returns the names that are not known beside it.
    pub(crate) fn parse(list: &str) -> (Self, Vec<&str>) {
        let (mut formats, mut unknown) = (Self::NONE, Vec::new());
        for name in list.split(',').map(str::trim).filter(|name| !name.is_empty()) {
            match name.to_ascii_lowercase().as_str() {
                "tracecontext" => formats.trace_context = true,
                "baggage" => formats.baggage = true,
                "b3" => formats.b3 = true,
                "b3multi" => formats.b3_multi = true,
                "none" => {}
                _ => unknown.push(name),
            }
        }
        (formats, unknown)
    }

    /// Returns true if the own span takes the place of a header of this kind.
    fn replace(self, kind: Kind) -> bool {
        match kind {
            Kind::TraceState => self.trace_context,
            Kind::B3 => self.b3,
            Kind::B3Multi => self.b3_multi,
            Kind::Baggage => !self.baggage,
            Kind::Id => false,
        }
    }
}

impl Own {
    fn write_to(&self, headers: &mut HeaderMap) {
        let Self { span, formats, .. } = self;
        let (trace, id) = (span.trace_id(), span.span_id());
        let flag = u8::from(span.is_sampled());
        let text = |text: String| HeaderValue::try_from(text).ok();
        let mut put = |name: &'static str, value: Option<HeaderValue>| {
            if let Some(value) = value {
                headers.insert(HeaderName::from_static(name), grpc::not_indexed(value));
            }
        };
        if formats.trace_context {
            let state = span.trace_state().header();
            if !state.is_empty() {
                put("tracestate", text(state));
            }
        }
        if formats.b3 {
            put("b3", text(format!("{trace}-{id}-{flag}")));
        }
        if formats.b3_multi {
            put("x-b3-traceid", text(trace.to_string()));
            put("x-b3-spanid", text(id.to_string()));
            put("x-b3-sampled", text(flag.to_string()));
        }
    }
}

/// Writes bytes as hexadecimal digits, two for each.
fn write_hex(text: &mut [u8], bytes: &[u8]) {
    for (digits, byte) in text.chunks_exact_mut(2).zip(bytes) {
        for (digit, value) in digits.iter_mut().zip([byte >> 4, byte & 15]) {
            *digit = b"0123456789abcdef"[usize::from(value)];
        }
    }
}

/// Drops what is only valid together: `tracestate` without a `traceparent`, what came twice, and baggage that is longer
/// than allowed over all its lines.
fn drop_invalid(received: &mut Vec<(HeaderName, Kind, HeaderValue)>, has_parent: bool) {
    let total = |kind| -> usize {
        received.iter().filter(|(_, known, _)| *known == kind).map(|(.., value)| value.len()).sum()
    };
    let (state, baggage) = (total(Kind::TraceState), total(Kind::Baggage));
    let mut seen = Vec::new();
    received.retain(|(name, kind, _)| match kind {
        Kind::TraceState => has_parent && state <= MAX_TRACE_STATE,
        Kind::Baggage => baggage <= MAX_BAGGAGE,
        Kind::B3 | Kind::B3Multi | Kind::Id => {
            let is_first = !seen.contains(name);
            seen.push(name.clone());
            is_first
        }
    });
}

fn is_valid(name: &HeaderName, kind: Kind, value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else { return false };
    match kind {
        Kind::TraceState => text.len() <= MAX_TRACE_STATE,
        Kind::Baggage => text.len() <= MAX_BAGGAGE,
        Kind::B3 => is_b3(text),
        Kind::B3Multi => match name.as_str() {
            "x-b3-traceid" => is_hex(text, 32) || is_hex(text, 16),
            "x-b3-spanid" | "x-b3-parentspanid" => is_hex(text, 16),
            _ => matches!(text, "0" | "1" | "d" | "true" | "false"),
        },
        Kind::Id => {
            (1..=MAX_ID).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
        }
    }
}

/// `traceid-spanid[-sampled[-parentspanid]]`, or the decision alone.
fn is_b3(text: &str) -> bool {
    let is_decision = |text: &str| matches!(text, "0" | "1" | "d");
    let parts: Vec<_> = text.split('-').collect();
    match parts.as_slice() {
        [decision] => is_decision(decision),
        [trace, span, rest @ ..] => {
            (is_hex(trace, 32) || is_hex(trace, 16))
                && is_hex(span, 16)
                && rest.len() <= 2
                && rest.first().is_none_or(|decision| is_decision(decision))
                && rest.get(1).is_none_or(|parent| is_hex(parent, 16))
        }
        [] => false,
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";
    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    /// Returns the headers that are passed on of these, sorted.
    fn passed(headers: &[(&str, &str)]) -> Vec<(String, String)> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        let mut written = HeaderMap::new();
        TraceContext::from_headers(&map).write_to(&mut written);
        for (name, value) in &written {
            assert_eq!(value.is_sensitive(), name != "traceparent", "HPACK keeps no other: {name}");
        }
        let text = |(name, value): (&HeaderName, &HeaderValue)| {
            (name.to_string(), value.to_str().unwrap().to_owned())
        };
        let mut written: Vec<_> = written.iter().map(text).collect();
        written.sort();
        written
    }

    #[test]
    fn well_formed_headers_pass_as_they_came() {
        for (name, value) in [
            ("traceparent", PARENT),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-03"),
            ("baggage", "user=1,tenant=a%20b;p=1"),
            ("b3", "0"),
            ("b3", "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331"),
            ("b3", "8448eb211c80319c-b7ad6b7169203331-d-05e3ac9a4f6e3b90"),
            ("x-b3-traceid", TRACE_ID),
            ("x-b3-spanid", "B7AD6B7169203331"),
            ("x-b3-parentspanid", "b7ad6b7169203331"),
            ("x-b3-sampled", "true"),
            ("x-b3-flags", "1"),
            ("x-request-id", "2f1c6f2e-7d61-4a8b-9d3e-3c9a4a1d2b00"),
            ("x-cloud-trace-context", "105445aa7843bc8bf206b12000100000/1;o=1"),
        ] {
            assert_eq!(passed(&[(name, value)]), [(name.to_owned(), value.to_owned())]);
        }
        // A later version goes on as the one that is known here.
        let later = "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what";
        let known = [("traceparent".to_owned(), PARENT.to_owned())];
        assert_eq!(passed(&[("traceparent", later)]), known);
        let both = [("traceparent", PARENT), ("tracestate", "a=1,b=2")];
        assert_eq!(passed(&both).len(), 2);
        let lines = [("baggage", "a=1"), ("baggage", "b=2")];
        assert_eq!(passed(&lines).len(), 2);
    }

    #[test]
    fn malformed_and_endless_headers_are_dropped() {
        let long = "x".repeat(20_000);
        let longer_id = "x".repeat(129);
        for (name, value) in [
            ("traceparent", ""),
            ("traceparent", "nonsense"),
            ("traceparent", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
            ("traceparent", "00-00000000000000000000000000000000-b7ad6b7169203331-01"),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"),
            ("traceparent", "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01"),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01"),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01"),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0"),
            ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"),
            ("traceparent", "00-é"),
            ("tracestate", "a=1"),
            ("traceparent", &long),
            ("baggage", &long),
            ("b3", &long),
            ("b3", "x-y"),
            ("b3", "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-2"),
            ("x-b3-traceid", "1"),
            ("x-b3-sampled", "maybe"),
            ("x-request-id", ""),
            ("x-request-id", "a b"),
            ("x-request-id", &longer_id),
            ("x-other", "1"),
        ] {
            assert_eq!(passed(&[(name, value)]), [], "{name}: {}", &value[..value.len().min(60)]);
        }
        assert_eq!(passed(&[("traceparent", PARENT), ("traceparent", PARENT)]), []);
        assert_eq!(passed(&[("traceparent", PARENT), ("traceparent", "nonsense")]), []);
        let state = "x".repeat(513);
        assert_eq!(passed(&[("traceparent", PARENT), ("tracestate", &state)]).len(), 1);
        let half = "x".repeat(5_000);
        assert_eq!(passed(&[("baggage", &half), ("baggage", &half)]), []);
    }

    #[test]
    fn own_span_takes_the_place_of_its_formats_alone() {
        let mut map = HeaderMap::new();
        for (name, value) in [
            ("traceparent", PARENT),
            ("tracestate", "a=1"),
            ("baggage", "b=2"),
            ("b3", "1"),
            ("x-b3-traceid", TRACE_ID),
            ("x-request-id", "r"),
        ] {
            map.insert(name, value.parse().unwrap());
        }
        let span = SpanContext::new(
            TraceId::from_hex(TRACE_ID).unwrap(),
            SpanId::from_hex("00f067aa0ba902b7").unwrap(),
            TraceFlags::NOT_SAMPLED,
            false,
            TraceState::default(),
        );
        for (list, own, kept) in [
            (
                "tracecontext,baggage",
                "traceparent",
                &["baggage", "b3", "x-b3-traceid", "x-request-id"][..],
            ),
            ("b3", "b3", &["traceparent", "tracestate", "x-b3-traceid", "x-request-id"]),
            (
                "b3multi,baggage",
                "x-b3-spanid",
                &["traceparent", "tracestate", "baggage", "b3", "x-request-id"],
            ),
        ] {
            let (formats, unknown) = Formats::parse(list);
            assert!(unknown.is_empty());
            let mut written = HeaderMap::new();
            let context = TraceContext::from_headers(&map).with_span(span.clone(), false, formats);
            assert_eq!(context.id().unwrap(), TRACE_ID);
            context.write_to(&mut written);
            let is_same_in_all_calls = own == "traceparent";
            assert_eq!(written[own].is_sensitive(), !is_same_in_all_calls, "HPACK's table: {own}");
            assert!(written[own].to_str().unwrap().contains("00f067aa0ba902b7"), "{list}");
            for name in kept {
                assert_eq!(written.get(*name), map.get(*name), "{list}: {name}");
            }
        }
        assert_eq!(Formats::parse("tracecontext, jaeger,none").1, ["jaeger"]);
    }

    #[test]
    fn recorded_spans_stay_out_of_the_table_of_hpack() {
        // One that is not sampled is recorded too where it may end with an error.
        for parent in [PARENT, "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"] {
            let span = TraceContext::of_trace_parent(parent).unwrap();
            let context = TraceContext::default().with_span(span, true, Formats::DEFAULT);
            let mut written = HeaderMap::new();
            context.write_to(&mut written);
            assert_eq!(written["traceparent"], parent);
            assert!(written["traceparent"].is_sensitive());
        }
    }

    #[test]
    fn caller_that_does_not_sample_is_known_by_its_flags() {
        for (traceparent, is_left_out) in [
            (Some(PARENT), false),
            (Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"), true),
            (Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02"), true),
            (Some("nonsense"), false),
            (None, false),
        ] {
            let mut map = HeaderMap::new();
            if let Some(value) = traceparent {
                map.insert("traceparent", value.parse().unwrap());
            }
            let context = TraceContext::from_headers(&map);
            assert_eq!(context.is_left_out_by_caller(), is_left_out, "{traceparent:?}");
        }
    }

    #[test]
    fn parent_is_read_in_the_formats_that_are_on() {
        for (name, value, list, is_sampled) in [
            ("traceparent", PARENT, "tracecontext", Some(true)),
            ("traceparent", PARENT, "b3", None),
            ("b3", "0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0", "b3", Some(false)),
            ("b3", "8448eb211c80319c-b7ad6b7169203331", "tracecontext,b3", Some(true)),
            ("b3", "1", "b3", None),
            ("x-b3-traceid", TRACE_ID, "b3multi", None),
        ] {
            let mut map = HeaderMap::new();
            map.insert(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
            let parent = TraceContext::from_headers(&map).parent(Formats::parse(list).0);
            let span = parent.span();
            let span = span.span_context();
            assert_eq!(span.is_valid().then(|| span.is_sampled()), is_sampled, "{name} {list}");
        }
    }
}
