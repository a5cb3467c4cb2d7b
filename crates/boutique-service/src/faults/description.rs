//! A description of faults: YAML, or JSON, which is YAML.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

use super::flags::{self, Flag};
use super::spec::Spec;

/// The most faults of a process.
const MAX_FAULTS: usize = 200;

/// Parses a description: `faults`, a list of them, and `flags`, those of flagd. The error names the line and the reason.
pub(super) fn parse(text: &str) -> Result<Vec<Spec>, String> {
    let document: Document = yaml_serde::from_str(text).map_err(|error| error.to_string())?;
    let mut faults = document.faults;
    faults.extend(flags::faults(&document.flags)?);
    if faults.len() > MAX_FAULTS {
        return Err(format!("there are more than {MAX_FAULTS} faults"));
    }
    for (index, fault) in faults.iter().enumerate() {
        if faults[..index].iter().any(|other| other.name == fault.name) {
            return Err(format!("two faults have the name {:?}", fault.name));
        }
    }
    Ok(faults)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    faults: Vec<Spec>,
    #[serde(default)]
    flags: BTreeMap<String, Flag>,
    #[serde(rename = "$schema", default)]
    _schema: Option<IgnoredAny>,
    #[serde(rename = "$evaluators", default)]
    _evaluators: Option<IgnoredAny>,
    #[serde(rename = "metadata", default)]
    _metadata: Option<IgnoredAny>,
}
