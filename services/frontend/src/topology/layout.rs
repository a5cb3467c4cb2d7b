//! The drawing of a view: where its boxes stand, and the curves between them, in units of a picture that is 1600 wide.

use std::cmp::Ordering;

use super::view::{Edge, Service, View};

/// The services by column, from those that visitors call to those that are called last. What is in none of them, stores
/// too, is in the last column.
const COLUMNS: [&[&str]; 4] = [
    &["frontend"],
    &["recommendationservice", "checkoutservice"],
    &["productcatalogservice", "currencyservice", "adservice", "cartservice", "shippingservice"],
    &["emailservice", "paymentservice"],
];

pub(crate) const WIDTH: f64 = 1600.0;
pub(crate) const BOX_WIDTH: f64 = 300.0;
pub(crate) const BOX_HEIGHT: f64 = 150.0;
const MIN_HEIGHT: f64 = 900.0;
/// The distance of two boxes one below the other, at the least.
const ROW: f64 = 190.0;
const MARGIN: f64 = 20.0;
/// The distance of two curves at the same side of a box, at the most, and that of the first and the last.
const PORT: f64 = 24.0;
const PORTS: f64 = 100.0;
/// The width of a curve between two boxes of the same column.
const DETOUR: f64 = 70.0;
/// The distance of a curve from the boxes that it passes, at the least. Boxes have more than twice as much between them.
const CLEARANCE: f64 = 12.0;

/// A view as it is drawn.
pub(crate) struct Drawing<'a> {
    pub(crate) height: f64,
    pub(crate) boxes: Vec<Placed<'a>>,
    pub(crate) curves: Vec<Curve<'a>>,
}

/// A service at its place.
pub(crate) struct Placed<'a> {
    pub(crate) service: &'a Service,
    /// Of its upper left corner.
    pub(crate) x: f64,
    pub(crate) y: f64,
}

/// The calls between two boxes.
pub(crate) struct Curve<'a> {
    pub(crate) edge: &'a Edge,
    /// As an SVG path.
    pub(crate) path: String,
    /// The width of the line, more for more calls.
    pub(crate) width: f64,
    /// The place of its label.
    pub(crate) label: (f64, f64),
}

/// Draws a view.
pub(crate) fn draw(view: &View) -> Drawing<'_> {
    let mut columns: [Vec<&Service>; COLUMNS.len()] = Default::default();
    for service in &view.services {
        columns[column(&service.name)].push(service);
    }
    for (services, order) in columns.iter_mut().zip(COLUMNS) {
        services.sort_by_key(|service| {
            order.iter().position(|name| *name == service.name).unwrap_or(order.len())
        });
    }
    let rows = columns.iter().map(Vec::len).max().unwrap_or_default();
    let height = MIN_HEIGHT.max(rows as f64 * ROW);
    let step = (WIDTH - 2.0 * MARGIN - BOX_WIDTH) / (COLUMNS.len() - 1) as f64;
    let boxes: Vec<Placed<'_>> = columns
        .iter()
        .enumerate()
        .flat_map(|(column, services)| {
            let row = height / services.len().max(1) as f64;
            let x = MARGIN + step * column as f64;
            let y = move |index: usize| row * (index as f64 + 0.5) - BOX_HEIGHT / 2.0;
            let place = move |(index, service)| Placed { service, x, y: y(index) };
            services.iter().copied().enumerate().map(place)
        })
        .collect();
    let curves = curves(&boxes, &view.edges);
    Drawing { height, boxes, curves }
}

fn column(name: &str) -> usize {
    COLUMNS.iter().position(|names| names.contains(&name)).unwrap_or(COLUMNS.len() - 1)
}

/// The curves between boxes. Those at one side of a box are in the order of the boxes at their other ends.
fn curves<'a>(boxes: &[Placed<'_>], edges: &'a [Edge]) -> Vec<Curve<'a>> {
    let place = |name: &str| boxes.iter().find(|placed| placed.service.name == name);
    let ends = edges.iter().filter_map(|edge| {
        let (caller, callee) = (place(&edge.caller)?, place(&edge.callee)?);
        Some((edge, (caller.x, caller.y), (callee.x, callee.y)))
    });
    let ends: Vec<_> = ends.collect();
    let port = |own: f64, others: &mut dyn Iterator<Item = f64>| {
        let (mut before, mut all) = (0.0, 0.0);
        for other in others {
            before += if other < own { 1.0 } else { 0.0 };
            all += 1.0;
        }
        (before - (all - 1.0) / 2.0) * PORT.min(PORTS / all)
    };
    let curve = |&(edge, from, to): &(&'a Edge, (f64, f64), (f64, f64))| {
        let mut callees =
            ends.iter().filter(|(.., caller, _)| *caller == from).map(|(.., to)| to.1);
        let mut callers =
            ends.iter().filter(|(.., callee)| *callee == to).map(|(_, from, _)| from.1);
        let (out, into) = (port(to.1, &mut callees), port(from.1, &mut callers));
        curve(boxes, edge, (from.0, from.1 + out), (to.0, to.1 + into))
    };
    ends.iter().map(curve).collect()
}

/// A curve between the sides of two boxes that face each other, or to the left of two in the same column. It passes
/// between the boxes of the columns on its way.
fn curve<'a>(boxes: &[Placed<'_>], edge: &'a Edge, from: (f64, f64), to: (f64, f64)) -> Curve<'a> {
    let (y1, y2) = (from.1 + BOX_HEIGHT / 2.0, to.1 + BOX_HEIGHT / 2.0);
    let (x1, x2) = match from.0.total_cmp(&to.0) {
        Ordering::Less => (from.0 + BOX_WIDTH, to.0),
        Ordering::Equal => (from.0, to.0),
        Ordering::Greater => (from.0, to.0 + BOX_WIDTH),
    };
    let (mut start, mut path) = ((x1, y1), format!("M{x1:.0} {y1:.0}"));
    let mut on_way: Vec<f64> = boxes.iter().map(|placed| placed.x).collect();
    on_way.retain(|x| *x > from.0.min(to.0) && *x < from.0.max(to.0));
    on_way.sort_by(|one, other| (one - x1).abs().total_cmp(&(other - x1).abs()));
    on_way.dedup();
    for x in on_way {
        let middle = (x + BOX_WIDTH / 2.0 - x1) / (x2 - x1);
        let y = between(boxes, x, y1 + (y2 - y1) * middle);
        let (near, far) = if x1 < x2 { (x, x + BOX_WIDTH) } else { (x + BOX_WIDTH, x) };
        path += &bend(start, (near, y));
        path += &format!("H{far:.0}");
        start = (far, y);
    }
    path += &if from.0 == to.0 {
        let x = x1 - DETOUR;
        format!("C{x:.0} {y1:.0} {x:.0} {y2:.0} {x2:.0} {y2:.0}")
    } else {
        bend(start, (x2, y2))
    };
    let detour = if from.0 == to.0 { 0.75 * DETOUR } else { 0.0 };
    let rate = edge.traffic.map_or(0.0, |traffic| traffic.rate);
    Curve {
        edge,
        path,
        width: (2.0 + (1.0 + rate).log2()).min(14.0),
        label: (f64::midpoint(start.0, x2) - detour, f64::midpoint(start.1, y2)),
    }
}

/// The part of a path that leads to a point and is level at both ends.
fn bend((x1, y1): (f64, f64), (x2, y2): (f64, f64)) -> String {
    let middle = f64::midpoint(x1, x2);
    format!("C{middle:.0} {y1:.0} {middle:.0} {y2:.0} {x2:.0} {y2:.0}")
}

/// The height next to this one at which a line passes between the boxes of the column at `x`.
fn between(boxes: &[Placed<'_>], x: f64, y: f64) -> f64 {
    let near = |placed: &&Placed<'_>| {
        placed.x == x && y > placed.y - CLEARANCE && y < placed.y + BOX_HEIGHT + CLEARANCE
    };
    boxes.iter().find(near).map_or(y, |placed| {
        if y < placed.y + BOX_HEIGHT / 2.0 {
            placed.y - CLEARANCE
        } else {
            placed.y + BOX_HEIGHT + CLEARANCE
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::view::Scope;
    use super::*;

    fn service(name: &str) -> Service {
        Service {
            name: name.to_owned(),
            is_store: false,
            replicas: 1,
            serving: 1,
            versions: BTreeSet::new(),
            traffic: None,
            is_seen_by_callers: false,
            faults: Vec::new(),
        }
    }

    fn edge(caller: &str, callee: &str) -> Edge {
        let (caller, callee) = (caller.to_owned(), callee.to_owned());
        Edge { caller, callee, traffic: None, operations: Vec::new() }
    }

    #[test]
    fn boxes_are_apart_and_inside_however_many_there_are() {
        let own = COLUMNS.concat().into_iter().map(service);
        let further = (0..8).map(|number| service(&format!("service{number}")));
        let services: Vec<Service> = own.chain(further).collect();
        let edges = vec![edge("service1", "service2"), edge("service3", "frontend")];
        let view = View { scope: Scope::Process, services, edges, faults: BTreeSet::new() };
        let drawing = draw(&view);
        assert_eq!(drawing.boxes.len(), view.services.len());
        for (index, one) in drawing.boxes.iter().enumerate() {
            assert!(one.x >= 0.0 && one.x + BOX_WIDTH <= WIDTH, "{}", one.service.name);
            assert!(one.y >= 0.0 && one.y + BOX_HEIGHT <= drawing.height, "{}", one.service.name);
            for other in &drawing.boxes[..index] {
                let is_apart =
                    (one.x - other.x).abs() >= BOX_WIDTH || (one.y - other.y).abs() >= BOX_HEIGHT;
                assert!(is_apart, "{} and {}", one.service.name, other.service.name);
            }
        }
        assert_eq!(drawing.curves.len(), 2);
        assert!(drawing.curves.iter().all(|curve| curve.label.0 > 0.0 && curve.label.0 < WIDTH));
    }

    #[test]
    fn curves_pass_between_boxes() {
        let services: Vec<Service> = COLUMNS.concat().into_iter().map(service).collect();
        let edges = vec![edge("checkoutservice", "emailservice"), edge("emailservice", "frontend")];
        let view = View { scope: Scope::Process, services, edges, faults: BTreeSet::new() };
        let drawing = draw(&view);
        for x in drawing.boxes.iter().map(|placed| placed.x) {
            for y in 0..=900 {
                let y = between(&drawing.boxes, x, f64::from(y));
                let is_behind = |placed: &Placed<'_>| {
                    placed.x == x && y > placed.y && y < placed.y + BOX_HEIGHT
                };
                assert!(!drawing.boxes.iter().any(is_behind), "{x} {y}");
            }
        }
        let passed: Vec<usize> =
            drawing.curves.iter().map(|curve| curve.path.matches('H').count()).collect();
        assert_eq!(passed, [1, 2]);
    }

    #[test]
    fn columns_name_services() {
        for name in COLUMNS.into_iter().flatten() {
            let is_known = boutique_proto::services::SERVICES.iter().any(|spec| spec.name == *name);
            assert!(is_known, "{name}");
        }
    }
}
