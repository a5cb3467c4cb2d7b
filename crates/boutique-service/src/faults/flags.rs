//! Flags of flagd: those of the OpenTelemetry demo that have a counterpart here become faults. Others are ignored.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use yaml_serde::Value;

use super::spec::Spec;

/// The flags that have a counterpart, each with its fault. `$percent` is the value of the flag as a share of requests,
/// `$seconds` as a duration, `$millis` as one in milliseconds, and `$kibibytes` as a size.
const COUNTERPARTS: &str = include_str!("flags.yaml");

/// A flag as flagd has it. What it would say for one request or another (`targeting`) is not evaluated.
#[derive(Deserialize)]
pub(super) struct Flag {
    #[serde(default)]
    state: String,
    #[serde(default)]
    variants: BTreeMap<String, Value>,
    #[serde(rename = "defaultVariant", default)]
    default_variant: Option<String>,
    #[serde(default)]
    targeting: Option<IgnoredAny>,
}

impl Flag {
    /// Returns the value of its default variant as a number; 0 is off.
    fn value(&self) -> f64 {
        let is_enabled = self.state.eq_ignore_ascii_case("enabled");
        let variant = self.default_variant.as_ref().filter(|_| is_enabled);
        match variant.and_then(|name| self.variants.get(name)) {
            Some(Value::Bool(true)) => 1.0,
            Some(Value::Number(number)) => number.as_f64().unwrap_or_default(),
            Some(_) | None => 0.0,
        }
    }
}

/// Returns the faults of the flags that are on, each under the name of its flag.
pub(super) fn faults(flags: &BTreeMap<String, Flag>) -> Result<Vec<Spec>, String> {
    if flags.is_empty() {
        return Ok(Vec::new());
    }
    let counterparts: BTreeMap<String, Value> =
        yaml_serde::from_str(COUNTERPARTS).map_err(|error| error.to_string())?;
    let mut faults = Vec::new();
    for (name, flag) in flags {
        let value = flag.value();
        let Some(fault) = counterparts.get(name).filter(|_| value > 0.0) else { continue };
        if flag.targeting.is_some() {
            tracing::warn!("the flag {name} is taken by its default variant, not by its targeting");
        }
        let fault = fill(fault, name, value);
        faults
            .push(yaml_serde::from_value(fault).map_err(|error| format!("flag {name}: {error}"))?);
    }
    Ok(faults)
}

/// Puts the value of a flag in the places of its fault that ask for it.
fn fill(fault: &Value, name: &str, value: f64) -> Value {
    let mut filled = yaml_serde::Mapping::new();
    filled.insert("name".into(), name.into());
    for (key, written) in fault.as_mapping().into_iter().flatten() {
        let written = match written.as_str() {
            Some("$percent") => Value::from(value * 100.0),
            Some("$seconds") => Value::from(format!("{value}s")),
            Some("$millis") => Value::from(format!("{value}ms")),
            Some("$kibibytes") => Value::from(format!("{value}Ki")),
            Some(_) | None => written.clone(),
        };
        filled.insert(key.clone(), written);
    }
    Value::Mapping(filled)
}
