//! The values in a description of faults, each parsed where it is read, so that an error has its line.

use std::time::{Duration, SystemTime};

use boutique_proto::services::{MethodSpec, SERVICES, ServiceSpec};
use http::{Method, StatusCode};
use prost_types::Timestamp;
use serde::Deserialize;
use tonic::Code;
use yaml_serde::Value;

use crate::env::{parse_bytes, parse_duration};
use crate::grpc::code_name;

/// The longest duration of a description.
const MAX_SPAN: Duration = Duration::from_secs(24 * 60 * 60);

/// A duration in Go's notation.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Span(pub(super) Duration);

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let span = parse_duration(&text).filter(|span| *span <= MAX_SPAN);
        let wrong = || format!("{text:?} is no duration of at most 24h, such as 300ms or 1m30s");
        span.map(Self).ok_or_else(wrong)
    }
}

/// A moment: so long after the fault was switched on, or at a time of the calendar.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) enum Moment {
    After(Duration),
    At(SystemTime),
}

impl TryFrom<String> for Moment {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if let Some(after) = parse_duration(&text) {
            return Ok(Self::After(after));
        }
        let time = text.parse::<Timestamp>().ok().and_then(|time| SystemTime::try_from(time).ok());
        let wrong = || {
            format!(
                "{text:?} is neither a duration such as 30s nor a time such as 2026-01-31T09:30:00Z"
            )
        };
        time.map(Self::At).ok_or_else(wrong)
    }
}

impl Moment {
    /// Returns true if it has come, for a fault that was switched on `since`.
    pub(super) fn has_come(self, since: SystemTime, now: SystemTime) -> bool {
        match self {
            Self::After(after) => since.checked_add(after).is_some_and(|moment| now >= moment),
            Self::At(moment) => now >= moment,
        }
    }
}

/// A number of bytes in Kubernetes' notation.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Size(pub(super) usize);

/// The most memory that one request may leave behind.
const MAX_SIZE: usize = 1 << 30;

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let bytes = parse_bytes(&text).filter(|bytes| (1..=MAX_SIZE).contains(bytes));
        bytes.map(Self).ok_or_else(|| format!("{text:?} is no size of at most 1Gi, such as 64Ki"))
    }
}

/// A share of requests, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(try_from = "f64")]
pub(super) struct Percentage(pub(super) f64);

impl TryFrom<f64> for Percentage {
    type Error = String;

    fn try_from(percent: f64) -> Result<Self, String> {
        let is_valid = (0.0..=100.0).contains(&percent);
        is_valid.then_some(Self(percent)).ok_or_else(|| format!("{percent} is not 0 to 100"))
    }
}

/// A method of the table of services.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Rpc(pub(super) &'static MethodSpec);

impl TryFrom<String> for Rpc {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let mut methods = SERVICES.iter().flat_map(|spec| spec.methods);
        let known = methods.find(|method| method.path.trim_start_matches('/') == text);
        let wrong = || format!("there is no RPC {text:?}; they are package.Service/Method");
        known.map(Self).ok_or_else(wrong)
    }
}

/// A service of the table.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Service(pub(super) &'static ServiceSpec);

impl TryFrom<String> for Service {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let known = SERVICES.iter().find(|spec| spec.name == text);
        known.map(Self).ok_or_else(|| format!("there is no service {text:?}"))
    }
}

/// HTTP requests: an optional method, and a path in which `{name}` is any one segment and a last `*` the rest.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Route {
    method: Option<Method>,
    path: String,
}

impl TryFrom<String> for Route {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no route such as /cart or GET /product/{{id}}");
        let (method, path) = match text.split_once(' ') {
            Some((method, path)) => (Some(method.parse().map_err(|_| wrong())?), path),
            None => (None, text.as_str()),
        };
        let is_path = path.starts_with('/') && !path.contains(char::is_whitespace);
        let path = path.to_owned();
        is_path.then_some(Self { method, path }).ok_or_else(wrong)
    }
}

impl Route {
    /// Returns true if a request with this method and path is one of them.
    pub(super) fn has(&self, method: &Method, path: &str) -> bool {
        if self.method.as_ref().is_some_and(|own| own != method) {
            return false;
        }
        let mut segments = path.split('/');
        for own in self.path.split('/') {
            let Some(segment) = segments.next() else { return false };
            match own {
                "*" => return true,
                own if own.starts_with('{') && own.ends_with('}') && !segment.is_empty() => {}
                own if own == segment => {}
                _ => return false,
            }
        }
        segments.next().is_none()
    }
}

impl std::fmt::Display for Route {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.method {
            Some(method) => write!(f, "{method} {}", self.path),
            None => f.write_str(&self.path),
        }
    }
}

/// The status that a request gets: a code of gRPC by its name, or a number of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Value")]
pub(super) enum FaultStatus {
    Grpc(Code),
    Http(StatusCode),
}

impl TryFrom<Value> for FaultStatus {
    type Error = String;

    fn try_from(written: Value) -> Result<Self, String> {
        if let Some(number) = written.as_u64() {
            let status = u16::try_from(number).ok().filter(|number| (400..600).contains(number));
            let status = status.and_then(|number| StatusCode::from_u16(number).ok());
            let wrong = || format!("{number} is no HTTP status of an error");
            return status.map(Self::Http).ok_or_else(wrong);
        }
        let name = written.as_str().unwrap_or_default();
        let known = (1..=16).map(Code::from).find(|code| code_name(*code) == name);
        let wrong = || format!("{name:?} is no status such as UNAVAILABLE or 503");
        known.map(Self::Grpc).ok_or_else(wrong)
    }
}

/// A delay: fixed, or by percentiles between which it is interpolated.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Value")]
pub(super) struct Delay {
    /// Shares of requests, rising from 0 to 1, with the longest delay of each.
    points: Vec<(f64, Duration)>,
}

impl TryFrom<Value> for Delay {
    type Error = String;

    fn try_from(written: Value) -> Result<Self, String> {
        let span = |value: &Value| match value.as_str() {
            Some(text) => Span::try_from(text.to_owned()).map(|Span(span)| span),
            None => {
                Err("a delay is a duration such as 300ms, or has some by percentile".to_owned())
            }
        };
        let Some(percentiles) = written.as_mapping() else {
            return span(&written).map(Self::fixed);
        };
        let mut points = vec![(0.0, Duration::ZERO)];
        for (name, delay) in percentiles {
            let (name, delay) = (name.as_str().unwrap_or_default(), span(delay)?);
            let percent = name.strip_prefix('p').and_then(|number| number.parse::<f64>().ok());
            let percent = percent.filter(|percent| (0.0..=100.0).contains(percent));
            let percent =
                percent.ok_or_else(|| format!("{name:?} is no percentile such as p99"))?;
            points.push((percent / 100.0, delay));
        }
        points.sort_by(|(one, _), (other, _)| one.total_cmp(other));
        if points.len() < 2 || !points.is_sorted_by_key(|(_, delay)| *delay) {
            return Err("the percentiles of a delay must not fall".to_owned());
        }
        let longest = points.last().map_or(Duration::ZERO, |(_, delay)| *delay);
        points.push((1.0, longest));
        Ok(Self { points })
    }
}

impl Delay {
    /// The same delay for every request.
    pub(super) fn fixed(delay: Duration) -> Self {
        Self { points: vec![(0.0, delay), (1.0, delay)] }
    }

    /// Returns the delay of a request with this rank, 0 to 1, among all.
    pub(super) fn at(&self, rank: f64) -> Duration {
        let above = self.points.iter().position(|(share, _)| *share >= rank).unwrap_or_default();
        let (high, longer) = self.points[above];
        let Some((low, shorter)) = above.checked_sub(1).map(|below| self.points[below]) else {
            return longer;
        };
        let part = if high > low { (rank - low) / (high - low) } else { 1.0 };
        shorter + (longer - shorter).mul_f64(part.clamp(0.0, 1.0))
    }
}
