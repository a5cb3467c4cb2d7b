//! Orders through the web UI, accepted and refused.

use boutique_service::Env;
use boutique_test::Visitor;

use crate::open;

#[tokio::test]
async fn the_form_as_it_stands_makes_an_order() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;
    visitor.add("OLJCESPC7Z", 2).await;

    let order = visitor.check_out(&[]).await;

    assert_eq!(order.status, 200);
    for hook in [
        "order-complete-section",
        "Your order is complete!",
        "We've sent you a confirmation email.",
        "Confirmation #",
        "Tracking #",
        "Total Paid",
        "$48.97",
        "Continue Shopping",
        "You May Also Like",
    ] {
        assert!(order.body.contains(hook), "{hook}");
    }
    assert_eq!(order.between("order-id\">", "<").len(), 36);
    let tracking = order.between("tracking-id\">", "<");
    assert_eq!((tracking.len(), &tracking[2..5]), (18, "-44"), "{tracking}");
    assert!(
        !order.body.contains("id=\"currency_form\"") && !order.body.contains("cart-size-circle")
    );
    let recommended = order.between("You May Also Like", "</section>");
    assert!(!recommended.contains("OLJCESPC7Z"), "what was bought is not recommended");
    assert!(visitor.get("/cart").await.body.contains("Your shopping cart is empty!"));
    Ok(())
}

/// A form that breaks a rule is refused with upstream's words, and the cart is still there.
#[tokio::test]
async fn a_form_that_breaks_a_rule_is_refused_with_upstreams_words() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;
    visitor.add("OLJCESPC7Z", 1).await;
    let long = "x".repeat(513);

    for (field, value, words) in [
        ("email", "a", "Field &#39;Email&#39; is invalid: email"),
        ("email", "a@b\r\nBcc: x@y.example", "Field &#39;Email&#39; is invalid: email"),
        ("street_address", &long, "Field &#39;StreetAddress&#39; is invalid: max"),
        ("zip_code", "0", "Field &#39;ZipCode&#39; is invalid: required"),
        (
            "credit_card_number",
            "4432801561520455",
            "Field &#39;CcNumber&#39; is invalid: credit_card",
        ),
        ("credit_card_expiration_month", "13", "Field &#39;CcMonth&#39; is invalid: lte"),
        ("credit_card_cvv", "-1", "Field &#39;CcCVV&#39; is invalid: len"),
        (
            "credit_card_number",
            "378282246310005",
            "Sorry, we cannot process amex credit cards. Only VISA or MasterCard is accepted.",
        ),
        ("credit_card_expiration_year", "2020", "Your credit card (ending 0454) expired on 1/2020"),
    ] {
        let page = visitor.check_out(&[(field, value)]).await;
        assert_eq!(page.status, 422, "{field} {value}");
        assert!(page.body.contains(words), "{field}: {}", page.between("<pre", "</pre>"));
        assert!(page.body.contains("Uh, oh!") && page.body.contains("422 Unprocessable Entity"));
        assert!(page.body.contains("request-id: "));
        for leak in ["rpc error", "desc =", "127.0.0.1", "inproc", ".rs:", "backtrace"] {
            assert!(!page.body.contains(leak), "{leak}");
        }
    }
    // The form is there again, with what was sent, and with what is wrong beside its field; the card has to be entered anew.
    let wrong = [("email", "jo at example"), ("city", "<b>Bern</b>"), ("credit_card_cvv", "4711")];
    let page = visitor.check_out(&wrong).await;
    let field = |name: &str| {
        let start = page.body.find(&format!("id=\"{name}\"")).unwrap();
        page.body[start..].split_once('>').unwrap().0.to_owned()
    };
    assert!(field("email").contains("value=\"jo at example\""), "{}", field("email"));
    assert!(field("email").contains("aria-invalid=\"true\" aria-describedby=\"email-problem\""));
    let beside = "id=\"email-problem\">Enter an address such as name@example.com.";
    assert!(page.body.contains(beside), "{}", page.body);
    assert!(field("city").contains("value=\"&#60;b&#62;Bern&#60;/b&#62;\""), "{}", field("city"));
    assert!(!field("city").contains("aria-invalid"));
    for secret in ["4432801561520454", "4711"] {
        assert!(!page.body.contains(secret), "{secret}");
    }
    assert!(!visitor.get("/cart").await.body.contains("field-problem"));
    // And what a service refuses is said above it.
    let declined = visitor.check_out(&[("credit_card_number", "378282246310005")]).await;
    assert!(declined.between("role=\"alert\"", "<details").contains("Only VISA or MasterCard"));

    let empty = visitor.post("/cart/checkout", &[]).await;
    assert_eq!(empty.body.matches("is invalid: required").count(), 10);
    assert!(visitor.get("/cart").await.body.contains("Cart (1)"));
    Ok(())
}

/// Forms that are unusual and right.
#[tokio::test]
async fn an_unusual_form_makes_an_order_too() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;
    let long = "é".repeat(512);
    for changed in [
        [("street_address", "<script>alert(1)</script> \u{202e}\u{1f600}")],
        [("street_address", &*long)],
        [("zip_code", "99999999")],
        [("zip_code", "07030")],
        [("credit_card_number", "4432-8015-6152-0454")],
        [("credit_card_number", "4432 8015 6152 0454")],
        [("credit_card_number", "2221000000000009")],
        [("credit_card_number", "4222222222222")],
        [("credit_card_cvv", "000")],
    ] {
        visitor.add("OLJCESPC7Z", 1).await;
        let order = visitor.check_out(&changed).await;
        assert_eq!(order.status, 200, "{changed:?}: {}", order.between("<pre", "</pre>"));
        assert!(!order.body.contains("<script>alert"));
    }
    Ok(())
}

#[tokio::test]
async fn an_empty_cart_is_not_an_order() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;

    let page = visitor.check_out(&[]).await;

    assert_eq!(page.status, 422);
    assert!(page.body.contains("cart is empty"));
    Ok(())
}

#[tokio::test]
async fn a_thousand_adds_at_once_are_all_counted() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::from([("LOAD_SHEDDING", "0")])).await?;
    visitor.get("/").await;

    let mut adds = tokio::task::JoinSet::new();
    for _ in 0..1_000 {
        let mut visitor = visitor.clone();
        adds.spawn(async move { visitor.add("6E92ZMYYFZ", 1).await.status });
    }
    while let Some(status) = adds.join_next().await {
        assert_eq!(status?, 302);
    }

    assert!(visitor.get("/cart").await.body.contains("Cart (1000)"));
    Ok(())
}

/// The form's token, as the cart page has it.
async fn token(visitor: &mut Visitor) -> String {
    visitor.get("/cart").await.between("name=\"order_token\" value=\"", "\"").to_owned()
}

/// Both clicks show the same order, with the token of the form and without one, and later on, too.
#[tokio::test]
async fn second_click_shows_the_same_order() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;
    let mut orders = std::collections::BTreeSet::new();
    for number in 0..20 {
        visitor.add("OLJCESPC7Z", 1).await;
        let token = if number % 2 == 0 { token(&mut visitor).await } else { String::new() };
        let (mut first, mut second) = (visitor.clone(), visitor.clone());
        let form = [("order_token", token.as_str())];
        let (first, second) = tokio::join!(first.check_out(&form), second.check_out(&form));
        let third = visitor.check_out(&form).await;
        let ids = [&first, &second, &third].map(|page| page.between("order-id\">", "<").to_owned());
        assert_eq!(
            (first.status, second.status, third.status.as_u16()),
            (third.status, third.status, 200)
        );
        assert!(ids[0].len() == 36 && ids.iter().all(|id| *id == ids[0]), "{ids:?}");
        assert!(orders.insert(ids[0].clone()), "every cart is another order");
    }
    let listed = visitor.get("/orders").await;
    assert_eq!((listed.status.as_u16(), listed.body.matches(">complete<").count()), (200, 20));
    let latest = listed.between("/orders/", "\"").to_owned();
    assert!(orders.contains(&latest));
    let page = visitor.get(&format!("/orders/{latest}")).await;
    assert!(page.status == 200 && page.body.contains("Your order is complete!"));

    // Nobody else sees them.
    let mut stranger = Visitor::new(visitor.base.clone());
    assert_eq!(stranger.get(&format!("/orders/{latest}")).await.status, 404);
    assert!(stranger.get("/orders").await.body.contains("There are none"));
    Ok(())
}

#[tokio::test]
async fn token_that_cannot_be_one_is_refused() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) = open(&Env::default()).await?;
    visitor.add("OLJCESPC7Z", 1).await;
    for wrong in ["a b", "\u{e9}", &"x".repeat(10_000)] {
        let page = visitor.check_out(&[("order_token", wrong)]).await;
        assert_eq!(page.status, 422);
        assert!(
            page.body.contains("Field &#39;OrderToken&#39; is invalid: token"),
            "{}",
            page.body
        );
    }
    // The form of another cart: nothing is charged, and nothing is left out of the cart.
    let token = token(&mut visitor).await;
    let form = [("order_token", token.as_str())];
    assert_eq!(visitor.check_out(&form).await.status, 200);
    visitor.add("66VCHSJNUP", 1).await;
    assert_eq!(visitor.check_out(&form).await.status, 422);
    assert!(visitor.get("/cart").await.body.contains("Cart (1)"));
    Ok(())
}

/// Where all share a session, nobody sees a list of what others have ordered.
#[tokio::test]
async fn shared_session_has_no_list_of_orders() -> anyhow::Result<()> {
    let (mut visitor, _shop, ..) =
        open(&Env::from([("ENABLE_SINGLE_SHARED_SESSION", "true")])).await?;
    visitor.add("OLJCESPC7Z", 1).await;
    assert_eq!(visitor.check_out(&[]).await.status, 200);
    let page = visitor.get("/orders").await;
    assert_eq!(page.status, 404);
    assert!(!page.body.contains("/orders/"));
    Ok(())
}
