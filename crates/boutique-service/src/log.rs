//! The process's log, by tracing-subscriber's `fmt` layer: JSON lines in the shape of upstream's Go services, or colored
//! text on a terminal. Lines of a thread that serves requests are written together: when it has nothing else to do, and
//! at most every 10 ms.

mod export;
mod occurrences;
mod otlp;
mod writer;

use std::cell::{Cell, RefCell};
use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime as Rfc3339};
use tracing_subscriber::fmt::{self as fmt_layer, FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

pub(crate) use self::export::{Lines, on_this_thread as on_exporter_thread};
pub(crate) use self::occurrences::Occurrences;
use self::writer::Batched;
pub(crate) use self::writer::{defer_writes, dropped_lines, flush, on_thread_park};
use crate::collector;
use crate::context::{RequestContext, request_id, trace_id};
use crate::env::{Env, EnvError};

/// Installs the log: `RUST_LOG` as a list of `target=level`, `info` by default, and `LOG_FORMAT`, by default `pretty`
/// on a terminal and `json` elsewhere. Where a log is installed already, as in tests, it stays. Returns the lines to
/// export, where `OTEL_LOGS_EXPORTER` has `otlp`.
pub(crate) fn install(env: &Env) -> Result<Option<Lines>, EnvError> {
    let filter = env
        .parse::<Targets>("RUST_LOG", "a list such as info or info,cartservice=debug")?
        .unwrap_or_else(|| Targets::new().with_default(Level::INFO));
    let is_pretty = match env.get("LOG_FORMAT") {
        Some("json") => false,
        Some("pretty") => true,
        None => io::stdout().is_terminal(),
        Some(_) => return Err(EnvError::new("LOG_FORMAT", "must be json or pretty")),
    };
    let layer = fmt_layer::layer().with_writer(Batched::default());
    let layer = if is_pretty {
        let has_colors = io::stdout().is_terminal() && env.get("NO_COLOR").is_none();
        layer.event_format(Pretty { has_colors }).boxed()
    } else {
        layer.event_format(JsonLines).boxed()
    };
    let (exported, lines) = collector::is_wanted(env, collector::LOGS).then(export::queue).unzip();
    let exported = exported.map(|writer| {
        let layer = fmt_layer::layer().with_writer(writer).event_format(JsonLines);
        layer.with_filter(filter.clone())
    });
    let log = tracing_subscriber::registry().with(layer.with_filter(filter)).with(exported);
    if log.try_init().is_ok() {
        writer::start();
        std::panic::set_hook(Box::new(|panic| {
            // Only a literal is safe to print: a formatted text may hold what a customer sent.
            let text = panic.payload().downcast_ref::<&str>().unwrap_or(&"see the location");
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(code.location = place, "panicked: {text}");
        }));
    }
    Ok(lines)
}

/// Formats an event as one JSON object: `timestamp`, `severity`, `message`, the fields beside them, the service, the
/// trace and its span, and the request's id where a proxy or a mesh gave it one.
struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        writer.write_str("{\"timestamp\":\"")?;
        CachedTime.format_time(&mut writer)?;
        writer.write_char('"')?;
        // At the very end of a thread there is no buffer any more.
        let mut object = JsonFields(MEMBERS.try_with(Cell::take).unwrap_or_default());
        object.put("severity", severity(event.metadata().level()));
        event.record(&mut object);
        if let Some(name) = RequestContext::with(|context| context.service.name) {
            object.put("service.name", name);
        }
        if let Some(trace_id) = trace_id() {
            object.put("trace_id", &trace_id);
        }
        if let Some(span_id) = RequestContext::with(|context| context.trace.span_id()).flatten() {
            object.put("span_id", &span_id);
        }
        if let Some(request_id) = request_id() {
            object.put("request_id", &request_id);
        }
        object.0.extend_from_slice(b"}\n");
        // JSON is text.
        let written = writer.write_str(str::from_utf8(&object.0).unwrap_or_default());
        object.0.clear();
        let _ = MEMBERS.try_with(|members| members.set(object.0));
        written
    }
}

thread_local! {
    /// The buffer for the members of a line; taken while a line is formatted.
    static MEMBERS: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

fn severity(level: &Level) -> &'static str {
    match *level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        Level::DEBUG | Level::TRACE => "debug",
    }
}

/// The members of a JSON object after its first.
struct JsonFields(Vec<u8>);

impl JsonFields {
    fn put(&mut self, name: &str, value: impl Serialize) {
        // A name is a path of Rust identifiers, with nothing to escape.
        self.0.extend_from_slice(b",\"");
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
        // Writing to a buffer does not fail, and a field is always JSON.
        let _ = serde_json::to_writer(&mut self.0, &value);
    }
}

impl Visit for JsonFields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field.name(), Debugged(value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field.name(), value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field.name(), value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field.name(), value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field.name(), value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field.name(), value);
    }
}

/// A value's debug form as text.
struct Debugged<'a>(&'a dyn fmt::Debug);

impl Serialize for Debugged<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{:?}", self.0))
    }
}

/// Formats an event for people: time, level, service, message, and the fields.
struct Pretty {
    has_colors: bool,
}

impl<S, N> FormatEvent<S, N> for Pretty
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let level = *event.metadata().level();
        let color = match level {
            Level::ERROR => "\x1b[31m",
            Level::WARN => "\x1b[33m",
            Level::INFO => "\x1b[32m",
            Level::DEBUG | Level::TRACE => "\x1b[34m",
        };
        let [color, dim, reset] =
            if self.has_colors { [color, "\x1b[2m", "\x1b[0m"] } else { [""; 3] };
        let mut time = String::new();
        CachedTime.format_time(&mut Writer::new(&mut time))?;
        // The time of day, to the millisecond.
        let time = time.get(11..23).unwrap_or(&time);
        let mut fields = PrettyFields::default();
        event.record(&mut fields);
        let service = RequestContext::with(|context| context.service.name).unwrap_or_default();
        write!(writer, "{dim}{time}{reset} {color}{level:<5}{reset} ")?;
        if !service.is_empty() {
            write!(writer, "{dim}{service}:{reset} ")?;
        }
        writeln!(writer, "{}{dim}{}{reset}", fields.message, fields.others)
    }
}

/// The fields of an event, the message apart.
#[derive(Default)]
struct PrettyFields {
    message: String,
    others: String,
}

impl Visit for PrettyFields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail. A control character would let a value change the terminal.
        let text: String =
            format!("{value:?}").chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        if field.name() == "message" {
            self.message = text;
        } else {
            let _ = write!(self.others, " {}={text}", field.name());
        }
    }
}

/// The time of an event in RFC 3339 to the microsecond. All but the fraction is formatted once a second.
struct CachedTime;

#[derive(Default)]
struct Clock {
    /// Since 1970, once there is one.
    second: Option<u64>,
    /// `2026-11-24T20:47:00.`
    text: String,
}

thread_local! {
    static CLOCK: RefCell<Clock> = RefCell::default();
}

impl FormatTime for CachedTime {
    fn format_time(&self, writer: &mut Writer<'_>) -> fmt::Result {
        // At the very end of a thread there is none any more.
        CLOCK.try_with(|clock| clock.borrow_mut().format_time(writer)).unwrap_or(Ok(()))
    }
}

impl Clock {
    fn format_time(&mut self, writer: &mut Writer<'_>) -> fmt::Result {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut since = now();
        // Again if the second ended while it was formatted.
        while Some(since.as_secs()) != self.second {
            self.second = Some(since.as_secs());
            self.text.clear();
            Rfc3339.format_time(&mut Writer::new(&mut self.text))?;
            self.text.truncate(self.text.rfind('.').map_or(self.text.len(), |point| point + 1));
            since = now();
        }
        write!(writer, "{}{:06}Z", self.text, since.subsec_micros())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formatted(time: &mut impl FnMut(&mut Writer<'_>) -> fmt::Result) -> String {
        let mut text = String::new();
        time(&mut Writer::new(&mut text)).unwrap();
        text
    }

    #[test]
    fn time_is_right_in_this_second_and_in_others() {
        let now = || formatted(&mut |writer| Rfc3339.format_time(writer));
        let mut clock = Clock::default();
        for _ in 0..3 {
            let (before, line) = (now(), formatted(&mut |writer| clock.format_time(writer)));
            assert!(before <= line && line <= now(), "{before} {line}");
            assert_eq!(line.len(), before.len());
        }
        clock.second = clock.second.map(|second| second - 1);
        clock.text = clock.text.replace('T', "t");
        let line = formatted(&mut |writer| clock.format_time(writer));
        assert!(line <= now() && line.contains('T'));
    }
}
