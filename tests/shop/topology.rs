//! `/topology`: what it says of the services, in one process and in ten, and whom it bothers.

use std::time::{Duration, Instant};

use boutique_proto::services::SERVICES;
use boutique_service::Env;
use boutique_test::{Processes, Visitor, settings};

use crate::open;

/// The part of a picture about one service.
fn part<'a>(picture: &'a str, service: &str) -> &'a str {
    let rest = picture.split_once(&format!("id=\"box-{service}\"")).map_or("", |(_, rest)| rest);
    rest.split_once("</a>").map_or("", |(part, _)| part)
}

/// Returns true if calls of this service were counted in the last seconds.
fn has_calls(picture: &str, service: &str) -> bool {
    let part = part(picture, service);
    let rate = part.split_once("class=\"rate\"").and_then(|(_, rest)| rest.split_once("/s<"));
    rate.is_some_and(|(rate, _)| !rate.ends_with(">0"))
}

async fn shop_around(visitor: &mut Visitor) {
    for path in ["/", "/product/OLJCESPC7Z", "/cart"] {
        assert_eq!(visitor.get(path).await.status, 200, "{path}");
    }
    visitor.add("OLJCESPC7Z", 2).await;
    assert_eq!(visitor.check_out(&[]).await.status, 200);
}

#[tokio::test]
async fn topology_of_ten_processes_is_live() -> anyhow::Result<()> {
    let settings = settings([
        ("ADMIN_ADDR", "127.0.0.1:0"),
        ("ADMIN_TOKEN", "token"),
        ("ENABLE_TOPOLOGY", "1"),
    ]);
    let mut shop = Processes::ten(&settings).await?;
    let ports = shop.admin_addresses().await?;
    let mut events =
        shop.visitor.clone().follow("/topology/events?service=checkoutservice").await?;
    // Figures are differences: what was called before the first two looks does not count.
    let is_measured =
        |picture: &str, name| part(picture, name).contains("class=\"rate\" x=\"18\" y=\"80\">0/s<");
    events.until(|picture| SERVICES.iter().all(|spec| is_measured(picture, spec.name))).await?;
    shop_around(&mut shop.visitor).await;
    let picture = events
        .until(|picture| SERVICES.iter().all(|service| has_calls(picture, service.name)))
        .await?;
    for service in SERVICES {
        let part = part(&picture, service.name);
        let version = env!("CARGO_PKG_VERSION");
        assert!(part.contains(&format!("serving · {version}")), "{part}");
        assert!(part.contains(">0 % errors<") && part.contains("p99 "), "{part}");
    }
    assert!(picture.contains("at its admin port"), "{picture}");
    assert_eq!(picture.matches("<path class=\"curve").count(), 14, "{picture}");
    let edge =
        "<td>checkoutservice</td><td>paymentservice</td><td>hipstershop.PaymentService/Charge</td>";
    assert!(picture.contains(edge), "{picture}");

    // A fault that is on is marked at its service, and where it is not, not.
    let index = SERVICES.iter().position(|service| service.name == "adservice").unwrap();
    let admin = Visitor::new(format!("http://{}", ports[index]));
    let fault = "faults:\n- name: no ads\n  status: UNAVAILABLE\n";
    let request = admin.request("PUT", "/faults").header("authorization", "Bearer token");
    assert_eq!(admin.clone().send(request.body(fault.into())?).await.status, 200);
    let picture = events.until(|picture| part(picture, "adservice").contains(">fault<")).await?;
    assert!(picture.contains("<b>no ads</b> in adservice: status"), "{picture}");
    assert_eq!(picture.matches(">fault<").count(), 1, "{picture}");

    // Who is gone does not serve.
    let index = SERVICES.iter().position(|service| service.name == "cartservice").unwrap();
    drop(shop.all.remove(index));
    let picture =
        events.until(|picture| part(picture, "cartservice").contains("not serving")).await?;
    assert!(part(&picture, "cartservice").starts_with(" class=\"box down"), "{picture}");
    assert_eq!(picture.matches("class=\"box down").count(), 1, "{picture}");
    assert_eq!(shop.visitor.get("/cart").await.status, 503);
    events.until(|picture| picture.contains("class=\"curve failing")).await?;
    drop(events);
    shop.stop().await?;
    Ok(())
}

#[tokio::test]
async fn topology_of_one_process_is_there_and_does_not_delay_its_end() -> anyhow::Result<()> {
    let mut shop = Processes::one(&settings([])).await?;
    let page = shop.visitor.get("/topology").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains("One process serves all of them."), "{}", page.body);
    assert!(page.header("content-security-policy").contains("default-src 'self'"));
    assert_eq!(page.header("cache-control"), "no-store");
    assert!(!page.body.contains(" style=") && !page.body.contains("<script>"), "{}", page.body);
    let mut events = shop.visitor.clone().follow("/topology/events").await?;
    events.next().await?;
    shop_around(&mut shop.visitor).await;
    events.until(|picture| SERVICES.iter().all(|spec| has_calls(picture, spec.name))).await?;
    // Those who look at the picture are not in it.
    let chosen = shop.visitor.get("/topology?service=frontend").await;
    assert!(chosen.body.contains("<td>frontend</td><td>cartservice</td>"), "{}", chosen.body);
    assert!(!chosen.body.contains("<td>/topology"), "{}", chosen.body);

    let began = Instant::now();
    let end = async {
        while events.next().await?.is_some() {}
        anyhow::Ok(())
    };
    let (said, ended) = tokio::join!(shop.stop(), end);
    ended?;
    let said = said?;
    assert!(!said.contains("gave up on"), "{said}");
    // After DRAIN_TIMEOUT, four seconds, it would have been cut off.
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
    Ok(())
}

#[tokio::test]
async fn topology_says_what_it_does_not_know() -> anyhow::Result<()> {
    let mut shop = Processes::ten(&settings([("ENABLE_TOPOLOGY", "1")])).await?;
    shop_around(&mut shop.visitor).await;
    let page = shop.visitor.get("/topology").await;
    assert!(page.body.contains("These are the calls of the frontend alone"), "{}", page.body);
    assert!(part(&page.body, "paymentservice").contains("not asked"), "{}", page.body);
    let mut events = shop.visitor.clone().follow("/topology/events").await?;
    events.next().await?;
    shop_around(&mut shop.visitor).await;
    let picture = events.until(|picture| has_calls(picture, "cartservice")).await?;
    assert!(part(&picture, "frontend").contains("serving · "), "{picture}");
    assert!(!picture.contains("checkoutservice calls"), "{picture}");
    drop(events);
    shop.stop().await?;
    Ok(())
}

#[tokio::test]
async fn topology_is_off_by_setting() -> anyhow::Result<()> {
    let (mut visitor, shop, ..) = open(&Env::from([("ENABLE_TOPOLOGY", "0")])).await?;
    for path in ["/topology", "/topology/events"] {
        assert_eq!(visitor.get(path).await.status, 404, "{path}");
    }
    assert!(!visitor.get("/").await.body.contains("/topology"));
    shop.close().await;
    let mut ten = Processes::ten(&settings([])).await?;
    assert_eq!(ten.visitor.get("/topology").await.status, 404, "off unless asked for");
    ten.stop().await?;
    Ok(())
}

#[tokio::test]
async fn topology_is_followed_by_so_many_and_no_more() -> anyhow::Result<()> {
    let (mut visitor, shop, ..) = open(&Env::from([("BASE_URL", "/shop")])).await?;
    let unknown = visitor.get("/shop/topology?service=%3Cscript%3Ealert(1)%3C/script%3E").await;
    assert_eq!(unknown.status, 404);
    assert!(!unknown.body.contains("<script>alert"), "{}", unknown.body);
    let page = visitor.get("/shop/topology?service=cartservice").await;
    assert!(page.body.contains("data-events=\"/shop/topology/events?service=cartservice\""));
    let mut following = Vec::new();
    while following.len() < 32 {
        following.push(visitor.clone().follow("/shop/topology/events").await?);
    }
    let refused = visitor.get("/shop/topology/events").await;
    assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, "10"));
    // Who leaves makes room, as soon as that is noticed.
    drop(following);
    let room = async {
        while visitor.clone().follow("/shop/topology/events").await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), room).await?;
    assert_eq!(visitor.get("/shop/").await.status, 200);
    shop.close().await;
    Ok(())
}
