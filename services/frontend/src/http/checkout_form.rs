//! The form of a checkout as the cart's page shows it: upstream's example at first, and after a refusal what was sent, with
//! what is wrong beside each field. A card's number and code are never shown again.

use ::http::StatusCode;
use time::OffsetDateTime;
use uuid::Uuid;

use super::failure::Failure;
use super::plain::Plain;
use crate::domain::form::{Fields, Invalid};

/// A field for text.
pub(super) struct Input {
    pub(super) name: Plain<'static>,
    pub(super) label: Plain<'static>,
    pub(super) kind: Plain<'static>,
    /// Upstream's example.
    example: &'static str,
    /// The pattern of its text; any if it is empty.
    pub(super) pattern: Plain<'static>,
    pub(super) placeholder: Plain<'static>,
    pub(super) autocomplete: Plain<'static>,
}

const fn input(
    [name, label, kind, example]: [&'static str; 4],
    pattern: &'static str,
    placeholder: &'static str,
    autocomplete: &'static str,
) -> Input {
    Input {
        name: Plain::constant(name),
        label: Plain::constant(label),
        kind: Plain::constant(kind),
        example,
        pattern: Plain::constant(pattern),
        placeholder: Plain::constant(placeholder),
        autocomplete: Plain::constant(autocomplete),
    }
}

const ADDRESS: [Input; 6] = [
    input(["email", "E-mail Address", "email", "someone@example.com"], "", "", "email"),
    input(
        ["street_address", "Street Address", "text", "1600 Amphitheatre Parkway"],
        "",
        "",
        "street-address",
    ),
    input(["zip_code", "Zip Code", "text", "94043"], r"\d{4,5}", "", "postal-code"),
    input(["city", "City", "text", "Mountain View"], "", "", "address-level2"),
    input(["state", "State", "text", "CA"], "", "", "address-level1"),
    input(["country", "Country", "text", "United States"], "", "Country Name", "country-name"),
];
const CARD_NUMBER: Input = input(
    ["credit_card_number", "Credit Card Number", "text", "4432801561520454"],
    r"[\d \-]{12,24}",
    "0000000000000000",
    "off",
);
const CARD_CODE: Input =
    input(["credit_card_cvv", "CVV", "password", "672"], r"\d{3,4}", "", "off");
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// The number of years that a card may expire in.
const YEARS: i32 = 5;

/// A field with what is in it.
pub(super) struct Filled {
    pub(super) input: &'static Input,
    pub(super) value: String,
    /// The problem with that, if there is one.
    pub(super) problem: Option<String>,
}

/// A choice: what is sent, what is shown if that is something else, and true if it is selected.
pub(super) struct Choice {
    pub(super) value: i32,
    pub(super) text: Option<Plain<'static>>,
    pub(super) is_selected: bool,
}

/// The refusal after which the form is shown again.
pub(super) struct Refusal {
    pub(super) status: StatusCode,
    /// The text of the failure, for those who look for upstream's.
    pub(super) text: String,
    /// The problem with the order as a whole, if there is one.
    pub(super) problem: Option<String>,
}

/// The form.
pub(super) struct CheckoutForm {
    /// Tells this form from others: however often it is sent, it places one order.
    pub(super) token: Uuid,
    pub(super) address: Vec<Filled>,
    pub(super) card_number: Filled,
    pub(super) card_code: Filled,
    pub(super) months: Vec<Choice>,
    pub(super) month_problem: Option<String>,
    pub(super) years: Vec<Choice>,
    pub(super) year_problem: Option<String>,
    pub(super) refusal: Option<Refusal>,
}

/// An order that was refused: its fields, and the failure.
pub(super) struct Refused<'a> {
    pub(super) fields: &'a Fields,
    pub(super) failure: &'a Failure,
    /// The rules that fields broke; none if a service refused.
    pub(super) invalid: Option<&'a Invalid>,
}

impl CheckoutForm {
    /// Makes the form that is shown first, or again after a refusal.
    pub(super) fn new(refused: Option<&Refused<'_>>) -> Self {
        let problem = |name: &str| {
            let invalid = refused.and_then(|refused| refused.invalid)?;
            invalid.tag(name).map(|tag| advice(name, tag))
        };
        let filled = |input: &'static Input, is_secret: bool| Filled {
            input,
            value: match refused {
                None => input.example.to_owned(),
                Some(_) if is_secret => String::new(),
                Some(refused) => refused.fields.text(input.name.as_str()).to_owned(),
            },
            problem: problem(input.name.as_str()),
        };
        let sent = |name: &str| refused?.fields.text(name).parse::<i32>().ok();
        let this_year = OffsetDateTime::now_utc().year();
        let month = sent("credit_card_expiration_month").unwrap_or(1);
        let years = this_year..this_year + YEARS;
        let year = sent("credit_card_expiration_year").filter(|year| years.contains(year));
        let year = year.unwrap_or(this_year + 1);
        Self {
            token: Uuid::new_v4(),
            address: ADDRESS.iter().map(|input| filled(input, false)).collect(),
            card_number: filled(&CARD_NUMBER, true),
            card_code: filled(&CARD_CODE, true),
            months: (1..)
                .zip(MONTHS)
                .map(|(value, text)| Choice {
                    value,
                    text: Some(Plain::constant(text)),
                    is_selected: value == month && refused.is_some(),
                })
                .collect(),
            month_problem: problem("credit_card_expiration_month"),
            years: years
                .map(|value| Choice { value, text: None, is_selected: value == year })
                .collect(),
            year_problem: problem("credit_card_expiration_year"),
            refusal: refused.map(Refusal::new),
        }
    }
}

impl Refusal {
    fn new(refused: &Refused<'_>) -> Self {
        let text = refused.failure.text();
        let problem = match refused.invalid {
            Some(invalid) if invalid.tag("order_token").is_some() => {
                Some("This form could not be read. Please send it once more.")
            }
            Some(_) => None,
            // After what was attempted come the words of the service that refused.
            None => text.lines().last(),
        };
        Self {
            status: refused.failure.status(),
            text: text.to_owned(),
            problem: problem.map(str::to_owned),
        }
    }
}

/// Says what to do about a field that breaks this rule.
fn advice(name: &str, tag: &str) -> String {
    let text = match (name, tag) {
        ("email", "email") => "Enter an address such as name@example.com.",
        ("zip_code", _) => "Enter the digits of your zip code.",
        ("credit_card_number", "credit_card") => {
            "This is not the number of a card. Please check its digits."
        }
        ("credit_card_cvv", _) => "Enter three or four digits.",
        ("credit_card_expiration_month", _) => "Choose the month in which your card expires.",
        ("credit_card_expiration_year", _) => "Choose the year in which your card expires.",
        (_, "required") => "Please fill this in.",
        (_, "max") => "This is too long for a parcel's label.",
        (_, "utf8") => "This text could not be read.",
        _ => "Please check this.",
    };
    text.to_owned()
}
