//! The shop with mutual TLS on every edge.

use std::process::Command;

use boutique_test::{Authority, Process, Processes, binary, settings};

/// Settings with a certificate for the loopback address.
fn with_certificate(authority: &Authority) -> anyhow::Result<[(&'static str, String); 3]> {
    let own = authority.issue("127.0.0.1")?;
    Ok([
        ("TLS_CA_FILE", authority.root().display().to_string()),
        ("TLS_CERT_FILE", own.cert.display().to_string()),
        ("TLS_KEY_FILE", own.key.display().to_string()),
    ])
}

#[tokio::test]
async fn order_is_placed_with_mutual_tls_on_every_edge() -> anyhow::Result<()> {
    let authority = Authority::new()?;
    let files = with_certificate(&authority)?;
    let mut shop =
        Processes::ten_over_tls(&settings(files.each_ref().map(|(n, v)| (*n, v.as_str())))).await?;

    shop.visitor.add("OLJCESPC7Z", 2).await;
    let page = shop.visitor.check_out(&[]).await;
    assert_eq!(page.status, 200, "{}", page.body);
    assert!(page.body.contains("Your order is complete!"), "{}", page.body);

    // The probe of a container knows no certificate of its own.
    let payment = shop.addresses["PAYMENT_SERVICE_ADDR"].clone();
    let port = payment.rsplit(':').next().unwrap_or_default();
    let mut probe = Command::new(binary("paymentservice")?);
    assert!(probe.arg("healthcheck").env_clear().env("PORT", port).status()?.success());
    let said = shop.stop().await?;
    assert!(!said.contains("\"severity\":\"error\""), "{said}");
    Ok(())
}

/// Calls fail, the log says once why, and nothing goes out in plain text.
#[tokio::test]
async fn reason_of_a_failed_tls_connection_is_logged_once() -> anyhow::Result<()> {
    let (ours, theirs) = (Authority::new()?, Authority::new()?);
    let files = with_certificate(&ours)?;
    let shop =
        Processes::ten_over_tls(&settings(files.each_ref().map(|(n, v)| (*n, v.as_str())))).await?;
    let mut addresses = shop.addresses.clone();
    addresses.insert("TLS_CA_FILE".to_owned(), theirs.root().display().to_string());
    addresses.insert("TOKIO_WORKER_THREADS".to_owned(), "1".to_owned());
    let mut stranger = Process::start("frontend", &addresses)?;
    let mut visitor = shop.visitor.clone();
    visitor.base = format!("http://{}", stranger.address().await?);

    for _ in 0..5 {
        assert_eq!(visitor.get("/cart").await.status, 503);
    }

    stranger.signal("-TERM");
    let (status, said) = stranger.wait().await?;
    assert_eq!(status.code(), Some(0), "{said}");
    let cart = addresses["CART_SERVICE_ADDR"].trim_start_matches("https://");
    let reasons = said.lines().filter(|line| {
        line.contains(&format!("no TLS connection to {cart}"))
            && line.contains("invalid peer certificate")
    });
    assert_eq!(reasons.count(), 1, "{said}");
    // Once for each service that the page needs, and never with a call.
    let all = said.matches("invalid peer certificate").count();
    assert_eq!(all, said.matches("no TLS connection to ").count(), "{said}");
    shop.stop().await?;
    Ok(())
}
