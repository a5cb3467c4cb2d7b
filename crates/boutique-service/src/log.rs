//! The process's log: one JSON line an event, in the shape of upstream's Go services. Lines of a thread
//! that runs services are written together: when it has nothing else to do, and at most every 10 ms.

use std::cell::RefCell;
use std::fmt;
use std::io::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime as Rfc3339};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::call::Call;
use crate::env::{Env, EnvError};

/// How much may wait to be written, in bytes, however busy the thread is.
const MOST_WAITING: usize = 16 * 1024;
/// How long lines may wait behind others that have just been written.
const LONGEST_WAIT: Duration = Duration::from_millis(10);

/// Lines that wait to be written.
struct Waiting {
    lines: Vec<u8>,
    /// Whether somebody writes them when this thread has nothing else to do.
    may_wait: bool,
    /// When this thread last wrote.
    written: Option<Instant>,
    /// Whether a task is there that writes what waits.
    has_writer: bool,
}

impl Waiting {
    fn write(&mut self) {
        if !self.lines.is_empty() {
            self.written = Some(Instant::now());
            write(&self.lines);
            self.lines.clear();
        }
    }
}

thread_local! {
    static WAITING: RefCell<Waiting> = const {
        RefCell::new(Waiting {
            lines: Vec::new(),
            may_wait: false,
            written: None,
            has_writer: false,
        })
    };
}

/// The time as lines begin with it. All but the microseconds is written once a second.
#[derive(Default)]
struct Clock {
    /// Since 1970, once there is one.
    second: Option<u64>,
    /// `{"timestamp":"2026-11-24T20:47:00.`
    text: String,
}

thread_local! {
    static CLOCK: RefCell<Clock> = RefCell::default();
}

impl Clock {
    fn write_to(&mut self, line: &mut Vec<u8>) {
        let now = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let mut since = now();
        // Again where the second ended while it was written.
        while Some(since.as_secs()) != self.second {
            self.second = Some(since.as_secs());
            self.text.clear();
            self.text.push_str("{\"timestamp\":\"");
            let _ = Rfc3339.format_time(&mut Writer::new(&mut self.text));
            self.text.truncate(self.text.rfind('.').map_or(self.text.len(), |point| point + 1));
            since = now();
        }
        let _ = write!(line, "{}{:06}Z\"", self.text, since.subsec_micros());
    }
}

/// Installs the log: `RUST_LOG` as a list of `target=level`, `info` by default. Where a log stands
/// already, as in tests, it stays.
pub(crate) fn install(env: &Env) -> Result<(), EnvError> {
    let filter = env
        .parse::<Targets>("RUST_LOG", "a list such as info or info,cartservice=debug")?
        .unwrap_or_else(|| Targets::new().with_default(Level::INFO));
    if tracing_subscriber::registry().with(JsonLines.with_filter(filter)).try_init().is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            // Only a literal is safe to print: a formatted text may hold what a customer sent.
            let text = panic.payload().downcast_ref::<&str>().unwrap_or(&"see the location");
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            tracing::error!(code.location = place, "panicked: {text}");
        }));
    }
    Ok(())
}

/// Lets this thread's lines wait for [`parked`] and [`flush`].
pub(crate) fn let_wait() {
    WAITING.with_borrow_mut(|waiting| waiting.may_wait = true);
}

/// This thread has nothing else to do: writes its lines that wait, or leaves them to a task where others
/// have just been written. A thread that is busy parks many thousand times a second.
pub(crate) fn parked() {
    WAITING.with_borrow_mut(|waiting| {
        if waiting.lines.is_empty() || waiting.has_writer {
            return;
        }
        if waiting.written.is_none_or(|written| written.elapsed() >= LONGEST_WAIT) {
            return waiting.write();
        }
        waiting.has_writer = true;
        tokio::spawn(async {
            tokio::time::sleep(LONGEST_WAIT).await;
            WAITING.with_borrow_mut(|waiting| {
                waiting.has_writer = false;
                waiting.write();
            });
        });
    });
}

/// Writes this thread's lines that wait.
pub(crate) fn flush() {
    // Not there any more at the very end of a thread, when nothing can wait either.
    let _ = WAITING.try_with(|waiting| waiting.borrow_mut().write());
}

fn write(lines: &[u8]) {
    // There is nobody left to tell when stdout is gone.
    let _ = std::io::stdout().lock().write_all(lines);
}

/// Writes each event as one line: `timestamp`, `severity`, `message`, the fields flat beside them, then
/// the service and the trace.
struct JsonLines;

impl<S: Subscriber> Layer<S> for JsonLines {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let level = *event.metadata().level();
        let mut line = Line(Vec::with_capacity(512));
        // Not there any more at the very end of a thread.
        let _ = CLOCK.try_with(|clock| clock.borrow_mut().write_to(&mut line.0));
        line.put("severity", severity(level));
        event.record(&mut line);
        if let Some(name) = Call::peek(|call| call.identity.name) {
            line.put("service.name", name);
        }
        if let Some(trace_id) = crate::call::trace_id() {
            line.put("trace_id", &trace_id);
        }
        line.0.extend_from_slice(b"}\n");
        keep(line.0, level <= Level::WARN);
    }
}

/// Lets a line wait, or writes it with those that wait.
fn keep(mut line: Vec<u8>, is_urgent: bool) {
    let kept = WAITING.try_with(|waiting| {
        let waiting = &mut *waiting.borrow_mut();
        waiting.lines.append(&mut line);
        if is_urgent || !waiting.may_wait || waiting.lines.len() >= MOST_WAITING {
            waiting.write();
        }
    });
    if kept.is_err() {
        // The thread is at its very end.
        write(&line);
    }
}

fn severity(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        Level::DEBUG | Level::TRACE => "debug",
    }
}

/// A JSON object that is being written.
struct Line(Vec<u8>);

impl Line {
    fn put(&mut self, name: &str, value: impl Serialize) {
        // A name is a path of Rust identifiers, with nothing to escape.
        self.0.extend_from_slice(if self.0.is_empty() { b"{\"" } else { b",\"" });
        self.0.extend_from_slice(name.as_bytes());
        self.0.extend_from_slice(b"\":");
        // A buffer takes everything, and text is always JSON.
        let _ = serde_json::to_writer(&mut self.0, &value);
    }
}

impl Visit for Line {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> String {
        let mut text = "{\"timestamp\":\"".to_owned();
        Rfc3339.format_time(&mut Writer::new(&mut text)).unwrap();
        text + "\""
    }

    #[test]
    fn a_line_begins_with_the_time_in_this_second_and_in_others() {
        let mut clock = Clock::default();
        for _ in 0..3 {
            let (before, mut line) = (now(), Vec::new());
            clock.write_to(&mut line);
            let line = String::from_utf8(line).unwrap();
            assert!(before <= line && line <= now(), "{before} {line}");
            assert_eq!(line.len(), before.len());
        }
        clock.second = clock.second.map(|second| second - 1);
        clock.text = clock.text.replace("T", "t");
        let mut line = Vec::new();
        clock.write_to(&mut line);
        assert!(line.as_slice() <= now().as_bytes() && line.contains(&b'T'));
    }
}
