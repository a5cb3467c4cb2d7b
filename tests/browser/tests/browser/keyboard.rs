//! A person who has a keyboard and nothing else buys something.

use anyhow::ensure;
use fantoccini::Client;
use fantoccini::actions::{InputSource as _, KeyAction, KeyActions};
use fantoccini::key::Key;
use serde_json::json;

use super::{open_on_a_desk, says};

async fn press(client: &Client, key: Key) -> anyhow::Result<()> {
    let value = char::from(key);
    let keys = KeyActions::new("keyboard".to_owned())
        .then(KeyAction::Down { value })
        .then(KeyAction::Up { value });
    Ok(client.perform_actions(keys).await?)
}

/// Presses Tab until the focus, which can be seen wherever it is, is on an element that this selector finds.
async fn tab_to(client: &Client, css: &str) -> anyhow::Result<()> {
    for _ in 0..60 {
        press(client, Key::Tab).await?;
        let focus = "const element = document.activeElement;
            return [element.matches(arguments[0]), getComputedStyle(element).outlineStyle !== 'none']";
        let focus = client.execute(focus, vec![json!(css)]).await?;
        ensure!(focus[1] == json!(true), "the focus cannot be seen on the way to {css}");
        if focus[0] == json!(true) {
            return Ok(());
        }
    }
    anyhow::bail!("no Tab leads to {css}")
}

#[tokio::test]
async fn a_keyboard_is_enough_to_order() -> anyhow::Result<()> {
    let (base, client, _open) = open_on_a_desk().await?;
    let shopped = async {
        client.goto(&base).await?;
        tab_to(&client, ".skip-link").await?;
        press(&client, Key::Enter).await?;
        tab_to(&client, "a[href='/product/OLJCESPC7Z']").await?;
        press(&client, Key::Enter).await?;
        says(&client, "You May Also Like").await?;
        tab_to(&client, "form[action='/cart'] button").await?;
        press(&client, Key::Enter).await?;
        says(&client, "Cart (1)").await?;
        tab_to(&client, "form[action='/cart/checkout'] button").await?;
        press(&client, Key::Enter).await?;
        says(&client, "Your order is complete!").await
    };
    let shopped = shopped.await;
    client.close().await?;
    shopped
}
