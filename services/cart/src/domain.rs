//! What may go into a cart, and how adding merges quantities.

/// The longest user id, in bytes; a session id has 36.
const MAX_USER_ID: usize = 128;
/// The longest product id, in bytes; upstream's have ten.
const MAX_PRODUCT_ID: usize = 128;
/// The most lines a cart has room for.
pub(crate) const MAX_LINES: usize = 500;
/// The most pieces a line may hold.
pub(crate) const MAX_QUANTITY: i32 = 1_000_000;

/// Why an item does not go into a cart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("user_id must have 1 to {MAX_USER_ID} bytes and no control characters")]
    UserId,
    #[error("product_id must have 1 to {MAX_PRODUCT_ID} bytes and no control characters")]
    ProductId,
    #[error("quantity must lie between 1 and {MAX_QUANTITY}")]
    Quantity,
    #[error("a line holds at most {MAX_QUANTITY} pieces")]
    FullLine,
    #[error("a cart holds at most {MAX_LINES} lines")]
    FullCart,
}

/// A product and how many of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) product_id: String,
    pub(crate) quantity: i32,
}

/// Accepts an id that can be a key.
pub(crate) fn check_user(user_id: &str) -> Result<(), Refusal> {
    is_id(user_id, MAX_USER_ID).then_some(()).ok_or(Refusal::UserId)
}

/// Accepts a line that can be added.
pub(crate) fn check_line(line: &Line) -> Result<(), Refusal> {
    if !is_id(&line.product_id, MAX_PRODUCT_ID) {
        return Err(Refusal::ProductId);
    }
    if !(1..=MAX_QUANTITY).contains(&line.quantity) {
        return Err(Refusal::Quantity);
    }
    Ok(())
}

/// Adds a line at the end, or its quantity to the line of the same product.
pub(crate) fn add(lines: &mut Vec<Line>, added: Line) -> Result<(), Refusal> {
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

    #[test]
    fn the_same_product_grows_its_line_and_a_new_one_goes_last() {
        let mut lines = vec![line("b", 1)];
        add(&mut lines, line("a", 2)).unwrap();
        add(&mut lines, line("b", 3)).unwrap();
        assert_eq!(lines, [line("b", 4), line("a", 2)]);
    }

    #[test]
    fn a_line_and_a_cart_can_be_full() {
        let mut lines = vec![line("a", MAX_QUANTITY)];
        assert_eq!(add(&mut lines, line("a", 1)), Err(Refusal::FullLine));
        assert_eq!(add(&mut vec![line("a", i32::MAX)], line("a", 1)), Err(Refusal::FullLine));

        lines = (0..MAX_LINES).map(|n| line(&n.to_string(), 1)).collect();
        assert_eq!(add(&mut lines, line("new", 1)), Err(Refusal::FullCart));
        assert_eq!(add(&mut lines, line("7", 1)), Ok(()));
    }

    #[test]
    fn ids_are_short_and_printable_and_quantities_positive() {
        assert_eq!(check_user(&"u".repeat(128)), Ok(()));
        for id in ["", "a\u{0}", "a\nb", &"u".repeat(129)] {
            assert_eq!(check_user(id), Err(Refusal::UserId));
            assert_eq!(check_line(&line(id, 1)), Err(Refusal::ProductId));
        }
        assert_eq!(check_line(&line("a", 1)), Ok(()));
        for quantity in [0, -1, i32::MIN, MAX_QUANTITY + 1, i32::MAX] {
            assert_eq!(check_line(&line("a", quantity)), Err(Refusal::Quantity), "{quantity}");
        }
    }
}
