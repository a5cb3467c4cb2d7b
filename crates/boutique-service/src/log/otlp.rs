//! Lines of the log as OTLP, made of the JSON that stdout gets, so that both say the same.

use std::collections::BTreeMap;

use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use prost_types::Timestamp;
use serde_json::{Map, Value};

use crate::collector;

/// Makes the request of an export: a resource for each service, whose attributes `resource` makes. What is not JSON is
/// left out.
pub(super) fn request(
    lines: &[Vec<u8>],
    process: &str,
    resource: impl Fn(&str) -> Vec<(String, String)>,
) -> ExportLogsServiceRequest {
    let mut services: BTreeMap<String, Vec<LogRecord>> = BTreeMap::new();
    for line in lines {
        let Ok(mut members) = serde_json::from_slice::<Map<String, Value>>(line) else { continue };
        let service = text(&mut members, "service.name").unwrap_or_else(|| process.to_owned());
        services.entry(service).or_default().push(record(members));
    }
    let scope = Some(collector::scope());
    let resource_logs = services.into_iter().map(|(service, log_records)| ResourceLogs {
        resource: Some(collector::resource(resource(&service))),
        scope_logs: vec![ScopeLogs { scope: scope.clone(), log_records, ..Default::default() }],
        ..Default::default()
    });
    ExportLogsServiceRequest { resource_logs: resource_logs.collect() }
}

fn record(mut members: Map<String, Value>) -> LogRecord {
    let time = text(&mut members, "timestamp").and_then(|time| time.parse::<Timestamp>().ok());
    let nanos = |time: Timestamp| {
        let seconds = u64::try_from(time.seconds).unwrap_or_default();
        seconds * 1_000_000_000 + u64::try_from(time.nanos).unwrap_or_default()
    };
    let time = time.map(nanos).unwrap_or_default();
    let severity = text(&mut members, "severity").unwrap_or_default();
    let number = match severity.as_str() {
        "error" => SeverityNumber::Error,
        "warning" => SeverityNumber::Warn,
        "info" => SeverityNumber::Info,
        _ => SeverityNumber::Debug,
    };
    let trace_id = text(&mut members, "trace_id").and_then(|id| TraceId::from_hex(&id).ok());
    let span_id = text(&mut members, "span_id").and_then(|id| SpanId::from_hex(&id).ok());
    let message = text(&mut members, "message");
    LogRecord {
        time_unix_nano: time,
        observed_time_unix_nano: time,
        severity_number: number.into(),
        severity_text: severity,
        body: message.map(|message| AnyValue { value: Some(Any::StringValue(message)) }),
        attributes: members.into_iter().map(attribute).collect(),
        trace_id: trace_id.map(|id| id.to_bytes().to_vec()).unwrap_or_default(),
        span_id: span_id.map(|id| id.to_bytes().to_vec()).unwrap_or_default(),
        ..Default::default()
    }
}

fn text(members: &mut Map<String, Value>, name: &str) -> Option<String> {
    let value = members.remove(name)?;
    Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
}

fn attribute((key, value): (String, Value)) -> KeyValue {
    let value = match value {
        Value::Bool(value) => Any::BoolValue(value),
        Value::String(value) => Any::StringValue(value),
        Value::Number(number) => match number.as_i64() {
            Some(number) => Any::IntValue(number),
            None => Any::DoubleValue(number.as_f64().unwrap_or_default()),
        },
        Value::Null | Value::Array(_) | Value::Object(_) => Any::StringValue(value.to_string()),
    };
    KeyValue { key, value: Some(AnyValue { value: Some(value) }), ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_becomes_a_record_of_its_service() {
        let line = br#"{"timestamp":"2026-01-31T09:30:00.000250Z","severity":"warning","message":"slow","n":3,"r":0.5,
            "ok":true,"service.name":"b","trace_id":"0af7651916cd43dd8448eb211c80319c","span_id":"b7ad6b7169203331"}"#;
        let lines = [line.to_vec(), br#"{"message":"up"}"#.to_vec(), b"no JSON".to_vec()];
        let resource = |service: &str| vec![("service.name".to_owned(), service.to_owned())];
        let request = request(&lines, "a", resource);
        let [a, b] = &request.resource_logs[..] else { unreachable!("two services") };
        let body = |text: &str| Some(AnyValue { value: Some(Any::StringValue(text.to_owned())) });
        assert_eq!(a.scope_logs[0].log_records[0].body, body("up"));
        let record = &b.scope_logs[0].log_records[0];
        assert_eq!(record.body, body("slow"));
        assert_eq!(record.time_unix_nano, 1_769_851_800_000_250_000);
        assert_eq!(record.severity_number, i32::from(SeverityNumber::Warn));
        assert_eq!((record.trace_id.len(), record.span_id.len()), (16, 8));
        let pairs = record.attributes.iter().cloned();
        let values: BTreeMap<_, _> =
            pairs.map(|pair| (pair.key, pair.value.unwrap().value.unwrap())).collect();
        let expected =
            [("n", Any::IntValue(3)), ("ok", Any::BoolValue(true)), ("r", Any::DoubleValue(0.5))];
        assert_eq!(values, expected.map(|(key, value)| (key.to_owned(), value)).into());
    }
}
