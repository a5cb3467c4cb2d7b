//! What the forms may hold: upstream's rules, in upstream's order, with upstream's words.

use std::collections::HashMap;
use std::num::IntErrorKind;

use boutique_money::CardNumber;

/// The fields of a form, by name; the first of each name counts.
#[derive(Debug, Default)]
pub(crate) struct Fields(HashMap<String, String>);

impl Fields {
    /// Takes over the pairs in their order.
    pub(crate) fn new(pairs: impl Iterator<Item = (String, String)>) -> Self {
        let mut fields = HashMap::new();
        for (name, value) in pairs {
            fields.entry(name).or_insert(value);
        }
        Self(fields)
    }

    /// A field's text; a missing one is empty.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// A number, leniently: what is none is 0, what does not fit is as much as fits.
    fn number(&self, name: &str) -> i32 {
        let text = self.text(name);
        match text.parse::<i32>().map_err(|error| *error.kind()) {
            Ok(number) => number,
            Err(IntErrorKind::PosOverflow) => i32::MAX,
            Err(IntErrorKind::NegOverflow) => i32::MIN,
            Err(_) => 0,
        }
    }
}

/// The rules that fields broke; never empty.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Invalid(Vec<(&'static str, &'static str)>);

impl std::fmt::Display for Invalid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|(field, tag)| writeln!(f, "Field '{field}' is invalid: {tag}"))
    }
}

impl Invalid {
    /// One field's broken rule.
    pub(crate) fn one(field: &'static str, tag: &'static str) -> Self {
        Self(vec![(field, tag)])
    }

    /// Names each field with the first rule that it broke.
    fn check(rules: &[(&'static str, Option<&'static str>)]) -> Result<(), Self> {
        let broken = rules.iter().filter_map(|(field, tag)| Some((*field, (*tag)?)));
        let broken: Vec<_> = broken.collect();
        if broken.is_empty() { Ok(()) } else { Err(Self(broken)) }
    }
}

/// What to put into the cart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AddToCart {
    pub(crate) product_id: String,
    pub(crate) quantity: i32,
}

impl AddToCart {
    pub(crate) fn parse(fields: &Fields) -> Result<Self, Invalid> {
        // A quantity is unsigned: what is below zero is no number.
        let quantity = fields.number("quantity").max(0);
        let product_id = fields.text("product_id").to_owned();
        Invalid::check(&[
            (
                "Quantity",
                (quantity == 0).then_some("required").or((quantity > 10).then_some("lte")),
            ),
            ("ProductID", required(&product_id)),
        ])?;
        Ok(Self { product_id, quantity })
    }
}

/// Who buys, where it goes, and how it is paid.
#[derive(PartialEq, Eq)]
pub(crate) struct PlaceOrder {
    pub(crate) email: String,
    pub(crate) street_address: String,
    pub(crate) zip_code: i32,
    pub(crate) city: String,
    pub(crate) state: String,
    pub(crate) country: String,
    pub(crate) card_number: String,
    pub(crate) card_month: i32,
    pub(crate) card_year: i32,
    pub(crate) card_cvv: i32,
}

impl PlaceOrder {
    pub(crate) fn parse(fields: &Fields) -> Result<Self, Invalid> {
        let order = Self {
            email: fields.text("email").to_owned(),
            street_address: fields.text("street_address").to_owned(),
            zip_code: fields.number("zip_code"),
            city: fields.text("city").to_owned(),
            state: fields.text("state").to_owned(),
            country: fields.text("country").to_owned(),
            card_number: fields.text("credit_card_number").to_owned(),
            card_month: fields.number("credit_card_expiration_month"),
            card_year: fields.number("credit_card_expiration_year"),
            card_cvv: fields.number("credit_card_cvv"),
        };
        Invalid::check(&[
            ("Email", required(&order.email).or((!is_email(&order.email)).then_some("email"))),
            ("StreetAddress", required(&order.street_address).or(max(&order.street_address, 512))),
            ("ZipCode", (order.zip_code == 0).then_some("required")),
            ("City", required(&order.city).or(max(&order.city, 128))),
            ("State", required(&order.state).or(max(&order.state, 128))),
            ("Country", required(&order.country).or(max(&order.country, 128))),
            (
                "CcNumber",
                required(&order.card_number)
                    .or(CardNumber::parse(&order.card_number).is_none().then_some("credit_card")),
            ),
            (
                "CcMonth",
                match order.card_month {
                    0 => Some("required"),
                    ..0 => Some("gte"),
                    1..=12 => None,
                    13.. => Some("lte"),
                },
            ),
            ("CcYear", (order.card_year == 0).then_some("required")),
            ("CcCVV", cvv(fields.text("credit_card_cvv"))),
        ])?;
        Ok(order)
    }
}

fn required(text: &str) -> Option<&'static str> {
    text.is_empty().then_some("required")
}

/// Counts characters, not bytes.
fn max(text: &str, most: usize) -> Option<&'static str> {
    (text.chars().count() > most).then_some("max")
}

/// Three or four digits; leading zeros are digits too.
fn cvv(text: &str) -> Option<&'static str> {
    match text.parse::<i64>() {
        Err(_) => Some("required"),
        Ok(_) if text.len() == 3 || text.len() == 4 => {
            (!text.bytes().all(|b| b.is_ascii_digit())).then_some("len")
        }
        Ok(_) => Some("len"),
    }
}

/// A user, an `@`, and a host with a dot in it.
fn is_email(text: &str) -> bool {
    let user = |text: &str| {
        let plain = |c: char| c.is_alphanumeric() || "!#$%&'*+/=?^_`{|}~.-".contains(c);
        (1..=64).contains(&text.len())
            && text.chars().all(plain)
            && !text.split('.').any(str::is_empty)
    };
    let label = |text: &str| {
        (1..=63).contains(&text.len())
            && text.chars().all(|c| c.is_alphanumeric() || c == '-')
            && !text.starts_with('-')
            && !text.ends_with('-')
    };
    text.len() <= 254
        && text.rsplit_once('@').is_some_and(|(name, host)| {
            user(name) && host.contains('.') && host.split('.').all(label)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Upstream's own good order.
    const GOOD: [(&str, &str); 10] = [
        ("email", "test@example.com"),
        ("street_address", "12345 example street"),
        ("zip_code", "10004"),
        ("city", "New York"),
        ("state", "New York"),
        ("country", "United States"),
        ("credit_card_number", "5272940000751666"),
        ("credit_card_expiration_month", "4"),
        ("credit_card_expiration_year", "2024"),
        ("credit_card_cvv", "584"),
    ];

    fn fields(pairs: &[(&str, &str)]) -> Fields {
        Fields::new(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    fn order_with(name: &str, value: &str) -> Result<PlaceOrder, Invalid> {
        PlaceOrder::parse(&fields(&[&[(name, value)][..], &GOOD[..]].concat()))
    }

    fn add(quantity: &str, product_id: &str) -> Result<AddToCart, Invalid> {
        AddToCart::parse(&fields(&[("quantity", quantity), ("product_id", product_id)]))
    }

    #[test]
    fn upstreams_good_order_is_good() {
        assert!(PlaceOrder::parse(&fields(&GOOD)).is_ok());
        for (name, value) in [
            ("street_address", &*"é".repeat(512)),
            ("city", &*"é".repeat(128)),
            ("zip_code", "99999999"),
            ("zip_code", "-1"),
            ("credit_card_number", "5272 9400 0075 1666"),
            ("credit_card_number", "5272-9400-0075-1666"),
            ("credit_card_cvv", "000"),
            ("credit_card_cvv", "0672"),
            ("email", "a.b+c@mail.example.org"),
            ("email", "jürgen@müller.example"),
        ] {
            assert!(order_with(name, value).is_ok(), "{name} {value}");
        }
    }

    #[test]
    fn each_field_is_named_with_the_first_rule_it_breaks() {
        for (name, value, field, tag) in [
            ("email", "", "Email", "required"),
            ("email", "test@example", "Email", "email"),
            ("email", "a", "Email", "email"),
            ("email", "a@", "Email", "email"),
            ("email", "a@b\r\nBcc: x@y.z", "Email", "email"),
            ("email", &*format!("{}@example.com", "a".repeat(300)), "Email", "email"),
            ("email", "a b@c.de", "Email", "email"),
            ("street_address", &*"x".repeat(513), "StreetAddress", "max"),
            ("street_address", "", "StreetAddress", "required"),
            ("zip_code", "0", "ZipCode", "required"),
            ("zip_code", "x", "ZipCode", "required"),
            ("city", "", "City", "required"),
            ("city", &*"x".repeat(129), "City", "max"),
            ("state", "", "State", "required"),
            ("country", "", "Country", "required"),
            ("credit_card_number", "", "CcNumber", "required"),
            ("credit_card_number", "5272940000", "CcNumber", "credit_card"),
            ("credit_card_number", "5272940000751667", "CcNumber", "credit_card"),
            ("credit_card_number", "527294000075166x", "CcNumber", "credit_card"),
            ("credit_card_expiration_month", "0", "CcMonth", "required"),
            ("credit_card_expiration_month", "-1", "CcMonth", "gte"),
            ("credit_card_expiration_month", "13", "CcMonth", "lte"),
            ("credit_card_expiration_month", "99999999999", "CcMonth", "lte"),
            ("credit_card_expiration_year", "0", "CcYear", "required"),
            ("credit_card_cvv", "", "CcCVV", "required"),
            ("credit_card_cvv", "0", "CcCVV", "len"),
            ("credit_card_cvv", "-1", "CcCVV", "len"),
            ("credit_card_cvv", "-12", "CcCVV", "len"),
            ("credit_card_cvv", "12345", "CcCVV", "len"),
            ("credit_card_cvv", "abc", "CcCVV", "required"),
        ] {
            let Err(found) = order_with(name, value) else { panic!("{name} {value}") };
            assert_eq!(found, Invalid::one(field, tag), "{name} {value}");
        }
    }

    #[test]
    fn an_empty_order_breaks_every_rule_in_order() {
        let Err(broken) = PlaceOrder::parse(&Fields::default()) else { panic!("accepted") };
        let lines = broken.to_string();
        let names: Vec<_> = lines.lines().map(|line| line.split('\'').nth(1).unwrap()).collect();
        assert_eq!(
            names,
            [
                "Email",
                "StreetAddress",
                "ZipCode",
                "City",
                "State",
                "Country",
                "CcNumber",
                "CcMonth",
                "CcYear",
                "CcCVV"
            ]
        );
        assert!(lines.starts_with("Field 'Email' is invalid: required\n"));
    }

    #[test]
    fn one_to_ten_pieces_are_added() {
        for quantity in 1..=10 {
            let added = AddToCart { product_id: "OLJCESPC7Z".to_owned(), quantity };
            assert_eq!(add(&quantity.to_string(), "OLJCESPC7Z"), Ok(added));
        }
        for (quantity, tag) in [
            ("0", "required"),
            ("-1", "required"),
            ("", "required"),
            ("x", "required"),
            ("1.5", "required"),
            ("11", "lte"),
            ("4294967297", "lte"),
        ] {
            assert_eq!(add(quantity, "a"), Err(Invalid::one("Quantity", tag)), "{quantity}");
        }
        assert_eq!(add("1", ""), Err(Invalid::one("ProductID", "required")));
        let both = add("0", "").unwrap_err().to_string();
        assert_eq!(both.lines().count(), 2);
    }
}
