//! The headers in which proxies tell of the original request: `Forwarded` (RFC 7239) and `X-Forwarded-*`.

use std::net::{IpAddr, SocketAddr};

use ::http::{HeaderMap, header};

use super::origin::{Authority, Scheme, parse_port};

/// The original request according to the proxies. Of a list, host and scheme are the first, which the browser used.
#[derive(Debug, Default)]
pub(super) struct Forwarded {
    pub(super) scheme: Option<Scheme>,
    pub(super) authority: Option<Authority>,
    pub(super) port: Option<u16>,
    pub(super) client: Option<IpAddr>,
}

impl Forwarded {
    /// Reads the headers. Each of the trusted proxies appended one address, so the client's is that many from the end;
    /// what stands before it anybody may have written.
    pub(super) fn of(headers: &HeaderMap, proxies: usize) -> Self {
        let standard = elements(headers);
        let first = |name: &str| list(headers, name).next();
        let said = |name: &str| value_of(standard.first()?, name);

        let told: Vec<String> = standard.iter().filter_map(|e| value_of(e, "for")).collect();
        let listed = || list(headers, "x-forwarded-for").collect();
        let addresses: Vec<String> = if told.is_empty() { listed() } else { told };
        let client = addresses.len().saturating_sub(proxies);

        let authority = said("host").and_then(|host| Authority::parse(&host));
        Self {
            scheme: said("proto")
                .or_else(|| first("x-forwarded-proto"))
                .and_then(|scheme| Scheme::parse(&scheme)),
            // A port beside it belongs to `X-Forwarded-Host` or `Host`, not to `Forwarded`, which has its own.
            port: match authority {
                Some(_) => None,
                None => first("x-forwarded-port").and_then(|port| parse_port(&port)),
            },
            authority: authority.or_else(|| Authority::parse(&first("x-forwarded-host")?)),
            client: addresses.get(client).and_then(|text| address(text)),
        }
    }
}

/// The values of a list that may be spread over several lines.
fn list(headers: &HeaderMap, name: &str) -> impl Iterator<Item = String> {
    let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
    let values = lines.flat_map(|line| line.split(','));
    values.map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

/// The elements of `Forwarded`, each with its parameters.
fn elements(headers: &HeaderMap) -> Vec<Vec<(String, String)>> {
    let lines = headers.get_all(header::FORWARDED).iter().filter_map(|line| line.to_str().ok());
    let elements = lines.flat_map(|line| split(line, ','));
    let pairs = |element: &str| {
        let pairs = split(element, ';').into_iter().filter_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            Some((name.trim().to_ascii_lowercase(), unquoted(value.trim())))
        });
        pairs.collect()
    };
    elements.map(|element| pairs(&element)).collect()
}

fn value_of(element: &[(String, String)], name: &str) -> Option<String> {
    element.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
}

/// Splits at a separator that is not inside a quoted string.
fn split(text: &str, separator: char) -> Vec<String> {
    let (mut parts, mut is_quoted, mut is_escaped) = (vec![String::new()], false, false);
    for c in text.chars() {
        if c == separator && !is_quoted {
            parts.push(String::new());
            continue;
        }
        if c == '"' && !is_escaped {
            is_quoted = !is_quoted;
        }
        is_escaped = c == '\\' && is_quoted && !is_escaped;
        if let Some(last) = parts.last_mut() {
            last.push(c);
        }
    }
    parts
}

/// A token, or the content of a quoted string.
fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return value.to_owned();
    };
    let (mut text, mut is_escaped) = (String::new(), false);
    for c in inner.chars() {
        if c == '\\' && !is_escaped {
            is_escaped = true;
        } else {
            is_escaped = false;
            text.push(c);
        }
    }
    text
}

/// An address with or without a port, in every notation that proxies use.
fn address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    let parsed: Option<IpAddr> = bare.parse().ok();
    let parsed = parsed.or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()));
    parsed.map(|address| address.to_canonical())
}
