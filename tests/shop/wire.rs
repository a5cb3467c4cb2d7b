//! Below the pages: raw bytes on the frontend's port and on a gRPC port. Whatever comes, the port
//! answers with the right code, closes what is not worth keeping, and serves the next.

use std::io::Write as _;
use std::time::{Duration, Instant};

use boutique_proto::services::SERVICES;
use boutique_service::{Env, ServerHandle};
use boutique_test::{connect, serve};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderValue, Request};
use http_body_util::{BodyExt as _, Full};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tower::ServiceExt as _;

use crate::open;
use boutique_test::{Processes, settings};

/// Sends bytes and answers everything that comes back until the other side closes.
async fn exchange(address: &str, bytes: &[u8]) -> anyhow::Result<(String, Duration)> {
    let began = Instant::now();
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(bytes).await?;
    let mut answer = Vec::new();
    // A reset is an end too.
    let _ = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await?;
    Ok((String::from_utf8_lossy(&answer).into_owned(), began.elapsed()))
}

/// A connection that says nothing more ends within 15 seconds, here with room for
/// a busy machine. All at once, because each takes its time.
#[tokio::test]
async fn a_peer_that_falls_silent_is_shown_the_door() -> anyhow::Result<()> {
    let (visitor, _shop, ..) = open(&Env::default()).await?;
    let web = visitor.base.trim_start_matches("http://").to_owned();
    let ads = serve(adservice::SERVICE, &Env::default(), adservice::routes).await?;
    let grpc = ads.address().unwrap().to_string();
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    let mut silent = tokio::task::JoinSet::new();
    for (id, address, sent, answer) in [
        (
            "a body that stops",
            &web,
            format!("POST /cart HTTP/1.1\r\nhost: x\r\n{form}content-length: 1000\r\n\r\na"),
            "HTTP/1.1 408 ",
        ),
        (
            "a chunked body that stops",
            &web,
            format!(
                "POST /cart HTTP/1.1\r\nhost: x\r\n{form}transfer-encoding: chunked\r\n\r\n1\r\na\r\n"
            ),
            "HTTP/1.1 408 ",
        ),
        ("nothing", &web, String::new(), ""),
        ("half a header", &web, "GET / HTTP/1.1\r\nhost: x\r\nx-half: ".to_owned(), ""),
        ("one letter", &web, "P".to_owned(), ""),
        ("nothing, by gRPC", &grpc, String::new(), ""),
        ("a preface alone", &grpc, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_owned(), ""),
        ("half a preface", &grpc, "PRI * HTTP/2.0\r\n".to_owned(), ""),
    ] {
        let address = address.clone();
        silent.spawn(async move { (id, exchange(&address, sent.as_bytes()).await, answer) });
    }
    while let Some(finished) = silent.join_next().await {
        let (id, answer, expected) = finished?;
        let (answer, took) = answer?;
        assert!(
            answer.starts_with(expected) && answer.is_empty() == expected.is_empty(),
            "{id}: {answer}"
        );
        assert!(took < Duration::from_secs(20), "{id}: {took:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_request_that_is_none_gets_the_right_code() -> anyhow::Result<()> {
    let (visitor, _shop, ..) = open(&Env::default()).await?;
    let web = visitor.base.trim_start_matches("http://").to_owned();
    let many: String = (0..101).map(|n| format!("x-{n}: 1\r\n")).collect();
    let close = "connection: close\r\n";
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    for (id, sent, status) in [
        ("header folded", format!("GET / HTTP/1.1\r\nhost: x\r\na: b\r\n c\r\n{close}\r\n"), "400"),
        ("header NUL", format!("GET / HTTP/1.1\r\nhost: x\r\na: b\0c\r\n{close}\r\n"), "400"),
        ("header no colon", format!("GET / HTTP/1.1\r\nhost: x\r\nabc\r\n{close}\r\n"), "400"),
        ("hosts: none", format!("GET / HTTP/1.1\r\n{close}\r\n"), "400"),
        ("hosts: two", format!("GET / HTTP/1.1\r\nhost: x\r\nhost: y\r\n{close}\r\n"), "400"),
        ("garbage", "\u{1}\u{2}\u{3}\r\n\r\n".to_owned(), "400"),
        ("long", format!("GET / HTTP/1.1\r\nhost: x\r\na: {}\r\n\r\n", "x".repeat(40_000)), "431"),
        ("many", format!("GET / HTTP/1.1\r\nhost: x\r\n{many}\r\n"), "431"),
        ("HTTP/1.0", "GET /_healthz HTTP/1.0\r\n\r\n".to_owned(), "200"),
        ("close", format!("GET /_healthz HTTP/1.1\r\nhost: x\r\n{close}\r\n"), "200"),
        (
            "large body",
            format!("POST /cart HTTP/1.1\r\nhost: x\r\n{form}content-length: 10485760\r\n\r\na="),
            "413",
        ),
        (
            "large body chunked",
            format!(
                "POST /cart HTTP/1.1\r\nhost: x\r\n{form}transfer-encoding: chunked\r\n\r\n20000\r\n{}",
                "x".repeat(0x20000)
            ),
            "413",
        ),
    ] {
        let (answer, took) = exchange(&web, sent.as_bytes()).await?;
        let found = answer.split(' ').nth(1).unwrap_or_default();
        assert_eq!(found, status, "{id}: {answer}");
        assert!(took < Duration::from_secs(8), "{id}: {took:?}");
    }

    let pipelined = "GET /_healthz HTTP/1.1\r\nhost: x\r\n\r\n".repeat(99)
        + "GET /_healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let (answer, _) = exchange(&web, pipelined.as_bytes()).await?;
    assert_eq!(answer.matches("HTTP/1.1 200 OK").count(), 100);
    Ok(())
}

#[tokio::test]
async fn the_frontend_answers_health_beside_its_pages() -> anyhow::Result<()> {
    let (visitor, _shop, ..) = open(&Env::default()).await?;
    let mut health = HealthClient::new(connect(visitor.base.trim_start_matches("http://"))?);
    let answer = health.check(HealthCheckRequest::default()).await?.into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);
    Ok(())
}

async fn carts() -> anyhow::Result<(Channel, ServerHandle)> {
    let running = serve(cartservice::SERVICE, &Env::default(), cartservice::routes).await?;
    Ok((connect(running.address().unwrap())?, running))
}

#[tokio::test]
async fn health_knows_its_own_names_and_no_others() -> anyhow::Result<()> {
    let (channel, running) = carts().await?;
    let mut health = HealthClient::new(channel);
    let about = |service: &str| HealthCheckRequest { service: service.to_owned() };

    for name in ["", "hipstershop.CartService", "cartservice", "liveness"] {
        let answer = health.check(about(name)).await?.into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{name}");
    }
    for name in ["hipstershop.AdService", "nobody"] {
        let refused = health.check(about(name)).await.unwrap_err();
        assert_eq!((refused.code(), refused.message()), (Code::NotFound, "service not registered"));
    }
    let mut known = health.watch(about("")).await?.into_inner();
    let unknown = health.watch(about("nobody")).await.unwrap_err();
    assert_eq!(unknown.code(), Code::NotFound);
    let mut alive = health.watch(about("liveness")).await?.into_inner();
    for watch in [&mut known, &mut alive] {
        assert_eq!(watch.message().await?.unwrap().status(), ServingStatus::Serving);
    }
    // A stream that is open, read or not, ends with the drain.
    let unread = health.watch(about("")).await?;
    let began = Instant::now();
    let stopping = tokio::spawn(running.stop());
    assert_eq!(known.message().await?.unwrap().status(), ServingStatus::NotServing);
    assert!(known.message().await?.is_none() && alive.message().await?.is_none());
    stopping.await?;
    assert!(began.elapsed() < Duration::from_secs(3));
    drop(unread);
    Ok(())
}

/// Sends bytes as the body of a call, and answers its status.
async fn call(
    channel: &Channel,
    path: &str,
    headers: &[(&'static str, HeaderValue)],
    body: Vec<u8>,
) -> Status {
    let mut request = Request::post(format!("http://carts{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(Full::from(body)))
        .unwrap();
    request
        .headers_mut()
        .extend(headers.iter().map(|(n, v)| (http::HeaderName::from_static(n), v.clone())));
    match channel.clone().oneshot(request).await {
        Err(error) => Status::from_error(error.into()),
        Ok(response) => {
            let (parts, body) = response.into_parts();
            let trailers = body.collect().await.unwrap().trailers().cloned();
            let status = Status::from_header_map(&trailers.unwrap_or(parts.headers));
            status.unwrap_or_else(|| Status::new(Code::Unknown, format!("HTTP {}", parts.status)))
        }
    }
}

/// A message with gRPC's five bytes before it.
fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap().to_be_bytes();
    [&[0], &length[..], message].concat()
}

/// A message compressed by gzip, with gRPC's five bytes before it.
fn compressed(message: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(message).unwrap();
    let mut frame = framed(&encoder.finish().unwrap());
    frame[0] = 1;
    frame
}

#[tokio::test]
async fn a_call_that_is_none_gets_the_right_code_and_the_connection_lives() -> anyhow::Result<()> {
    let (channel, _running) = carts().await?;
    let get = "/hipstershop.CartService/GetCart";
    let add = "/hipstershop.CartService/AddItem";
    let good = framed(b"\x0a\x01u");
    let deep = [vec![0x1b; 1_000], vec![0x1c; 1_000]].concat();
    let endless = [vec![0x1b; 100_000]].concat();
    let long = HeaderValue::from_str(&"x".repeat(100_000))?;
    let timeout = HeaderValue::from_static("nonsense");
    let gzip = vec![("grpc-encoding", HeaderValue::from_static("gzip"))];
    let snappy = vec![("grpc-encoding", HeaderValue::from_static("snappy"))];
    for (id, path, headers, body, codes) in [
        ("good", get, vec![], good.clone(), &[Code::Ok][..]),
        (
            "unknown method",
            "/hipstershop.CartService/Nothing",
            vec![],
            good.clone(),
            &[Code::Unimplemented],
        ),
        ("unknown method", "/nobody.Nothing/Nothing", vec![], good.clone(), &[Code::Unimplemented]),
        ("unknown method", "/", vec![], good.clone(), &[Code::Unimplemented]),
        (
            "large message",
            get,
            vec![],
            framed(&vec![0; 4 * 1024 * 1024 + 1]),
            &[Code::ResourceExhausted],
        ),
        ("malformed message: random", add, vec![], framed(&[0xff; 64]), &[Code::Internal]),
        ("malformed message: wire type", add, vec![], framed(b"\x08\x01"), &[Code::Internal]),
        (
            "malformed message: deep",
            add,
            vec![],
            framed(&deep),
            &[Code::Internal, Code::InvalidArgument],
        ),
        ("malformed message: endless", add, vec![], framed(&endless), &[Code::Internal]),
        ("invalid UTF-8", get, vec![], framed(b"\x0a\x02\xff\xfe"), &[Code::Internal]),
        ("messages: two", get, vec![], [good.clone(), good.clone()].concat(), &[Code::Internal]),
        ("messages: none", get, vec![], vec![], &[Code::Internal]),
        ("compressed", get, vec![], [&[1][..], &good[1..]].concat(), &[Code::Internal]),
        ("gzip", get, gzip.clone(), compressed(b"\x0a\x01u"), &[Code::Ok]),
        (
            "gzip bomb",
            get,
            gzip.clone(),
            compressed(&vec![0; 64 << 20]),
            &[Code::ResourceExhausted],
        ),
        ("gzip of nothing", get, gzip.clone(), [&[1][..], &good[1..]].concat(), &[Code::Internal]),
        ("gzip unused", get, gzip, good.clone(), &[Code::Ok]),
        ("snappy", get, snappy, compressed(b"\x0a\x01u"), &[Code::Unimplemented]),
        ("cut", get, vec![], good[..6].to_vec(), &[Code::Internal]),
        (
            "metadata: long",
            get,
            vec![("x-long", long)],
            good.clone(),
            &[Code::ResourceExhausted, Code::Internal, Code::Unavailable, Code::Unknown],
        ),
        (
            "metadata: base64",
            get,
            vec![("x-bin", HeaderValue::from_static("~~~"))],
            good.clone(),
            &[Code::Ok, Code::Internal],
        ),
        ("timeout", get, vec![("grpc-timeout", timeout)], good.clone(), &[Code::Ok]),
    ] {
        let status = call(&channel, path, &headers, body).await;
        assert!(codes.contains(&status.code()), "{id}: {status:?}");
        assert_eq!(call(&channel, get, &[], good.clone()).await.code(), Code::Ok, "after {id}");
    }
    Ok(())
}

/// By the shared layer of every service.
#[tokio::test]
async fn no_random_message_finds_a_panic() -> anyhow::Result<()> {
    use std::collections::hash_map::RandomState;
    use std::hash::BuildHasher as _;
    let shop = Processes::ten(&settings([])).await?;
    let random = RandomState::new();
    for service in SERVICES.iter().filter(|service| !service.methods.is_empty()) {
        let channel = connect(&shop.addresses[service.addr_key])?;
        for method in service.methods.iter().map(|method| method.path) {
            for round in 0..300_u64 {
                // Fields with plausible tags, lengths and numbers, nested now and then.
                let mut message = Vec::new();
                for step in 0..round % 12 {
                    let bits = random.hash_one((method, round, step)).to_le_bytes();
                    match bits[0] % 3 {
                        0 => message.extend([(bits[1] % 6 + 1) << 3, bits[2] & 0x7f]),
                        1 => message
                            .extend([&[(bits[1] % 6 + 1) << 3 | 2, 4][..], &bits[2..6]].concat()),
                        _ => message.extend(
                            [
                                &[(bits[1] % 6 + 1) << 3 | 2, 6, 0x10][..],
                                &[0xff, 0xff, 0xff, 0xff, bits[2] & 0x7f],
                            ]
                            .concat(),
                        ),
                    }
                }
                let status = call(&channel, method, &[], framed(&message)).await;
                assert_ne!(status.message(), "internal error", "{method} panics at {message:?}");
            }
        }
    }
    Ok(())
}

/// A kept connection gives back the memory that each of its requests held, though it is answered at once.
#[tokio::test]
async fn requests_of_a_kept_connection_hold_nothing_once_answered() -> anyhow::Result<()> {
    // A budget of 256 KiB, for all requests of the process.
    let env = Env::from([("MEMORY_LIMIT", "1Mi")]);
    let (mut visitor, _shop, ..) = open(&env).await?;
    let mut stream = TcpStream::connect(visitor.base.trim_start_matches("http://")).await?;
    let padding = "x".repeat(2000);
    let request = format!("GET /_healthz HTTP/1.1\r\nhost: x\r\nx-padding: {padding}\r\n\r\n");
    let mut received = vec![0; 4096];
    for number in 0..1000 {
        stream.write_all(request.as_bytes()).await?;
        let count = stream.read(&mut received).await?;
        let answer = String::from_utf8_lossy(&received[..count]);
        assert!(answer.starts_with("HTTP/1.1 200 "), "request {number}: {answer}");
    }
    assert_eq!(visitor.get("/").await.status, 200);
    Ok(())
}
