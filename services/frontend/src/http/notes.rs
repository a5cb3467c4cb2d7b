//! The note of a page that does without something.

use std::collections::BTreeSet;
use std::sync::Arc;

use boutique_money::{CurrencyCode, Money};
use futures_util::future::try_join_all;
use tonic::{Code, Status};

use super::failure::Failure;
use super::state::Shop;
use super::visit::Visit;
use crate::clients::is_outage;
use crate::domain;

/// Something that a page does without.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Note {
    OldCatalog,
    NoRates,
    NoShipping,
    NoCart,
}

impl Note {
    fn text(self) -> &'static str {
        match self {
            Self::OldCatalog => {
                "The catalog is not available right now: products and prices are as it last had them."
            }
            Self::NoRates => {
                "Exchange rates are not available right now: prices are not converted."
            }
            Self::NoShipping => {
                "The cost of shipping is not available right now: it is added at checkout."
            }
            Self::NoCart => "The number of items in your cart is not available right now.",
        }
    }
}

/// Logs what a page goes without. Overload is logged by whoever refuses, and not with each page.
pub(crate) fn log_partial(cause: &Status, message: &str) {
    let error = cause.message();
    if cause.code() == Code::ResourceExhausted {
        tracing::debug!(error, "{message}");
    } else {
        tracing::warn!(error, "{message}");
    }
}

/// The currencies that have a rate, and the one of them to show.
pub(crate) struct Currencies {
    pub(crate) supported: Arc<[String]>,
    pub(crate) current: CurrencyCode,
}

impl Currencies {
    /// Chooses the one to show to this visitor.
    pub(crate) fn of(visit: &Visit, supported: Arc<[String]>) -> Self {
        Self { current: domain::chosen(visit.currency.as_deref(), &supported), supported }
    }
}

/// The notes of one page.
#[derive(Debug, Default)]
pub(crate) struct Notes(BTreeSet<Note>);

impl Notes {
    /// Adds a note.
    pub(crate) fn add(&mut self, note: Note) {
        self.0.insert(note);
    }

    /// Adds the note that the catalog is old, if it is, and returns what came of it.
    pub(crate) fn of_catalog<T>(&mut self, (answer, is_copy): (T, bool)) -> T {
        if is_copy {
            self.add(Note::OldCatalog);
        }
        answer
    }

    /// Returns an answer that a page can do without, and adds a note where there is none because of an outage.
    pub(crate) fn or_note<T>(
        &mut self,
        note: Note,
        attempt: &str,
        answer: Result<T, Status>,
    ) -> Result<Option<T>, Failure> {
        match answer {
            Err(cause) if is_outage(&cause) => {
                log_partial(&cause, &format!("made a page although it {attempt}"));
                self.add(note);
                Ok(None)
            }
            Err(cause) => Err(Failure::backend(attempt, cause)),
            Ok(answer) => Ok(Some(answer)),
        }
    }

    /// Returns the currencies of a page for this visitor, or adds a note where they are not known because of an outage.
    pub(crate) fn currencies(
        &mut self,
        visit: &Visit,
        answer: Result<Arc<[String]>, Status>,
    ) -> Result<Option<Currencies>, Failure> {
        let supported = self.or_note(Note::NoRates, "could not retrieve currencies", answer)?;
        Ok(supported.map(|supported| Currencies::of(visit, supported)))
    }

    /// Converts prices into the currency that a page shows, if there is one: all of them or, in an outage, none. An error
    /// comes with the place of its price.
    pub(crate) async fn convert(
        &mut self,
        shop: &Shop,
        currency: Option<CurrencyCode>,
        prices: Vec<Money>,
    ) -> Result<Vec<Money>, (usize, Status)> {
        let Some(currency) = currency else { return Ok(prices) };
        let converted = try_join_all(prices.iter().enumerate().map(async |(place, price)| {
            shop.clients.convert(*price, currency).await.map_err(|cause| (place, cause))
        }));
        match converted.await {
            Err((_, cause)) if is_outage(&cause) => {
                log_partial(&cause, "made a page without exchange rates");
                self.add(Note::NoRates);
                Ok(prices)
            }
            converted => converted,
        }
    }

    /// Returns the sentences for the visitor, if there are any.
    pub(crate) fn text(&self) -> Option<String> {
        let sentences: Vec<_> = self.0.iter().map(|note| note.text()).collect();
        (!sentences.is_empty()).then(|| sentences.join(" "))
    }
}
