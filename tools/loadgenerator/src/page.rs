//! Reads pages, whatever their markup: texts that must be there, the size of the cart, an
//! order's numbers. It reads upstream's pages and ours alike.

use std::collections::BTreeMap;

use memchr::memmem;

use crate::history::{Listed, State};

/// Returns true if the page has this text.
pub(crate) fn says(page: &[u8], text: &str) -> bool {
    memmem::find(page, text.as_bytes()).is_some()
}

/// Returns the number of pieces in the cart of the page's header; no number means none.
pub(crate) fn cart_size(page: &[u8]) -> i64 {
    let number =
        after(page, "cart-size-circle").and_then(|rest| text(rest.get(1..)?)?.parse().ok());
    number.unwrap_or(0)
}

/// The numbers of an order page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OrderPage {
    pub(crate) order_id: String,
    pub(crate) tracking_id: String,
    /// As it is written, with the currency's sign.
    pub(crate) total: String,
}

impl OrderPage {
    pub(crate) fn read(page: &[u8]) -> Option<Self> {
        let value = |label| text(after(page, label)?);
        Some(Self {
            order_id: value("Confirmation #")?,
            tracking_id: value("Tracking #")?,
            total: value("Total Paid")?,
        })
    }
}

/// The lines of the cart page: pieces by product.
pub(crate) fn cart(page: &[u8]) -> Option<BTreeMap<String, u32>> {
    let mut lines = BTreeMap::new();
    let mut rest = page;
    while let Some(line) = after(rest, "SKU #") {
        let end = line.iter().position(|byte| *byte == b'<' || byte.is_ascii_whitespace())?;
        let product = std::str::from_utf8(&line[..end]).ok()?;
        rest = after(line, "Quantity:")?;
        *lines.entry(product.to_owned()).or_default() += text(rest)?.parse::<u32>().ok()?;
    }
    Some(lines)
}

/// The page of a user's orders, the latest first.
pub(crate) fn orders(page: &[u8]) -> Option<Vec<Listed>> {
    let mut orders = Vec::new();
    let mut rest = page;
    while let Some(line) = after(rest, "/orders/") {
        let end = memchr::memchr(b'"', line)?;
        let id = std::str::from_utf8(&line[..end]).ok()?.to_owned();
        rest = after(line, "order-state\">")?;
        let state = match text(rest)?.as_str() {
            "complete" => State::Complete,
            "not placed, nothing was charged" => State::Voided,
            _ => State::Open,
        };
        orders.push(Listed { id, state });
    }
    Some(orders)
}

/// Returns the shipping cost of the cart page, as it is written.
pub(crate) fn shipping(page: &[u8]) -> Option<String> {
    text(after(after(page, "cart-summary-shipping-row")?, "Shipping")?)
}

fn after<'a>(page: &'a [u8], label: &str) -> Option<&'a [u8]> {
    memmem::find(page, label.as_bytes()).map(|place| &page[place + label.len()..])
}

/// The first text from here on that is no tag and no space.
fn text(mut rest: &[u8]) -> Option<String> {
    // Inside of a tag, its end comes first.
    if let Some(end) = rest.iter().position(|byte| matches!(byte, b'<' | b'>'))
        && rest[end] == b'>'
    {
        rest = &rest[end + 1..];
    }
    loop {
        let end = memchr::memchr(b'<', rest)?;
        let words = std::str::from_utf8(&rest[..end]).ok()?.trim();
        if !words.is_empty() {
            return Some(words.to_owned());
        }
        rest = &rest[end + memchr::memchr(b'>', &rest[end..])? + 1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_read_from_both_shops_pages() {
        let order = OrderPage {
            order_id: "1-2".to_owned(),
            tracking_id: "AB-12".to_owned(),
            total: "€51.26".to_owned(),
        };
        let ours = r#"<div class="row"><span>Confirmation #</span>
            <span class="order-id">1-2</span></div><div><span>Tracking #</span>
            <span class="tracking-id">AB-12</span></div><span>Total Paid</span>
            <span class="total-paid">€51.26</span>"#;
        let upstreams = r#"<div class="col">Confirmation #</div><div class="col">
            1-2
            </div><div>Tracking #</div><div>
            AB-12</div><div>Total Paid</div><div class="c">€51.26</div>"#;
        assert_eq!(OrderPage::read(ours.as_bytes()), Some(order.clone()));
        assert_eq!(OrderPage::read(upstreams.as_bytes()), Some(order));
        assert_eq!(OrderPage::read(b"<h3>Uh, oh!</h3>"), None);
        assert_eq!(OrderPage::read(b"Confirmation # Tracking # Total Paid"), None);
    }

    #[test]
    fn orders_are_read_from_their_page() {
        let page = r#"<a href="/orders/1-2">2026-11-26 10:00 UTC</a></span><span>$1.00</span>
            <span class="order-state">complete</span><a href="/orders/3-4">2026-11-26 09:00 UTC</a>
            <span class="order-state">not placed, nothing was charged</span>
            <a href="/orders/5-6">2026</a><span class="order-state">being processed</span>"#;
        let listed = |id: &str, state| Listed { id: id.to_owned(), state };
        let expected = [
            listed("1-2", State::Complete),
            listed("3-4", State::Voided),
            listed("5-6", State::Open),
        ];
        assert_eq!(orders(page.as_bytes()).unwrap(), expected);
        assert_eq!(orders(b"<p>There are none of this visit.</p>"), Some(Vec::new()));
    }

    #[test]
    fn a_cart_is_read_from_its_page() {
        let page = r#"<span class="cart-size-circle">12</span>
            <div>SKU #ABC</div><div>Quantity: 10</div>
            <div>SKU #XYZ
            </div><div>
            Quantity: 2 </div><div class="row cart-summary-shipping-row">
            <div>Shipping</div><div class="x">$8.99</div>"#;
        assert_eq!(cart_size(page.as_bytes()), 12);
        let lines = cart(page.as_bytes()).unwrap();
        assert_eq!(lines, BTreeMap::from([("ABC".to_owned(), 10), ("XYZ".to_owned(), 2)]));
        assert_eq!(shipping(page.as_bytes()).as_deref(), Some("$8.99"));
        assert_eq!((cart_size(b"<p>empty</p>"), cart(b"").unwrap().len()), (0, 0));
    }
}
