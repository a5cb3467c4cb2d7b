//! paymentservice over its own wire.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use boutique_proto::ext::charges_client::ChargesClient;
use boutique_proto::ext::{Charge, GetChargeRequest, VoidChargeRequest};
use boutique_proto::payment_service_client::PaymentServiceClient;
use boutique_proto::{ChargeRequest, CreditCardInfo, Money};
use boutique_service::{Env, IdempotencyKey, ServerHandle};
use boutique_test::{RedisServer, connect, loopback, serve};
use paymentservice::{SERVICE, routes};
use time::OffsetDateTime;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

async fn payment() -> anyhow::Result<(PaymentServiceClient<Channel>, Option<ServerHandle>)> {
    let (channel, running) = loopback(SERVICE, &Env::default(), routes).await?;
    Ok((PaymentServiceClient::new(channel), running))
}

/// A charge of one dollar to a card that expires this month.
fn charge(number: &str) -> ChargeRequest {
    let now = OffsetDateTime::now_utc();
    let mut card = CreditCardInfo::default();
    card.credit_card_number = number.to_owned();
    card.credit_card_cvv = 672;
    card.credit_card_expiration_year = now.year();
    card.credit_card_expiration_month = u8::from(now.month()).into();
    let amount = Money { currency_code: "USD".to_owned(), units: 1, nanos: 0 };
    ChargeRequest { amount: Some(amount), credit_card: Some(card) }
}

fn with_card(change: impl FnOnce(&mut CreditCardInfo)) -> ChargeRequest {
    let mut request = charge("4432801561520454");
    request.credit_card.as_mut().map(change);
    request
}

fn with_amount(code: &str, units: i64, nanos: i32) -> ChargeRequest {
    let amount = Some(Money { currency_code: code.to_owned(), units, nanos });
    ChargeRequest { amount, ..charge("4432801561520454") }
}

#[tokio::test]
async fn a_good_card_is_charged_under_a_new_transaction_each_time() -> anyhow::Result<()> {
    let (mut payment, _running) = payment().await?;

    let mut ids = Vec::new();
    for number in ["4432801561520454", "4432-8015-6152-0454", "5555555555554444"] {
        ids.push(payment.charge(charge(number)).await?.into_inner().transaction_id);
    }

    for id in &ids {
        let parts: Vec<_> = id.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12], "{id}");
        assert_eq!(id.as_bytes()[14], b'4', "{id} is a version 4 UUID");
    }
    ids.dedup();
    assert_eq!(ids.len(), 3);
    Ok(())
}

#[tokio::test]
async fn a_refusal_says_why_in_upstreams_words() -> anyhow::Result<()> {
    let (mut payment, _running) = payment().await?;
    let amex = "Sorry, we cannot process amex credit cards. Only VISA or MasterCard is accepted.";
    let expired = with_card(|card| {
        (card.credit_card_expiration_year, card.credit_card_expiration_month) = (2020, 1);
    });

    for (request, text) in [
        (charge("4432801561520455"), "Credit card info is invalid"),
        (charge("378282246310005"), amex),
        (expired, "Your credit card (ending 0454) expired on 1/2020"),
    ] {
        let refused = payment.charge(request).await.unwrap_err();
        assert_eq!(refused.message(), text);
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
    Ok(())
}

#[tokio::test]
async fn a_charge_that_makes_no_sense_is_refused() -> anyhow::Result<()> {
    let (mut payment, _running) = payment().await?;

    for request in [
        ChargeRequest::default(),
        ChargeRequest { amount: None, ..charge("4432801561520454") },
        ChargeRequest { credit_card: None, ..charge("4432801561520454") },
        charge(""),
        with_amount("USD", -1, 0),
        with_amount("USD", 0, 0),
        with_amount("USD", 1, -1),
        with_amount("", 1, 0),
        with_amount("usd", 1, 0),
        with_amount("XYZ", 1, 0),
        with_card(|card| card.credit_card_expiration_month = 0),
        with_card(|card| card.credit_card_expiration_month = 13),
        with_card(|card| card.credit_card_expiration_month = i32::MAX),
        with_card(|card| card.credit_card_expiration_year = i32::MIN),
        with_card(|card| card.credit_card_cvv = -1),
    ] {
        let refused = payment.charge(request.clone()).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{request:?}");
    }
    Ok(())
}

/// Charges with a key, and returns the transaction's id.
async fn charge_once(
    payment: &mut PaymentServiceClient<Channel>,
    key: &str,
    message: ChargeRequest,
) -> Result<String, Status> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(IdempotencyKey::METADATA, key.parse().unwrap());
    let answer = payment.charge(request).await?;
    assert_eq!(answer.metadata().get(IdempotencyKey::METADATA).unwrap(), key);
    Ok(answer.into_inner().transaction_id)
}

#[tokio::test]
async fn charge_with_a_key_happens_once_whoever_repeats_it() -> anyhow::Result<()> {
    let redis = RedisServer::start(&[])?;
    for settings in [Env::default(), Env::from([("ORDER_STORE_ADDR", redis.address().as_str())])] {
        let running = serve(SERVICE, &settings, routes).await?;
        let mut payment = PaymentServiceClient::new(connect(running.address().unwrap())?);
        let good = || charge("4432801561520454");

        // All at once, and again.
        let calls = (0..10).map(|_| {
            let mut payment = payment.clone();
            async move { charge_once(&mut payment, "a", good()).await }
        });
        let ids = futures_util::future::try_join_all(calls).await?;
        assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        assert_eq!(charge_once(&mut payment, "a", good()).await?, ids[0]);
        assert_ne!(charge_once(&mut payment, "b", good()).await?, ids[0]);

        // Another amount or another card is another charge.
        for other in [with_amount("USD", 2, 0), charge("5555555555554444")] {
            let refused = charge_once(&mut payment, "a", other).await.unwrap_err();
            assert_eq!(refused.code(), Code::FailedPrecondition);
        }
        // A refused card leaves the key free.
        let expired = with_card(|card| card.credit_card_expiration_year = 2020);
        let refused = charge_once(&mut payment, "c", expired).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        charge_once(&mut payment, "c", good()).await?;

        if settings.get("ORDER_STORE_ADDR").is_some() {
            let restarted = serve(SERVICE, &settings, routes).await?;
            let mut payment = PaymentServiceClient::new(connect(restarted.address().unwrap())?);
            assert_eq!(charge_once(&mut payment, "a", good()).await?, ids[0]);
        }
    }
    Ok(())
}

#[tokio::test]
async fn charge_is_found_and_voided_by_its_key() -> anyhow::Result<()> {
    let running = serve(SERVICE, &Env::default(), routes).await?;
    let channel = connect(running.address().unwrap())?;
    let mut payment = PaymentServiceClient::new(channel.clone());
    let mut charges = ChargesClient::new(channel);
    let get = |key: &str| GetChargeRequest { idempotency_key: key.to_owned() };
    let void = |key: &str| VoidChargeRequest { idempotency_key: key.to_owned() };

    assert_eq!(charges.get_charge(get("a")).await.unwrap_err().code(), Code::NotFound);
    let id = charge_once(&mut payment, "a", charge("4432801561520454")).await?;
    let made = Charge { transaction_id: id.clone(), is_void: false };
    assert_eq!(charges.get_charge(get("a")).await?.into_inner(), made);
    let voided = Charge { is_void: true, ..made };
    for _ in 0..2 {
        assert_eq!(charges.void_charge(void("a")).await?.into_inner(), voided);
    }
    assert_eq!(charges.get_charge(get("a")).await?.into_inner(), voided);

    // Voided before it came: a charge that was on its way is refused.
    let nothing = Charge { transaction_id: String::new(), is_void: true };
    assert_eq!(charges.void_charge(void("late")).await?.into_inner(), nothing);
    let late = charge_once(&mut payment, "late", charge("4432801561520454")).await;
    assert_eq!(late.unwrap_err().code(), Code::FailedPrecondition);

    for key in ["", "a b", &"k".repeat(10_000)] {
        let refused = charges.void_charge(void(key)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
        let refused = charges.get_charge(get(key)).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
    Ok(())
}
