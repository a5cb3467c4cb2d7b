//! Settings: a snapshot of names and values, taken once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::file::read_text;

/// The longest secret in a file, in bytes.
const MAX_SECRET: usize = 64 * 1024;

/// A snapshot of settings under upstream's names. An empty value counts as absent.
#[derive(Clone, Default)]
pub struct Env {
    settings: BTreeMap<String, String>,
    /// Those that were said to be ignored.
    ignored: Arc<Mutex<BTreeSet<String>>>,
}

/// An invalid setting: its name and what is allowed, never its value, which may be a secret.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} {problem}")]
pub struct EnvError {
    name: String,
    problem: String,
}

impl EnvError {
    /// Makes an error of the setting `name`; `problem` continues after the name, as in `PORT must be a number`.
    pub fn new(name: &str, problem: impl fmt::Display) -> Self {
        Self { name: name.to_owned(), problem: problem.to_string() }
    }
}

/// The value of a setting that may be a secret, and may change where a file holds it.
pub struct Secret {
    value: String,
    /// The setting that it comes from.
    name: String,
    file: Option<PathBuf>,
}

impl Secret {
    /// The value as it was read last.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Reads the file again, where there is one, and keeps its value if `parse` can make something of it. Returns that,
    /// or `None` where nothing has changed; a file or a value that cannot be used is logged, without the value.
    pub fn reread<T>(&mut self, parse: impl FnOnce(&str) -> Result<T, String>) -> Option<T> {
        let file = self.file.as_ref()?;
        let value = read_secret(file);
        if value.as_ref().is_ok_and(|value| *value == self.value) {
            return None;
        }
        let parsed = value.and_then(|value| Ok((parse(&value)?, value)));
        match parsed {
            Ok((parsed, value)) => {
                tracing::info!("read {} again", self.name);
                self.value = value;
                Some(parsed)
            }
            Err(problem) => {
                tracing::warn!("{} {problem}; the value before it is kept", self.name);
                None
            }
        }
    }
}

fn read_secret(file: &Path) -> Result<String, String> {
    Ok(read_text(file, MAX_SECRET)?.trim().to_owned())
}

impl Env {
    /// Reads the process's environment.
    pub fn from_process() -> Self {
        let readable = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        let settings = std::env::vars_os().filter_map(readable).collect();
        Self { settings, ..Self::default() }
    }

    /// Returns the value of a setting, if it has one.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.settings.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Returns the value of a setting that must be set.
    pub fn require(&self, name: &str) -> Result<&str, EnvError> {
        self.get(name).ok_or_else(|| EnvError::new(name, "is not set"))
    }

    /// Returns the value of a setting that may be a secret: its own, or the content of the file that the setting with
    /// `_FILE` behind its name names, as Kubernetes and Docker mount secrets.
    pub fn secret(&self, name: &str) -> Result<Option<Secret>, EnvError> {
        let file_name = format!("{name}_FILE");
        let Some(file) = self.get(&file_name) else {
            let value = self.get(name).map(str::to_owned);
            return Ok(value.map(|value| Secret { value, name: name.to_owned(), file: None }));
        };
        if self.get(name).is_some() {
            return Err(EnvError::new(&file_name, format_args!("must not be set beside {name}")));
        }
        let file = PathBuf::from(file);
        let value = read_secret(&file).map_err(|problem| EnvError::new(&file_name, problem))?;
        let secret = Secret { value, name: file_name, file: Some(file) };
        Ok(Some(secret).filter(|secret| !secret.value.is_empty()))
    }

    /// Parses the value of a setting; `allowed` completes "`name` must be …".
    pub fn parse<T: FromStr>(&self, name: &str, allowed: &str) -> Result<Option<T>, EnvError> {
        match self.get(name).map(str::trim).map(str::parse) {
            None => Ok(None),
            Some(Ok(value)) => Ok(Some(value)),
            Some(Err(_)) => Err(EnvError::new(name, format_args!("must be {allowed}"))),
        }
    }

    /// Parses a switch: `1` or `true`, `0` or `false`.
    pub fn flag(&self, name: &str) -> Result<Option<bool>, EnvError> {
        match self.get(name).map(|value| value.trim().to_ascii_lowercase()).as_deref() {
            None => Ok(None),
            Some("1" | "true") => Ok(Some(true)),
            Some("0" | "false") => Ok(Some(false)),
            Some(_) => Err(EnvError::new(name, "must be 1 or true, 0 or false")),
        }
    }

    /// Parses a duration in Go's notation, which is upstream's: `5.5s`, `300ms`, `1h30m`.
    pub fn duration(&self, name: &str) -> Result<Option<Duration>, EnvError> {
        let parsed = self.get(name).map(|text| parse_duration(text.trim()));
        match parsed {
            None => Ok(None),
            Some(Some(duration)) => Ok(Some(duration)),
            Some(None) => Err(EnvError::new(name, "must be a duration such as 300ms, 5.5s or 48h")),
        }
    }

    /// Parses a number of bytes, at least a mebibyte, in Kubernetes' notation: `67108864`, `64Mi`, `64M`.
    pub fn bytes(&self, name: &str) -> Result<Option<usize>, EnvError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let bytes = parse_bytes(text.trim()).filter(|bytes| *bytes >= 1 << 20);
        let wrong = || EnvError::new(name, "must be at least a mebibyte, as in 67108864 or 64Mi");
        bytes.map(Some).ok_or_else(wrong)
    }

    /// Refuses settings of upstream's that ask for what this service does not have.
    pub fn refuse(&self, names: &[&str], why: &str) -> Result<(), EnvError> {
        match names.iter().find(|name| self.get(name).is_some()) {
            Some(name) => Err(EnvError::new(name, why)),
            None => Ok(()),
        }
    }

    /// Logs that a setting, or a part of it, is ignored: once, however many services of this process have it.
    pub(crate) fn warn_ignored(&self, name: &str, why: impl fmt::Display) {
        if self.ignored.lock().insert(name.to_owned()) {
            tracing::warn!("ignored {name}: {why}");
        }
    }

    /// Sets a value in this snapshot.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.settings.insert(name.to_owned(), value.into());
    }
}

impl<const N: usize> From<[(&str, &str); N]> for Env {
    fn from(settings: [(&str, &str); N]) -> Self {
        let owned = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self { settings: owned.into(), ..Self::default() }
    }
}

/// Names only: values may be secrets.
impl fmt::Debug for Env {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.settings.keys()).finish()
    }
}

/// Parses a number of bytes in Kubernetes' notation, such as `64Ki`.
pub(crate) fn parse_bytes(text: &str) -> Option<usize> {
    let units = [("Ki", 1 << 10), ("Mi", 1 << 20), ("Gi", 1 << 30), ("k", 1_000), ("M", 1_000_000)];
    let unit = units.iter().find_map(|(unit, size)| Some((text.strip_suffix(unit)?, *size)));
    let (digits, size) = unit.unwrap_or((text, 1));
    digits.parse::<usize>().ok()?.checked_mul(size)
}

/// Parses a duration in Go's notation, such as `300ms`, `5.5s` or `1h30m`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (value, tail) = rest.split_at(number);
        let unit = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return None,
        };
        let seconds = value.parse::<f64>().ok()? * seconds;
        total = total.checked_add(Duration::try_from_secs_f64(seconds).ok()?)?;
        rest = tail;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_gos_notation() {
        for (text, millis) in [
            ("0", Some(0)),
            ("5.5s", Some(5_500)),
            ("300ms", Some(300)),
            ("1h30m", Some(5_400_000)),
            ("48h", Some(172_800_000)),
            ("1.5h0.5s", Some(5_400_500)),
            ("5", None),
            ("s", None),
            ("-1s", None),
            ("5 s", None),
            ("1d", None),
            ("1e999999h", None),
            ("..s", None),
        ] {
            assert_eq!(parse_duration(text), millis.map(Duration::from_millis), "{text}");
        }
    }

    #[test]
    fn empty_value_counts_as_absent() {
        let env = Env::from([("PORT", ""), ("NAME", "x")]);
        assert_eq!(env.get("PORT"), None);
        assert_eq!(env.require("PORT").unwrap_err().to_string(), "PORT is not set");
        assert_eq!(env.get("NAME"), Some("x"));
    }

    #[test]
    fn error_names_the_setting_and_not_its_value() {
        let env = Env::from([("PORT", "hunter2"), ("GRPC_REFLECTION", "hunter2")]);
        let port = env.parse::<u16>("PORT", "a port, 0 to 65535").unwrap_err();
        assert_eq!(port.to_string(), "PORT must be a port, 0 to 65535");
        let flag = env.flag("GRPC_REFLECTION").unwrap_err();
        assert_eq!(flag.to_string(), "GRPC_REFLECTION must be 1 or true, 0 or false");
        assert!(!format!("{env:?}").contains("hunter2"));
    }
}
