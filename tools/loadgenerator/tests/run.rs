//! The load generator as a process, against a shop that the test plays.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::process::{Command, Output};

use axum::Router;
use axum::http::StatusCode;

/// Says everything that any page must say.
const RIGHT: &str = "Hot Products Add To Cart Cart (1) cart-summary-total-row cart \
                     Your order is complete! Tracking #";

fn load(answer: impl Fn() -> (StatusCode, &'static str) + Clone + Send + Sync + 'static) -> Output {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            let shop = Router::new().fallback(async move || answer());
            axum::serve(listener, shop).await
        })
    });
    Command::new(env!("CARGO_BIN_EXE_loadgenerator"))
        .args(["--frontend-addr", &address.to_string(), "--users", "5", "--rate", "1000"])
        .args(["--tasks", "200", "--wait-min", "0", "--wait-max", "0", "--seed", "1"])
        .output()
        .unwrap()
}

fn aggregated(output: &Output) -> String {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().rfind(|line| line.contains("Aggregated")).unwrap_or_default().to_owned()
}

#[test]
fn a_shop_that_answers_right_passes() {
    let output = load(|| (StatusCode::OK, RIGHT));
    assert_eq!(output.status.code(), Some(0));
    assert!(aggregated(&output).contains(" 0(0.00%) "), "{}", aggregated(&output));
}

#[test]
fn a_page_that_says_the_wrong_thing_fails() {
    let output = load(|| (StatusCode::OK, "Hot Products"));
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("the page does not say \"Add To Cart\""), "{text}");
}

#[test]
fn wrong_options_are_named() {
    for (name, value) in [("--users", "0"), ("--rate", "-1"), ("--wait-max", "0.5")] {
        let output = Command::new(env!("CARGO_BIN_EXE_loadgenerator"))
            .args(["--frontend-addr", "127.0.0.1:1", &format!("{name}={value}")])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{name}");
    }
}
