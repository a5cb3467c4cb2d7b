//! The setting that holds the address of a service: one address or several.

use std::sync::Arc;

use crate::net::Target;

/// The addresses of a service: sets of equal ones, the preferred set first.
pub(super) type Tiers = Vec<Vec<Arc<Target>>>;

/// Parses addresses as [`Target`] has them. Calls are spread over those with a comma between them; those after a semicolon
/// are called when none of those before it answers. Either all are called over TLS or none is: `https://` before one of
/// them holds for those that say nothing.
pub(super) fn parse(setting: &str) -> Option<Tiers> {
    let texts = || setting.split([';', ',']).map(str::trim);
    let is_tls = texts().any(|text| text.starts_with("https://"));
    if is_tls && texts().any(|text| text.starts_with("http://")) {
        return None;
    }
    let target = |text: &str| {
        let target = Target::parse(text.trim(), None)?;
        Some(Arc::new(Target { is_tls, ..target }))
    };
    setting.split(';').map(|tier| tier.split(',').map(target).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn setting_has_sets_of_addresses() {
        for (setting, tiers, is_tls) in [
            ("a:1", &[&["a:1"][..]][..], false),
            ("a:1,b:2", &[&["a:1", "b:2"]], false),
            (" a:1 , b:2 ; c:3 ", &[&["a:1", "b:2"], &["c:3"]], false),
            ("dns:///a-headless:1;a:1", &[&["a-headless:1"], &["a:1"]], false),
            ("https://a:1,b:2;c:3", &[&["a:1", "b:2"], &["c:3"]], true),
            ("ipv4:10.0.0.1:1,10.0.0.2:1", &[&["10.0.0.1:1", "10.0.0.2:1"]], false),
        ] {
            let found = parse(setting).unwrap();
            let names: Vec<Vec<_>> =
                found.iter().map(|t| t.iter().map(|a| a.authority.as_str()).collect()).collect();
            assert_eq!(names, tiers, "{setting}");
            assert!(found.iter().flatten().all(|target| target.is_tls == is_tls), "{setting}");
        }
        for setting in ["", ",", "a:1,", ";a:1", "a:1,b", "https://a:1,http://b:1", "a:1 b:1"] {
            assert_eq!(parse(setting), None, "{setting}");
        }
    }
}
