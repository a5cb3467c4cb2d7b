//! Metrics as text, read line by line.

/// One sample of the text that [`AdminView::metrics`](crate::AdminView::metrics) returns, and that an admin port serves.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample<'a> {
    /// The name of the series, as in `rpc_server_call_duration_seconds_count`.
    pub name: &'a str,
    /// Names and values of its labels.
    pub labels: Vec<(&'a str, String)>,
    /// The value.
    pub value: f64,
    /// The trace and the value of an exemplar.
    pub(super) exemplar: Option<(Vec<u8>, f64)>,
}

impl<'a> Sample<'a> {
    /// Parses `name{label="value",…} value`, with an exemplar or without. Returns `None` for a comment, and for what is
    /// none of ours.
    pub fn parse(line: &'a str) -> Option<Self> {
        if line.starts_with('#') {
            return None;
        }
        let (line, exemplar) = match line.split_once(" # {trace_id=\"") {
            Some((line, rest)) => (line, exemplar(rest)),
            None => (line, None),
        };
        let (series, value) = line.rsplit_once(' ')?;
        let (name, mut rest) = series.split_once('{').unwrap_or((series, ""));
        let mut labels = Vec::new();
        while let Some((label, after)) = rest.split_once("=\"") {
            let (value, after) = unescape(after)?;
            labels.push((label.trim_start_matches(','), value));
            rest = after;
        }
        Some(Self { name, labels, value: value.parse().ok()?, exemplar })
    }

    /// Returns the value of a label, if it has that.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

/// The value of a label up to its closing quote, and what comes after that.
fn unescape(text: &str) -> Option<(String, &str)> {
    let (mut value, mut letters) = (String::new(), text.char_indices());
    loop {
        match letters.next()? {
            (at, '"') => return Some((value, &text[at + 1..])),
            (_, '\\') => match letters.next()?.1 {
                'n' => value.push('\n'),
                letter => value.push(letter),
            },
            (_, letter) => value.push(letter),
        }
    }
}

/// Parses `<hex>"} value`.
fn exemplar(text: &str) -> Option<(Vec<u8>, f64)> {
    let (trace, rest) = text.split_once("\"} ")?;
    let trace = opentelemetry::trace::TraceId::from_hex(trace).ok()?;
    Some((trace.to_bytes().to_vec(), rest.split(' ').next()?.parse().ok()?))
}
