//! A product's picture as a catalog names it: a path of this shop, or one that browsers may fetch elsewhere.

/// Shown where a product has no picture, or one that no browser should be sent to.
const PLACEHOLDER: &str = "/static/img/placeholder.svg";

/// A picture that can be shown.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Picture<'a> {
    /// A path below the base URL.
    Own(&'a str),
    /// A URL of another host, and the source expression that a Content-Security-Policy needs for it.
    Foreign { url: &'a str, source: String },
    /// A picture that is its own URL.
    Data(&'a str),
}

impl<'a> Picture<'a> {
    /// Parses a picture; what is none is the placeholder.
    pub(crate) fn parse(text: &'a str) -> Self {
        let text = text.trim();
        if text.starts_with('/') && !text.starts_with("//") {
            return Self::Own(text);
        }
        let lower = text.get(..11).unwrap_or(text).to_ascii_lowercase();
        if lower.starts_with("data:image/") {
            return Self::Data(text);
        }
        for (prefix, scheme) in [("https://", "https://"), ("http://", "http://"), ("//", "")] {
            if lower.starts_with(prefix) {
                return host(&text[prefix.len()..])
                    .map(|host| Self::Foreign { url: text, source: format!("{scheme}{host}") })
                    .unwrap_or(Self::Own(PLACEHOLDER));
            }
        }
        Self::Own(PLACEHOLDER)
    }

    /// Returns the value of `src`.
    pub(crate) fn src(&self, base_url: &str) -> String {
        match self {
            Self::Own(path) => [base_url, path].concat(),
            Self::Foreign { url, .. } | Self::Data(url) => (*url).to_owned(),
        }
    }

    /// Returns the source expression that `img-src` needs beside `'self'`.
    pub(crate) fn source(self) -> Option<String> {
        match self {
            Self::Own(_) => None,
            Self::Foreign { source, .. } => Some(source),
            Self::Data(_) => Some("data:".to_owned()),
        }
    }
}

/// The host and port at the start of the rest of a URL, if they can stand in a policy.
fn host(rest: &str) -> Option<String> {
    let host = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-.:[]".contains(&b);
    (!host.is_empty() && host.bytes().all(plain)).then(|| host.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_of_this_shop_others_and_none() {
        for (text, src, source) in [
            ("/static/img/products/mug.jpg", "/base/static/img/products/mug.jpg", None),
            (
                "https://cdn.example/mug.jpg",
                "https://cdn.example/mug.jpg",
                Some("https://cdn.example"),
            ),
            (
                "HTTPS://CDN.example:8443/a?b",
                "HTTPS://CDN.example:8443/a?b",
                Some("https://cdn.example:8443"),
            ),
            ("http://10.0.0.1", "http://10.0.0.1", Some("http://10.0.0.1")),
            ("http://[::1]:80/a", "http://[::1]:80/a", Some("http://[::1]:80")),
            ("//cdn.example/mug.jpg", "//cdn.example/mug.jpg", Some("cdn.example")),
            ("data:image/png;base64,AA==", "data:image/png;base64,AA==", Some("data:")),
        ] {
            let picture = Picture::parse(text);
            assert_eq!(picture.src("/base"), src, "{text}");
            assert_eq!(picture.source().as_deref(), source, "{text}");
        }
        for text in [
            "",
            " ",
            "mug.jpg",
            "javascript:alert(1)",
            "JavaScript:alert(1)",
            "data:text/html,<script>",
            "blob:x",
            "file:///etc/passwd",
            "ftp://cdn.example/a",
            "https://",
            "https:///a",
            "https://user@cdn.example/a",
            "https://cdn.example; script-src */a",
            "https://cdn.example,b/a",
            "https://*/a",
            "//'unsafe-inline'/a",
            "\" onload=\"alert(1)",
        ] {
            assert_eq!(Picture::parse(text), Picture::Own(PLACEHOLDER), "{text}");
        }
    }
}
