//! A person shops: opens the page, chooses a currency, looks at a product, fills the cart, and
//! orders. Every picture must be there, and nothing may break the security policy.

use anyhow::Context as _;
use boutique_service::Env;
use fantoccini::{Client, Locator};

use super::{
    WINDOWS, browser, click, driver, look, open_on_a_desk, open_on_a_desk_with, open_shop,
    open_with, pictures, says, send_mistake,
};

/// The pages of which there are pictures, in the order in which they are opened.
const PAGES: [&str; 9] =
    ["home", "search", "nothing", "product", "cart", "refused", "order", "orders", "error"];

async fn shop(client: &Client, base: &str, name: &str) -> anyhow::Result<()> {
    client.goto(base).await?;
    says(client, "Hot Products").await?;
    look(client, &format!("{name}-home")).await?;

    client.goto(&format!("{base}search?q=candle")).await?;
    says(client, "found for").await?;
    look(client, &format!("{name}-search")).await?;
    client.goto(&format!("{base}search?q=zeppelin")).await?;
    says(client, "Nothing found").await?;
    look(client, &format!("{name}-nothing")).await?;
    client.goto(base).await?;

    click(client, "#currency_form option[value=EUR]").await?;
    says(client, "€17.68").await?;
    click(client, ".hot-product-card a[href='/product/OLJCESPC7Z']").await?;
    says(client, "You May Also Like").await?;
    look(client, &format!("{name}-product")).await?;

    click(client, "#quantity option:nth-child(2)").await?;
    click(client, "form[action='/cart'] button").await?;
    says(client, "Cart (2)").await?;
    says(client, "€43.31").await?;
    look(client, &format!("{name}-cart")).await?;

    // Refused by the shop, not by the browser; then corrected.
    send_mistake(client).await?;
    says(client, "Enter an address such as").await?;
    look(client, &format!("{name}-refused")).await?;
    for (field, text) in [
        ("email", "jo@example.com"),
        ("credit_card_number", "4432 8015 6152 0454"),
        ("credit_card_cvv", "672"),
    ] {
        let field = client.find(Locator::Id(field)).await?;
        field.clear().await?;
        field.send_keys(text).await?;
    }
    click(client, ".cart-checkout-form button").await?;
    says(client, "Your order is complete!").await?;
    says(client, "€43.31").await?;
    look(client, &format!("{name}-order")).await?;

    click(client, "a[href='/orders']").await?;
    says(client, "Your orders").await?;
    look(client, &format!("{name}-orders")).await?;
    click(client, "a[href^='/orders/']").await?;
    says(client, "Your order is complete!").await?;

    client.goto(&format!("{base}product/NOPE")).await?;
    says(client, "Uh, oh!").await?;
    look(client, &format!("{name}-error")).await?;
    let names = PAGES.map(|page| format!("{name}-{page}"));
    pictures::compare(client, &names.each_ref().map(String::as_str)).await
}

#[tokio::test]
async fn a_person_shops_on_a_desk_and_on_a_phone() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (base, _open) = open_shop().await?;
    let driver = driver(folder.path()).await?;

    for (name, width, is_dark) in WINDOWS {
        let client = browser(&driver, folder.path(), width, is_dark).await?;
        let shopped = shop(&client, &base, name).await;
        client.close().await?;
        shopped?;
    }

    let told = std::fs::read_to_string(&driver.log)?;
    anyhow::ensure!(told.contains("DevTools WebSocket Event"), "the log tells nothing");
    for complaint in ["Content Security Policy directive", "Refused to", "ERR_CONNECTION"] {
        anyhow::ensure!(!told.contains(complaint), "the browser complains: {complaint}");
    }
    Ok(())
}

#[tokio::test]
async fn theme_that_is_chosen_stays() -> anyhow::Result<()> {
    let (base, client, _open) = open_on_a_desk().await?;
    client.goto(&base).await?;
    click(&client, ".theme-switch[aria-label='Dark theme']").await?;
    client.goto(&format!("{base}cart")).await?;
    click(&client, "html[data-theme=dark] .theme-switch[aria-label='Light theme']").await?;
    client.goto(&base).await?;
    client.find(Locator::Css("html[data-theme=light]")).await?;
    client.close().await?;
    Ok(())
}

/// A click at the upper arrow of a number's field.
const STEP_UP: &str = "
    const field = document.querySelector(arguments[0]);
    field.stepUp();
    field.dispatchEvent(new Event('change', { bubbles: true }));";

/// The text of the page's status message, which is shown or told to screen readers alone.
async fn status(client: &Client) -> anyhow::Result<String> {
    let text = client.find(Locator::Css("[role=status]")).await?.prop("textContent").await?;
    Ok(text.unwrap_or_default())
}

#[tokio::test]
async fn lines_of_the_cart_change_without_another_page() -> anyhow::Result<()> {
    let (base, client, _open) = open_on_a_desk().await?;
    for product in ["OLJCESPC7Z", "6E92ZMYYFZ"] {
        client.goto(&format!("{base}product/{product}")).await?;
        click(&client, "form[action='/cart'] button").await?;
        says(&client, "Cart (").await?;
    }
    let street = client.find(Locator::Id("street_address")).await?;
    street.clear().await?;
    street.send_keys("1 Kept Road").await?;
    client.execute("window.isKept = true", vec![]).await?;
    let assert_kept = async || {
        let kept = "return [window.isKept, document.getElementById('street_address').value]";
        let kept = client.execute(kept, vec![]).await?;
        anyhow::ensure!(kept == serde_json::json!([true, "1 Kept Road"]), "{kept}");
        anyhow::Ok(())
    };

    // The Enter key; the field keeps the focus.
    let field = "[value=OLJCESPC7Z] ~ input[name=quantity]";
    let quantity = client.find(Locator::Css(field)).await?;
    quantity.send_keys("\u{e009}a").await?;
    quantity.send_keys("\u{e000}3\n").await?;
    says(&client, "Cart (4)").await?;
    let focused = "return document.activeElement === document.querySelector(arguments[0])";
    let focused = client.execute(focused, vec![field.into()]).await?;
    anyhow::ensure!(focused == serde_json::json!(true), "the field lost the focus");
    let badge = client.find(Locator::Css(".cart-size-circle")).await?.text().await?;
    anyhow::ensure!(badge == "4", "{badge}");
    assert_kept().await?;

    // A click at its arrow; what a screen reader is told is the total.
    client.execute(STEP_UP, vec![field.into()]).await?;
    says(&client, "Cart (5)").await?;
    let told = status(&client).await?;
    anyhow::ensure!(told.contains("Total") && told.contains('$'), "{told}");
    assert_kept().await?;

    click(&client, "[value='6E92ZMYYFZ'] ~ button[aria-label^=Remove]").await?;
    says(&client, "Cart (4)").await?;
    assert_kept().await?;

    // Without an answer the page says so, and the next try works.
    let fetch = "window.answering = window.fetch; window.fetch = () => Promise.reject(new Error())";
    client.execute(fetch, vec![]).await?;
    client.execute(STEP_UP, vec![field.into()]).await?;
    says(&client, "The cart could not be changed.").await?;
    anyhow::ensure!(status(&client).await?.ends_with("Please try again."));
    client.execute("window.fetch = window.answering", vec![]).await?;
    click(&client, ".cart-line-change form:first-child button").await?;
    says(&client, "Cart (5)").await?;
    assert_kept().await?;

    // The last line takes the form with it: another page.
    click(&client, "button[aria-label^=Remove]").await?;
    says(&client, "Your shopping cart is empty!").await?;
    client.close().await?;
    Ok(())
}

/// While a part of the shop is out, a change of the cart shows the note about it, and the next change without it takes the
/// note away.
#[tokio::test]
async fn note_in_the_cart_comes_and_goes_with_its_cause() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let faults = folder.path().join("faults.yaml");
    let out =
        "faults: [{name: out, rpc: hipstershop.ShippingService/GetQuote, status: UNAVAILABLE}]";
    std::fs::write(&faults, "faults: []")?;
    let env = Env::from([("FAULTS", faults.to_str().context("not UTF-8")?)]);
    let (base, client, _open) = open_on_a_desk_with(env).await?;
    client.goto(&format!("{base}product/OLJCESPC7Z")).await?;
    click(&client, "form[action='/cart'] button").await?;
    says(&client, "Cart (1)").await?;
    client.execute("window.isKept = true", vec![]).await?;
    let mut count = 1;
    for (description, notes) in [(out, 1), ("faults: []", 0)] {
        std::fs::write(&faults, description)?;
        // The file is read again within moments.
        loop {
            count += 1;
            anyhow::ensure!(count < 200, "after {count} changes there are not {notes} notes");
            client.execute(STEP_UP, vec!["input[name=quantity]".into()]).await?;
            says(&client, &format!("Cart ({count})")).await?;
            if client.find_all(Locator::Css("header > .degraded + .navbar")).await?.len() == notes {
                break;
            }
        }
    }
    let kept = client.execute("return window.isKept", vec![]).await?;
    anyhow::ensure!(kept == serde_json::json!(true), "the page was loaded again");
    client.close().await?;
    Ok(())
}

#[tokio::test]
async fn assistant_has_a_page() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let settings = Env::from([
        ("ENABLE_ASSISTANT", "1"),
        // Nobody is there.
        ("SHOPPING_ASSISTANT_SERVICE_ADDR", "127.0.0.1:1"),
    ]);
    let (base, _open) = open_with(settings).await?;
    let driver = driver(folder.path()).await?;
    let axe = super::accessible::axe()?;
    for (name, width, is_dark) in WINDOWS {
        let name = &format!("{name}-assistant");
        let client = browser(&driver, folder.path(), width, is_dark).await?;
        let looked = async {
            client.goto(&base).await?;
            click(&client, ".assistant-link").await?;
            client.wait().for_element(Locator::Id("bot-input-text")).await?;
            super::accessible::assert_accessible(&client, &axe, name).await?;
            look(&client, name).await?;
            pictures::compare(&client, &[name]).await
        };
        let looked = looked.await;
        client.close().await?;
        looked?;
    }
    Ok(())
}
