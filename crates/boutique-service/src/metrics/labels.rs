//! Labels of series.

use std::borrow::Cow;

/// Names and values of labels. Values come from tables of ours, never from what a user sent.
pub(super) type Labels = Vec<(&'static str, Cow<'static, str>)>;
/// The trace of an observation.
pub(super) type Exemplar = Vec<(&'static str, String)>;

/// Returns the label that every series has.
pub(super) fn of_service(service: &'static str) -> Labels {
    vec![("service_name", service.into())]
}

/// Returns a name of OpenTelemetry as Prometheus has it.
pub(super) fn snake(name: &str) -> String {
    name.replace('.', "_")
}
