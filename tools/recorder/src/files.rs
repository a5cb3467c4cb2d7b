//! The files of a case, as RCAEval's loaders read them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use boutique_test::{LogLine, Span, hex};
use serde_json::{Map, Value, json};

use crate::case::Case;
use crate::picture;
use crate::signals::Table;

/// The file that is written last.
const LAST: &str = "inject_time.txt";
const LOG_COLUMNS: [&str; 7] =
    ["time", "timestamp", "container_name", "message", "level", "req_path", "error"];
const TRACE_COLUMNS: [&str; 11] = [
    "time",
    "traceID",
    "spanID",
    "serviceName",
    "methodName",
    "operationName",
    "startTimeMillis",
    "startTime",
    "duration",
    "statusCode",
    "parentSpanID",
];

/// All that was recorded.
pub(crate) struct Recording {
    pub(crate) metrics: Table,
    pub(crate) lines: Vec<LogLine>,
    pub(crate) spans: Vec<Span>,
    /// The times of the begin, of the fault, and of the end.
    pub(crate) times: (SystemTime, SystemTime, SystemTime),
}

/// Returns the seconds since 1970.
pub(crate) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Returns true if all files of a case are there.
pub(crate) fn is_complete(folder: &Path) -> bool {
    folder.join(LAST).exists()
}

/// Writes the files of a case.
pub(crate) fn write(folder: &Path, case: &Case, recording: &Recording) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    let Recording { metrics, lines, spans, times: (began, injected, ended) } = recording;
    write_metrics(folder, metrics)?;
    write_lines(folder, lines)?;
    write_spans(folder, spans)?;
    let (began, injected, ended) = (seconds(*began), seconds(*injected), seconds(*ended));
    let subject = (case.service.as_str(), case.fault.as_str());
    picture::draw(&folder.join("picture.svg"), metrics, subject, injected)?;
    let truth = json!({
        "service": case.service,
        "fault": case.fault,
        "indicator": case.indicator,
        "faults": case.faults,
        "start_time": began,
        "inject_time": injected,
        "end_time": ended,
    });
    fs::write(folder.join("ground_truth.json"), serde_json::to_vec_pretty(&truth)?)?;
    fs::write(folder.join(LAST), format!("{injected}\n"))?;
    Ok(())
}

/// The same metrics three times: as a table, under the name that RCAEval's command looks for, and as series.
fn write_metrics(folder: &Path, table: &Table) -> anyhow::Result<()> {
    let columns: BTreeSet<&String> = table.values().flat_map(|row| row.keys()).collect();
    let mut csv = csv::Writer::from_path(folder.join("metrics.csv"))?;
    csv.write_field("time")?;
    csv.write_record(&columns)?;
    let mut series: Map<String, Value> = Map::new();
    for (second, row) in table {
        csv.write_field(second.to_string())?;
        csv.write_record(
            columns.iter().map(|column| row.get(*column).map_or(String::new(), f64::to_string)),
        )?;
        for (column, value) in row {
            let points = series.entry(column).or_insert_with(|| json!([]));
            if let Value::Array(points) = points {
                points.push(json!([second, value]));
            }
        }
    }
    csv.flush()?;
    fs::copy(folder.join("metrics.csv"), folder.join("simple_metrics.csv"))?;
    fs::write(folder.join("metrics.json"), serde_json::to_vec(&series)?)?;
    Ok(())
}

fn write_lines(folder: &Path, lines: &[LogLine]) -> anyhow::Result<()> {
    let mut lines: Vec<_> = lines.iter().collect();
    lines.sort_by_key(|line| line.time);
    let mut csv = csv::Writer::from_path(folder.join("logs.csv"))?;
    csv.write_record(LOG_COLUMNS)?;
    for line in lines {
        let field = |name: &str| line.attributes.get(name).map_or("", String::as_str);
        let path =
            ["http.route", "rpc.method"].map(field).into_iter().find(|path| !path.is_empty());
        csv.write_record([
            &time_of_day(line.time),
            &line.time.to_string(),
            &line.service,
            &line.message,
            &line.severity,
            path.unwrap_or_default(),
            field("error"),
        ])?;
    }
    Ok(csv.flush()?)
}

fn write_spans(folder: &Path, spans: &[Span]) -> anyhow::Result<()> {
    let mut spans: Vec<_> = spans.iter().collect();
    spans.sort_by_key(|span| span.time.0);
    let mut csv = csv::Writer::from_path(folder.join("traces.csv"))?;
    csv.write_record(TRACE_COLUMNS)?;
    for span in spans {
        let (start, end) = span.time;
        let method = span.name.rsplit('/').next().unwrap_or_default();
        csv.write_record([
            &time_of_day(start),
            &hex(&span.trace),
            &hex(&span.id),
            &span.service,
            method,
            &span.name,
            &(start / 1_000_000).to_string(),
            &(start / 1000).to_string(),
            &(end.saturating_sub(start) / 1000).to_string(),
            status(span),
            &hex(&span.parent),
        ])?;
    }
    Ok(csv.flush()?)
}

/// The status of the protocol, or else 0 or 2 as OpenTelemetry has it.
fn status(span: &Span) -> &str {
    let names = ["rpc.grpc.status_code", "http.response.status_code"];
    let found = names.iter().find_map(|name| span.attributes.get(*name));
    let without = if span.is_error { "2" } else { "0" };
    found.map_or(without, String::as_str)
}

/// `hh:mm` in UTC.
fn time_of_day(nanos: u64) -> String {
    let minutes = nanos / 60_000_000_000;
    format!("{:02}:{:02}", minutes / 60 % 24, minutes % 60)
}
