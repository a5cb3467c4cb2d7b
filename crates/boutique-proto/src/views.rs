//! Messages read in part: the wire's field numbers, without the fields that the reader does not need.

use crate::product_catalog_service::ListProducts;
use crate::{Empty, Rpc};

/// `ListProducts` for who only wants to know which products there are.
#[derive(Debug, Clone, Copy)]
pub struct ListIds;

impl Rpc for ListIds {
    const PATH: &'static str = ListProducts::PATH;
    type Request = Empty;
    type Response = ListedIds;
}

/// `ListProductsResponse`, its ids alone.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ListedIds {
    /// One for each product, in the catalogue's order.
    #[prost(message, repeated, tag = "1")]
    pub products: Vec<ListedId>,
}

/// `Product`, its id alone.
#[derive(Clone, PartialEq, prost::Message)]
pub struct ListedId {
    /// `Product.id`.
    #[prost(string, tag = "1")]
    pub id: String,
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::{ListProductsResponse, Product};

    #[test]
    fn ids_are_read_from_whole_products() {
        let product = |id: &str| Product {
            id: id.to_owned(),
            name: "a name".to_owned(),
            categories: vec!["a".to_owned()],
            ..Product::default()
        };
        let list = ListProductsResponse { products: vec![product("A"), product("B")] };
        let ids = ListedIds::decode(list.encode_to_vec().as_slice()).unwrap();
        assert_eq!(ids.products.iter().map(|product| &product.id).collect::<Vec<_>>(), ["A", "B"]);
    }
}
