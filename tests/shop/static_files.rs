//! Static files: compressed as the browser takes them, and kept as long as they are the same.

use std::io::Read as _;

use boutique_service::Env;
use boutique_test::{Answer, Visitor};
use http::header;
use http_body_util::Full;

use crate::open;

const STYLES: &str = "/static/styles/styles.css";

async fn get(visitor: &mut Visitor, path: &str, codings: &str) -> Answer {
    let request = visitor.request("GET", path).header("accept-encoding", codings);
    visitor.send(request.body(Full::default()).unwrap()).await
}

fn decode(coding: &str, bytes: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut decoded = Vec::new();
    match coding {
        "br" => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut decoded)?,
        "zstd" => zstd::Decoder::new(bytes)?.read_to_end(&mut decoded)?,
        "gzip" => flate2::read::GzDecoder::new(bytes).read_to_end(&mut decoded)?,
        _ => anyhow::bail!("{coding} is unknown"),
    };
    Ok(decoded)
}

#[tokio::test]
async fn texts_are_compressed_in_the_form_that_the_browser_takes() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;
    for path in [STYLES, "/static/scripts/shop.js", "/static/img/products/mug.svg"] {
        let plain = get(&mut visitor, path, "identity").await;
        assert_eq!(plain.header(header::CONTENT_ENCODING), "");
        let mut tags = vec![plain.header(header::ETAG).to_owned()];
        for (codings, coding) in [
            ("gzip, deflate, br, zstd", "br"),
            ("gzip, deflate, zstd", "zstd"),
            ("GZIP;q=0.5", "gzip"),
            ("br;q=0, gzip;q=1.0", "gzip"),
        ] {
            let answer = get(&mut visitor, path, codings).await;
            assert_eq!(answer.header(header::CONTENT_ENCODING), coding, "{path} {codings}");
            assert_eq!(answer.header(header::VARY), "accept-encoding");
            assert!(answer.bytes.len() < plain.bytes.len(), "{path} {coding}");
            assert_eq!(decode(coding, &answer.bytes)?, plain.bytes, "{path} {coding}");
            tags.push(answer.header(header::ETAG).to_owned());
        }
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), 4, "each form has a tag of its own");
    }
    for codings in ["", "br;q=0", "br;q=x", "brotli", "deflate", "\u{e9}"] {
        let answer = get(&mut visitor, STYLES, codings).await;
        assert_eq!(answer.header(header::CONTENT_ENCODING), "", "{codings}");
    }
    let picture = get(&mut visitor, "/static/img/products/mug.jpg", "br, gzip").await;
    assert_eq!(picture.header(header::CONTENT_ENCODING), "", "it is compressed already");
    Ok(())
}

#[tokio::test]
async fn what_pages_link_to_is_kept_for_good() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;
    let home = visitor.get("/").await;
    let linked = format!("{STYLES}?v={}", home.between(&format!("{STYLES}?v="), "\""));
    for (path, caching) in [
        (linked.as_str(), "public, max-age=31536000, immutable"),
        // Of another version: during an update, or of a page that was open for long.
        (&format!("{STYLES}?v=0123456789abcdef"), "public, max-age=300"),
        (STYLES, "public, max-age=300"),
    ] {
        let answer = visitor.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header(header::CACHE_CONTROL), caching, "{path}");
    }
    Ok(())
}

/// Figures that the pages promise; what they are is printed.
#[tokio::test]
async fn home_page_is_small() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;
    let home = visitor.get("/").await;
    let links = home.body.split('"').filter(|text| text.starts_with("/static/"));
    // A browser that knows srcset does not load src.
    let links: std::collections::BTreeSet<_> =
        links.filter(|link| !link.ends_with(".jpg")).collect();
    let mut bytes = home.bytes.len();
    for link in &links {
        bytes += get(&mut visitor, link, "gzip, deflate, br, zstd").await.bytes.len();
    }
    println!("home page: {} requests, {bytes} bytes", links.len() + 1);
    assert!(links.len() > 10 && bytes < 250_000, "{links:?}: {bytes}");
    Ok(())
}
