//! The rules of pages: the form of a price, the currencies on offer, valid session ids,
//! forms ([`form`]), and pictures ([`picture`]).

pub(crate) mod form;
pub(crate) mod picture;

use boutique_money::{CurrencyCode, Money};
use ring::digest::{SHA256, digest};

/// The currencies in the menu, as upstream has them; others that have a rate may be chosen too.
const MENU: [&str; 6] = ["USD", "EUR", "CAD", "JPY", "GBP", "TRY"];

/// The session that everybody shares where that was asked for.
pub(crate) const SHARED_SESSION: &str = "12345678-1234-1234-1234-123456789123";

/// The sign before an amount.
pub(crate) fn symbol(code: &str) -> &'static str {
    match code {
        "JPY" => "¥",
        "EUR" => "€",
        "TRY" => "₺",
        "GBP" => "£",
        _ => "$",
    }
}

/// A price as every page writes it: two digits, cut and not rounded, whatever the currency.
pub(crate) fn price(money: Money) -> String {
    let sign = if money.is_negative() { "-" } else { "" };
    let symbol = symbol(money.currency_code().as_str());
    let units = money.units().unsigned_abs().to_string();
    let cents = money.nanos().unsigned_abs() / 10_000_000;
    // Joined, because a page has many prices and formatting takes several times as long.
    [sign, symbol, &units, if cents < 10 { ".0" } else { "." }, &cents.to_string()].concat()
}

/// The menu of currencies, in the order they are supported in.
pub(crate) fn menu(supported: &[String]) -> Vec<&str> {
    supported.iter().map(String::as_str).filter(|code| MENU.contains(code)).collect()
}

/// The currency a visitor asked for if there is a rate for it, else US dollars.
pub(crate) fn chosen(cookie: Option<&str>, supported: &[String]) -> CurrencyCode {
    let code = cookie.filter(|cookie| supported.iter().any(|code| code == cookie));
    code.and_then(|code| CurrencyCode::parse(code).ok()).unwrap_or(CurrencyCode::USD)
}

/// Returns true if this may be a session: a UUID, or one of the two names that upstream's probes send.
pub(crate) fn is_session(id: &str) -> bool {
    let is_uuid = id.len() == 36
        && id.bytes().enumerate().all(|(place, b)| match place {
            8 | 13 | 18 | 23 => b == b'-',
            _ => b.is_ascii_hexdigit(),
        });
    is_uuid || matches!(id, "x-readiness-probe" | "x-liveness-probe")
}

/// Twelve digits that tell sessions apart without giving them away.
pub(crate) fn short_hash(session: &str) -> String {
    let digest = digest(&SHA256, session.as_bytes());
    let digits = digest.as_ref().iter().take(6).flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

/// Returns the path with every `//`, `.` and `..` resolved and every needless percent-encoding decoded (RFC 3986, 6.2.2),
/// if that changes it.
pub(crate) fn cleaned(path: &str) -> Option<String> {
    let decoded = decode_unreserved(path);
    let text = decoded.as_deref().unwrap_or(path);
    let needs_it = text.split('/').skip(1).any(|part| matches!(part, "." | ".."))
        || text.contains("//")
        || !text.starts_with('/');
    if !needs_it {
        return decoded;
    }
    let mut parts = Vec::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let is_folder = ["/", "/.", "/.."].iter().any(|end| text.ends_with(end));
    let end = if is_folder && !parts.is_empty() { "/" } else { "" };
    Some(format!("/{}{end}", parts.join("/")))
}

/// Decodes letters, digits and `-._~`, which mean the same as they are, if there is one.
fn decode_unreserved(path: &str) -> Option<String> {
    let mut decoded = String::new();
    let mut rest = path;
    while let Some((before, after)) = rest.split_once('%') {
        let code = after.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push_str(before);
        rest = match code {
            Some(code) if code.is_ascii_alphanumeric() || b"-._~".contains(&code) => {
                decoded.push(char::from(code));
                &after[2..]
            }
            Some(_) | None => {
                decoded.push('%');
                after
            }
        };
    }
    decoded.push_str(rest);
    (decoded.len() != path.len()).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prices_have_a_sign_and_two_digits_that_are_cut() {
        for (code, units, nanos, text) in [
            ("USD", 19, 990_000_000, "$19.99"),
            ("EUR", 51, 269_349_846, "€51.26"),
            ("JPY", 6480, 445_820_534, "¥6480.44"),
            ("GBP", 44, 76_260_060, "£44.07"),
            ("TRY", 314, 9_387_000, "₺314.00"),
            ("CAD", 77, 560_272_444, "$77.56"),
            ("CHF", 1, 999_999_999, "$1.99"),
            ("USD", 0, -500_000_000, "-$0.50"),
        ] {
            assert_eq!(price(Money::try_new(code, units, nanos).unwrap()), text);
        }
    }

    #[test]
    fn a_currency_without_a_rate_is_us_dollars() {
        let supported = ["EUR", "USD", "CHF", "AED "].map(str::to_owned);
        for (cookie, code) in [
            (None, "USD"),
            (Some("EUR"), "EUR"),
            (Some("CHF"), "CHF"),
            (Some("XYZ"), "USD"),
            (Some(""), "USD"),
            (Some("eur"), "USD"),
            (Some("\"><script>"), "USD"),
            (Some("AED "), "USD"),
        ] {
            assert_eq!(chosen(cookie, &supported).as_str(), code, "{cookie:?}");
        }
        assert_eq!(menu(&supported), ["EUR", "USD"]);
    }

    #[test]
    fn a_session_is_a_uuid_or_a_probe() {
        assert!(is_session(SHARED_SESSION) && is_session("x-readiness-probe"));
        for id in ["", "x", "12345678-1234-1234-1234-12345678912", "x-probe", &"a".repeat(36)] {
            assert!(!is_session(id), "{id}");
        }
        assert_eq!(short_hash("a").len(), 12);
        assert_ne!(short_hash("a"), short_hash("b"));
    }

    #[test]
    fn a_path_is_cleaned_as_upstreams_router_does() {
        for (path, clean) in [
            ("/", None),
            ("/cart", None),
            ("/cart/", None),
            ("/a..b/.c", None),
            ("//", Some("/")),
            ("/cart//", Some("/cart/")),
            ("//evil.example/", Some("/evil.example/")),
            ("/a/../cart", Some("/cart")),
            ("/a/./b", Some("/a/b")),
            ("/../../x", Some("/x")),
            ("/base/.", Some("/base/")),
            ("/base/x/..", Some("/base/")),
            ("/%62ase/", Some("/base/")),
            ("/a/%2e%2E/cart", Some("/cart")),
            ("/product/a%2Fb%3f", None),
            ("/product/%", None),
            ("/product/%4", None),
            ("/product/%é", None),
            ("/product/%25%34", Some("/product/%254")),
        ] {
            assert_eq!(cleaned(path).as_deref(), clean, "{path}");
        }
    }
}
