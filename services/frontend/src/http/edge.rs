//! A request as the visitor's browser sent it: its origin, its scheme and its client address, told by the request itself
//! or, with `TRUST_PROXY`, by the proxies before the shop.

mod forwarded;
mod origin;

use std::net::IpAddr;

use ::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::extract::Request;
use boutique_service::Peer;

use self::forwarded::Forwarded;
use self::origin::{Authority, Origin, Scheme};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The browser's side of a request, as far as it is known.
#[derive(Debug)]
pub(crate) struct Edge {
    /// `None` if unknown: a proxy that is not trusted may have terminated TLS.
    scheme: Option<Scheme>,
    authority: Option<Authority>,
    client: Option<IpAddr>,
}

impl Edge {
    /// Reads a request that came through this many trusted proxies.
    pub(crate) fn of(request: &Request, proxies: usize) -> Self {
        let headers = request.headers();
        let peer = request.extensions().get::<Peer>();
        let is_tls = peer.is_some_and(|peer| peer.is_tls);
        // A header of HTTP/1, a part of the URI of HTTP/2.
        let own = request.uri().authority().map(|authority| authority.as_str());
        let own = own.or_else(|| text(headers, &header::HOST)).and_then(Authority::parse);
        let edge = Self {
            scheme: is_tls.then_some(Scheme::Https),
            authority: own,
            client: peer.map(|peer| peer.address),
        };
        if proxies == 0 { edge } else { edge.through(&Forwarded::of(headers, proxies)) }
    }

    /// Replaces what the proxies know better.
    fn through(self, forwarded: &Forwarded) -> Self {
        let mut authority = forwarded.authority.clone().or(self.authority);
        if let (Some(authority), Some(port)) = (&mut authority, forwarded.port) {
            authority.port = Some(port);
        }
        Self {
            scheme: forwarded.scheme.or(self.scheme),
            authority,
            client: forwarded.client.or(self.client),
        }
    }

    /// Returns true if the browser's side is certainly TLS.
    pub(crate) fn is_https(&self) -> bool {
        self.scheme == Some(Scheme::Https)
    }

    /// Returns the whole URL of a path of the shop, for those who read pages elsewhere; with http where the scheme is not
    /// known.
    pub(crate) fn url(&self, path: &str) -> Option<String> {
        let Authority { host, port } = self.authority.as_ref()?;
        let scheme = if self.is_https() { "https" } else { "http" };
        let port = port.map(|port| format!(":{port}")).unwrap_or_default();
        Some(format!("{scheme}://{host}{port}{path}"))
    }

    /// Returns the client's address.
    pub(crate) fn client(&self) -> Option<IpAddr> {
        self.client
    }

    /// Returns true if `origin` (RFC 6454) is the shop's own. An unknown scheme matches either.
    fn is_origin(&self, origin: &Origin) -> bool {
        let Some(own) = &self.authority else { return false };
        self.scheme.is_none_or(|scheme| scheme == origin.scheme)
            && own.host == origin.host
            && own.port.unwrap_or(origin.scheme.default_port()) == origin.port
    }

    /// Returns true if a browser says that another site made it send this. Clients that say nothing of the kind, such
    /// as load generators, pass.
    pub(crate) fn is_cross_site(&self, headers: &HeaderMap) -> bool {
        if headers.contains_key(SEC_FETCH_SITE) {
            return !matches!(text(headers, &SEC_FETCH_SITE), Some("same-origin" | "none"));
        }
        headers.contains_key(header::ORIGIN)
            && !text(headers, &header::ORIGIN)
                .and_then(Origin::parse)
                .is_some_and(|origin| self.is_origin(&origin))
    }

    /// Returns true if a link of another site led here, as far as browsers tell.
    pub(crate) fn is_cross_site_link(&self, headers: &HeaderMap) -> bool {
        let by_referer =
            || headers.contains_key(header::REFERER) && self.own_path(headers).is_none();
        self.is_cross_site(headers) || (!headers.contains_key(SEC_FETCH_SITE) && by_referer())
    }

    /// Returns the path and query of the page of ours that the visitor comes from.
    pub(crate) fn own_path<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let referer = text(headers, &header::REFERER)?;
        let after_scheme = referer.find("://")? + 3;
        let path = referer[after_scheme..].find('/').map(|at| after_scheme + at)?;
        let (origin, path) = referer.split_at(path);
        let is_ours = Origin::parse(origin).is_some_and(|origin| self.is_origin(&origin));
        let is_plain = path.bytes().all(|b| b.is_ascii_graphic());
        (is_ours && is_plain && !path.starts_with("//")).then_some(path)
    }
}

/// The only value of a header; several are as good as none.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter().map(HeaderValue::to_str);
    let first = values.next()?.ok()?;
    values.next().is_none().then(|| first.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(proxies: usize, headers: &[(&str, &str)]) -> (Edge, HeaderMap) {
        let mut request = Request::builder().uri("/cart").body(axum::body::Body::empty()).unwrap();
        for (name, value) in headers {
            let name: HeaderName = name.parse().unwrap();
            request.headers_mut().append(name, value.parse().unwrap());
        }
        let peer = Peer { address: IpAddr::from([10, 0, 0, 9]), is_tls: false };
        request.extensions_mut().insert(peer);
        (Edge::of(&request, proxies), request.headers().clone())
    }

    fn is_cross_site(proxies: usize, headers: &[(&str, &str)]) -> bool {
        let (edge, headers) = edge(proxies, headers);
        edge.is_cross_site(&headers)
    }

    #[test]
    fn origin_of_the_request_itself_is_compared_as_an_origin() {
        for (host, origin, is_ours) in [
            ("shop.example", "http://shop.example", true),
            ("shop.example", "http://shop.example:80", true),
            ("shop.example:80", "http://shop.example", true),
            ("Shop.Example", "http://shop.example", true),
            // TLS ended before us, and nobody says so.
            ("shop.example", "https://shop.example", true),
            ("shop.example:443", "https://shop.example", true),
            ("shop.example:80", "https://shop.example", false),
            ("shop.example", "http://shop.example:8080", false),
            ("shop.example:8080", "http://shop.example:8080", true),
            ("shop.example:8080", "http://shop.example", false),
            ("shop.example", "http://evil.example", false),
            ("shop.example", "http://shop.example.evil.example", false),
            ("shop.example", "http://user@shop.example", false),
            ("[::1]:8080", "http://[::1]:8080", true),
            ("[::1]:8080", "http://[0:0:0:0:0:0:0:1]:8080", true),
            ("127.0.0.1", "http://127.0.0.1", true),
            ("shop.example", "null", false),
            ("shop.example", "", false),
            ("shop.example", "shop.example", false),
            ("shop.example", "ftp://shop.example", false),
            ("shop.example", "http://shop.example/", false),
            ("shop.example:99999", "http://shop.example", false),
            ("frontend", "http://shop.example", false),
        ] {
            let found = is_cross_site(0, &[("host", host), ("origin", origin)]);
            assert_eq!(found, !is_ours, "{host} {origin}");
            // Fetch metadata, which no script can forge, decides where it is.
            for (site, is_cross) in
                [("same-origin", false), ("none", false), ("same-site", true), ("cross-site", true)]
            {
                let headers = [("host", host), ("origin", origin), ("sec-fetch-site", site)];
                assert_eq!(is_cross_site(0, &headers), is_cross, "{site}");
            }
        }
        assert!(!is_cross_site(0, &[("host", "shop.example")]));
        let twice = [("host", "a"), ("origin", "http://a"), ("origin", "http://a")];
        assert!(is_cross_site(0, &twice));
    }

    #[test]
    fn trusted_proxies_tell_the_public_origin() {
        let http = ("origin", "http://shop.example");
        let https = ("origin", "https://shop.example");
        let odd = ("origin", "http://shop.example:8080");
        for (origin, told, is_ours) in [
            (http, &[("x-forwarded-host", "shop.example")][..], true),
            (https, &[("x-forwarded-host", "shop.example"), ("x-forwarded-proto", "https")], true),
            (http, &[("x-forwarded-host", "shop.example"), ("x-forwarded-proto", "https")], false),
            (https, &[("x-forwarded-host", "shop.example"), ("x-forwarded-port", "443")], true),
            (odd, &[("x-forwarded-host", "shop.example:8080")], true),
            (odd, &[("x-forwarded-host", "shop.example"), ("x-forwarded-port", "8080")], true),
            (
                odd,
                &[("x-forwarded-host", "shop.example, inner"), ("x-forwarded-port", "8080, 80")],
                true,
            ),
            (http, &[("x-forwarded-host", "inner"), ("x-forwarded-host", "shop.example")], false),
            (http, &[("forwarded", "host=shop.example")], true),
            (
                http,
                &[("forwarded", "for=192.0.2.1;host=shop.example;proto=http, for=10.0.0.1")],
                true,
            ),
            (odd, &[("forwarded", "Proto=http;Host=\"shop.example:8080\"")], true),
            (
                https,
                &[("forwarded", "for=\"[2001:db8::1]:1\";host=shop.example;proto=https")],
                true,
            ),
            (http, &[("forwarded", "host=shop.example;proto=https")], false),
            (
                http,
                &[("forwarded", "host=evil.example"), ("x-forwarded-host", "shop.example")],
                false,
            ),
            (http, &[("forwarded", "proto=http"), ("x-forwarded-host", "shop.example")], true),
            (http, &[("forwarded", ";;=,\""), ("x-forwarded-host", "shop.example")], true),
            (http, &[("x-forwarded-host", "a b")], false),
            (http, &[], false),
        ] {
            let headers: Vec<_> = [&[("host", "frontend"), origin], told].concat();
            assert_eq!(is_cross_site(1, &headers), !is_ours, "{origin:?} {told:?}");
            // Whoever is not a trusted proxy says nothing of it.
            assert!(is_cross_site(0, &headers), "{origin:?} {told:?}");
        }
        // A proxy that keeps the name and drops the port.
        let kept = [("host", "shop.example"), odd, ("x-forwarded-port", "8080")];
        assert!(!is_cross_site(1, &kept));
    }

    #[test]
    fn scheme_is_the_first_that_proxies_tell() {
        for (value, is_https) in [
            ("https", true),
            ("HTTPS", true),
            ("https, http", true),
            ("https,http", true),
            ("http, https", false),
            ("", false),
            ("httpsx", false),
        ] {
            let headers = [("host", "shop.example"), ("x-forwarded-proto", value)];
            assert_eq!(edge(1, &headers).0.is_https(), is_https, "{value}");
            assert!(!edge(0, &headers).0.is_https(), "{value}");
        }
    }

    #[test]
    fn client_is_the_address_that_the_outermost_trusted_proxy_saw() {
        for (proxies, name, value, client) in [
            (0, "x-forwarded-for", "192.0.2.1", "10.0.0.9"),
            (1, "x-forwarded-for", "192.0.2.1", "192.0.2.1"),
            (1, "x-forwarded-for", "6.6.6.6, 192.0.2.1", "192.0.2.1"),
            (2, "x-forwarded-for", "6.6.6.6, 192.0.2.1, 10.0.0.1", "192.0.2.1"),
            (2, "x-forwarded-for", "192.0.2.1", "192.0.2.1"),
            (1, "x-forwarded-for", "192.0.2.1:4711", "192.0.2.1"),
            (1, "x-forwarded-for", "2001:db8::1", "2001:db8::1"),
            (1, "x-forwarded-for", "[2001:db8::1]:4711", "2001:db8::1"),
            (1, "x-forwarded-for", "::ffff:192.0.2.1", "192.0.2.1"),
            (1, "x-forwarded-for", "unknown", "10.0.0.9"),
            (1, "x-forwarded-for", "", "10.0.0.9"),
            (1, "forwarded", "for=192.0.2.1;proto=http", "192.0.2.1"),
            (1, "forwarded", "for=6.6.6.6, for=\"[2001:db8::1]:1\"", "2001:db8::1"),
            (1, "forwarded", "for=_hidden", "10.0.0.9"),
        ] {
            let (edge, _) = edge(proxies, &[(name, value)]);
            assert_eq!(edge.client(), Some(client.parse().unwrap()), "{proxies} {name}: {value}");
        }
    }

    #[test]
    fn links_of_other_sites_are_told_apart() {
        for (headers, is_cross) in [
            (&[][..], false),
            (&[("referer", "http://shop.example/cart")], false),
            (&[("referer", "https://shop.example/cart?x=1")], false),
            (&[("referer", "http://evil.example/cart")], true),
            (&[("referer", "nonsense")], true),
            (&[("sec-fetch-site", "cross-site")], true),
            (&[("sec-fetch-site", "none"), ("referer", "http://evil.example/")], false),
        ] {
            let (edge, headers) = edge(0, &[&[("host", "shop.example")], headers].concat());
            assert_eq!(edge.is_cross_site_link(&headers), is_cross, "{headers:?}");
        }
    }
}
