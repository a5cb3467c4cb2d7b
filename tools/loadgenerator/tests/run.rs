//! The load generator as a process, against shops that the test plays.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use rustls::pki_types::PrivateKeyDer;
use serde_json::Value;

/// Says everything that any page must say, about an empty cart.
const RIGHT: &str = "Hot Products Add To Cart Cart (1) cart-summary-total-row cart";

/// A shop whose every answer this makes; the number counts the requests.
fn play(
    answer: impl Fn(usize, &str) -> (StatusCode, String) + Clone + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let requests = Arc::new(AtomicUsize::new(0));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let shop = Router::new().fallback(async move |request: Request| {
                answer(requests.fetch_add(1, Ordering::SeqCst), request.uri().path())
            });
            axum::serve(listener, shop).await
        })
    });
    address
}

fn command(address: &str, arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_loadgenerator"));
    command.env_clear().args(["--frontend-addr", address]).args(arguments.split_whitespace());
    command
}

fn load(address: impl std::fmt::Display, arguments: &str) -> Output {
    command(&address.to_string(), arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn ended(output: &Output, code: i32, saying: &str) {
    let text = text(output);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.contains(saying), "not {saying:?} but: {text}");
}

/// Browsing, where no order is at stake.
const BROWSE: &str =
    "--profile browse --users 5 --rate 1000 --tasks 200 --wait-min 0 --wait-max 0 --seed 1";

#[test]
fn a_shop_that_answers_right_passes() {
    let output = load(play(|_, _| (StatusCode::OK, RIGHT.to_owned())), BROWSE);
    ended(&output, 0, "held     every order was right");
    let all = text(&output);
    let all = all.lines().find(|line| line.contains("Aggregated")).unwrap();
    assert!(all.contains(" 200 ") && all.contains(" 0(0.00%) "), "{all}");
}

#[test]
fn a_page_that_says_the_wrong_thing_fails() {
    let shop = play(|_, _| (StatusCode::OK, "Hot Products".to_owned()));
    ended(&load(shop, BROWSE), 1, "the page does not say \"Add To Cart\"");
    ended(&load(shop, &format!("{BROWSE} --check status")), 0, "Aggregated");
}

#[test]
fn a_cart_that_holds_what_nobody_put_there_fails() {
    let page = format!("{RIGHT}<span class=\"cart-size-circle\">3</span>");
    let shop = play(move |_, _| (StatusCode::OK, page.clone()));
    ended(&load(shop, BROWSE), 1, "the cart holds 3 pieces too many");
}

#[test]
fn what_the_errors_may_be_is_said_before() {
    let shop = play(|number, _| match number % 10 {
        9 => (StatusCode::SERVICE_UNAVAILABLE, String::new()),
        _ => (StatusCode::OK, RIGHT.to_owned()),
    });
    ended(&load(shop, &format!("{BROWSE} --max-error-ratio 0.2")), 0, "status 503");
    ended(&load(shop, &format!("{BROWSE} --max-error-ratio 0.01")), 1, "MISSED   at most 1 %");
    ended(&load(shop, &format!("{BROWSE} --max-error-ratio 1 --p99 1ns")), 1, "MISSED   99 %");
}

#[test]
fn wrong_options_are_named() {
    for (arguments, saying) in [
        ("--users 0", "USERS"),
        ("--users 1000000", "USERS"),
        ("--rate -1", "RATE"),
        ("--rate NaN", "RATE"),
        ("--rps -5", "RPS"),
        ("--rps 0", "RPS"),
        ("--rps 10,20", "DURATION"),
        ("--rps 10 --find-capacity", "P99"),
        ("--duration 0", "DURATION"),
        ("--duration soon", "300ms or 90s"),
        ("--wait-max 0.5", "WAIT_MAX"),
        ("--items 0", "ITEMS"),
        ("--refusals 2", "REFUSALS"),
        ("--max-error-ratio 1.5", "MAX_ERROR_RATIO"),
        ("--profile checkuot", "must be one of shop, browse, checkout, checkout-grpc, page:home"),
        ("--rates-file /nowhere", "RATES_FILE"),
        ("--ca-file /nowhere", "CA_FILE"),
        ("--profile checkout-grpc", "CART_SERVICE_ADDR"),
    ] {
        ended(&load("127.0.0.1:1", arguments), 2, saying);
    }
    ended(&load("me@host:80", ""), 2, "FRONTEND_ADDR cannot be used");
    let mut nowhere = Command::new(env!("CARGO_BIN_EXE_loadgenerator"));
    ended(&nowhere.env_clear().output().unwrap(), 2, "FRONTEND_ADDR is not set");
}

#[test]
fn every_option_has_its_setting() {
    let shop = play(|_, _| (StatusCode::OK, RIGHT.to_owned()));
    let output = Command::new(env!("CARGO_BIN_EXE_loadgenerator"))
        .env_clear()
        .envs([("FRONTEND_ADDR", shop.to_string().as_str()), ("PROFILE", "page:home")])
        .envs([("RPS", "100,200"), ("DURATION", "300ms"), ("USERS", "7"), ("P99", "20s")])
        .output()
        .unwrap();
    ended(&output, 0, "step        200.0 requests/s: 60 requests");
}

#[test]
fn load_goes_nowhere_else() {
    let began = Instant::now();
    ended(&load("1.1.1.1:80", ""), 2, "--i-own-this-target");
    ended(&load("http://[2606:4700::1111]/", ""), 2, "--i-own-this-target");
    assert!(began.elapsed() < Duration::from_secs(10));
}

#[test]
fn a_shop_that_does_not_open_is_no_load() {
    let unreachable = load("127.0.0.1:1", "--wait-for-shop 600ms");
    ended(&unreachable, 2, "the shop did not open: cannot connect: Connection refused");
    let closed = play(|_, _| (StatusCode::SERVICE_UNAVAILABLE, String::new()));
    ended(&load(closed, "--wait-for-shop 600ms"), 2, "the shop did not open: status 503");

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let garbage = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.read(&mut [0; 1024]).unwrap();
            let _ = stream.write_all(b"220 mail.example ESMTP ready\r\n");
        }
    });
    let began = Instant::now();
    ended(&load(garbage, ""), 2, "the shop did not open: invalid HTTP");
    assert!(began.elapsed() < Duration::from_secs(20), "it does not wait for what will not come");
}

#[test]
fn an_answer_that_becomes_garbage_is_a_failure() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for (number, mut stream) in listener.incoming().flatten().enumerate() {
            let _ = stream.read(&mut [0; 1024]).unwrap();
            let _ = match number {
                0 => write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{RIGHT}",
                    RIGHT.len()
                ),
                number if number % 2 == 0 => write!(stream, "garbage\r\n"),
                _ => write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf"),
            };
        }
    });
    let arguments =
        "--profile page:home --check status --users 2 --tasks 20 --wait-min 0 --wait-max 0";
    let output = load(address, arguments);
    ended(&output, 1, "invalid HTTP");
    ended(&output, 1, "the answer ended early");
}

#[test]
fn latency_counts_from_when_a_request_was_due() {
    // Once, the whole shop stands still for a while.
    let shop = play(|number, _| {
        if number == 100 {
            std::thread::sleep(Duration::from_millis(500));
        }
        (StatusCode::OK, RIGHT.to_owned())
    });
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("load.json");
    let arguments =
        format!("--profile page:home --users 50 --rps 200 --duration 2s --json {}", file.display());
    ended(&load(shop, &arguments), 0, "Aggregated");

    let report: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(report["requests"], 400, "every request that was due was made");
    let p90 = report["latency_ms"]["p90"].as_f64().unwrap();
    let max = report["latency_ms"]["max"].as_f64().unwrap();
    // A quarter of the requests were due in that time. A closed loop would have sent one of them.
    assert!(p90 > 200.0 && max > 450.0, "p90 {p90}, max {max}");
    assert!(report["timeline"].as_array().unwrap().len() >= 2);
}

#[test]
fn an_interrupted_run_tells_what_there_was() {
    let (told, served) = std::sync::mpsc::channel();
    let shop = play(move |_, _| {
        let _ = told.send(());
        (StatusCode::OK, RIGHT.to_owned())
    });
    let folder = tempfile::tempdir().unwrap();
    let (json, html) = (folder.path().join("load.json"), folder.path().join("load.html"));
    for (end, code) in [("--duration 60s", 130), ("", 0)] {
        let arguments = format!(
            "--profile page:home --users 3 --rate 100 --wait-min 0 --wait-max 0.01 {end} --json {} --report {}",
            json.display(),
            html.display()
        );
        let load = command(&shop.to_string(), &arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // It is in the midst of it.
        for _ in 0..20 {
            served.recv().unwrap();
        }
        let pid = load.id().to_string();
        assert!(Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
        let output = load.wait_with_output().unwrap();

        ended(&output, code, "Aggregated");
        let report: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
        assert_eq!(report["interrupted"], code == 130);
        assert!(report["requests"].as_u64().unwrap() > 0);
        let page = std::fs::read_to_string(&html).unwrap();
        assert_eq!(page.contains("Interrupted before its end"), code == 130);
        assert_eq!(page.matches("<svg").count(), 4);
        assert!(!page.contains("src=") && !page.contains("href="), "it needs nothing but itself");
    }
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused() {
    let signed = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signed.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let config = Arc::new(config);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let config = config.clone();
            std::thread::spawn(move || {
                let mut session = rustls::ServerConnection::new(config).unwrap();
                let mut tls = rustls::Stream::new(&mut session, &mut stream);
                while tls.read(&mut [0; 4096]).is_ok_and(|read| read > 0) {
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{RIGHT}",
                        RIGHT.len()
                    );
                    tls.write_all(answer.as_bytes()).unwrap();
                }
            });
        }
    });
    let target = format!("https://localhost:{port}/");
    let began = Instant::now();
    ended(&load(&target, BROWSE), 2, "TLS error: invalid peer certificate");
    assert!(began.elapsed() < Duration::from_secs(20), "it does not wait for what will not come");

    let folder = tempfile::tempdir().unwrap();
    let authority = folder.path().join("ca.pem");
    std::fs::write(&authority, signed.cert.pem()).unwrap();
    ended(&load(&target, &format!("{BROWSE} --ca-file {}", authority.display())), 0, "Aggregated");
}
