//! emailservice over its own wire, with a mail server that the test plays.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use boutique_proto::email_service_client::EmailServiceClient;
use boutique_proto::{
    Address, CartItem, Money, OrderItem, OrderResult, SendOrderConfirmationRequest,
};
use boutique_service::{Env, IdempotencyKey, ServerHandle};
use boutique_test::{Authority, RedisServer, connect, loopback, serve};
use emailservice::{SERVICE, routes};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tonic::transport::Channel;
use tonic::{Code, Request};

async fn email_with(settings: &Env) -> anyhow::Result<(EmailServiceClient<Channel>, ServerHandle)> {
    let running = serve(SERVICE, settings, routes).await?;
    Ok((EmailServiceClient::new(connect(running.address().unwrap())?), running))
}

fn usd(units: i64, nanos: i32) -> Option<Money> {
    Some(Money { currency_code: "USD".to_owned(), units, nanos })
}

fn item(product_id: &str, quantity: i32) -> OrderItem {
    let item = CartItem { product_id: product_id.to_owned(), quantity };
    OrderItem { item: Some(item), cost: usd(19, 990_000_000) }
}

fn request(street: &str, items: Vec<OrderItem>) -> SendOrderConfirmationRequest {
    let order = OrderResult {
        order_id: "0190a7c2-0000-7000-8000-000000000001".to_owned(),
        shipping_tracking_id: "QK-44123-224567890".to_owned(),
        shipping_cost: usd(8, 990_000_000),
        shipping_address: Some(Address {
            street_address: street.to_owned(),
            city: "Hoboken".to_owned(),
            state: "NJ".to_owned(),
            country: "United States".to_owned(),
            zip_code: 7030,
        }),
        items,
    };
    SendOrderConfirmationRequest { email: "someone@example.com".to_owned(), order: Some(order) }
}

/// Takes one mail the way a mail server does, or refuses it, and answers what it was told.
async fn receive_one(listener: TcpListener, take: bool) -> anyhow::Result<String> {
    let (stream, _) = listener.accept().await?;
    talk(stream, take).await
}

async fn talk(stream: TcpStream, take: bool) -> anyhow::Result<String> {
    let (reading, mut writing) = stream.into_split();
    let mut lines = BufReader::new(reading).lines();
    let mut session = String::new();
    writing.write_all(b"220 test\r\n").await?;
    let mut in_data = false;
    while let Some(line) = lines.next_line().await? {
        session.push_str(&line);
        session.push('\n');
        let answer: &[u8] = match line.as_str() {
            "." if in_data => {
                in_data = false;
                b"250 taken\r\n"
            }
            _ if in_data => continue,
            "DATA" => {
                in_data = true;
                b"354 go on\r\n"
            }
            "QUIT" => {
                writing.write_all(b"221 bye\r\n").await?;
                break;
            }
            line if line.starts_with("RCPT") && !take => b"550 no someone@example.com here\r\n",
            _ => b"250 fine\r\n",
        };
        writing.write_all(answer).await?;
    }
    Ok(session)
}

#[tokio::test]
async fn a_confirmation_reaches_the_mail_server_as_html_and_text() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("smtp://{}", listener.local_addr()?);
    let settings = Env::from([("SMTP_URL", url.as_str())]);
    let (mut email, _running) = email_with(&settings).await?;
    let mailbox = tokio::spawn(receive_one(listener, true));

    let items = vec![item("OLJCESPC7Z", 2), item("6E92ZMYYFZ", 1)];
    email.send_order_confirmation(request("1 <b>Main</b> St", items)).await?;

    let session = mailbox.await??;
    // What differs from mail to mail: host name, date, ids.
    let session: Vec<_> = session
        .lines()
        .map(|line| match line {
            line if line.starts_with("EHLO") => "EHLO …",
            line if line.starts_with("Date:") => "Date: …",
            line => line,
        })
        .collect();
    let mut session = session.join("\n");
    if let Some(boundary) = session.split("boundary=\"").nth(1).and_then(|s| s.split('"').next()) {
        let boundary = boundary.to_owned();
        session = session.replace(&boundary, "BOUNDARY");
    }
    insta::assert_snapshot!(session);
    Ok(())
}

/// The next mail goes where the file says by then; a file that cannot be used changes nothing.
#[tokio::test]
async fn the_server_in_a_file_is_read_again() -> anyhow::Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    let mut email = None;
    for ip in ["127.0.0.1", "[::1]"] {
        let listener = TcpListener::bind(format!("{ip}:0")).await?;
        std::fs::write(file.path(), format!("smtp://{}\n", listener.local_addr()?))?;
        let (email, _running) = match &mut email {
            Some(email) => email,
            none => {
                let path = file.path().to_str().unwrap_or_default();
                none.insert(email_with(&Env::from([("SMTP_URL_FILE", path)])).await?)
            }
        };
        let mailbox = tokio::spawn(receive_one(listener, true));
        email.send_order_confirmation(request("1 Main St", vec![])).await?;
        assert!(mailbox.await??.contains("RCPT TO"), "{ip}");
    }
    let (email, _running) = email.as_mut().unwrap_or_else(|| unreachable!());
    std::fs::write(file.path(), "ftp://hunter2@mail")?;
    let gone = email.send_order_confirmation(request("1 Main St", vec![])).await.unwrap_err();
    assert_eq!(gone.code(), Code::Unavailable, "the server before it ended");
    Ok(())
}

#[tokio::test]
async fn a_mail_that_is_not_taken_is_unavailable_and_names_nobody() -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("smtp://{}", listener.local_addr()?);
    let settings = Env::from([("SMTP_URL", url.as_str())]);
    let (mut email, _running) = email_with(&settings).await?;
    let mailbox = tokio::spawn(receive_one(listener, false));

    let refused = email.send_order_confirmation(request("1 Main St", vec![])).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    assert_eq!(refused.message(), "An error occurred when sending the email.");
    mailbox.abort();

    // Nobody listens there any more.
    let _ = mailbox.await;
    let gone = email.send_order_confirmation(request("1 Main St", vec![])).await.unwrap_err();
    assert_eq!(gone.code(), Code::Unavailable);
    Ok(())
}

/// Plays a mail server up to the login: what it offers before and after TLS, and the lines that it read in clear and
/// over TLS.
async fn offer(
    listener: TcpListener,
    offers: [&str; 2],
    tls: TlsAcceptor,
) -> anyhow::Result<[String; 2]> {
    let (mut stream, _) = listener.accept().await?;
    stream.write_all(b"220 test\r\n").await?;
    let clear = answer_until_starttls(&mut stream, offers[0]).await?;
    if !clear.ends_with("STARTTLS\n") {
        return Ok([clear, String::new()]);
    }
    let mut stream = tls.accept(stream).await?;
    let secret = answer_until_starttls(&mut stream, offers[1]).await?;
    Ok([clear, secret])
}

async fn answer_until_starttls(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    offers: &str,
) -> anyhow::Result<String> {
    let mut session = String::new();
    let mut lines = BufReader::new(stream).lines();
    // A client that goes away ends the session, too.
    while let Ok(Some(line)) = lines.next_line().await {
        session.push_str(&line);
        session.push('\n');
        let answer = match line.as_str() {
            "STARTTLS" => "220 go\r\n".to_owned(),
            line if line.starts_with("EHLO") => format!("250-test\r\n{offers}"),
            line if line.starts_with("AUTH") => "535 no\r\n".to_owned(),
            _ => "250 fine\r\n".to_owned(),
        };
        let stream = lines.get_mut().get_mut();
        stream.write_all(answer.as_bytes()).await?;
        stream.flush().await?;
        if line == "STARTTLS" {
            break;
        }
    }
    Ok(session)
}

#[tokio::test]
async fn a_password_goes_over_tls_where_the_server_offers_it() -> anyhow::Result<()> {
    const PASSWORD: &str = "AHUAaHVudGVyMg==";
    let authority = Authority::new()?;
    let certificate = authority.issue("localhost")?;
    let chain = CertificateDer::pem_file_iter(&certificate.cert)?.collect::<Result<_, _>>()?;
    let key = PrivateKeyDer::from_pem_file(&certificate.key)?;
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
    let tls = TlsAcceptor::from(Arc::new(config));
    let root = authority.root();

    for (offers, trusts, in_clear, over_tls) in [
        (["250-STARTTLS\r\n250 AUTH PLAIN\r\n", "250 AUTH PLAIN\r\n"], true, false, true),
        (["250-STARTTLS\r\n250 AUTH PLAIN\r\n", "250 AUTH PLAIN\r\n"], false, false, false),
        (["250 AUTH PLAIN\r\n", ""], true, true, false),
        (["250 AUTH GSSAPI\r\n", ""], true, false, false),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("smtp://u:hunter2@localhost:{}", listener.local_addr()?.port());
        let mut settings = Env::from([("SMTP_URL", url.as_str())]);
        if trusts {
            settings.set("SMTP_CA_FILE", root.to_string_lossy());
        }
        let (mut email, _running) = email_with(&settings).await?;
        let server = tokio::spawn(offer(listener, offers, tls.clone()));

        let refused = email.send_order_confirmation(request("1 Main St", vec![])).await;
        assert_eq!(refused.unwrap_err().code(), Code::Unavailable, "{offers:?}");

        // Without trust there is no handshake, and nothing was read over it.
        let session = server.await?;
        assert_eq!(session.is_ok(), trusts, "{offers:?}");
        let [clear, secret] = session.unwrap_or_default();
        assert_eq!(clear.contains(PASSWORD), in_clear, "{offers:?}: {clear}");
        assert_eq!(secret.contains(PASSWORD), over_tls, "{offers:?}: {secret}");
    }
    Ok(())
}

#[tokio::test]
async fn without_a_mail_server_every_order_is_confirmed_in_the_log() -> anyhow::Result<()> {
    let (channel, _running) = loopback(SERVICE, &Env::default(), routes).await?;
    let mut email = EmailServiceClient::new(channel);

    email.send_order_confirmation(request("1 Main St", vec![item("OLJCESPC7Z", 1)])).await?;
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_confirmed_is_refused() -> anyhow::Result<()> {
    let (channel, _running) = loopback(SERVICE, &Env::default(), routes).await?;
    let mut email = EmailServiceClient::new(channel);

    for address in ["", "a", "a@", "@b", "a@b\r\nBcc: x@y.example", "a b@c.example"] {
        let request =
            SendOrderConfirmationRequest { email: address.to_owned(), ..request("x", vec![]) };
        let refused = email.send_order_confirmation(request).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{address:?}");
    }
    let without_order = SendOrderConfirmationRequest { order: None, ..request("x", vec![]) };
    let refused = email.send_order_confirmation(without_order).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    Ok(())
}

/// Upstream reads nothing of an order, so its callers may leave out anything.
#[tokio::test]
async fn an_order_that_lacks_something_is_confirmed() -> anyhow::Result<()> {
    let (channel, _running) = loopback(SERVICE, &Env::default(), routes).await?;
    let mut email = EmailServiceClient::new(channel);
    let whole = || request("1 Main St", vec![item("OLJCESPC7Z", 1)]);
    let odd = Money { currency_code: "usd".to_owned(), units: 1, nanos: -2_000_000_000 };

    for change in [
        (|order, _| order.shipping_cost = None) as fn(&mut OrderResult, Money),
        |order, odd| order.shipping_cost = Some(odd),
        |order, _| order.shipping_address = None,
        |order, _| order.items.clear(),
        |order, _| order.items[0].item = None,
        |order, _| order.items[0].cost = None,
        |order, odd| order.items[0].cost = Some(odd),
        |order, _| order.items.push(OrderItem::default()),
        |order, _| order.order_id.clear(),
        |order, _| order.shipping_tracking_id.clear(),
        |order, _| *order = OrderResult::default(),
    ] {
        let mut request = whole();
        change(request.order.as_mut().unwrap(), odd.clone());
        let description = format!("{request:?}");
        let confirmed = email.send_order_confirmation(request).await;
        assert!(confirmed.is_ok(), "{description}: {confirmed:?}");
    }
    Ok(())
}

/// Within 100 ms; the bound has room for a busy machine.
#[tokio::test]
async fn an_order_of_ten_thousand_lines_is_confirmed_in_time() -> anyhow::Result<()> {
    let (channel, _running) = loopback(SERVICE, &Env::default(), routes).await?;
    let mut email = EmailServiceClient::new(channel);
    let items = (0..10_000).map(|n| item(&n.to_string(), 1)).collect();

    let began = Instant::now();
    email.send_order_confirmation(request("1 Main St", items)).await?;
    assert!(began.elapsed() < Duration::from_secs(2));
    Ok(())
}

#[tokio::test]
async fn a_wrong_setting_stops_the_start_and_hides_the_password() {
    for (setting, value) in
        [("SMTP_URL", "hunter2"), ("SMTP_URL", "ftp://user:hunter2@host"), ("SMTP_FROM", "hunter2")]
    {
        let error = serve(SERVICE, &Env::from([(setting, value)]), routes).await.unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with(&format!("{setting} must be")), "{error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

/// Two calls at once and one after them, with one key: one mail.
#[tokio::test]
async fn confirmation_with_a_key_is_sent_once() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("smtp://{}", listener.local_addr()?);
    let settings =
        Env::from([("SMTP_URL", url.as_str()), ("ORDER_STORE_ADDR", redis.address().as_str())]);
    let with_key = |key: &str| {
        let mut request = Request::new(request("1 Main St", vec![item("a", 1)]));
        request.metadata_mut().insert(IdempotencyKey::METADATA, key.parse().unwrap());
        request
    };
    let (mut email, running) = email_with(&settings).await?;
    let mut other = email.clone();
    // The server takes one mail, and no connection after that.
    let received = tokio::spawn(receive_one(listener, true));
    let (first, second) = tokio::join!(
        email.send_order_confirmation(with_key("a")),
        other.send_order_confirmation(with_key("a")),
    );
    assert_eq!(first?.metadata().get(IdempotencyKey::METADATA).unwrap(), "a");
    second?;
    drop(running);
    let (mut email, _running) = email_with(&settings).await?;
    email.send_order_confirmation(with_key("a")).await?;
    assert!(received.await??.contains("0190a7c2-0000-7000-8000-000000000001"));

    // What was not sent is not noted as sent.
    for _ in 0..2 {
        let failed = email.send_order_confirmation(with_key("b")).await.unwrap_err();
        assert_eq!(failed.code(), Code::Unavailable);
    }
    Ok(())
}

/// A store that is out while a mail is sent: it is noted once the store is back, and not sent again.
#[tokio::test]
async fn confirmation_is_noted_once_the_store_is_back() -> anyhow::Result<()> {
    let redis = RedisServer::start(&["--maxmemory-policy", "noeviction"])?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("smtp://{}", listener.local_addr()?);
    let settings =
        Env::from([("SMTP_URL", url.as_str()), ("ORDER_STORE_ADDR", redis.address().as_str())]);
    let (mut email, _running) = email_with(&settings).await?;
    let key = IdempotencyKey::parse("a").unwrap();
    let mut other = email.clone();
    let sending = tokio::spawn({
        let request = key.request(request("1 Main St", vec![item("a", 1)]));
        async move { other.send_order_confirmation(request).await.map(drop) }
    });
    // The mail server is slow to greet: meanwhile Redis takes no writes.
    let (stream, _) = listener.accept().await?;
    redis.command(&["CONFIG", "SET", "maxmemory", "1"])?;
    let received = tokio::spawn(talk(stream, true));
    received.await??;
    redis.command(&["CONFIG", "SET", "maxmemory", "0"])?;
    sending.await??;
    drop(listener);
    // The mail server is gone, so that this would fail if it were sent again.
    email.send_order_confirmation(key.request(request("1 Main St", vec![item("a", 1)]))).await?;
    Ok(())
}
