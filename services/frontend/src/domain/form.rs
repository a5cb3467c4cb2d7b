//! The rules of the forms: upstream's, in upstream's order, with upstream's words.

use std::borrow::Cow;
use std::collections::HashMap;

use boutique_money::CardNumber;
use percent_encoding::percent_decode;

/// The fields of a form, by name; the first of each name counts.
#[derive(Debug, Default)]
pub(crate) struct Fields(HashMap<String, String>);

/// A form's names of the fields that the rules below call otherwise.
const LABELS: [(&str, &str); 14] = [
    ("email", "Email"),
    ("street_address", "StreetAddress"),
    ("zip_code", "ZipCode"),
    ("city", "City"),
    ("state", "State"),
    ("country", "Country"),
    ("credit_card_number", "CcNumber"),
    ("credit_card_expiration_month", "CcMonth"),
    ("credit_card_expiration_year", "CcYear"),
    ("credit_card_cvv", "CcCVV"),
    ("product_id", "ProductID"),
    ("quantity", "Quantity"),
    ("currency_code", "Currency"),
    ("order_token", "OrderToken"),
];

impl Fields {
    /// Parses urlencoded forms, one after the other. Text that is no UTF-8 is refused.
    pub(crate) fn parse(forms: &[&[u8]]) -> Result<Self, Invalid> {
        let mut fields = HashMap::new();
        let pairs = forms.iter().flat_map(|form| form.split(|b| *b == b'&'));
        for pair in pairs.filter(|pair| !pair.is_empty()) {
            let end = pair.iter().position(|b| *b == b'=').unwrap_or(pair.len());
            let (name, value) = (&pair[..end], pair.get(end + 1..).unwrap_or_default());
            let name = decoded(name).ok_or_else(|| Invalid::one("Form", "utf8"))?;
            let Some(value) = decoded(value) else {
                let label = LABELS.iter().find(|(known, _)| *known == name);
                return Err(Invalid::one(label.map_or("Form", |(_, label)| label), "utf8"));
            };
            fields.entry(name).or_insert(value);
        }
        Ok(Self(fields))
    }

    /// A field's text; a missing one is empty.
    pub(crate) fn text(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Parses a number of at least 1 and at most `most`. A missing one, 0, and what is no number break the rule
    /// `required`, others `gte` and `lte`.
    fn number(&self, name: &str, most: i32) -> Result<i32, &'static str> {
        let text = self.text(name);
        let (is_negative, digits) = match text.strip_prefix('-') {
            Some(digits) => (true, digits),
            None => (false, text),
        };
        // Rust takes a plus sign too.
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err("required");
        }
        match digits.trim_start_matches('0') {
            "" => Err("required"),
            _ if is_negative => Err("gte"),
            digits => digits.parse().ok().filter(|number| *number <= most).ok_or("lte"),
        }
    }
}

/// Decodes a name or a value of an urlencoded form.
fn decoded(text: &[u8]) -> Option<String> {
    let spaced: Vec<u8> = text.iter().map(|b| if *b == b'+' { b' ' } else { *b }).collect();
    percent_decode(&spaced).decode_utf8().ok().map(Cow::into_owned)
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

    /// Returns the rule that the field of a form with this name broke, if it did.
    pub(crate) fn tag(&self, name: &str) -> Option<&'static str> {
        let (_, label) = LABELS.iter().find(|(known, _)| *known == name)?;
        self.0.iter().find(|(field, _)| field == label).map(|(_, tag)| *tag)
    }

    /// Names each field with the first rule that it broke.
    fn check(rules: &[(&'static str, Option<&'static str>)]) -> Result<(), Self> {
        let broken = rules.iter().filter_map(|(field, tag)| Some((*field, (*tag)?)));
        let broken: Vec<_> = broken.collect();
        if broken.is_empty() { Ok(()) } else { Err(Self(broken)) }
    }
}

/// The most pieces that one form adds.
const MAX_ADDED: i32 = 10;
/// The most pieces of a product that a cart is changed to.
pub(crate) const MAX_IN_LINE: i32 = 999;
/// The latest year that a card may expire in.
const MAX_YEAR: i32 = 9999;

/// The form that puts a product into the cart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct AddToCart {
    pub(crate) product_id: String,
    pub(crate) quantity: i32,
}

impl AddToCart {
    pub(crate) fn parse(fields: &Fields) -> Result<Self, Invalid> {
        // A quantity is unsigned: what is below zero is no number.
        let quantity = fields.number("quantity", MAX_ADDED).map_err(|tag| match tag {
            "gte" => "required",
            tag => tag,
        });
        let product_id = fields.text("product_id").to_owned();
        Invalid::check(&[("Quantity", quantity.err()), ("ProductID", required(&product_id))])?;
        Ok(Self { product_id, quantity: quantity.unwrap_or_default() })
    }
}

/// The form that changes the quantity of a product in the cart.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SetQuantity {
    pub(crate) product_id: String,
    pub(crate) quantity: i32,
}

impl SetQuantity {
    pub(crate) fn parse(fields: &Fields) -> Result<Self, Invalid> {
        let text = fields.text("quantity");
        let is_none = !text.is_empty() && text.bytes().all(|b| b == b'0');
        let quantity = if is_none { Ok(0) } else { fields.number("quantity", MAX_IN_LINE) };
        let product_id = fields.text("product_id").to_owned();
        Invalid::check(&[("Quantity", quantity.err()), ("ProductID", required(&product_id))])?;
        Ok(Self { product_id, quantity: quantity.unwrap_or_default() })
    }
}

/// The checkout form: customer, address and card.
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
    /// The token of the form, or nothing from one that has none, as upstream's.
    pub(crate) token: String,
}

impl PlaceOrder {
    pub(crate) fn parse(fields: &Fields) -> Result<Self, Invalid> {
        let zip_code = fields.number("zip_code", i32::MAX);
        let month = fields.number("credit_card_expiration_month", 12);
        let year = fields.number("credit_card_expiration_year", MAX_YEAR);
        let order = Self {
            email: fields.text("email").to_owned(),
            street_address: fields.text("street_address").to_owned(),
            zip_code: zip_code.unwrap_or_default(),
            city: fields.text("city").to_owned(),
            state: fields.text("state").to_owned(),
            country: fields.text("country").to_owned(),
            card_number: fields.text("credit_card_number").to_owned(),
            card_month: month.unwrap_or_default(),
            card_year: year.unwrap_or_default(),
            card_cvv: fields.text("credit_card_cvv").parse().unwrap_or_default(),
            token: fields.text("order_token").to_owned(),
        };
        Invalid::check(&[
            ("Email", required(&order.email).or((!is_email(&order.email)).then_some("email"))),
            ("StreetAddress", required(&order.street_address).or(max(&order.street_address, 512))),
            ("ZipCode", zip_code.err()),
            ("City", required(&order.city).or(max(&order.city, 128))),
            ("State", required(&order.state).or(max(&order.state, 128))),
            ("Country", required(&order.country).or(max(&order.country, 128))),
            (
                "CcNumber",
                required(&order.card_number)
                    .or(CardNumber::parse(&order.card_number).is_none().then_some("credit_card")),
            ),
            ("CcMonth", month.err()),
            ("CcYear", year.err()),
            ("CcCVV", cvv(fields.text("credit_card_cvv"))),
            ("OrderToken", (!is_token(&order.token)).then_some("token")),
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

/// Nothing, or one to 128 visible ASCII characters.
fn is_token(text: &str) -> bool {
    text.len() <= 128 && text.bytes().all(|byte| byte.is_ascii_graphic())
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
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        Fields::parse(&[form.as_bytes()]).unwrap()
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
            ("zip_code", "04011"),
            ("zip_code", "2147483647"),
            ("credit_card_expiration_year", "9999"),
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
    fn quantity_of_a_line_is_none_or_more() {
        let set =
            |quantity| SetQuantity::parse(&fields(&[("quantity", quantity), ("product_id", "A")]));
        for (text, quantity) in [("0", 0), ("00", 0), ("1", 1), ("999", 999)] {
            assert_eq!(set(text).unwrap().quantity, quantity);
        }
        for text in ["", "-1", "1000", "x", "1.5", "99999999999999999999"] {
            assert!(set(text).is_err(), "{text}");
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
            ("zip_code", "+94043", "ZipCode", "required"),
            ("zip_code", " 94043", "ZipCode", "required"),
            ("zip_code", "9e4", "ZipCode", "required"),
            ("zip_code", "-5", "ZipCode", "gte"),
            ("zip_code", "-99999999999", "ZipCode", "gte"),
            ("zip_code", "2147483648", "ZipCode", "lte"),
            ("zip_code", "99999999999999999999", "ZipCode", "lte"),
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
            ("credit_card_expiration_year", "-1", "CcYear", "gte"),
            ("credit_card_expiration_year", "10000", "CcYear", "lte"),
            ("credit_card_expiration_year", "99999", "CcYear", "lte"),
            ("credit_card_expiration_month", "+1", "CcMonth", "required"),
            ("credit_card_cvv", "+672", "CcCVV", "len"),
            ("credit_card_cvv", "６７２", "CcCVV", "required"),
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
    fn text_that_is_no_utf8_is_refused() {
        for (form, field) in [
            (&b"city=M%FCnchen"[..], "City"),
            (b"email=%ff%fe", "Email"),
            (b"city=M\xfcnchen", "City"),
            (b"unknown=%ff", "Form"),
            (b"%ff=1", "Form"),
        ] {
            assert_eq!(Fields::parse(&[b"a=b", form]).unwrap_err(), Invalid::one(field, "utf8"));
        }
    }

    #[test]
    fn a_form_is_decoded_as_browsers_encode_it() {
        let fields = Fields::parse(&[
            b"city=M%C3%BCnchen+am%20See&&odd&=x&city=Ulm",
            b"zip_code=1&percent=%&state=%4&sign=%+4&b=1=2",
        ]);
        let fields = fields.unwrap();
        for (name, value) in [
            ("city", "München am See"),
            ("odd", ""),
            ("", "x"),
            ("zip_code", "1"),
            ("percent", "%"),
            ("state", "%4"),
            ("sign", "% 4"),
            ("b", "1=2"),
            ("missing", ""),
        ] {
            assert_eq!(fields.text(name), value, "{name}");
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
            ("+1", "required"),
            (" 1", "required"),
            ("١", "required"),
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
