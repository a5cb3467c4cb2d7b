//! The catalog: what may stand in it, and how it is searched.

use std::collections::HashMap;

use boutique_money::Money;

/// The longest query that is searched for, in bytes.
const MAX_QUERY: usize = 1024;
/// The most characters of an unknown id that an error repeats.
const ECHOED_ID: usize = 64;

/// An invalid list of products.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CatalogError {
    #[error("a product has no id")]
    NoId,
    #[error("product {0} is there twice")]
    Duplicate(String),
    #[error("the price of {0} is less than nothing")]
    Price(String),
}

/// An error of a query.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refusal {
    // Upstream's words.
    #[error("no product with ID {0}")]
    Unknown(String),
    #[error("query is longer than {MAX_QUERY} bytes")]
    LongQuery,
}

/// Something for sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Product {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) picture: String,
    pub(crate) price: Money,
    pub(crate) categories: Vec<String>,
}

/// Products with unique ids and good prices, in their order.
#[derive(Debug)]
pub(crate) struct Catalog {
    products: Vec<Product>,
    by_id: HashMap<String, usize>,
    /// The searched texts: each product's name and description in lower case.
    texts: Vec<String>,
}

impl Catalog {
    /// Accepts products that can be sold. The list may be empty.
    pub(crate) fn try_new(products: Vec<Product>) -> Result<Self, CatalogError> {
        let mut by_id = HashMap::with_capacity(products.len());
        for (index, product) in products.iter().enumerate() {
            if product.id.is_empty() {
                return Err(CatalogError::NoId);
            }
            if product.price.is_negative() {
                return Err(CatalogError::Price(product.id.clone()));
            }
            if by_id.insert(product.id.clone(), index).is_some() {
                return Err(CatalogError::Duplicate(product.id.clone()));
            }
        }
        let text =
            |product: &Product| format!("{}\n{}", product.name, product.description).to_lowercase();
        let texts = products.iter().map(text).collect();
        Ok(Self { products, by_id, texts })
    }

    pub(crate) fn products(&self) -> &[Product] {
        &self.products
    }

    /// The place of the product with exactly this id.
    pub(crate) fn find(&self, id: &str) -> Result<usize, Refusal> {
        match self.by_id.get(id) {
            Some(index) => Ok(*index),
            None => Err(Refusal::Unknown(id.chars().take(ECHOED_ID).collect())),
        }
    }

    /// The places of the products whose name or description contains the query, whatever the case.
    pub(crate) fn search(&self, query: &str) -> Result<impl Iterator<Item = usize>, Refusal> {
        if query.len() > MAX_QUERY {
            return Err(Refusal::LongQuery);
        }
        let query = query.to_lowercase();
        let all = self.texts.iter().enumerate();
        Ok(all.filter(move |(_, text)| text.contains(&query)).map(|(place, _)| place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn product(id: &str, name: &str) -> Product {
        Product {
            id: id.to_owned(),
            name: name.to_owned(),
            description: "100% [cotton]".to_owned(),
            picture: String::new(),
            price: Money::try_new("USD", 1, 0).unwrap(),
            categories: vec!["kitchen".to_owned()],
        }
    }

    /// Upstream's fixture.
    fn catalog() -> Catalog {
        Catalog::try_new(vec![
            product("abc001", "Product Alpha One"),
            product("abc002", "Product Delta"),
            product("abc003", "Product Alpha Two"),
            product("abc004", "Product Gamma"),
        ])
        .unwrap()
    }

    fn hits(query: &str) -> Vec<String> {
        let catalog = catalog();
        let places = catalog.search(query).unwrap();
        places.map(|place| catalog.products()[place].id.clone()).collect()
    }

    #[test]
    fn a_product_is_found_by_its_exact_id() {
        assert_eq!(catalog().find("abc003"), Ok(2));
        for unknown in ["abc005", "ABC003", "", "abc00"] {
            let words = format!("no product with ID {unknown}");
            assert_eq!(catalog().find(unknown).unwrap_err().to_string(), words);
        }
        let long = catalog().find(&"é".repeat(1 << 20)).unwrap_err();
        assert_eq!(long, Refusal::Unknown("é".repeat(64)));
    }

    #[test]
    fn a_search_is_for_plain_text_in_name_and_description() {
        assert_eq!(hits("alpha"), ["abc001", "abc003"]);
        assert_eq!(hits("GAMMA"), ["abc004"]);
        assert_eq!(hits("[COTTON]").len(), 4);
        assert_eq!(hits("").len(), 4);
        for nothing in [".*", "kitchen", "alpha two product", "(a+)+$"] {
            assert!(hits(nothing).is_empty(), "{nothing}");
        }
        assert!(catalog().search(&"x".repeat(1025)).is_err());
    }

    #[test]
    fn a_catalog_holds_each_id_once_and_no_price_below_zero() {
        let priced = |code, units| Product {
            price: Money::try_new(code, units, 0).unwrap(),
            ..product("a", "a")
        };
        for (products, error) in [
            (vec![product("", "a")], CatalogError::NoId),
            (vec![product("a", "a"), product("a", "b")], CatalogError::Duplicate("a".to_owned())),
            (vec![priced("USD", -1)], CatalogError::Price("a".to_owned())),
        ] {
            assert_eq!(Catalog::try_new(products).unwrap_err(), error);
        }
        for products in [vec![], vec![priced("EUR", 1)], vec![priced("USD", 0)]] {
            assert!(Catalog::try_new(products).is_ok());
        }
    }
}
