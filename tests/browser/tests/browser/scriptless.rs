//! A browser that runs no scripts is enough to order.

use fantoccini::Locator;
use serde_json::json;

use super::{click, driver, look, open_shop, says, start};

#[tokio::test]
async fn a_browser_without_scripts_is_enough_to_order() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let (base, _open) = open_shop().await?;
    let driver = driver(folder.path()).await?;
    let without = json!({ "profile.managed_default_content_settings.javascript": 2 });
    let client = start(&driver, folder.path(), 1000, false, &without).await?;

    client.goto(&base).await?;
    anyhow::ensure!(
        client.find(Locator::Css(".theme-switch")).await.is_err(),
        "scripts run: the switch is made by one"
    );
    click(&client, "#currency_form option[value=EUR]").await?;
    click(&client, "#currency_form button").await?;
    says(&client, "€17.68").await?;
    click(&client, ".hot-product-card a[href='/product/OLJCESPC7Z']").await?;
    click(&client, "form[action='/cart'] button").await?;
    says(&client, "Cart (1)").await?;

    let quantity = client.find(Locator::Css(".cart-line-change input[name=quantity]")).await?;
    quantity.clear().await?;
    quantity.send_keys("3").await?;
    click(&client, "form[action='/cart/update'] button").await?;
    says(&client, "Cart (3)").await?;
    let email = client.find(Locator::Id("email")).await?;
    email.clear().await?;
    email.send_keys("jo@example.com").await?;
    click(&client, ".cart-checkout-form button").await?;
    says(&client, "Your order is complete!").await?;
    look(&client, "scriptless-order").await?;

    // The picture of the services comes again by itself, and has figures then.
    client.goto(&format!("{base}topology")).await?;
    let figures = "//*[@id='box-frontend']//*[@class='rate' and contains(text(), '/s')]";
    let wait = client.wait().at_most(std::time::Duration::from_secs(30));
    wait.for_element(Locator::XPath(figures)).await?;
    client.close().await?;
    Ok(())
}
