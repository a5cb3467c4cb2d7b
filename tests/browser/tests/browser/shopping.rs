//! A person shops: opens the page, chooses a currency, looks at a product, fills the cart, and
//! orders. Every picture must be there, and nothing may break the security policy.

use boutique_service::Env;
use fantoccini::{Client, Locator};

use super::{
    WINDOWS, browser, click, driver, look, open_shop, open_with, pictures, says, send_mistake,
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
    let folder = tempfile::tempdir()?;
    let (base, _open) = open_shop().await?;
    let driver = driver(folder.path()).await?;
    let client = browser(&driver, folder.path(), 1200, false).await?;
    client.goto(&base).await?;
    click(&client, ".theme-switch[aria-label='Dark theme']").await?;
    client.goto(&format!("{base}cart")).await?;
    click(&client, "html[data-theme=dark] .theme-switch[aria-label='Light theme']").await?;
    client.goto(&base).await?;
    client.find(Locator::Css("html[data-theme=light]")).await?;
    client.close().await?;
    Ok(())
}

#[tokio::test]
async fn assistant_has_a_page() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let settings = Env::from([
        ("PORT", "0"),
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
