//! Wrong answers: what a method answers while a fault asks it for wrong data. Each decodes, and is believable enough to do
//! harm.

use prost::{DecodeError, Message};

use crate::{
    AdResponse, Cart, ChargeResponse, GetQuoteResponse, GetSupportedCurrenciesResponse,
    ListProductsResponse, ListRecommendationsResponse, Money, Product, SearchProductsResponse,
    ShipOrderResponse,
};

/// The product that wrong recommendations and ads name; no catalog has it.
const NO_PRODUCT: &str = "0000000000";

/// Makes a wrong answer of an encoded right one.
pub type WrongData = fn(&[u8]) -> Result<Vec<u8>, DecodeError>;

/// Returns what makes the answers of the method at `path` wrong: prices, quotes and converted amounts become ten times as
/// high, quantities in carts one more, recommendations and ads name a product that does not exist, only the first currency
/// is left, and ids of parcels and charges are empty. `None` for other methods.
pub fn wrong_data(path: &str) -> Option<WrongData> {
    Some(match path {
        "/hipstershop.ProductCatalogService/GetProduct" => |bytes| change(bytes, overprice),
        "/hipstershop.ProductCatalogService/ListProducts" => |bytes| {
            change(bytes, |list: &mut ListProductsResponse| {
                list.products.iter_mut().for_each(overprice);
            })
        },
        "/hipstershop.ProductCatalogService/SearchProducts" => |bytes| {
            change(bytes, |found: &mut SearchProductsResponse| {
                found.results.iter_mut().for_each(overprice);
            })
        },
        "/hipstershop.CurrencyService/Convert" => |bytes| change(bytes, tenfold),
        "/hipstershop.CurrencyService/GetSupportedCurrencies" => |bytes| {
            change(bytes, |list: &mut GetSupportedCurrenciesResponse| {
                list.currency_codes.truncate(1);
            })
        },
        "/hipstershop.CartService/GetCart" => |bytes| {
            change(bytes, |cart: &mut Cart| {
                cart.items
                    .iter_mut()
                    .for_each(|item| item.quantity = item.quantity.wrapping_add(1));
            })
        },
        "/hipstershop.RecommendationService/ListRecommendations" => |bytes| {
            change(bytes, |list: &mut ListRecommendationsResponse| {
                list.product_ids.iter_mut().for_each(|id| NO_PRODUCT.clone_into(id));
            })
        },
        "/hipstershop.AdService/GetAds" => |bytes| {
            change(bytes, |answer: &mut AdResponse| {
                for ad in &mut answer.ads {
                    ad.redirect_url = format!("/product/{NO_PRODUCT}");
                }
            })
        },
        "/hipstershop.ShippingService/GetQuote" => |bytes| {
            change(bytes, |quote: &mut GetQuoteResponse| {
                quote.cost_usd.iter_mut().for_each(tenfold);
            })
        },
        "/hipstershop.ShippingService/ShipOrder" => {
            |bytes| change(bytes, |parcel: &mut ShipOrderResponse| parcel.tracking_id.clear())
        }
        "/hipstershop.PaymentService/Charge" => {
            |bytes| change(bytes, |charge: &mut ChargeResponse| charge.transaction_id.clear())
        }
        _ => return None,
    })
}

fn change<M: Message + Default>(
    bytes: &[u8],
    change: impl FnOnce(&mut M),
) -> Result<Vec<u8>, DecodeError> {
    let mut message = M::decode(bytes)?;
    change(&mut message);
    Ok(message.encode_to_vec())
}

fn overprice(product: &mut Product) {
    product.price_usd.iter_mut().for_each(tenfold);
}

/// Ten times as much, without what that makes of the cents.
fn tenfold(money: &mut Money) {
    money.units = money.units.saturating_mul(10);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::SERVICES;

    #[test]
    fn wrong_answers_decode_and_differ() {
        let money = Money { currency_code: "USD".to_owned(), units: 7, nanos: 5 };
        let wrong = wrong_data("/hipstershop.CurrencyService/Convert").unwrap();
        let changed = Money::decode(&*wrong(&money.encode_to_vec()).unwrap()).unwrap();
        assert_eq!(changed, Money { units: 70, ..money });
        assert!(wrong(b"\xff").is_err());
    }

    #[test]
    fn methods_are_those_of_the_table() {
        let methods = SERVICES.iter().flat_map(|spec| spec.methods);
        assert_eq!(methods.filter(|method| wrong_data(method.path).is_some()).count(), 11);
    }
}
