//! Counters and gauges of a service's own.

use std::borrow::Cow;
use std::sync::Arc;

use parking_lot::RwLock;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge as PrometheusGauge;

use super::families::{FloatCounter, Metrics};
use super::labels::{Labels, of_service};

/// The most values of a label; further ones are counted as [`OTHER`].
const MAX_VALUES: usize = 200;
const OTHER: &str = "other";

/// Makes the counters and gauges of one service. Names are OpenTelemetry's, as in `shop.orders`; Prometheus shows
/// `shop_orders_total`.
#[derive(Debug, Clone)]
pub struct Meter {
    metrics: Arc<Metrics>,
    service: &'static str,
}

/// A counter; cheap to clone.
#[derive(Debug, Clone)]
pub struct Counter(FloatCounter);

/// A number that goes up and down; cheap to clone.
#[derive(Debug, Clone)]
pub struct Gauge(PrometheusGauge);

/// Counters of one name by the value of a label; cheap to clone.
#[derive(Debug, Clone)]
pub struct CounterBy {
    family: Family<Labels, FloatCounter>,
    service: &'static str,
    label: &'static str,
    known: Arc<RwLock<Known>>,
}

/// Values of a label, each with its counter.
type Known = Vec<(Cow<'static, str>, FloatCounter)>;

impl Meter {
    pub(crate) fn new(metrics: Arc<Metrics>, service: &'static str) -> Self {
        Self { metrics, service }
    }

    /// Makes a counter, which begins at 0.
    pub fn counter(&self, name: &'static str, help: &'static str) -> Counter {
        let family = self.metrics.counters(name, help);
        Counter(family.get_or_create_owned(&of_service(self.service)))
    }

    /// Makes a gauge, which begins at 0.
    pub fn gauge(&self, name: &'static str, help: &'static str) -> Gauge {
        let family = self.metrics.gauges(name, help);
        Gauge(family.get_or_create_owned(&of_service(self.service)))
    }

    /// Makes counters by `label`. Those of the `known` values begin at 0.
    pub fn counter_by(
        &self,
        name: &'static str,
        help: &'static str,
        label: &'static str,
        known: &[&'static str],
    ) -> CounterBy {
        let family = self.metrics.counters(name, help);
        let counters = CounterBy { family, service: self.service, label, known: Arc::default() };
        known.iter().for_each(|value| counters.add(*value, 0.0));
        counters
    }
}

impl Gauge {
    /// Sets the number.
    pub fn set(&self, value: usize) {
        self.0.set(i64::try_from(value).unwrap_or(i64::MAX));
    }
}

impl Counter {
    pub(super) fn of(counter: FloatCounter) -> Self {
        Self(counter)
    }

    /// Adds 1.
    pub fn increment(&self) {
        self.0.inc();
    }

    /// Adds `count`.
    pub fn add(&self, count: f64) {
        self.0.inc_by(count);
    }
}

impl CounterBy {
    /// Adds 1 to the counter of this value.
    pub fn increment(&self, value: impl Into<Cow<'static, str>>) {
        self.add(value, 1.0);
    }

    /// Adds `count` to the counter of this value. There are at most 200 of them.
    pub fn add(&self, value: impl Into<Cow<'static, str>>, count: f64) {
        let value = value.into();
        let known = self.known.read();
        if let Some((_, counter)) = known.iter().find(|(known, _)| *known == value) {
            counter.inc_by(count);
            return;
        }
        drop(known);
        let mut known = self.known.write();
        let value = if known.len() < MAX_VALUES { value } else { OTHER.into() };
        let mut labels = of_service(self.service);
        labels.push((self.label, value.clone()));
        let counter = self.family.get_or_create_owned(&labels);
        counter.inc_by(count);
        if !known.iter().any(|(known, _)| *known == value) {
            known.push((value, counter));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::families::Format;
    use super::*;

    #[test]
    fn label_has_a_bounded_number_of_values() {
        let metrics = Arc::<Metrics>::default();
        let meter = Meter::new(metrics.clone(), "shop");
        let counters = meter.counter_by("shop.things", "Things", "kind", &["known"]);
        for number in 0..2 * MAX_VALUES {
            counters.increment(number.to_string());
        }
        counters.increment("known");
        let text = metrics.encode(Format::Prometheus);
        let lines = text.lines().filter(|line| line.starts_with("shop_things_total{"));
        assert!(lines.count() <= MAX_VALUES + 1);
        assert!(
            text.contains("shop_things_total{service_name=\"shop\",kind=\"known\"} 1.0"),
            "{text}"
        );
        assert!(text.contains("kind=\"other\"} 201.0"), "{text}");
    }
}
