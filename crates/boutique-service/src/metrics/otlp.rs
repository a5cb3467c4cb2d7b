//! All metrics as OTLP, made of what a reader of the admin port gets, so that both say the same.

use std::collections::BTreeMap;
use std::time::SystemTime;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Exemplar, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, exemplar, number_data_point,
};

use super::text::Sample;
use crate::collector::{self, attribute};

/// The label that becomes the resource of a series.
const SERVICE: &str = "service_name";

/// A family as its comments describe it.
#[derive(Default)]
struct Family<'a> {
    name: &'a str,
    kind: &'a str,
    unit: &'a str,
    help: &'a str,
}

/// The points of a family, by service and by their other labels.
type Points = BTreeMap<String, BTreeMap<Vec<(String, String)>, HistogramDataPoint>>;

/// Makes the request of an export: of metrics in OpenMetrics, under their names in OpenTelemetry, which `names` has by those
/// in the text. `resource` makes the attributes of a service's resource.
pub(crate) fn request(
    text: &str,
    names: &BTreeMap<String, &'static str>,
    resource: impl Fn(&str) -> Vec<(String, String)>,
    (started, now): (SystemTime, SystemTime),
) -> ExportMetricsServiceRequest {
    let times = (nanos(started), nanos(now));
    let mut families: Vec<(Family<'_>, Points)> = Vec::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            describe(&mut families, comment);
        } else if let (Some((family, points)), Some(sample)) =
            (families.last_mut(), Sample::parse(line))
        {
            add(points, family.name, sample, times);
        }
    }
    let mut services: BTreeMap<String, Vec<Metric>> = BTreeMap::new();
    for (family, points) in families {
        for (service, points) in points {
            let metric = metric(&family, names, points.into_values().collect());
            services.entry(service).or_default().extend(metric);
        }
    }
    let scope = Some(collector::scope());
    let resource_metrics = services.into_iter().map(|(service, metrics)| ResourceMetrics {
        resource: Some(collector::resource(resource(&service))),
        scope_metrics: vec![ScopeMetrics { scope: scope.clone(), metrics, ..Default::default() }],
        ..Default::default()
    });
    ExportMetricsServiceRequest { resource_metrics: resource_metrics.collect() }
}

/// Takes `TYPE name …`, `UNIT name …` or `HELP name …`; another name begins another family.
fn describe<'a>(families: &mut Vec<(Family<'a>, Points)>, comment: &'a str) {
    let mut words = comment.splitn(3, ' ');
    let [what, name, rest] = std::array::from_fn(|_| words.next().unwrap_or_default());
    if families.last().is_none_or(|(family, _)| family.name != name) {
        families.push((Family { name, ..Family::default() }, Points::new()));
    }
    let Some((family, _)) = families.last_mut() else { return };
    match what.to_ascii_lowercase().as_str() {
        "type" => family.kind = rest,
        "unit" => family.unit = rest,
        "help" => family.help = rest,
        _ => {}
    }
}

/// Adds a sample to the point that it is a part of. A counter and a gauge are points with a sum alone.
fn add(points: &mut Points, family: &str, sample: Sample<'_>, (start, now): (u64, u64)) {
    let mut service = String::new();
    let mut bound = None;
    let mut labels = Vec::new();
    for (name, value) in sample.labels {
        match name {
            SERVICE => service = value,
            "le" => bound = value.parse::<f64>().ok(),
            _ => labels.push((attribute_name(name), value)),
        }
    }
    let point = points.entry(service).or_default().entry(labels).or_insert_with_key(|labels| {
        HistogramDataPoint {
            attributes: labels.iter().cloned().map(attribute).collect(),
            start_time_unix_nano: start,
            time_unix_nano: now,
            ..Default::default()
        }
    });
    match sample.name.strip_prefix(family).unwrap_or_default() {
        "_bucket" => {
            // Buckets in the text hold those below them.
            let below: u64 = point.bucket_counts.iter().sum();
            point.bucket_counts.push((sample.value as u64).saturating_sub(below));
            point.explicit_bounds.extend(bound.filter(|bound| bound.is_finite()));
            point.exemplars.extend(sample.exemplar.map(|(trace_id, value)| Exemplar {
                time_unix_nano: now,
                trace_id,
                value: Some(exemplar::Value::AsDouble(value)),
                ..Default::default()
            }));
        }
        "_count" => point.count = sample.value as u64,
        _ => point.sum = Some(sample.value),
    }
}

fn metric(
    family: &Family<'_>,
    names: &BTreeMap<String, &'static str>,
    points: Vec<HistogramDataPoint>,
) -> Option<Metric> {
    let without_unit =
        family.name.strip_suffix(family.unit).and_then(|name| name.strip_suffix('_'));
    let name = without_unit.filter(|_| !family.unit.is_empty()).unwrap_or(family.name);
    // What is no metric of OpenTelemetry is told by the resource.
    let name = *names.get(name)?;
    let temporality = AggregationTemporality::Cumulative.into();
    let number = |point: HistogramDataPoint| NumberDataPoint {
        attributes: point.attributes,
        start_time_unix_nano: point.start_time_unix_nano,
        time_unix_nano: point.time_unix_nano,
        value: point.sum.map(number_data_point::Value::AsDouble),
        ..Default::default()
    };
    let data = match family.kind {
        "histogram" => {
            Data::Histogram(Histogram { data_points: points, aggregation_temporality: temporality })
        }
        "counter" => Data::Sum(Sum {
            data_points: points.into_iter().map(number).collect(),
            aggregation_temporality: temporality,
            is_monotonic: true,
        }),
        _ => Data::Gauge(Gauge { data_points: points.into_iter().map(number).collect() }),
    };
    let unit = match family.unit {
        "seconds" => "s",
        "bytes" => "By",
        other => other,
    };
    Some(Metric {
        name: name.to_owned(),
        description: family.help.to_owned(),
        unit: unit.to_owned(),
        data: Some(data),
        ..Default::default()
    })
}

/// The name of a label in OpenTelemetry.
fn attribute_name(label: &str) -> String {
    label.replace('_', ".").replace("status.code", "status_code")
}

fn nanos(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;

    use super::*;

    const TEXT: &str = r#"# HELP rpc_call_duration_seconds RPCs.
# TYPE rpc_call_duration_seconds histogram
# UNIT rpc_call_duration_seconds seconds
rpc_call_duration_seconds_sum{service_name="a",rpc_response_status_code="OK"} 1.5
rpc_call_duration_seconds_count{service_name="a",rpc_response_status_code="OK"} 3
rpc_call_duration_seconds_bucket{le="0.1",service_name="a",rpc_response_status_code="OK"} 1
rpc_call_duration_seconds_bucket{le="1.0",service_name="a",rpc_response_status_code="OK"} 2 # {trace_id="0af7651916cd43dd8448eb211c80319c"} 0.4
rpc_call_duration_seconds_bucket{le="+Inf",service_name="a",rpc_response_status_code="OK"} 3
# HELP shop_things Things.
# TYPE shop_things counter
shop_things_total{service_name="b",kind="a \"b\"\n"} 7.0
# EOF
"#;

    #[test]
    fn openmetrics_become_otlp() {
        let names = [("rpc_call_duration", "rpc.call.duration"), ("shop_things", "shop.things")];
        let names = names.map(|(text, name)| (text.to_owned(), name)).into();
        let resource = |service: &str| vec![("service.name".to_owned(), service.to_owned())];
        let times = (SystemTime::UNIX_EPOCH, SystemTime::now());
        let request = request(TEXT, &names, resource, times);
        let [a, b] = &request.resource_metrics[..] else { unreachable!("two services") };
        let metric = &a.scope_metrics[0].metrics[0];
        assert_eq!((metric.name.as_str(), metric.unit.as_str()), ("rpc.call.duration", "s"));
        let Some(Data::Histogram(histogram)) = &metric.data else { unreachable!("a histogram") };
        let point = &histogram.data_points[0];
        assert_eq!((point.count, point.sum), (3, Some(1.5)));
        assert_eq!(point.bucket_counts, [1, 1, 1]);
        assert_eq!(point.explicit_bounds, [0.1, 1.0]);
        assert_eq!(point.attributes[0].key, "rpc.response.status_code");
        assert_eq!(point.exemplars[0].trace_id[..2], [0x0a, 0xf7]);
        let metric = &b.scope_metrics[0].metrics[0];
        let Some(Data::Sum(sum)) = &metric.data else { unreachable!("a counter") };
        assert_eq!(sum.data_points[0].value, Some(number_data_point::Value::AsDouble(7.0)));
        let text = Value::StringValue("a \"b\"\n".to_owned());
        assert_eq!(sum.data_points[0].attributes[0].value.as_ref().unwrap().value, Some(text));
    }
}
