//! Pictures of pages as they are now, compared with those in `docs/pages`.
//!
//! Fonts and figures differ from machine to machine, so that colors are compared by cells of a coarse grid, and without the
//! parts that differ from visit to visit. With `UPDATE_PICTURES=1` the pictures in `docs/pages` are made anew.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use boutique_service::Env;
use fantoccini::Client;
use serde_json::{Value, json};

/// The largest mean difference of the cells of two pictures, of 255. Between runs it is at most 1, between two pages 15 and
/// more, and between light and dark 90.
const MAX_DIFFERENCE: f64 = 5.0;
/// The parts of a page that differ from visit to visit.
const RANDOM: &str = ".recommendations, .ad, .footer-ids";

/// Where a picture of this run is, and where its parts that differ are.
fn taken(name: &str) -> [PathBuf; 2] {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
    ["png", "json"].map(|kind| folder.join(format!("{name}.{kind}")))
}

/// Takes a picture of the page that is open.
pub(crate) async fn take(client: &Client, name: &str) -> anyhow::Result<()> {
    let [picture, parts] = taken(name);
    std::fs::create_dir_all(picture.with_file_name(""))?;
    let random = "
        return [...document.querySelectorAll(arguments[0])].map((part) => {
          const { x, y, width, height } = part.getBoundingClientRect();
          return [x, y, width, height];
        });";
    let random = client.execute(random, vec![json!(RANDOM)]).await?;
    std::fs::write(parts, random.to_string())?;
    std::fs::write(picture, client.screenshot().await?)?;
    Ok(())
}

fn stored(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.join("docs/pages").join(format!("{name}.webp"))
}

/// Compares the pictures of these names that this run took with the stored ones. Leaves the page that is open.
pub(crate) async fn compare(client: &Client, names: &[&str]) -> anyhow::Result<()> {
    // A page of the shop allows no pictures from elsewhere.
    client.goto("about:blank").await?;
    let mut problems = Vec::new();
    for name in names {
        let [picture, parts] = taken(name);
        let taken = std::fs::read(picture)?;
        if Env::from_process().flag("UPDATE_PICTURES")? == Some(true) {
            std::fs::write(stored(name), to_webp(client, &taken).await?)?;
            continue;
        }
        let path = stored(name);
        let known = std::fs::read(&path).with_context(|| path.display().to_string())?;
        let random = serde_json::from_slice(&std::fs::read(parts)?)?;
        let difference = difference(client, &known, &taken, &random).await?;
        if difference > MAX_DIFFERENCE {
            problems.push(format!("{name} by {difference:.1}"));
        }
    }
    ensure!(problems.is_empty(), "pictures differ from docs/pages:\n{}", problems.join("\n"));
    Ok(())
}

/// Returns the mean difference of the colors of two pictures' cells, but for these parts.
async fn difference(
    client: &Client,
    one: &[u8],
    other: &[u8],
    parts: &Value,
) -> anyhow::Result<f64> {
    let compare = "
        const [one, other, parts, done] = arguments;
        const load = async (text) => {
          const image = new Image();
          image.src = `data:image/*;base64,${text}`;
          await image.decode();
          return image;
        };
        // What both show: a browser of another version may have more or less room.
        const cells = (image, wide, high) => {
          const context = new OffscreenCanvas(24, 24).getContext('2d');
          context.imageSmoothingQuality = 'high';
          context.drawImage(image, 0, 0, wide, high, 0, 0, 24, 24);
          for (const [x, y, width, height] of parts) {
            const [across, down] = [24 / wide, 24 / high];
            context.clearRect(Math.floor(x * across), Math.floor(y * down),
              Math.ceil(width * across) + 1, Math.ceil(height * down) + 1);
          }
          return context.getImageData(0, 0, 24, 24).data;
        };
        Promise.all([load(one), load(other)]).then(([one, other]) => {
          const wide = Math.min(one.width, other.width);
          const high = Math.min(one.height, other.height);
          const [before, now] = [cells(one, wide, high), cells(other, wide, high)];
          const all = Array.from(before, (value, index) => Math.abs(value - now[index]));
          // Three colors; the fourth number is opaqueness.
          done(all.reduce((sum, value) => sum + value) / (all.length * 3 / 4));
        }, (error) => done(String(error)));";
    let [one, other] = [one, other].map(|picture| json!(BASE64_STANDARD.encode(picture)));
    let found = client.execute_async(compare, vec![one, other, parts.clone()]).await?;
    found.as_f64().with_context(|| found.to_string())
}

async fn to_webp(client: &Client, png: &[u8]) -> anyhow::Result<Vec<u8>> {
    let convert = "
        const [text, done] = arguments;
        const image = new Image();
        image.src = `data:image/png;base64,${text}`;
        image.decode().then(() => {
          const canvas = document.createElement('canvas');
          [canvas.width, canvas.height] = [image.width, image.height];
          canvas.getContext('2d').drawImage(image, 0, 0);
          done(canvas.toDataURL('image/webp', 0.85).split(',')[1]);
        }, (error) => done(String(error)));";
    let webp = client.execute_async(convert, vec![json!(BASE64_STANDARD.encode(png))]).await?;
    Ok(BASE64_STANDARD.decode(webp.as_str().context("no picture")?)?)
}

#[tokio::test]
async fn pictures_that_differ_are_told_apart() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let driver = super::driver(folder.path()).await?;
    let client = super::browser(&driver, folder.path(), 600, false).await?;
    client.goto("about:blank").await?;
    let read = |name| std::fs::read(stored(name));
    let (light, dark) = (read("desk-home")?, read("desk-dark-home")?);
    let (cart, order) = (read("desk-cart")?, read("desk-order")?);
    let none = json!([]);
    let same = difference(&client, &light, &light, &none).await?;
    let theme = difference(&client, &light, &dark, &none).await?;
    let page = difference(&client, &cart, &order, &none).await?;
    client.close().await?;
    let told_apart = same == 0.0 && theme > MAX_DIFFERENCE && page > MAX_DIFFERENCE;
    ensure!(told_apart, "{same}, {theme} between themes, {page} between pages");
    Ok(())
}

#[test]
fn every_stored_picture_is_shown() -> anyhow::Result<()> {
    let gallery = std::fs::read_to_string(stored("x").with_file_name("README.md"))?;
    let mut shown = 0;
    for file in std::fs::read_dir(stored("x").with_file_name(""))? {
        let name = file?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".webp") {
            ensure!(gallery.contains(&format!("({name})")), "docs/pages/README.md shows no {name}");
            shown += 1;
        }
    }
    ensure!(shown >= 40, "{shown} pictures");
    Ok(())
}
