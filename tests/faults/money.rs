//! Services and Redis are killed, frozen, slow and cut off while people buy: no money and no order is lost.
//!
//! `FAULT_ROUNDS` says how often each of them is hit; 12 takes some minutes (`scripts/faults`). `FAULT_SEED` repeats a storm:
//! which faults, when, and how often the buyers press.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use boutique_proto::ext::{Effect, OrderState, StoredOrder};
use boutique_proto::services::SERVICES;
use boutique_test::{Fault, FaultyProxy, Process, RedisServer, Visitor, settings};
use prost::Message as _;
use tokio::task::{JoinHandle, JoinSet};

use super::ALONE;
use super::mailbox::Mailbox;

/// The services that are hit, beside Redis.
const HIT: [&str; 5] =
    ["checkoutservice", "paymentservice", "shippingservice", "emailservice", "cartservice"];
/// The pause between the arrivals of two buyers, whatever the answers to those before take.
const ARRIVAL: Duration = Duration::from_millis(400);
/// The orders of each buyer, one after the other.
const PURCHASES: usize = 3;
const PRODUCT: &str = "OLJCESPC7Z";

/// The name under which Redis is hit.
const REDIS: &str = "redis";

/// The shop as processes that can be killed and started again where they were. Every one, and Redis, is reached through a
/// proxy with faults.
struct Shop {
    running: BTreeMap<&'static str, (Process, String)>,
    proxies: BTreeMap<&'static str, FaultyProxy>,
    settings: BTreeMap<String, String>,
}

impl Shop {
    async fn start(redis: &RedisServer, mailbox: &Mailbox) -> anyhow::Result<Self> {
        let mut settings = settings([("LISTEN_ADDR", "127.0.0.1"), ("PORT", "0")]);
        let proxy = FaultyProxy::start(redis.address()).await?;
        settings.insert("REDIS_ADDR".to_owned(), proxy.address());
        settings.insert("ORDER_STORE_ADDR".to_owned(), proxy.address());
        let mut proxies = BTreeMap::from([(REDIS, proxy)]);
        settings.insert("SMTP_URL".to_owned(), format!("smtp://{}", mailbox.address));
        let mut running = BTreeMap::new();
        for spec in SERVICES {
            let mut process = Process::start(spec.name, &settings)?;
            let address = process.address().await?;
            let proxy = FaultyProxy::start(&address).await?;
            settings.insert(spec.addr_key.to_owned(), proxy.address());
            proxies.insert(spec.name, proxy);
            running.insert(spec.name, (process, address));
        }
        Ok(Self { running, proxies, settings })
    }

    /// Hits one of them with one fault, and heals it.
    async fn hit(&mut self, name: &'static str, redis: &mut RedisServer) -> anyhow::Result<()> {
        let pause = Duration::from_millis(fastrand::u64(300..1_200));
        let fault = match fastrand::usize(0..5) {
            0 => Fault::Freeze,
            1 => Fault::Refuse,
            2 => Fault::Delay(Duration::from_millis(fastrand::u64(100..700))),
            3 if name != REDIS => {
                let (process, _) = &self.running[name];
                process.signal("-STOP");
                tokio::time::sleep(pause).await;
                process.signal("-CONT");
                return Ok(());
            }
            _ if name == REDIS => return redis.kill_and_restart(),
            _ => return self.kill_and_restart(name).await,
        };
        self.proxies[name].set(fault);
        tokio::time::sleep(pause).await;
        self.proxies[name].set(Fault::None);
        Ok(())
    }

    fn visitor(&self) -> Visitor {
        Visitor::new(format!("http://{}", self.running["frontend"].1))
    }

    async fn kill_and_restart(&mut self, name: &'static str) -> anyhow::Result<()> {
        let (process, address) = self.running.remove(name).unwrap();
        process.signal("-KILL");
        process.wait().await?;
        let mut settings = self.settings.clone();
        settings.insert("PORT".to_owned(), address.rsplit(':').next().unwrap().to_owned());
        let mut process = Process::start(name, &settings)?;
        process.address().await?;
        self.running.insert(name, (process, address));
        Ok(())
    }
}

/// The orders of one buyer, and the answers to them.
#[derive(Default)]
struct Told {
    user: String,
    /// The order that each token was acknowledged with.
    orders: BTreeMap<String, BTreeSet<String>>,
    /// The tokens that were never answered anything but that nothing was charged.
    refused: BTreeSet<String>,
    added: usize,
    /// Adds that may have been made.
    maybe_added: usize,
}

impl Told {
    /// Buys one piece, and presses again with the same form until there is an order, or it is clear that there is none.
    async fn buy(&mut self, visitor: &mut Visitor) {
        match visitor.add(PRODUCT, 1).await.status.as_u16() {
            302 => self.added += 1,
            _ => self.maybe_added += 1,
        }
        let cart = visitor.get("/cart").await;
        let token = cart.between("name=\"order_token\" value=\"", "\"").to_owned();
        if token.is_empty() {
            return;
        }
        let mut is_refused = true;
        for _ in 0..fastrand::usize(1..4) {
            let page = visitor.check_out(&[("order_token", &token)]).await;
            let order_id = page.between("order-id\">", "<").to_owned();
            is_refused &= ![200, 202].contains(&page.status.as_u16());
            if page.status == 200 {
                self.orders.entry(token.clone()).or_default().insert(order_id);
            }
        }
        if is_refused {
            self.refused.insert(token);
        }
    }
}

/// The effects, as the services around the orders have noted them.
struct Ledger {
    orders: BTreeMap<String, StoredOrder>,
    charges: BTreeMap<String, Effect>,
    parcels: BTreeMap<String, Effect>,
}

impl Ledger {
    fn read(redis: &RedisServer) -> anyhow::Result<Self> {
        let mut connection = redis.connect()?;
        let mut effects = |prefix: &str| -> anyhow::Result<BTreeMap<String, Effect>> {
            let names: Vec<String> =
                redis::cmd("KEYS").arg(format!("{prefix}*")).query(&mut connection)?;
            let read = names.into_iter().map(|name| {
                let stored: Vec<u8> = redis::cmd("GET").arg(&name).query(&mut connection)?;
                Ok((name[prefix.len()..].to_owned(), Effect::decode(&*stored)?))
            });
            read.collect()
        };
        let charges = effects("boutique:charges:")?;
        let parcels = effects("boutique:parcels:")?;
        let names: Vec<String> =
            redis::cmd("KEYS").arg("boutique:{orders}:order:*").query(&mut connection)?;
        let orders = names.into_iter().map(|name| {
            let stored: Vec<u8> =
                redis::cmd("HGET").arg(&name).arg("data").query(&mut connection)?;
            let id = name.rsplit(':').next().unwrap().to_owned();
            anyhow::Ok((id, StoredOrder::decode(&*stored)?))
        });
        Ok(Self { orders: orders.collect::<Result<_, _>>()?, charges, parcels })
    }

    fn is_charged(&self, order_id: &str) -> bool {
        self.charges.get(order_id).is_some_and(|charge| !charge.is_void && !charge.id.is_empty())
    }

    /// Every acknowledged order is charged, shipped and confirmed; every charge belongs to an order that is done; one form
    /// made one order; and what was refused has had no effect.
    fn check(&self, told: &[Told], mailbox: &Mailbox) {
        let mut acknowledged = 0;
        for (token, orders) in told.iter().flat_map(|told| &told.orders) {
            assert_eq!(orders.len(), 1, "token {token} made {orders:?}");
            let id = orders.iter().next().unwrap();
            assert_eq!(self.orders[id].state(), OrderState::Done, "{id}");
            assert_eq!(&self.orders[id].key, token);
            assert!(self.is_charged(id), "{id} was not charged");
            acknowledged += 1;
        }
        for (id, order) in &self.orders {
            let is_done = order.state() == OrderState::Done;
            assert!(is_done || order.state() == OrderState::Voided, "{id}: {:?}", order.state());
            assert_eq!(self.is_charged(id), is_done, "{id}");
            assert_eq!(self.parcels.contains_key(id), is_done, "{id}");
            assert_eq!(mailbox.count(id) > 0, is_done, "mails of {id}");
        }
        for id in self.charges.keys() {
            assert!(self.orders.contains_key(id) || !self.is_charged(id), "no order of {id}");
        }
        for token in told.iter().flat_map(|told| &told.refused) {
            let order = self.orders.iter().find(|(_, order)| order.key == *token);
            assert!(order.is_none_or(|(id, _)| !self.is_charged(id)), "{token} was refused");
        }
        assert!(acknowledged > 0);
    }

    /// The pieces that a user has ordered.
    fn pieces_of(&self, user: &str) -> i32 {
        let orders = self.orders.values();
        let orders =
            orders.filter(|order| order.user_id == user && order.state() == OrderState::Done);
        let lines = orders.flat_map(|order| order.order.as_ref().unwrap().items.clone());
        lines.map(|line| line.item.unwrap().quantity).sum()
    }
}

/// Buyers who arrive at a constant rate until it is over.
fn buyers(shop: &Shop, is_over: &Arc<AtomicBool>) -> JoinHandle<JoinSet<(Told, Visitor)>> {
    let (visitor, is_over) = (shop.visitor(), is_over.clone());
    tokio::spawn(async move {
        let mut all = JoinSet::new();
        let mut arrivals = tokio::time::interval(ARRIVAL);
        while !is_over.load(Ordering::SeqCst) {
            arrivals.tick().await;
            let mut visitor = visitor.clone();
            all.spawn(async move {
                visitor.get("/").await;
                let user = visitor.cookies["shop_session-id"].clone();
                let mut told = Told { user, ..Told::default() };
                for _ in 0..PURCHASES {
                    told.buy(&mut visitor).await;
                }
                (told, visitor)
            });
        }
        all
    })
}

/// A setting of these tests.
fn setting(name: &str, default: u64) -> u64 {
    #[expect(clippy::disallowed_methods, reason = "the setting is these tests' own")]
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

/// The faults that hit every service in turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Storm {
    Kills,
    AnyFault,
}

/// Hits everything while people buy, waits until all orders are closed, and checks the books.
#[expect(clippy::print_stdout, reason = "the report of the test")]
async fn weather(storm: Storm) -> anyhow::Result<()> {
    let _alone = ALONE.lock().await;
    let (rounds, seed) = (setting("FAULT_ROUNDS", 2), setting("FAULT_SEED", fastrand::u64(..)));
    println!("FAULT_SEED={seed}");
    fastrand::seed(seed);
    let mut redis = RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"])?;
    let mailbox = Mailbox::start().await?;
    let mut shop = Shop::start(&redis, &mailbox).await?;
    let is_over = Arc::<AtomicBool>::default();
    let buyers = buyers(&shop, &is_over);
    for _ in 0..rounds {
        for name in HIT.into_iter().chain([REDIS]) {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(300..900))).await;
            match storm {
                Storm::Kills if name == REDIS => redis.kill_and_restart()?,
                Storm::Kills => shop.kill_and_restart(name).await?,
                Storm::AnyFault => shop.hit(name, &mut redis).await?,
            }
        }
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    is_over.store(true, Ordering::SeqCst);
    let all = buyers.await?.join_all().await;
    // What was left behind is taken over, completed or voided, and its mails are sent.
    let began = Instant::now();
    while redis.command(&["ZCARD", "boutique:{orders}:open"])?.trim() != "0" {
        assert!(began.elapsed() < Duration::from_secs(60), "orders are open still");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let settled = began.elapsed();
    let ledger = Ledger::read(&redis)?;
    let (told, mut visitors): (Vec<Told>, Vec<Visitor>) = all.into_iter().unzip();
    ledger.check(&told, &mailbox);
    for (told, visitor) in told.iter().zip(&mut visitors) {
        let mut page = visitor.get("/cart").await;
        // What was left out because of the last fault is used again in a moment.
        while page.status != 200 && began.elapsed() < Duration::from_secs(60) {
            tokio::time::sleep(Duration::from_millis(50)).await;
            page = visitor.get("/cart").await;
        }
        assert_eq!(page.status, 200);
        let cart = page.between("<h1>Cart (", ")").parse().unwrap_or(0);
        let pieces = usize::try_from(ledger.pieces_of(&told.user) + cart)?;
        let (least, most) = (told.added, told.added + told.maybe_added);
        assert!((least..=most).contains(&pieces), "{}: {pieces} of {least} to {most}", told.user);
    }
    let done = ledger.orders.values().filter(|order| order.state() == OrderState::Done).count();
    println!(
        "{} hits, {} orders, {done} done, {} mails, settled {settled:?} after the last one",
        rounds * (HIT.len() as u64 + 1),
        ledger.orders.len(),
        mailbox.len(),
    );
    Ok(())
}

#[tokio::test]
async fn killed_services_lose_no_order_and_no_money() -> anyhow::Result<()> {
    weather(Storm::Kills).await
}

#[tokio::test]
async fn faulty_services_lose_no_order_and_no_money() -> anyhow::Result<()> {
    weather(Storm::AnyFault).await
}
