//! Spans as OTLP, written as they are encoded: the messages of opentelemetry-proto would copy each name and attribute
//! first, which takes several times as long.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::BufMut as _;
use opentelemetry::trace::{Event, Link, SpanContext, SpanId, SpanKind, Status};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;

/// A span may tell, and this one does, whether its parent is of another process.
const HAS_IS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// The wire types of protobuf.
const VARINT: u8 = 0;
const FIXED_64: u8 = 1;
const LENGTH: u8 = 2;
const FIXED_32: u8 = 5;

/// Encodes an `ExportTraceServiceRequest` with these spans, all of which are of one scope.
pub(super) fn request(resource: &Resource, spans: &[SpanData]) -> Vec<u8> {
    let mut out = Writer(Vec::with_capacity(spans.len() * 512));
    out.message(1, |out| {
        out.message(1, |out| {
            for (key, value) in resource.iter() {
                out.message(1, |out| out.attribute(key.as_str(), value));
            }
        });
        out.message(2, |out| {
            if let Some(span) = spans.first() {
                out.message(1, |out| out.scope(&span.instrumentation_scope));
            }
            for span in spans {
                out.message(2, |out| out.span(span));
            }
        });
    });
    out.0
}

/// The encoded fields of a message. Numbers that are 0 and texts that are empty are left out, as protobuf has it.
struct Writer(Vec<u8>);

impl Writer {
    fn scope(&mut self, scope: &InstrumentationScope) {
        self.text(1, scope.name());
        self.text(2, scope.version().unwrap_or_default());
    }

    fn span(&mut self, span: &SpanData) {
        self.context(&span.span_context);
        if span.parent_span_id != SpanId::INVALID {
            self.bytes(4, &span.parent_span_id.to_bytes());
        }
        self.text(5, &span.name);
        self.number(
            6,
            match span.span_kind {
                SpanKind::Internal => 1,
                SpanKind::Server => 2,
                SpanKind::Client => 3,
                SpanKind::Producer => 4,
                SpanKind::Consumer => 5,
            },
        );
        self.time(7, span.start_time);
        self.time(8, span.end_time);
        self.attributes(9, &span.attributes);
        self.number(10, span.dropped_attributes_count.into());
        for event in &span.events.events {
            self.message(11, |out| out.event(event));
        }
        self.number(12, span.events.dropped_count.into());
        for link in &span.links.links {
            self.message(13, |out| out.link(link));
        }
        self.number(14, span.links.dropped_count.into());
        self.message(15, |out| match &span.status {
            Status::Unset => {}
            Status::Ok => out.number(3, 1),
            Status::Error { description } => {
                out.text(2, description);
                out.number(3, 2);
            }
        });
        self.flags(16, &span.span_context, span.parent_span_is_remote);
    }

    fn event(&mut self, event: &Event) {
        self.time(1, event.timestamp);
        self.text(2, &event.name);
        self.attributes(3, &event.attributes);
        self.number(4, event.dropped_attributes_count.into());
    }

    fn link(&mut self, link: &Link) {
        self.context(&link.span_context);
        self.attributes(4, &link.attributes);
        self.number(5, link.dropped_attributes_count.into());
        self.flags(6, &link.span_context, link.span_context.is_remote());
    }

    /// The first three fields of a span, and of a link.
    fn context(&mut self, context: &SpanContext) {
        self.bytes(1, &context.trace_id().to_bytes());
        self.bytes(2, &context.span_id().to_bytes());
        self.text(3, &context.trace_state().header());
    }

    fn flags(&mut self, field: u8, context: &SpanContext, is_remote: bool) {
        let remote = if is_remote { IS_REMOTE } else { 0 };
        self.key(field, FIXED_32);
        self.0.put_u32_le(u32::from(context.trace_flags().to_u8()) | HAS_IS_REMOTE | remote);
    }

    fn attributes(&mut self, field: u8, attributes: &[KeyValue]) {
        for KeyValue { key, value, .. } in attributes {
            self.message(field, |out| out.attribute(key.as_str(), value));
        }
    }

    fn attribute(&mut self, key: &str, value: &Value) {
        self.text(1, key);
        // Of an AnyValue even what is 0 or empty is there.
        self.message(2, |out| match value {
            Value::Bool(value) => {
                out.key(2, VARINT);
                out.varint((*value).into());
            }
            Value::I64(value) => {
                out.key(3, VARINT);
                out.varint(value.cast_unsigned());
            }
            Value::F64(value) => {
                out.key(4, FIXED_64);
                out.0.put_f64_le(*value);
            }
            // Lists too, which no service has.
            Value::String(_) | Value::Array(_) | _ => out.bytes(1, value.as_str().as_bytes()),
        });
    }

    fn text(&mut self, field: u8, text: &str) {
        if !text.is_empty() {
            self.bytes(field, text.as_bytes());
        }
    }

    fn bytes(&mut self, field: u8, bytes: &[u8]) {
        self.key(field, LENGTH);
        self.varint(bytes.len() as u64);
        self.0.put_slice(bytes);
    }

    fn number(&mut self, field: u8, number: u64) {
        if number > 0 {
            self.key(field, VARINT);
            self.varint(number);
        }
    }

    fn time(&mut self, field: u8, time: SystemTime) {
        let nanos = time.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
        self.key(field, FIXED_64);
        self.0.put_u64_le(u64::try_from(nanos).unwrap_or(u64::MAX));
    }

    /// Writes a message within this one. Its length comes first, and is known last.
    fn message(&mut self, field: u8, write: impl FnOnce(&mut Self)) {
        self.key(field, LENGTH);
        let start = self.0.len();
        write(self);
        let end = self.0.len();
        self.varint((end - start) as u64);
        let length = self.0.len() - end;
        self.0[start..].rotate_right(length);
    }

    /// Writes the number and the type of a field.
    fn key(&mut self, field: u8, wire_type: u8) {
        self.varint(u64::from(field) << 3 | u64::from(wire_type));
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use opentelemetry::trace::{TraceFlags, TraceId, TraceState};
    use opentelemetry::{Array, StringValue};
    use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
    use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
    use opentelemetry_sdk::trace::{SpanEvents, SpanLinks};
    use prost::Message as _;

    use super::*;

    fn context(flags: u8, is_remote: bool) -> SpanContext {
        let state = TraceState::from_key_value([("vendor", "1")]).unwrap();
        let (trace, span) = (TraceId::from(0xabc_u128 << 100), SpanId::from(0xdef));
        SpanContext::new(trace, span, TraceFlags::new(flags), is_remote, state)
    }

    fn span() -> SpanData {
        SpanData {
            span_context: context(1, false),
            parent_span_id: SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind: SpanKind::Internal,
            name: "charge".into(),
            start_time: UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789),
            end_time: UNIX_EPOCH + Duration::from_nanos(1_700_000_000_223_456_789),
            attributes: Vec::new(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::builder("scope").build(),
        }
    }

    /// A span with something in every field.
    fn full_span() -> SpanData {
        let attributes = vec![
            KeyValue::new("text", "é"),
            KeyValue::new("empty", ""),
            KeyValue::new("long", "x".repeat(300)),
            KeyValue::new("minus", -1),
            KeyValue::new("zero", 0),
            KeyValue::new("half", 0.5),
            KeyValue::new("no", false),
        ];
        let link = Link::new(context(0, true), attributes.clone(), 7);
        let event = Event::new("thrown", UNIX_EPOCH, attributes.clone(), 6);
        let mut events = SpanEvents::default();
        (events.events, events.dropped_count) = (vec![event], 1000);
        let mut links = SpanLinks::default();
        (links.links, links.dropped_count) = (vec![link.clone(), link], 2);
        SpanData {
            span_context: context(255, true),
            parent_span_id: SpanId::from(1),
            parent_span_is_remote: true,
            attributes,
            dropped_attributes_count: u32::MAX,
            events,
            links,
            status: Status::error("out of order"),
            ..span()
        }
    }

    #[test]
    fn spans_are_those_that_opentelemetrys_messages_say() {
        let attributes = [KeyValue::new("pod", "a"), KeyValue::new("replica", 3)];
        let resource = Resource::builder_empty().with_attributes(attributes).build();
        let kinds = [
            SpanKind::Client,
            SpanKind::Server,
            SpanKind::Producer,
            SpanKind::Consumer,
            SpanKind::Internal,
        ];
        let many = kinds.into_iter().cycle().take(5000).map(|kind| SpanData {
            span_kind: kind,
            status: Status::Ok,
            ..full_span()
        });
        for spans in [Vec::new(), vec![span()], vec![full_span(), span()], many.collect()] {
            let written = request(&resource, &spans);
            let mut read = ExportTraceServiceRequest::decode(&*written).unwrap();
            let mut expected = group_spans_by_resource_and_scope(spans, &(&resource).into());
            for resources in read.resource_spans.iter_mut().chain(&mut expected) {
                // In no order.
                let attributes = &mut resources.resource.as_mut().unwrap().attributes;
                attributes.sort_by(|a, b| a.key.cmp(&b.key));
                resources.scope_spans.retain(|scope| !scope.spans.is_empty());
            }
            assert_eq!(read.resource_spans, expected);
        }
    }

    #[test]
    fn lists_are_written_as_texts() {
        let list = Value::Array(Array::String(vec![StringValue::from("a")]));
        let attributes = vec![KeyValue::new("list", list)];
        let written =
            request(&Resource::builder_empty().build(), &[SpanData { attributes, ..span() }]);
        let read = ExportTraceServiceRequest::decode(&*written).unwrap();
        assert!(format!("{read:?}").contains(r#"[\"a\"]"#), "{read:?}");
    }
}
