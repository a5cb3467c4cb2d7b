//! The shop in a real Chromium.

mod accessible;
mod hostile;
mod keyboard;
mod pictures;
mod scriptless;
mod shopping;
mod topology;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::Context as _;
use boutique_service::{Env, Registry};
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// Chromedriver on a free port, and where it writes what Chromium tells it.
pub(crate) struct Driver {
    _process: Child,
    url: String,
    pub(crate) log: PathBuf,
}

/// The fonts of every browser, so that pages look the same whichever a machine has. They come with Debian's Chromium.
const FONTS: [&str; 4] =
    ["DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSerif.ttf", "DejaVuSansMono.ttf"];
const FONT_FOLDER: &str = "/usr/share/fonts/truetype/dejavu";

/// Writes the fontconfig of a browser that has these fonts and no others, and returns its path.
fn fonts(folder: &Path) -> anyhow::Result<PathBuf> {
    let (fonts, config) = (folder.join("fonts"), folder.join("fonts.conf"));
    std::fs::create_dir_all(&fonts)?;
    for font in FONTS {
        let from = Path::new(FONT_FOLDER).join(font);
        std::fs::copy(&from, fonts.join(font)).with_context(|| from.display().to_string())?;
    }
    let prefer = |generic, family| {
        format!(
            "<alias><family>{generic}</family><prefer><family>{family}</family></prefer></alias>"
        )
    };
    let (sans, serif) = ("DejaVu Sans", "DejaVu Serif");
    let aliases =
        [prefer("system-ui", sans), prefer("sans-serif", sans), prefer("serif", serif)].concat();
    let (fonts, cache) = (fonts.display(), folder.join("cache"));
    let text = format!(
        "<?xml version=\"1.0\"?><fontconfig><dir>{fonts}</dir><cachedir>{}</cachedir>{aliases}</fontconfig>",
        cache.display()
    );
    std::fs::write(&config, text)?;
    Ok(config)
}

pub(crate) async fn driver(folder: &Path) -> anyhow::Result<Driver> {
    let log = folder.join("chromedriver.log");
    let mut process = Command::new("chromedriver")
        .args(["--port=0", "--verbose"])
        .env("FONTCONFIG_FILE", fonts(folder)?)
        .arg(format!("--log-path={}", log.display()))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start chromedriver; the README's test command installs it")?;
    let mut lines = BufReader::new(process.stdout.take().context("no stdout")?).lines();
    let port = loop {
        let line = lines.next_line().await?.context("chromedriver said no port")?;
        if let Some((_, port)) = line.split_once("started successfully on port ") {
            break port.trim_end_matches('.').to_owned();
        }
    };
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok(Driver { _process: process, url: format!("http://127.0.0.1:{port}"), log })
}

pub(crate) async fn browser(
    driver: &Driver,
    folder: &Path,
    width: u32,
    is_dark: bool,
) -> anyhow::Result<Client> {
    start(driver, folder, width, is_dark, &json!({})).await
}

/// A browser of these preferences.
pub(crate) async fn start(
    driver: &Driver,
    folder: &Path,
    width: u32,
    is_dark: bool,
    preferences: &Value,
) -> anyhow::Result<Client> {
    let profile = folder.join(format!("profile-{width}-{is_dark}"));
    let scheme = u8::from(!is_dark);
    let arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--disable-dev-shm-usage",
        &format!("--blink-settings=preferredColorScheme={scheme}"),
        &format!("--window-size={width},1200"),
        &format!("--user-data-dir={}", profile.display()),
    ];
    let capabilities = json!({ "goog:chromeOptions": { "args": arguments, "prefs": preferences } });
    let Value::Object(capabilities) = capabilities else { anyhow::bail!("not an object") };
    let mut builder = ClientBuilder::new(HttpConnector::new());
    Ok(builder.capabilities(capabilities).connect(&driver.url).await?)
}

/// The browsers in which pages are looked at: a name, the width, and true for the dark theme.
pub(crate) const WINDOWS: [(&str, u32, bool); 4] = [
    ("desk", 1200, false),
    ("desk-dark", 1200, true),
    ("phone", 500, false),
    ("phone-dark", 500, true),
];

/// Waits until the page says this.
pub(crate) async fn says(client: &Client, text: &str) -> anyhow::Result<()> {
    let xpath = format!("//*[contains(normalize-space(text()), \"{text}\")]");
    let wait = client.wait().at_most(Duration::from_secs(30));
    wait.for_element(Locator::XPath(&xpath)).await.with_context(|| format!("never says {text}"))?;
    Ok(())
}

/// The largest sum of a page's layout shifts. Chromium's own rounding of a box is below it.
const MAX_SHIFT: f64 = 0.001;

/// Insists on every picture, scrolled to where a lazy one is loaded, and on a layout that has not moved, and keeps a picture
/// of it all.
pub(crate) async fn look(client: &Client, name: &str) -> anyhow::Result<()> {
    let shift = "
        const observer = new PerformanceObserver(() => {});
        observer.observe({ type: 'layout-shift', buffered: true });
        const shifts = observer.takeRecords().filter((shift) => !shift.hadRecentInput);
        const sources = shifts.flatMap((shift) => shift.sources.map(({ node, previousRect, currentRect }) =>
          `${node?.nodeName}.${node?.className} from ${JSON.stringify(previousRect)} to ${JSON.stringify(currentRect)}`));
        return [shifts.reduce((sum, shift) => sum + shift.value, 0), sources];";
    let shift = client.execute(shift, vec![]).await?;
    let moved = shift[0].as_f64().is_none_or(|sum| sum >= MAX_SHIFT);
    anyhow::ensure!(!moved, "the layout of {name} moved: {shift}");
    let broken = "
        const done = arguments[0];
        const pictures = [...document.images];
        pictures.forEach((picture) => { picture.loading = 'eager'; });
        Promise.allSettled(pictures.map((picture) => picture.decode()))
          .then(() => done(pictures.filter((p) => p.naturalWidth === 0).map((p) => p.src)));";
    let broken = client.execute_async(broken, vec![]).await?;
    anyhow::ensure!(broken == json!([]), "{name} has broken pictures: {broken}");
    let wide = "return document.documentElement.scrollWidth <= window.innerWidth";
    anyhow::ensure!(client.execute(wide, vec![]).await? == json!(true), "{name} is too wide");
    pictures::take(client, name).await
}

pub(crate) async fn click(client: &Client, css: &str) -> anyhow::Result<()> {
    let wait = client.wait().at_most(Duration::from_secs(30));
    let element = wait.for_element(Locator::Css(css)).await.with_context(|| css.to_owned())?;
    element.click().await.with_context(|| css.to_owned())
}

/// Opens a shop in this process, and returns its address, which ends with a slash.
pub(crate) async fn open_shop() -> anyhow::Result<(String, impl Sized)> {
    open_with(Env::default()).await
}

/// The same with these settings.
pub(crate) async fn open_with(mut env: Env) -> anyhow::Result<(String, impl Sized)> {
    env.set("PORT", "0");
    let open = boutique::open(&mut env, &mut Registry::default()).await?;
    Ok((format!("http://{}/", open.address().context("no address")?), open))
}

/// Opens a shop and a browser of the first window, and returns the shop's address and the browser.
pub(crate) async fn open_on_a_desk() -> anyhow::Result<(String, Client, impl Sized)> {
    open_on_a_desk_with(Env::default()).await
}

/// The same with these settings.
pub(crate) async fn open_on_a_desk_with(env: Env) -> anyhow::Result<(String, Client, impl Sized)> {
    let folder = tempfile::tempdir()?;
    let (base, shop) = open_with(env).await?;
    let driver = driver(folder.path()).await?;
    let [(_, width, is_dark), ..] = WINDOWS;
    let client = browser(&driver, folder.path(), width, is_dark).await?;
    Ok((base, client, (shop, driver, folder)))
}

/// On the page of the cart, sends an order that the shop refuses, and the browser does not.
pub(crate) async fn send_mistake(client: &Client) -> anyhow::Result<()> {
    let mistake = "document.querySelector('.cart-checkout-form').noValidate = true;
        document.getElementById('email').value = 'jo at example'";
    client.execute(mistake, vec![]).await?;
    click(client, ".cart-checkout-form button").await?;
    says(client, "Your order was not placed.").await
}
