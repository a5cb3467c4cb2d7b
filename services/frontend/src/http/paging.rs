//! Pages of a list of products that is too long for one.

use ::http::StatusCode;

use super::failure::Failure;
use crate::domain::form::Fields;

/// The most products of a page; the catalog that comes with the shop has nine.
const PER_PAGE: usize = 60;

/// A page of a list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Paging {
    /// Its number, from 1.
    pub(super) number: usize,
    /// The number of pages; one at least.
    pub(super) count: usize,
    /// The query that all of them have, encoded; empty, or with `&` at its end.
    query: String,
}

impl Paging {
    /// Reads the page that is asked for (`page`, from 1) of a list of so many products, whose pages keep these fields
    /// of the query.
    pub(super) fn of(fields: &Fields, kept: &[&str], products: usize) -> Result<Self, Failure> {
        let count = products.div_ceil(PER_PAGE).max(1);
        let number = match fields.text("page") {
            "" => Some(1),
            text => text.parse().ok().filter(|number| (1..=count).contains(number)),
        };
        let number = number.ok_or_else(|| Failure::new(StatusCode::NOT_FOUND, "no such page"))?;
        let encode = |name: &&str| {
            let value = form_urlencoded::byte_serialize(fields.text(name).as_bytes());
            format!("{name}={}&", value.collect::<String>())
        };
        Ok(Self { number, count, query: kept.iter().map(encode).collect() })
    }

    /// Returns the query of another page.
    pub(super) fn query(&self, number: usize) -> String {
        format!("{}page={number}", self.query)
    }

    /// Returns what this page shows of the list.
    pub(super) fn slice<'a, T>(&self, products: &'a [T]) -> &'a [T] {
        let rest = products.get((self.number - 1) * PER_PAGE..).unwrap_or_default();
        rest.get(..PER_PAGE).unwrap_or(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(query: &str, products: usize) -> Option<Paging> {
        Paging::of(&Fields::parse(&[query.as_bytes()]).unwrap(), &["q"], products).ok()
    }

    #[test]
    fn all_products_are_on_one_page_each() {
        for count in [0_usize, 1, 9, 60, 61, 10_000] {
            let products: Vec<usize> = (0..count).collect();
            let pages = page("", count).unwrap().count;
            let shown: Vec<usize> = (1..=pages)
                .flat_map(|number| {
                    let page = page(&format!("page={number}"), count).unwrap();
                    page.slice(&products).to_vec()
                })
                .collect();
            assert_eq!(shown, products);
            assert_eq!(pages, count.div_ceil(60).max(1));
        }
    }

    #[test]
    fn pages_keep_what_was_searched() {
        assert_eq!(
            page("q=tea+%26+caf%C3%A9&page=2", 100).unwrap().query(1),
            "q=tea+%26+caf%C3%A9&page=1"
        );
    }

    #[test]
    fn other_pages_are_not_there() {
        for query in
            ["page=0", "page=3", "page=-1", "page=x", "page=99999999999999999999", "page=1.0"]
        {
            assert_eq!(page(query, 100), None, "{query}");
        }
    }
}
