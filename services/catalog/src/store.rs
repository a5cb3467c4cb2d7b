//! The source of the catalog: the list compiled in, or a file that can be read again while
//! the service runs. A file that went bad changes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context as _;
use boutique_money::Money;
use boutique_proto::ListProductsResponse;
use boutique_service::{EnvError, read_text};
use parking_lot::RwLock;
use prost::Message as _;
use serde::Deserialize;
use tokio::signal::unix::{SignalKind, signal};

use crate::domain::{Catalog, Product, Refusal};

const PRODUCTS: &str = include_str!("../data/products.json");
/// More JSON than any catalog has that fits a message.
const MAX_FILE: usize = 16 * 1024 * 1024;
/// The largest message that gRPC clients accept by default, in bytes.
const MAX_MESSAGE: usize = 4 * 1024 * 1024;

/// A catalog, and what is said of it: messages made once, in the same order.
pub(crate) struct Stock {
    pub(crate) catalog: Catalog,
    pub(crate) messages: ListProductsResponse,
}

impl Stock {
    fn new(catalog: Catalog) -> Self {
        let products = catalog.products().iter().map(boutique_proto::Product::from).collect();
        Self { messages: ListProductsResponse { products }, catalog }
    }

    /// The product with exactly this id.
    pub(crate) fn find(&self, id: &str) -> Result<&boutique_proto::Product, Refusal> {
        Ok(&self.messages.products[self.catalog.find(id)?])
    }
}

/// The stock as it stands, and the switch that reads it anew on every call.
pub(crate) struct Store {
    file: Option<PathBuf>,
    current: RwLock<Arc<Stock>>,
    reloading: AtomicBool,
}

impl Store {
    /// Reads the file, or the list compiled in; a list that cannot be sold from is an error.
    pub(crate) fn open(file: Option<PathBuf>) -> Result<Self, EnvError> {
        let stock = match &file {
            None => parse(PRODUCTS),
            Some(path) => read(path),
        };
        let stock = stock.map_err(|problem| {
            // A problem of the file itself is a sentence that begins in the same way.
            let problem = format!("{problem:#}");
            let is_sentence = problem.starts_with("must name");
            let before = if is_sentence { "" } else { "must name a list of products: " };
            EnvError::new("CATALOG_FILE", format_args!("{before}{problem}"))
        })?;
        let current = RwLock::new(Arc::new(stock));
        Ok(Self { file, current, reloading: AtomicBool::new(false) })
    }

    /// The stock, read anew while the switch is on.
    pub(crate) async fn stock(self: &Arc<Self>) -> Arc<Stock> {
        if self.reloading.load(Ordering::Relaxed) {
            let store = self.clone();
            // Reading blocks, and a large list takes its time.
            let _ = tokio::task::spawn_blocking(move || store.reload()).await;
        }
        self.current.read().clone()
    }

    fn reload(&self) {
        let Some(path) = &self.file else { return };
        match read(path) {
            Ok(stock) => {
                let mut current = self.current.write();
                *current = Arc::new(stock);
            }
            Err(error) => {
                tracing::error!(error = format!("{error:#}"), "kept the catalog that was there");
            }
        }
    }
}

/// Turns reading on every call on with SIGUSR1 and off with SIGUSR2, for as long as the process
/// lives.
pub(crate) fn obey_signals(store: Arc<Store>) -> anyhow::Result<()> {
    let mut on = signal(SignalKind::user_defined1()).context("cannot listen for SIGUSR1")?;
    let mut off = signal(SignalKind::user_defined2()).context("cannot listen for SIGUSR2")?;
    tokio::spawn(async move {
        loop {
            let reloading = tokio::select! {
                _ = on.recv() => true,
                _ = off.recv() => false,
            };
            store.reloading.store(reloading, Ordering::Relaxed);
            let state = if reloading { "on" } else { "off" };
            tracing::info!("turned reading the catalog on every call {state}");
        }
    });
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<Stock> {
    parse(&read_text(path, MAX_FILE).map_err(anyhow::Error::msg)?)
}

fn parse(text: &str) -> anyhow::Result<Stock> {
    let list: List = serde_json::from_str(text)?;
    let products = list.products.into_iter().map(Product::try_from);
    let stock = Stock::new(Catalog::try_new(products.collect::<Result<_, _>>()?)?);
    let size = stock.messages.encoded_len();
    anyhow::ensure!(size <= MAX_MESSAGE, "the list takes {size} bytes, more than a message may");
    Ok(stock)
}

/// Upstream's file format: the JSON form of `ListProductsResponse`.
#[derive(Deserialize)]
struct List {
    products: Vec<Row>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    #[serde(default)]
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    picture: String,
    #[serde(alias = "price_usd")]
    price_usd: Price,
    #[serde(default)]
    categories: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Price {
    #[serde(alias = "currency_code")]
    currency_code: String,
    #[serde(default)]
    units: Units,
    #[serde(default)]
    nanos: i32,
}

/// protobuf's JSON writes 64-bit integers as strings, people as numbers.
#[derive(Deserialize)]
#[serde(untagged)]
enum Units {
    Number(i64),
    Text(String),
}

impl Default for Units {
    fn default() -> Self {
        Self::Number(0)
    }
}

impl TryFrom<Row> for Product {
    type Error = anyhow::Error;

    fn try_from(row: Row) -> anyhow::Result<Self> {
        let price = || {
            let units = match row.price_usd.units {
                Units::Number(units) => units,
                Units::Text(units) => units.parse().context("units are not a number")?,
            };
            anyhow::Ok(Money::try_new(&row.price_usd.currency_code, units, row.price_usd.nanos)?)
        };
        let price = price().with_context(|| format!("the price of {:?}", row.id))?;
        let Row { id, name, description, picture, price_usd: _, categories } = row;
        Ok(Self { id, name, description, picture, price, categories })
    }
}
