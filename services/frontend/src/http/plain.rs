//! Text that pages have as it is.

use std::fmt;

use askama::filters::HtmlSafe;
use askama::{FastWritable, Values};

/// Text in parts that have nothing to escape in HTML: constants, and settings that were checked.
#[derive(Clone, Copy)]
pub(crate) struct Plain<'a, const PARTS: usize = 1>(pub(crate) [&'a str; PARTS]);

impl<'a> Plain<'a> {
    pub(crate) const fn as_str(&self) -> &'a str {
        let Self([text]) = *self;
        text
    }
}

impl<const PARTS: usize> fmt::Display for Plain<'_, PARTS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| f.write_str(part))
    }
}

impl<const PARTS: usize> FastWritable for Plain<'_, PARTS> {
    fn write_into(&self, to: &mut dyn fmt::Write, _: &dyn Values) -> askama::Result<()> {
        Ok(self.0.iter().try_for_each(|part| to.write_str(part))?)
    }
}

impl<const PARTS: usize> HtmlSafe for Plain<'_, PARTS> {}
