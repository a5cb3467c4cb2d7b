//! The growth of costs: with the lines of a cart, the products of a catalog, and the users in Redis.

use anyhow::Context as _;
use serde_json::json;

use crate::plan::{Session, median};
use crate::system::{Settings, System};
use crate::workload::ORDER;

/// A figure over an axis.
pub(crate) struct Curve {
    pub(crate) title: String,
    pub(crate) axis: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) points: Vec<(f64, f64)>,
    /// The figure that its growth is, and the most that it may be.
    pub(crate) promise: Option<(&'static str, f64)>,
}

impl Curve {
    /// The largest value as a multiple of the first.
    pub(crate) fn growth(&self) -> f64 {
        let first = self.points.first().map_or(1.0, |point| point.1);
        self.points.iter().map(|point| point.1).fold(0.0, f64::max) / first
    }
}

/// Latency and CPU of the cart's page with one user: what is asked in turn shows in the first, what is
/// asked at all in the second.
pub(crate) fn cart_lines(session: &Session, system: &System) -> anyhow::Result<Vec<Curve>> {
    let (mut latency, mut cpu) = (Vec::new(), Vec::new());
    for items in [1_u32, 2, 5, 9] {
        let arguments = format!("--profile page:cart --items {items}");
        let sample = session.measure(system, &arguments, 1, false)?;
        latency.push((f64::from(items), sample.p50));
        cpu.push((f64::from(items), sample.cpu()));
    }
    let title = |what: &str| format!("Cart page by lines, {}: {what}", system.label);
    let curve = |what: &str, unit, points| Curve {
        title: title(what),
        axis: "lines",
        unit,
        points,
        promise: None,
    };
    Ok(vec![curve("median with one user", "ms", latency), curve("CPU with one user", "µs", cpu)])
}

/// The product page over catalogs of ever more products, ten processes.
pub(crate) fn products(
    session: &Session,
    extra: &Settings,
    label: &str,
    promise: Option<(&'static str, f64)>,
) -> anyhow::Result<Curve> {
    let mut points = Vec::new();
    for count in [9_usize, 100, 1_000, 10_000] {
        let file = session.machine.scratch.join(format!("{count}.json"));
        std::fs::write(&file, catalog(count)?)?;
        let mut settings = extra.clone();
        settings.insert("CATALOG_FILE".to_owned(), file.to_string_lossy().into_owned());
        // A list this long takes longer than most people would wait for.
        for edge in ["PRODUCT_CATALOG_TIMEOUT", "RECOMMENDATION_TIMEOUT"] {
            settings.insert(edge.to_owned(), "3s".to_owned());
        }
        let system =
            System::ten(&session.machine, &format!("{label}, {count} products"), &settings)?;
        // The first answers fill what is cached.
        session.measure(&system, "--profile page:product", session.users, false)?;
        let sample = session.measure(&system, "--profile page:product", session.users, false)?;
        points.push((count as f64, sample.cpu()));
    }
    let title = format!("Product page by products of the catalog, {label}: CPU");
    Ok(Curve { title, axis: "products", unit: "µs", points, promise })
}

/// Upstream's nine products, and others.
fn catalog(count: usize) -> anyhow::Result<String> {
    const NINE: &str = include_str!("../../../services/catalog/data/products.json");
    let mut list: serde_json::Value = serde_json::from_str(NINE)?;
    let products = list["products"].as_array_mut().context("no products")?;
    for number in products.len()..count {
        products.push(json!({
            "id": format!("MADEUP{number:06}"), "name": format!("Thing {number}"),
            "description": "One of many, and much like the others.",
            "picture": "/static/img/products/mug.jpg",
            "priceUsd": {"currencyCode": "USD", "units": 8, "nanos": 990_000_000},
            "categories": ["things"],
        }));
    }
    Ok(list.to_string())
}

/// Orders over gRPC with ever more other users' carts in Redis: CPU of shop and Redis together (the median
/// of the rounds), and the number of commands an order takes.
pub(crate) fn users(
    session: &Session,
    system: &System,
    redis: &str,
    rounds: usize,
) -> anyhow::Result<Vec<Curve>> {
    let mut connection = redis::Client::open(format!("redis://{redis}"))?.get_connection()?;
    let (mut cpu, mut commands, mut there) = (Vec::new(), Vec::new(), 0_u32);
    let orders = ORDER.arguments;
    // The first orders are dearer than all that follow.
    session.measure(system, orders, session.users, true)?;
    for count in [1_u32, 1_000, 100_000, 1_000_000] {
        while there < count {
            let mut pipe = redis::pipe();
            for _ in 0..10_000.min(count - there) {
                let fields = [("absexp", "-1"), ("sldexp", "-1"), ("data", "\n\u{4}user")];
                pipe.hset_multiple(format!("other-user-{there:010}"), &fields).ignore();
                there += 1;
            }
            pipe.query::<()>(&mut connection)?;
        }
        let before = calls(&mut connection)?;
        let samples = (0..rounds)
            .map(|_| session.measure(system, orders, session.users, true))
            .collect::<anyhow::Result<Vec<_>>>()?;
        let per_second = samples.iter().map(|sample| sample.per_second).sum::<f64>();
        let placed = per_second * session.duration.as_secs_f64();
        let costs = samples.iter().map(|sample| sample.cpu() + sample.redis);
        cpu.push((f64::from(count), median(costs).0));
        commands.push((
            f64::from(count),
            ((calls(&mut connection)? - before) / placed * 10.0).round() / 10.0,
        ));
    }
    let title = |what: &str| format!("An order of 2 by users in Redis, {}: {what}", system.label);
    let curve = |what: &str, unit, points, promise| Curve {
        title: title(what),
        axis: "users",
        unit,
        points,
        promise: Some(promise),
    };
    let of_cpu = ("order from 1 to 1,000,000 users in Redis, CPU with Redis", 1.15);
    let of_commands = ("order from 1 to 1,000,000 users in Redis, commands", 1.05);
    Ok(vec![
        curve("CPU with Redis", "µs", cpu, of_cpu),
        curve("Redis commands", "commands", commands, of_commands),
    ])
}

/// Returns the number of commands that this Redis has run for others.
fn calls(connection: &mut redis::Connection) -> anyhow::Result<f64> {
    let info: String = redis::cmd("INFO").arg("commandstats").query(connection)?;
    let calls =
        info.lines().filter(|line| line.starts_with("cmdstat_") && !line.contains("_info:"));
    let count = |line: &str| line.split_once("calls=")?.1.split(',').next()?.parse::<f64>().ok();
    Ok(calls.filter_map(count).sum())
}
