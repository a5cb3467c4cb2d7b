//! paymentservice over its own wire.

use boutique_proto::payment_service_client::PaymentServiceClient;
use boutique_proto::{ChargeRequest, CreditCardInfo, Money};
use boutique_service::{Env, ServerHandle};
use boutique_test::loopback;
use paymentservice::{SERVICE, routes};
use time::OffsetDateTime;
use tonic::Code;
use tonic::transport::Channel;

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
