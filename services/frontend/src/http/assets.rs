//! `/static`: style sheets, pictures and scripts, compiled in, and compressed when they were.

use ::http::{HeaderMap, StatusCode, Uri, header};
use axum::body::Body;
use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;

use super::plain::Plain;

/// A file below `/static`.
struct Asset {
    path: &'static str,
    /// Of its bytes, in hexadecimal digits.
    hash: &'static str,
    /// The path and query of the link that may be kept for good.
    link: &'static str,
    /// The link of the drawing that it was made of, if it is a picture that has one.
    drawing: Option<&'static str>,
    plain: &'static [u8],
    /// Compressed, where that is smaller.
    br: Option<&'static [u8]>,
    zstd: Option<&'static [u8]>,
    gzip: Option<&'static [u8]>,
}

/// All of them, sorted by the lengths of their paths, and by their paths.
static ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// The caching of a link with the file's hash in its query, which never means another file.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
const SHORT: &str = "public, max-age=300";

impl Asset {
    /// Returns the file with this path below `/static`.
    fn find(path: &str) -> Option<&'static Self> {
        let key = (path.len(), path);
        let place =
            ASSETS.binary_search_by_key(&key, |asset| (asset.path.len(), asset.path)).ok()?;
        ASSETS.get(place)
    }

    /// Chooses the smallest form that the client takes, and the name of its coding.
    fn encode(&self, headers: &HeaderMap) -> (Option<&'static str>, &'static [u8]) {
        for (coding, bytes) in [("br", self.br), ("zstd", self.zstd), ("gzip", self.gzip)] {
            if let Some(bytes) = bytes.filter(|_| takes(headers, coding)) {
                return (Some(coding), bytes);
            }
        }
        (None, self.plain)
    }
}

/// Returns the link to a file that may be kept for good, or the plain one where there is no such file; `path` begins with
/// `/static/`.
pub(crate) fn link<'a>(base_url: &'a str, path: &'static str) -> Plain<'a> {
    let asset = path.strip_prefix("/static/").and_then(Asset::find);
    Plain::link(base_url, asset.map_or(path, |asset| asset.link))
}

/// Returns the link to the drawing that a picture of ours was made of.
pub(crate) fn drawing<'a>(base_url: &'a str, picture: &str) -> Option<Plain<'a>> {
    let drawing = Asset::find(picture.strip_prefix("/static/")?)?.drawing?;
    Some(Plain::link(base_url, drawing))
}

/// Returns the style sheet of all pages.
#[cfg(debug_assertions)]
pub(crate) fn style_sheet() -> &'static str {
    let style_sheet = Asset::find("styles/styles.css").map_or(&[][..], |asset| asset.plain);
    std::str::from_utf8(style_sheet).unwrap_or_default()
}

pub(crate) async fn asset(Path(path): Path<String>, uri: Uri, headers: HeaderMap) -> Response {
    let Some(asset) = Asset::find(&path) else {
        return (StatusCode::NOT_FOUND, "404 page not found\n").into_response();
    };
    let (coding, bytes) = asset.encode(&headers);
    let tag = match coding {
        None => format!("\"{}\"", asset.hash),
        Some(coding) => format!("\"{}-{coding}\"", asset.hash),
    };
    let is_versioned = uri.query().and_then(|query| query.strip_prefix("v=")) == Some(asset.hash);
    let caching = [
        (header::ETAG, tag.clone()),
        (header::CACHE_CONTROL, if is_versioned { IMMUTABLE } else { SHORT }.to_owned()),
        (header::VARY, "accept-encoding".to_owned()),
    ];
    let known = headers.get(header::IF_NONE_MATCH).and_then(|known| known.to_str().ok());
    let is_known = known.is_some_and(|known| {
        let mut tags = known.split(',').map(|known| known.trim().trim_start_matches("W/"));
        tags.any(|known| known == "*" || known == tag)
    });
    if is_known {
        return (StatusCode::NOT_MODIFIED, caching).into_response();
    }
    let coding = coding.map(|coding| [(header::CONTENT_ENCODING, coding)]);
    let content_type = [(header::CONTENT_TYPE, content_type(&path))];
    (caching, content_type, coding, Body::from(Bytes::from_static(bytes))).into_response()
}

/// Returns true if the client takes this content coding.
fn takes(headers: &HeaderMap, coding: &str) -> bool {
    let mut lists = headers.get_all(header::ACCEPT_ENCODING).iter();
    let is_taken = |member: &str| {
        let (name, parameters) = member.split_once(';').unwrap_or((member, ""));
        let weight = parameters.trim().strip_prefix("q=").map_or(Ok(1.0), str::parse::<f32>);
        name.trim().eq_ignore_ascii_case(coding) && weight.is_ok_and(|weight| weight > 0.0)
    };
    lists.any(|list| list.to_str().is_ok_and(|list| list.split(',').any(is_taken)))
}

fn content_type(path: &str) -> &'static str {
    match path.rsplit('.').next() {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("jpg") => "image/jpeg",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some(_) | None => "application/octet-stream",
    }
}
