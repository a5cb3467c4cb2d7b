//! Business rules of carts: what can be added, and how quantities are merged.

/// The longest user id, in bytes; a session id has 36.
const MAX_USER_ID: usize = 128;
/// The beginning of no user id: carts are kept under their user's id, and in the same Redis may be orders.
const RESERVED: &str = "boutique:";
/// The longest product id, in bytes; upstream's have ten.
const MAX_PRODUCT_ID: usize = 128;
/// The most lines a cart has room for.
pub(crate) const MAX_LINES: usize = 500;
/// The most pieces a line may hold.
pub(crate) const MAX_QUANTITY: i32 = 1_000_000;

/// The reason of a refused item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("item is missing")]
    NoItem,
    #[error(
        "user_id must have 1 to {MAX_USER_ID} bytes, no control characters, and not begin with {RESERVED}"
    )]
    UserId,
    #[error("product_id must have 1 to {MAX_PRODUCT_ID} bytes and no control characters")]
    ProductId,
    #[error("quantity must lie between 1 and {MAX_QUANTITY}")]
    Quantity,
    #[error("a line holds at most {MAX_QUANTITY} pieces")]
    FullLine,
    #[error("a cart holds at most {MAX_LINES} lines")]
    FullCart,
    #[error("this idempotency key belongs to another change")]
    OtherChange,
}

/// A product and how many of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) product_id: String,
    pub(crate) quantity: i32,
}

/// The id of a user, which can be a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct UserId(String);

impl UserId {
    /// Parses an id.
    pub(crate) fn parse(user_id: String) -> Result<Self, Refusal> {
        let is_user = is_id(&user_id, MAX_USER_ID) && !user_id.starts_with(RESERVED);
        if is_user { Ok(Self(user_id)) } else { Err(Refusal::UserId) }
    }

    /// Returns the id.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the id.
    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

/// A line that can be added to a cart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NewLine(Line);

impl NewLine {
    /// Parses a product's id and a quantity.
    pub(crate) fn parse(product_id: String, quantity: i32) -> Result<Self, Refusal> {
        if !is_id(&product_id, MAX_PRODUCT_ID) {
            return Err(Refusal::ProductId);
        }
        if !(1..=MAX_QUANTITY).contains(&quantity) {
            return Err(Refusal::Quantity);
        }
        Ok(Self(Line { product_id, quantity }))
    }

    /// Returns the line.
    pub(crate) fn line(&self) -> &Line {
        &self.0
    }
}

/// A user's cart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cart {
    pub(crate) lines: Vec<Line>,
    /// Changes with every change of the cart, and never comes again; unknown if another implementation wrote the cart.
    pub(crate) version: Option<String>,
}

/// Takes quantities of products out; what is not there is not missed.
pub(crate) fn remove(lines: &mut Vec<Line>, removed: &[NewLine]) {
    for NewLine(removed) in removed {
        let mut left = removed.quantity;
        for line in lines.iter_mut().filter(|line| line.product_id == removed.product_id) {
            let taken = left.min(line.quantity).max(0);
            line.quantity -= taken;
            left -= taken;
        }
    }
    lines.retain(|line| line.quantity != 0);
}

/// Adds a line at the end, or its quantity to the line of the same product.
pub(crate) fn add(lines: &mut Vec<Line>, NewLine(added): NewLine) -> Result<(), Refusal> {
    let Some(line) = lines.iter_mut().find(|line| line.product_id == added.product_id) else {
        if lines.len() >= MAX_LINES {
            return Err(Refusal::FullCart);
        }
        lines.push(added);
        return Ok(());
    };
    match line.quantity.checked_add(added.quantity) {
        Some(sum) if sum <= MAX_QUANTITY => line.quantity = sum,
        Some(_) | None => return Err(Refusal::FullLine),
    }
    Ok(())
}

fn is_id(text: &str, longest: usize) -> bool {
    (1..=longest).contains(&text.len()) && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(product_id: &str, quantity: i32) -> Line {
        Line { product_id: product_id.to_owned(), quantity }
    }

    fn new(product_id: &str, quantity: i32) -> NewLine {
        NewLine::parse(product_id.to_owned(), quantity).unwrap()
    }

    #[test]
    fn quantities_of_a_product_are_merged_and_a_new_one_goes_last() {
        let mut lines = vec![line("b", 1)];
        add(&mut lines, new("a", 2)).unwrap();
        add(&mut lines, new("b", 3)).unwrap();
        assert_eq!(lines, [line("b", 4), line("a", 2)]);
    }

    #[test]
    fn what_is_taken_out_is_no_more_than_what_is_there() {
        let mut lines = vec![line("a", 3), line("b", 1), line("c", 2)];
        remove(&mut lines, &[new("a", 2), new("b", 5), new("d", 1)]);
        assert_eq!(lines, [line("a", 1), line("c", 2)]);
        remove(&mut lines, &[new("c", 1), new("c", 1)]);
        assert_eq!(lines, [line("a", 1)]);
    }

    #[test]
    fn line_and_cart_can_be_full() {
        let mut lines = vec![line("a", MAX_QUANTITY)];
        assert_eq!(add(&mut lines, new("a", 1)), Err(Refusal::FullLine));
        assert_eq!(add(&mut vec![line("a", i32::MAX)], new("a", 1)), Err(Refusal::FullLine));

        lines = (0..MAX_LINES).map(|n| line(&n.to_string(), 1)).collect();
        assert_eq!(add(&mut lines, new("new", 1)), Err(Refusal::FullCart));
        assert_eq!(add(&mut lines, new("7", 1)), Ok(()));
    }

    #[test]
    fn ids_are_short_and_printable_and_quantities_positive() {
        assert!(UserId::parse("u".repeat(128)).is_ok());
        let parse = |id: &str, quantity| NewLine::parse(id.to_owned(), quantity);
        assert_eq!(UserId::parse("boutique:orders:1".to_owned()), Err(Refusal::UserId));
        for id in ["", "a\u{0}", "a\nb", &"u".repeat(129)] {
            assert_eq!(UserId::parse(id.to_owned()), Err(Refusal::UserId));
            assert_eq!(parse(id, 1), Err(Refusal::ProductId));
        }
        assert_eq!(parse("a", 1).map(|new| new.line().clone()), Ok(line("a", 1)));
        for quantity in [0, -1, i32::MIN, MAX_QUANTITY + 1, i32::MAX] {
            assert_eq!(parse("a", quantity), Err(Refusal::Quantity), "{quantity}");
        }
    }
}
