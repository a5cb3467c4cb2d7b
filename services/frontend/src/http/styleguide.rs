//! `GET /styleguide`, in debug builds alone: the colors and the components of the style sheet.

use std::sync::Arc;

use ::http::StatusCode;
use askama::Template;
use axum::extract::Request;
use axum::response::Response;

use super::assets;
use super::failure::{Failure, retrieved, within};
use super::home::{Card, cards};
use super::notes::Notes;
use super::page::{self, Frame};
use super::paging::Paging;
use super::state::Shop;
use super::visit::Visit;
use crate::domain::form::Fields;

/// The number of products among the components.
const PRODUCTS: usize = 3;
/// A number of products that needs pages.
const MANY: usize = 200;

#[derive(Template)]
#[template(path = "styleguide.html")]
struct StyleGuide<'a> {
    frame: Frame<'a>,
    /// The custom properties of the style sheet, in its order.
    colors: Vec<Color>,
    products: Vec<Card>,
    paging: Paging,
    status: StatusCode,
}

/// A custom property and its values.
struct Color {
    name: &'static str,
    light: &'static str,
    dark: &'static str,
}

impl Color {
    /// Parses a line such as `--paper: light-dark(#f6f3ee, #191714);`.
    fn parse(line: &'static str) -> Option<Self> {
        let (name, value) = line.trim().strip_prefix("--")?.split_once(": light-dark(")?;
        let (light, dark) = value.strip_suffix(");")?.split_once(", ")?;
        Some(Self { name, light, dark })
    }
}

pub(crate) async fn page(
    shop: Arc<Shop>,
    visit: Arc<Visit>,
    _request: Request,
) -> Result<Response, Failure> {
    within(shop.config.limits.page, async || {
        let (supported, all) =
            tokio::join!(shop.clients.currencies(), shop.clients.products_or_copy());
        let mut notes = Notes::default();
        let all = notes.of_catalog(retrieved("products", all)?);
        let currencies = notes.currencies(&visit, supported)?;
        let current = currencies.as_ref().map(|currencies| currencies.current);
        let shown = all.get(..PRODUCTS).unwrap_or(&all);
        let products = cards(&shop, current, shown, &mut notes).await?;
        let page = StyleGuide {
            frame: Frame::full(&shop, &visit, currencies.as_ref(), None, &notes),
            colors: assets::style_sheet().lines().filter_map(Color::parse).collect(),
            products,
            paging: Paging::of(&Fields::parse(&[b"page=2"])?, &[], MANY)?,
            status: StatusCode::NOT_FOUND,
        };
        page::answer(&shop, &visit, current, &page.frame, &page)
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_custom_property_is_a_color_of_both_themes() {
        let style_sheet = assets::style_sheet();
        let colors = style_sheet.lines().filter_map(Color::parse);
        let colors: BTreeSet<&str> = colors.map(|color| color.name).collect();
        let uses = style_sheet.split("var(--").skip(1).filter_map(|rest| rest.split(')').next());
        assert_eq!(colors, uses.collect());
    }

    #[test]
    fn rules_name_no_colors_but_the_platforms() {
        for line in assets::style_sheet().lines() {
            let is_color = line.contains(": #");
            assert!(
                !is_color || line.starts_with(".local") || line.contains("-platform"),
                "{line}"
            );
        }
    }
}
