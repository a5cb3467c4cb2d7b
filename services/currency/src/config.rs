//! The table of rates: the one compiled in, or the file that `RATES_FILE` names.

use std::path::Path;

use boutique_service::{Env, EnvError, read_text};
use serde_json::{Map, Value};

use crate::domain::{Rates, RatesError};

/// The European Central Bank's reference rates of early 2019, as upstream has them.
const RATES: &str = include_str!("../data/rates.json");
/// Far more than all currencies of the world need.
const MAX_FILE: usize = 64 * 1024;

pub(crate) fn rates(env: &Env) -> Result<Rates, EnvError> {
    let wrong = |problem: String| EnvError::new("RATES_FILE", problem);
    let text = match env.get("RATES_FILE") {
        None => RATES.to_owned(),
        Some(path) => read_text(Path::new(path), MAX_FILE).map_err(wrong)?,
    };
    parse(&text).map_err(|problem| {
        wrong(format!("must hold a JSON object of codes and decimal strings: {problem}"))
    })
}

fn parse(text: &str) -> Result<Rates, String> {
    let table: Map<String, Value> =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    let rows = table.iter().map(|(code, rate)| match rate {
        Value::String(rate) => Ok((code.as_str(), rate.clone())),
        Value::Number(rate) => Ok((code.as_str(), rate.to_string())),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => {
            Err(format!("{code} is not a decimal"))
        }
    });
    let rows = rows.collect::<Result<Vec<_>, _>>()?;
    let rates = Rates::try_new(rows.iter().map(|(code, rate)| (*code, rate.as_str())));
    rates.map_err(|error: RatesError| error.to_string())
}
