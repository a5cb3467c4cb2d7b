//! Text that pages have as it is.

use std::fmt;

use askama::filters::HtmlSafe;
use askama::{FastWritable, Values};

/// Text in parts that have nothing to escape in HTML: constants, and the base URL, which is checked when it is read.
#[derive(Clone, Copy)]
pub(crate) struct Plain<'a, const PARTS: usize = 1>([&'a str; PARTS]);

impl Plain<'static> {
    pub(crate) const fn constant(text: &'static str) -> Self {
        Self([text])
    }

    pub(crate) const fn as_str(&self) -> &'static str {
        let Self([text]) = *self;
        text
    }
}

/// A link to a file of ours.
pub(crate) type Link<'a> = Plain<'a, 3>;

impl<'a> Link<'a> {
    pub(crate) const fn new(base_url: &'a str, [path, name]: [&'static str; 2]) -> Self {
        Self([base_url, path, name])
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
