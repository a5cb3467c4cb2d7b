//! The text of a card.

/// Writes the text for a name; none for an empty one.
pub(crate) fn text(name: &str) -> Option<String> {
    let name = name.trim();
    (!name.is_empty()).then(|| format!("For {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_has_a_name() {
        assert_eq!(text(" Jo ").as_deref(), Some("For Jo"));
        assert_eq!(text(" "), None);
    }
}
