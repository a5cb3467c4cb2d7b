//! A person shops: opens the page, chooses a currency, looks at a product, fills the cart, and
//! orders. Every picture must be there, and nothing may break the security policy.

use fantoccini::{Client, Locator};

use super::{browser, click, driver, look, open_shop, says, send_mistake};

async fn shop(client: &Client, base: &str, name: &str) -> anyhow::Result<()> {
    client.goto(base).await?;
    says(client, "Hot Products").await?;
    look(client, &format!("{name}-1-home")).await?;

    // The theme that is chosen stays.
    click(client, ".theme-switch[aria-label='Dark theme']").await?;
    client.goto(&format!("{base}cart")).await?;
    click(client, "html[data-theme=dark] .theme-switch[aria-label='Light theme']").await?;
    client.goto(base).await?;
    client.find(Locator::Css("html[data-theme=light]")).await?;

    click(client, "#currency_form option[value=EUR]").await?;
    says(client, "€17.68").await?;
    click(client, ".hot-product-card a[href='/product/OLJCESPC7Z']").await?;
    says(client, "You May Also Like").await?;
    look(client, &format!("{name}-2-product")).await?;

    click(client, "#quantity option:nth-child(2)").await?;
    click(client, "form[action='/cart'] button").await?;
    says(client, "Cart (2)").await?;
    says(client, "€43.31").await?;
    look(client, &format!("{name}-3-cart")).await?;

    // Refused by the shop, not by the browser; then corrected.
    send_mistake(client).await?;
    says(client, "Enter an address such as").await?;
    look(client, &format!("{name}-4-refused")).await?;
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
    look(client, &format!("{name}-5-order")).await?;

    click(client, "a[href='/orders']").await?;
    says(client, "Your orders").await?;
    look(client, &format!("{name}-6-orders")).await?;
    click(client, "a[href^='/orders/']").await?;
    says(client, "Your order is complete!").await?;

    client.goto(&format!("{base}product/NOPE")).await?;
    says(client, "Uh, oh!").await?;
    look(client, &format!("{name}-7-error")).await?;
    Ok(())
}

#[tokio::test]
async fn a_person_shops_on_a_desk_and_on_a_phone() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (base, _open) = open_shop().await?;
    let driver = driver(folder.path()).await?;

    for (name, width) in [("desk", 1200), ("phone", 500)] {
        let client = browser(&driver, folder.path(), width, false).await?;
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
