//! Upstream's golden orders: three carts in six currencies, equal to the cent.

use crate::open;
use boutique_service::Env;
use boutique_test::Visitor;
use boutique_test::{Processes, settings};

const CURRENCIES: [&str; 6] = ["EUR", "USD", "JPY", "GBP", "TRY", "CAD"];

type Golden = (&'static [(&'static str, u32)], [&'static str; 6]);

/// Carts and what they cost with shipping, as upstream's pages write it.
const ORDERS: [Golden; 3] = [
    (
        &[("OLJCESPC7Z", 2), ("6E92ZMYYFZ", 1)],
        ["€51.26", "$57.96", "¥6480.44", "£44.07", "₺314.00", "$77.56"],
    ),
    (
        &[("1YMWWN1N4O", 3), ("LS4PSXUNUM", 10)],
        ["€463.38", "$523.86", "¥58572.22", "£398.37", "₺2838.11", "$701.01"],
    ),
    (
        &[
            ("OLJCESPC7Z", 1),
            ("66VCHSJNUP", 1),
            ("1YMWWN1N4O", 1),
            ("L9ECAV7KIM", 1),
            ("2ZYFJ3GM2N", 1),
            ("0PUK6V6EV0", 1),
            ("LS4PSXUNUM", 1),
            ("9SIQT8TOJO", 1),
            ("6E92ZMYYFZ", 1),
        ],
        ["€287.39", "$324.90", "¥36326.72", "£247.07", "₺1760.20", "$434.77"],
    ),
];

async fn orders_cost_what_they_cost_upstream(visitor: &Visitor) -> anyhow::Result<()> {
    for (cart, totals) in ORDERS {
        for (currency, total) in CURRENCIES.into_iter().zip(totals) {
            let mut visitor = visitor.clone();
            visitor.post("/setCurrency", &[("currency_code", currency)]).await;
            for (product, quantity) in cart {
                assert_eq!(visitor.add(product, *quantity).await.status, 302);
            }
            let page = visitor.get("/cart").await;
            assert_eq!(
                page.between("<span>Total</span>\n        <span>", "<"),
                total,
                "{currency}"
            );

            let order = visitor.check_out(&[]).await;

            assert_eq!(order.status, 200, "{}", order.body);
            assert_eq!(order.between("total-paid\">", "<"), total, "{currency}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn orders_cost_what_they_cost_upstream_inside_this_process() -> anyhow::Result<()> {
    let (visitor, _shop, ..) = open(&Env::default()).await?;
    orders_cost_what_they_cost_upstream(&visitor).await
}

#[tokio::test]
async fn orders_cost_what_they_cost_upstream_in_one_process() -> anyhow::Result<()> {
    let shop = Processes::one(&settings([])).await?;
    orders_cost_what_they_cost_upstream(&shop.visitor).await?;
    shop.stop().await?;
    Ok(())
}

#[tokio::test]
async fn orders_cost_what_they_cost_upstream_in_ten() -> anyhow::Result<()> {
    let shop = Processes::ten(&settings([])).await?;
    orders_cost_what_they_cost_upstream(&shop.visitor).await?;
    shop.stop().await?;
    Ok(())
}
