//! Messages as their readers want them: the wire's field numbers, without the fields that the reader does not
//! need, or with parts that are shared.

use crate::product_catalog_service::ListProducts;
use crate::{Empty, Product, Rpc, Shared};

/// `ListProducts` for who only wants to know which products there are.
#[derive(Debug, Clone, Copy)]
pub struct ListIds;

impl Rpc for ListIds {
    const PATH: &'static str = ListProducts::PATH;
    type Request = Empty;
    type Response = Shared<ListedIds>;
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

impl AsRef<str> for ListedId {
    fn as_ref(&self) -> &str {
        &self.id
    }
}

/// `ListProducts` for who only reads the products.
#[derive(Debug, Clone, Copy)]
pub struct ListShared;

impl Rpc for ListShared {
    const PATH: &'static str = ListProducts::PATH;
    type Request = Empty;
    type Response = SharedProducts;
}

/// `ListProductsResponse`, each of its products shared.
#[derive(Clone, PartialEq, prost::Message)]
pub struct SharedProducts {
    /// In the catalogue's order.
    #[prost(message, repeated, tag = "1")]
    pub products: Vec<Shared<Product>>,
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::ListProductsResponse;

    /// A message, and its bytes.
    fn list() -> (ListProductsResponse, Vec<u8>) {
        let product = |id: &str| Product {
            id: id.to_owned(),
            name: "a name".to_owned(),
            categories: vec!["a".to_owned()],
            ..Product::default()
        };
        let list = ListProductsResponse { products: vec![product("A"), product("B")] };
        let bytes = list.encode_to_vec();
        (list, bytes)
    }

    #[test]
    fn ids_are_read_from_whole_products() {
        let ids = Shared::<ListedIds>::decode(list().1.as_slice()).unwrap();
        assert_eq!(ids.products.iter().map(AsRef::as_ref).collect::<Vec<&str>>(), ["A", "B"]);
    }

    #[test]
    fn what_is_shared_is_the_same_on_the_wire() {
        let (list, bytes) = list();
        let shared = SharedProducts::decode(bytes.as_slice()).unwrap();
        assert_eq!(shared.encode_to_vec(), bytes);
        assert_eq!(shared.encoded_len(), bytes.len());

        let held = shared.products[0].clone();
        let mut other = held.clone();
        other.merge([0x12, 1, b'!'].as_slice()).unwrap();
        assert_eq!(
            (&*held, other.name.as_str()),
            (&list.products[0], "!"),
            "each reader has its own"
        );
        other.clear();
        assert_eq!(*other, Product::default());
    }
}
