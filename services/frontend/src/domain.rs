//! What a page has to work out: how a price is written, which currencies are offered, which session
//! ids are good, and (in [`form`]) what a form may hold.

pub(crate) mod form;

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};

use boutique_money::{CurrencyCode, Money};

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
    let cents = money.nanos().unsigned_abs() / 10_000_000;
    let symbol = symbol(money.currency_code().as_str());
    format!("{sign}{symbol}{}.{cents:02}", money.units().unsigned_abs())
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

/// Whether this may be a session: a UUID, or one of the two names that upstream's probes send.
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
    let mut hasher = DefaultHasher::new();
    session.hash(&mut hasher);
    format!("{:012x}", hasher.finish() >> 16)
}

/// The path with every `//`, `.` and `..` resolved, if that changes it.
pub(crate) fn cleaned(path: &str) -> Option<String> {
    let needs_it = path.split('/').skip(1).any(|part| matches!(part, "." | ".."))
        || path.contains("//")
        || !path.starts_with('/');
    if !needs_it {
        return None;
    }
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    let end = if path.ends_with('/') && !parts.is_empty() { "/" } else { "" };
    Some(format!("/{}{end}", parts.join("/")))
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
        ] {
            assert_eq!(cleaned(path).as_deref(), clean, "{path}");
        }
    }
}
