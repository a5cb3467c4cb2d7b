//! Strangers who want all of the memory, or all of the connections: the process stays within its limit, and health is
//! answered whatever they do. A program of its own whose tests run one by one, because they keep all cores busy.

use std::time::Duration;

use boutique_test::{Process, allocated, connect, settings};
use bytes::Bytes;
use h2::client::SendRequest;
use http::Request;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

/// Held by the test that runs.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// An HTTP/2 preface with empty SETTINGS.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// Starts a process that may have 64 MiB, as its pod, and returns where it listens.
async fn start(name: &'static str, more: &[(&str, &str)]) -> anyhow::Result<(Process, String)> {
    let mut settings =
        settings([("PORT", "0"), ("LISTEN_ADDR", "127.0.0.1"), ("MEMORY_LIMIT", "64Mi")]);
    settings.extend(more.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    let mut process = Process::start(name, &settings)?;
    let address = process.address().await?;
    Ok((process, address))
}

/// The most that a process of the shop may allocate, in MiB, of the 64 MiB of its pod. The rest is for a delivered
/// binary's code, of which a few MiB are resident.
const MAX_MEMORY: u64 = 54;

async fn http2(address: &str) -> anyhow::Result<SendRequest<Bytes>> {
    let stream = TcpStream::connect(address).await?;
    let (client, connection) =
        h2::client::Builder::new().initial_max_send_streams(256).handshake(stream).await?;
    tokio::spawn(connection);
    Ok(client)
}

/// Opens a stream, sends what it may of so many chunks of a body that never ends, and holds it.
async fn hold(
    mut client: SendRequest<Bytes>,
    path: String,
    content_type: &'static str,
    chunks: usize,
) {
    let request = Request::post(path).header("content-type", content_type).body(());
    let Ok(request) = request else { return };
    let Ok((response, mut body)) = client.send_request(request, false) else { return };
    // A message of 16 MiB begins so.
    let chunk = Bytes::from([&[0, 1, 0, 0, 0][..], &[0; 16_000]].concat());
    for _ in 0..chunks {
        body.reserve_capacity(chunk.len());
        match std::future::poll_fn(|cx| body.poll_capacity(cx)).await {
            Some(Ok(room))
                if body.send_data(chunk.slice(..room.min(chunk.len())), false).is_ok() => {}
            _ => break,
        }
    }
    let _ = response.await;
}

async fn is_healthy(address: &str) -> bool {
    let ask = async {
        let Ok(channel) = connect(address) else { return false };
        HealthClient::new(channel).check(HealthCheckRequest::default()).await.is_ok()
    };
    tokio::time::timeout(Duration::from_secs(5), ask).await.unwrap_or(false)
}

/// Attacks with streams of this kind from so many connections; returns the most memory that the process had.
async fn flood(
    (process, address): (&Process, &str),
    connections: usize,
    (path, content_type): (&str, &'static str),
) -> anyhow::Result<u64> {
    let mut attack = tokio::task::JoinSet::new();
    for _ in 0..connections {
        let client = http2(address).await?;
        for _ in 0..250 {
            let url = format!("http://{address}{path}");
            attack.spawn(hold(client.clone(), url, content_type, 256));
        }
    }
    let mut most = 0;
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        most = most.max(allocated(process.pid())?);
        assert!(is_healthy(address).await, "{path}");
    }
    Ok(most)
}

#[tokio::test]
async fn bodies_of_strangers_stay_within_the_memory_of_the_pod() -> anyhow::Result<()> {
    let _alone = ALONE.lock().await;
    const GRPC: &str = "application/grpc";
    for (name, path, content_type) in [
        ("boutique", "/hipstershop.CartService/AddItem", GRPC),
        ("boutique", "/grpc.health.v1.Health/Check", GRPC),
        ("boutique", "/nothing", GRPC),
        ("boutique", "/cart/checkout", "application/x-www-form-urlencoded"),
        ("cartservice", "/hipstershop.CartService/AddItem", GRPC),
        ("cartservice", "/grpc.health.v1.Health/Check", GRPC),
        ("cartservice", "/grpc.health.v1.Health/Watch", GRPC),
    ] {
        let (process, address) = start(name, &[]).await?;
        let most = flood((&process, &address), 16, (path, content_type)).await?;
        println!("{name} {path}: {most} MiB");
        assert!(most < MAX_MEMORY, "{name} {path}: {most} MiB");
    }
    Ok(())
}

/// Headers that never end, on as many connections as there may be.
#[tokio::test]
async fn headers_of_strangers_stay_within_the_memory_of_the_pod() -> anyhow::Result<()> {
    let _alone = ALONE.lock().await;
    // A literal field with a value of 1 MB, of which it sends no more than a block can hold.
    let field = [&b"\0\x01a\x7f"[..], &[0xc1, 0x83, 0x3d], &[b'v'; 0x4000 - 7]].concat();
    let first = [&b"\0\x40\0\x01\0\0\0\0\x01"[..], &field].concat();
    let next = [&b"\0\x40\0\x09\0\0\0\0\x01"[..], &[b'v'; 0x4000]].concat();
    let http2 = [PREFACE, &first, &next.repeat(5)].concat();
    let http1 = [&b"GET / HTTP/1.1\r\nx: "[..], &[b'v'; 31 * 1024]].concat();
    for (name, headers) in [("adservice", &http2), ("boutique", &http2), ("boutique", &http1)] {
        let (process, address) = start(name, &[]).await?;
        let mut held = Vec::new();
        for _ in 0..1_100 {
            let mut stream = TcpStream::connect(&address).await?;
            // It may be told to go away before it has sent all.
            let _ = stream.write_all(headers).await;
            held.push(stream);
        }
        assert!(is_healthy(&address).await, "{name}");
        let memory = allocated(process.pid())?;
        println!("{name}: {memory} MiB");
        assert!(memory < MAX_MEMORY, "{name}: {memory} MiB");
    }
    Ok(())
}

/// Pages that are asked for and never read: neither by their streams' windows nor by the socket.
#[tokio::test]
async fn answers_that_nobody_reads_stay_within_the_memory_of_the_pod() -> anyhow::Result<()> {
    let _alone = ALONE.lock().await;
    // SETTINGS with an initial window of nothing, and of a megabyte.
    for window in [0_u32, 1 << 20] {
        let (process, address) = start("boutique", &[]).await?;
        let before = allocated(process.pid())?;
        let settings = [&b"\0\0\x06\x04\0\0\0\0\0\0\x04"[..], &window.to_be_bytes()].concat();
        let more = b"\0\0\x04\x08\0\0\0\0\0\x3f\0\0\0".to_vec();
        let mut attack = [&PREFACE[..24], &settings, &more].concat();
        for stream in 0..100_u32 {
            // GET http://a/ by HPACK's static table.
            let id = (2 * stream + 1).to_be_bytes();
            attack.extend([&b"\0\0\x06\x01\x05"[..], &id, b"\x82\x86\x84\x41\x01a"].concat());
        }
        let mut held = Vec::new();
        for _ in 0..50 {
            let mut stream = TcpStream::connect(&address).await?;
            let _ = stream.write_all(&attack).await;
            held.push(stream);
        }
        // Answered or not by now, the attack is as large as it gets.
        let mut most = 0;
        for _ in 0..20 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            most = most.max(allocated(process.pid())?);
        }
        // It has thousands of pages to make first.
        let began = std::time::Instant::now();
        while !is_healthy(&address).await {
            assert!(began.elapsed() < Duration::from_secs(60), "{window}");
        }
        most = most.max(allocated(process.pid())?);
        println!("window {window}: {before} to {most} MiB");
        assert!(most < MAX_MEMORY, "{window}: {before} to {most} MiB");
    }
    Ok(())
}

#[tokio::test]
async fn idle_connections_give_way_to_new_ones() -> anyhow::Result<()> {
    let _alone = ALONE.lock().await;
    for (name, hello) in
        [("adservice", PREFACE), ("boutique", b"GET /_healthz HTTP/1.1\r\nhost: x\r\n\r\n")]
    {
        let (process, address) = start(name, &[("MAX_CONNECTIONS", "64")]).await?;
        let mut idle = Vec::new();
        for _ in 0..300 {
            let mut stream = TcpStream::connect(&address).await?;
            stream.write_all(hello).await?;
            assert!(stream.read(&mut [0; 1024]).await? > 0, "it is answered");
            idle.push(stream);
        }
        assert!(is_healthy(&address).await);
        let mut closed = 0;
        for stream in &mut idle {
            let mut rest = Vec::new();
            let end =
                tokio::time::timeout(Duration::from_millis(20), stream.read_to_end(&mut rest));
            closed += usize::from(end.await.is_ok());
        }
        assert!((300 - 64..300).contains(&closed), "{name}: {closed}");
        let told = process.output().matches("no room for more connections").count();
        assert_eq!(told, 1, "{}", process.output());
    }
    Ok(())
}

#[tokio::test]
async fn health_is_answered_where_every_connection_is_busy() -> anyhow::Result<()> {
    let _alone = ALONE.lock().await;
    let (_process, address) = start("cartservice", &[("MAX_CONNECTIONS", "8")]).await?;
    let mut busy = tokio::task::JoinSet::new();
    let refused = async || {
        let mut client = http2(&address).await?.ready().await?;
        let request = Request::post(format!("http://{address}/hipstershop.CartService/GetCart"))
            .header("content-type", "application/grpc")
            .body(())?;
        let response = client.send_request(request, true)?.0.await?;
        let status = response.headers().get("grpc-status").cloned();
        anyhow::Ok(status.is_some_and(|status| status == "14"))
    };
    // One that has not begun its call yet gives way, so there are more until all places are taken.
    let until = tokio::time::Instant::now() + Duration::from_secs(8);
    while !refused().await? {
        assert!(tokio::time::Instant::now() < until, "all others are busy");
        let (client, address) = (http2(&address).await?, address.clone());
        let path = format!("http://{address}/hipstershop.CartService/AddItem");
        busy.spawn(hold(client, path, "application/grpc", 1));
    }
    for _ in 0..100 {
        assert!(is_healthy(&address).await);
    }
    Ok(())
}

/// Frames that carry no request and ask for work: each flood ends, and nobody else notices.
#[tokio::test]
async fn floods_of_control_frames_are_told_to_go_away() -> anyhow::Result<()> {
    let _alone = ALONE.lock().await;
    let (_process, address) = start("adservice", &[]).await?;
    for (name, frame) in [
        ("PING", &b"\0\0\x08\x06\0\0\0\0\0\0\0\0\0\0\0\0\0"[..]),
        ("SETTINGS", b"\0\0\0\x04\0\0\0\0\0"),
        ("PRIORITY", b"\0\0\x05\x02\0\0\0\0\x01\0\0\0\0\x10"),
        ("WINDOW_UPDATE", b"\0\0\x04\x08\0\0\0\0\0\0\0\0\x01"),
        ("unknown", b"\0\0\x01\xfa\0\0\0\0\0x"),
    ] {
        let stream = TcpStream::connect(&address).await?;
        let (mut reading, mut writing) = stream.into_split();
        let drain = tokio::spawn(async move {
            let mut answers = Vec::new();
            // A reset is an end too.
            let _ = reading.read_to_end(&mut answers).await;
            answers
        });
        writing.write_all(PREFACE).await?;
        let frames = frame.repeat(500);
        let flood = async {
            // What the sockets hold is taken without being read.
            while writing.write_all(&frames).await.is_ok() && !drain.is_finished() {
                tokio::task::yield_now().await;
            }
        };
        let ended = tokio::time::timeout(Duration::from_secs(10), flood).await;
        assert!(ended.is_ok(), "{name}: the flood goes on");
        let answers = drain.await?;
        // GOAWAY is frame type 7, on stream 0; a reset may have taken it along.
        let is_told = answers.windows(6).any(|bytes| bytes == [0x07, 0, 0, 0, 0, 0]);
        println!("{name}: GOAWAY {is_told}");
        assert!(is_healthy(&address).await, "{name}");
    }
    Ok(())
}
