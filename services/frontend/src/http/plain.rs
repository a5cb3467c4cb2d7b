//! Text that pages have as it is.

use std::fmt;

use askama::filters::HtmlSafe;
use askama::{FastWritable, Values};

/// Text that has nothing to escape in HTML: a constant, after the base URL where it is a link. That is checked when it is
/// read.
#[derive(Clone, Copy)]
pub(crate) struct Plain<'a> {
    base_url: &'a str,
    text: &'static str,
}

impl<'a> Plain<'a> {
    pub(crate) const fn constant(text: &'static str) -> Self {
        Self { base_url: "", text }
    }

    pub(crate) const fn link(base_url: &'a str, path: &'static str) -> Self {
        Self { base_url, text: path }
    }

    /// Returns the constant alone.
    pub(crate) const fn as_str(&self) -> &'static str {
        self.text
    }

    fn write_to(&self, to: &mut (impl fmt::Write + ?Sized)) -> fmt::Result {
        to.write_str(self.base_url)?;
        to.write_str(self.text)
    }
}

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_to(f)
    }
}

impl FastWritable for Plain<'_> {
    fn write_into(&self, to: &mut dyn fmt::Write, _: &dyn Values) -> askama::Result<()> {
        Ok(self.write_to(to)?)
    }
}

impl HtmlSafe for Plain<'_> {}
