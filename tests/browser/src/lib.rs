//! Nothing but tests; a crate of its own, because only these need a WebDriver client.
