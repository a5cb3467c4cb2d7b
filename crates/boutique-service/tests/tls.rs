//! TLS between services: with and without certificates of clients, over files that change, and with files that cannot be
//! used.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::time::{Duration, Instant};

use boutique_proto::ad_service_server::AdService;
use boutique_proto::{AdRequest, AdResponse, ad_service, services};
use boutique_service::{Channel, Env, Registry, Router, ServerHandle, ServiceSpec, client};
use boutique_test::{Authority, Visitor, connect, serve_router};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::{Code, Request, Response, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

const SPEC: ServiceSpec = services::AD;
type Ads = ad_service::Client<Channel>;

struct Echo;

#[tonic::async_trait]
impl AdService for Echo {
    async fn get_ads(&self, _: Request<AdRequest>) -> Result<Response<AdResponse>, Status> {
        Ok(Response::new(AdResponse::default()))
    }
}

async fn start(settings: &Env) -> anyhow::Result<ServerHandle> {
    serve_router(SPEC, settings, Router::grpc(ad_service::into_server(Echo))).await
}

/// A client of a service, by the name or address that its certificate is checked for.
fn ads(settings: &Env, scheme: &str, host: &str, running: &ServerHandle) -> anyhow::Result<Ads> {
    let mut env = settings.clone();
    let port = running.address().unwrap().port();
    env.set(SPEC.addr_key, format!("{scheme}{host}:{port}"));
    env.set("AD_TIMEOUT", "10s");
    Ok(client(&env, &Registry::default())?)
}

async fn code(ads: &Ads) -> Code {
    let answer = ads.get_ads(AdRequest::default()).await;
    answer.map_or_else(|status| status.code(), |_| Code::Ok)
}

#[tokio::test]
async fn call_needs_the_certificates_that_the_port_asks_for() -> anyhow::Result<()> {
    let (ours, theirs) = (Authority::new()?, Authority::new()?);
    let (server, by_address) = (ours.issue("localhost")?, ours.issue("127.0.0.1")?);
    let (peer, stranger) = (ours.issue("peer")?, theirs.issue("peer")?);
    let old = ours.issue_until("old", 2001)?;
    let stranger_who_trusts_us = {
        let mut env = theirs.settings(Some(&stranger));
        env.set("TLS_CA_FILE", ours.root().to_string_lossy());
        env
    };
    let one_way = |mut env: Env| {
        env.set("TLS_SERVER", "tls");
        env
    };
    let off = |mut env: Env| {
        env.set("TLS_SERVER", "off");
        env
    };
    let (mutual, tls) = (ours.settings(Some(&server)), one_way(ours.settings(Some(&server))));
    let with_address = ours.settings(Some(&by_address));
    let plain = off(ours.settings(Some(&server)));
    let (known, unknown) = (ours.settings(Some(&peer)), ours.settings(None));
    for (case, server, client, scheme, host, expected) in [
        ("mutual", &mutual, &known, "https://", "localhost", Code::Ok),
        ("mutual, by address", &with_address, &known, "https://", "127.0.0.1", Code::Ok),
        ("no certificate", &mutual, &unknown, "https://", "localhost", Code::Unavailable),
        (
            "a stranger's",
            &mutual,
            &stranger_who_trusts_us,
            "https://",
            "localhost",
            Code::Unavailable,
        ),
        ("one way", &tls, &unknown, "https://", "localhost", Code::Ok),
        ("another name", &mutual, &known, "https://", "127.0.0.1", Code::Unavailable),
        (
            "a root that is not known",
            &tls,
            &theirs.settings(None),
            "https://",
            "localhost",
            Code::Unavailable,
        ),
        ("the public roots", &tls, &Env::default(), "https://", "localhost", Code::Unavailable),
        ("plain text to TLS", &mutual, &known, "", "localhost", Code::Unauthenticated),
        ("plain text to one way", &tls, &known, "", "localhost", Code::Unauthenticated),
        ("TLS to plain text", &plain, &known, "https://", "localhost", Code::Unavailable),
        ("plain text to plain text", &plain, &known, "", "localhost", Code::Ok),
    ] {
        let running = start(server).await?;
        assert_eq!(code(&ads(client, scheme, host, &running)?).await, expected, "{case}");
    }
    assert!(start(&ours.settings(Some(&old))).await.is_err(), "an expired certificate");
    Ok(())
}

#[tokio::test]
async fn probes_need_no_certificate_and_everything_else_does() -> anyhow::Result<()> {
    let authority = Authority::new()?;
    let settings = authority.settings(Some(&authority.issue("localhost")?));
    let running = start(&settings).await?;
    let channel = connect(running.address().unwrap())?;
    HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await?;
    let mut plain = boutique_proto::ad_service_client::AdServiceClient::new(channel);
    let refused = plain.get_ads(AdRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);

    let pages = axum::Router::new()
        .route("/", axum::routing::get(async || "hello"))
        .route("/_healthz", axum::routing::get(async || "ok"));
    let router = Router::http(pages).with_probe("/_healthz".to_owned());
    let running = serve_router(ServiceSpec::unlisted("web", "WEB_ADDR"), &settings, router).await?;
    let mut visitor = Visitor::new(format!("http://{}", running.address().unwrap()));
    assert_eq!(visitor.get("/_healthz").await.status, 200);
    assert_eq!(visitor.get("/").await.status, 400);
    Ok(())
}

/// cert-manager writes a new certificate and then its key; new connections have the new ones.
#[tokio::test]
async fn files_are_read_again_when_they_change() -> anyhow::Result<()> {
    let authority = Authority::new()?;
    let files = authority.issue("localhost")?;
    let settings = authority.settings(Some(&files));
    let running = start(&settings).await?;
    assert_eq!(code(&ads(&settings, "https://", "localhost", &running)?).await, Code::Ok);

    // What cannot be used changes nothing.
    let before = std::fs::read(&files.cert)?;
    std::fs::write(&files.cert, "nothing")?;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let known = authority.settings(Some(&authority.issue("peer")?));
    assert_eq!(code(&ads(&known, "https://", "localhost", &running)?).await, Code::Ok);
    assert_ne!(std::fs::read(&files.cert)?, before);

    // The same files for another name: who asks for the old one is refused.
    let moved = authority.issue("elsewhere")?;
    std::fs::copy(&moved.cert, &files.cert)?;
    std::fs::copy(&moved.key, &files.key)?;
    let began = Instant::now();
    while code(&ads(&known, "https://", "localhost", &running)?).await == Code::Ok {
        assert!(began.elapsed() < Duration::from_secs(10), "the old certificate is still shown");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(())
}

/// A peer that begins a handshake and says no more holds nothing for long, and a plain one neither.
#[tokio::test]
async fn half_a_handshake_is_closed() -> anyhow::Result<()> {
    let authority = Authority::new()?;
    let running = start(&authority.settings(Some(&authority.issue("localhost")?))).await?;
    let began = Instant::now();
    let mut silent = Vec::new();
    for sent in [&[22_u8, 3, 1][..], &[22], &[]] {
        let mut stream = TcpStream::connect(running.address().unwrap()).await?;
        stream.write_all(sent).await?;
        silent.push(stream);
    }
    for mut stream in silent {
        let _ = stream.read(&mut [0; 64]).await;
    }
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    Ok(())
}

#[tokio::test]
async fn unusable_setting_is_an_error_that_names_it_and_the_file() -> anyhow::Result<()> {
    let authority = Authority::new()?;
    let (own, other, old) = (
        authority.issue("localhost")?,
        authority.issue("other")?,
        authority.issue_until("old", 2001)?,
    );
    let text = |path: &std::path::Path| path.to_string_lossy().into_owned();
    let (cert, key, ca) = (text(&own.cert), text(&own.key), text(&authority.root()));
    let nowhere = "/does/not/exist".to_owned();
    for (settings, problem) in [
        (vec![("TLS_CERT_FILE", &cert)], "TLS_KEY_FILE is not set".to_owned()),
        (vec![("TLS_KEY_FILE", &key)], "TLS_CERT_FILE is not set".to_owned()),
        (
            vec![("TLS_CERT_FILE", &nowhere), ("TLS_KEY_FILE", &key)],
            "TLS_CERT_FILE must name a readable file: /does/not/exist".to_owned(),
        ),
        (
            vec![("TLS_CERT_FILE", &cert), ("TLS_KEY_FILE", &nowhere)],
            "TLS_KEY_FILE must name a readable file: /does/not/exist".to_owned(),
        ),
        (vec![("TLS_CA_FILE", &nowhere)], "TLS_CA_FILE must name a readable file".to_owned()),
        (
            vec![("TLS_CERT_FILE", &key), ("TLS_KEY_FILE", &key)],
            format!("TLS_CERT_FILE must name usable PEM: {key}: it holds no PEM certificates"),
        ),
        (
            vec![("TLS_CERT_FILE", &cert), ("TLS_KEY_FILE", &cert)],
            format!("TLS_KEY_FILE must name usable PEM: {cert}: it holds no PEM private key"),
        ),
        (
            vec![("TLS_CERT_FILE", &cert), ("TLS_KEY_FILE", &text(&other.key))],
            "it is not the key of the certificate in TLS_CERT_FILE".to_owned(),
        ),
        (
            vec![("TLS_CERT_FILE", &text(&old.cert)), ("TLS_KEY_FILE", &text(&old.key))],
            "certificate expired".to_owned(),
        ),
        (vec![("TLS_CA_FILE", &key)], "TLS_CA_FILE must name usable PEM".to_owned()),
        (vec![("TLS_SERVER", &"mtls".to_owned())], "TLS_CERT_FILE is not set".to_owned()),
        (
            vec![("TLS_SERVER", &"maybe".to_owned())],
            "TLS_SERVER must be off, tls or mtls".to_owned(),
        ),
        (
            vec![
                ("TLS_CERT_FILE", &cert),
                ("TLS_KEY_FILE", &key),
                ("TLS_SERVER", &"mtls".to_owned()),
            ],
            "TLS_CA_FILE is not set".to_owned(),
        ),
        (
            vec![
                ("TLS_CA_FILE", &ca),
                ("TLS_CERT_FILE", &cert),
                ("TLS_KEY_FILE", &key),
                ("TLS_SERVER", &"1".to_owned()),
            ],
            "TLS_SERVER must be off, tls or mtls".to_owned(),
        ),
    ] {
        let mut env = Env::default();
        for (name, value) in &settings {
            env.set(name, value.as_str());
        }
        let error = start(&env).await.unwrap_err();
        assert!(error.is::<boutique_service::EnvError>(), "{error}");
        assert!(error.to_string().contains(&problem), "{problem}: {error}");
    }
    Ok(())
}
