//! `/topology`: the services behind the shop and the calls between them, live.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderName, HeaderValue, StatusCode};
use askama::Template;
use axum::extract::Request;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use tonic::Status;

use super::failure::Failure;
use super::home::fields;
use super::page::{self, Frame};
use super::state::Shop;
use super::visit::Visit;
use crate::topology::{
    BOX_HEIGHT, BOX_WIDTH, Curve, Drawing, Edge, Follower, Placed, Scope, Topology, Traffic, View,
    WIDTH, draw,
};

/// The pause before a browser follows again, after the stream ended.
const RETRY: Duration = Duration::from_secs(1);
/// The share of failed calls from which on a service or an edge is shown as failing.
const FAILING: f64 = 0.01;
/// A proxy that keeps answers until they are whole would show nothing.
const UNBUFFERED: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));

#[derive(Template)]
#[template(path = "topology.html")]
struct TopologyPage<'a> {
    frame: Frame<'a>,
    picture: Picture<'a>,
}

/// The part of the page that changes.
#[derive(Template)]
#[template(path = "topology_picture.html")]
struct Picture<'a> {
    base_url: &'a str,
    view: &'a View,
    drawing: Drawing<'a>,
    /// The service that was chosen.
    chosen: Option<&'a str>,
}

impl<'a> Picture<'a> {
    fn new(base_url: &'a str, view: &'a View, chosen: Option<&'a str>) -> Self {
        Self { base_url, view, drawing: draw(view), chosen }
    }

    fn is_chosen(&self, name: &str) -> bool {
        self.chosen == Some(name)
    }

    /// Returns true for the edges of the service that was chosen.
    fn is_of_chosen(&self, edge: &Edge) -> bool {
        self.is_chosen(&edge.caller) || self.is_chosen(&edge.callee)
    }

    /// The link that chooses a service, or no longer chooses it.
    fn link(&self, name: &str) -> String {
        let base_url = self.base_url;
        if self.is_chosen(name) {
            format!("{base_url}/topology")
        } else {
            format!("{base_url}/topology?service={name}")
        }
    }

    fn box_class(&self, placed: &Placed<'_>) -> String {
        let service = placed.service;
        let mut class = String::from("box");
        for (is_so, name) in [
            (service.is_store, " store"),
            (!service.is_store && service.replicas == 0, " unknown"),
            (service.serving < service.replicas, " down"),
            (is_failing(service.traffic), " failing"),
            (!service.faults.is_empty(), " faulty"),
            (self.is_chosen(&service.name), " chosen"),
        ] {
            class.push_str(if is_so { name } else { "" });
        }
        class
    }

    fn curve_class(&self, curve: &Curve<'_>) -> &'static str {
        let edge = curve.edge;
        let is_quiet = edge.traffic.is_none_or(|traffic| traffic.rate == 0.0);
        match (self.chosen.is_some() && !self.is_of_chosen(edge), is_failing(edge.traffic)) {
            (true, true) => "curve failing dim",
            (true, false) => "curve dim",
            (false, true) => "curve failing",
            (false, false) if is_quiet => "curve quiet",
            (false, false) => "curve",
        }
    }

    fn figures(&self, traffic: &Option<Traffic>) -> Figures {
        Figures::new(*traffic)
    }

    /// The name of a service as the drawing has it.
    fn short<'b>(&self, name: &'b str) -> &'b str {
        name.strip_suffix("service").filter(|short| !short.is_empty()).unwrap_or(name)
    }

    /// The edges of the service that was chosen.
    fn edges(&self) -> impl Iterator<Item = &Edge> {
        self.view.edges.iter().filter(|edge| self.is_of_chosen(edge))
    }
}

/// `GET /topology`, with `service` the edges of that one.
pub(crate) async fn page(
    shop: Arc<Shop>,
    visit: Arc<Visit>,
    request: Request,
) -> Result<Response, Failure> {
    let chosen = fields(&request)?.text("service").to_owned();
    let view = topology(&shop)?.view().await;
    let late =
        || Failure::new(StatusCode::SERVICE_UNAVAILABLE, "could not ask the services in time");
    let view = view.ok_or_else(late)?;
    let chosen = chosen_in(&view, &chosen)?;
    let frame = Frame::bare(&shop, &visit);
    let picture = Picture::new(frame.base_url, &view, chosen);
    let page = TopologyPage { frame, picture };
    page::answer(&shop, &visit, None, &page.frame, &page)
}

/// `GET /topology/events`: the part of the page that changes, whenever it does, as server-sent events.
pub(crate) async fn events(
    shop: Arc<Shop>,
    _visit: Arc<Visit>,
    request: Request,
) -> Result<Response, Failure> {
    let chosen = fields(&request)?.text("service").to_owned();
    let too_many = || Failure::too_many("too many follow the topology", 10);
    let follower = topology(&shop)?.clone().follow().ok_or_else(too_many)?;
    let base_url = shop.config.base_url.clone();
    let events = stream::unfold((follower, chosen, base_url), next_event);
    Ok(([UNBUFFERED], Sse::new(events)).into_response())
}

type Following = (Follower, String, String);

async fn next_event(
    (mut follower, chosen, base_url): Following,
) -> Option<(Result<Event, Infallible>, Following)> {
    let view = follower.next().await?;
    // A service that has gone is no longer chosen.
    let chosen_in_view = chosen_in(&view, &chosen).ok().flatten();
    let picture = Picture::new(&base_url, &view, chosen_in_view).render().ok()?;
    let event = Event::default().retry(RETRY).data(picture);
    Some((Ok(event), (follower, chosen, base_url)))
}

fn topology(shop: &Shop) -> Result<&Arc<Topology>, Failure> {
    let off = || Failure::backend("there is no topology", Status::not_found("ENABLE_TOPOLOGY"));
    shop.topology.as_ref().ok_or_else(off)
}

/// Finds the service that was chosen, if one was.
fn chosen_in<'a>(view: &'a View, name: &str) -> Result<Option<&'a str>, Failure> {
    if name.is_empty() {
        return Ok(None);
    }
    let mut services = view.services.iter().map(|service| service.name.as_str());
    match services.find(|known| *known == name) {
        Some(known) => Ok(Some(known)),
        None => Err(Failure::new(StatusCode::NOT_FOUND, "there is no service of this name")),
    }
}

fn is_failing(traffic: Option<Traffic>) -> bool {
    traffic.is_some_and(|traffic| traffic.error_ratio >= FAILING)
}

/// Calls, for people; a dash for what is not known.
#[derive(Debug, PartialEq)]
struct Figures {
    rate: String,
    errors: String,
    p50: String,
    p99: String,
}

impl Figures {
    fn new(traffic: Option<Traffic>) -> Self {
        let unknown = || "\u{2013}".to_owned();
        let Some(Traffic { rate, error_ratio, p50, p99 }) = traffic else {
            return Self { rate: unknown(), errors: unknown(), p50: unknown(), p99: unknown() };
        };
        let percent = 100.0 * error_ratio;
        let digits = usize::from(percent > 0.0 && percent < 10.0);
        Self {
            rate: per_second(rate),
            errors: format!("{percent:.digits$} %"),
            p50: p50.map_or_else(unknown, duration),
            p99: p99.map_or_else(unknown, duration),
        }
    }
}

fn per_second(rate: f64) -> String {
    if rate >= 1000.0 {
        format!("{:.1}k/s", rate / 1000.0)
    } else if rate >= 10.0 || rate == 0.0 {
        format!("{rate:.0}/s")
    } else {
        format!("{rate:.1}/s")
    }
}

fn duration(seconds: f64) -> String {
    if seconds < 0.001 {
        format!("{:.0} \u{b5}s", seconds * 1e6)
    } else if seconds < 0.01 {
        format!("{:.1} ms", seconds * 1e3)
    } else if seconds < 1.0 {
        format!("{:.0} ms", seconds * 1e3)
    } else {
        format!("{seconds:.1} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        for (rate, text) in [
            (0.0, "0/s"),
            (0.44, "0.4/s"),
            (9.99, "10.0/s"),
            (12.4, "12/s"),
            (999.0, "999/s"),
            (1234.0, "1.2k/s"),
        ] {
            assert_eq!(per_second(rate), text);
        }
        for (seconds, text) in [
            (0.000_042, "42 \u{b5}s"),
            (0.0012, "1.2 ms"),
            (0.0124, "12 ms"),
            (0.25, "250 ms"),
            (2.5, "2.5 s"),
        ] {
            assert_eq!(duration(seconds), text);
        }
        for (error_ratio, text) in [(0.0, "0 %"), (0.001, "0.1 %"), (0.5, "50 %"), (1.0, "100 %")] {
            let traffic = Traffic { rate: 1.0, error_ratio, p50: Some(0.25), p99: None };
            let figures = Figures::new(Some(traffic));
            assert_eq!(figures.errors, text);
            assert_eq!((figures.p50.as_str(), figures.p99.as_str()), ("250 ms", "\u{2013}"));
        }
        assert_eq!(Figures::new(None).rate, "\u{2013}");
    }
}
