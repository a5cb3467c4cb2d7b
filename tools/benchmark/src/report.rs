//! The table, for a terminal and as a page with plots.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::anyhow;
use askama::Template;
use plotters::prelude::*;
use serde_json::{Value, json};

use crate::growth::Curve;
use crate::plan::{Sample, Samples, median};
use crate::system::System;
use crate::workload::{SHOP_MIX, WORKLOADS, Workload};

/// The results of one system.
pub(crate) struct Row {
    pub(crate) label: String,
    /// The first page after exec, in milliseconds.
    pub(crate) opened_in: Option<f64>,
    /// MB.
    pub(crate) fresh: f64,
    pub(crate) loaded: f64,
    /// Thousandths of a processor.
    pub(crate) idle: f64,
    /// By load; none of those that the system cannot be put under.
    costs: BTreeMap<Workload, Cost>,
}

impl Row {
    /// Returns the cost of one unit of a load, if it was measured.
    pub(crate) fn cost(&self, workload: Workload) -> Option<&Cost> {
        self.costs.get(&workload)
    }
}

/// The cost of one unit of a load on one system: medians.
pub(crate) struct Cost {
    /// Microseconds of CPU.
    pub(crate) cpu: f64,
    /// Half of what lies between the quarters, as a share.
    pub(crate) spread: f64,
    pub(crate) redis: f64,
    pub(crate) generator: f64,
    pub(crate) per_second: f64,
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    /// By part.
    pub(crate) parts: Vec<(String, f64)>,
}

/// Everything that was measured.
pub(crate) struct Report {
    pub(crate) rows: Vec<Row>,
    /// A figure by its name, what it has to be at most, and what it is.
    pub(crate) figures: Vec<Figure>,
    pub(crate) curves: Vec<Curve>,
    pub(crate) notes: Vec<String>,
}

/// A promise and what became of it.
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) found: f64,
    pub(crate) at_most: f64,
}

impl Figure {
    pub(crate) fn new(name: &str, found: f64, at_most: f64) -> Self {
        Self { name: name.to_owned(), found, at_most }
    }

    fn holds(&self) -> bool {
        self.found <= self.at_most
    }
}

/// Makes the row of a system of what was measured.
pub(crate) fn row(system: &System, samples: &Samples, idle: f64) -> anyhow::Result<Row> {
    let cost = |workload: Workload| {
        let samples = samples.of(system, workload);
        if samples.is_empty() {
            return None;
        }
        let middle = |figure: fn(&Sample) -> f64| median(samples.iter().map(figure));
        let part = |place: usize| median(samples.iter().map(|sample| sample.parts[place])).0;
        let names = system.meters.iter().enumerate();
        let (cpu, spread) = middle(Sample::cpu);
        let cost = Cost {
            cpu,
            spread,
            redis: middle(|sample| sample.redis).0,
            generator: middle(|sample| sample.generator).0,
            per_second: middle(|sample| sample.per_second).0,
            p50: middle(|sample| sample.p50).0,
            p99: middle(|sample| sample.p99).0,
            parts: names.map(|(place, (name, _))| (name.clone(), part(place))).collect(),
        };
        Some((workload, cost))
    };
    Ok(Row {
        label: system.label.clone(),
        opened_in: system.opened_in.map(|opened| opened.as_secs_f64() * 1e3),
        fresh: system.fresh,
        loaded: system.memory()?,
        idle,
        costs: WORKLOADS.into_iter().filter_map(cost).collect(),
    })
}

impl Report {
    /// For a terminal; Markdown, so that it can be quoted.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for workload in WORKLOADS {
            let _ = writeln!(text, "\n{}: CPU per {}", workload.name, unit(workload.name));
            text.push_str("\n| system | CPU, µs | ± | Redis, µs | per second | p50, ms | p99, ms |\n|---|---|---|---|---|---|---|\n");
            for (row, cost) in self.costs(workload) {
                let _ = writeln!(
                    text,
                    "| {} | {:.1} | {:.0} % | {:.1} | {:.0} | {:.2} | {:.2} |",
                    row.label,
                    cost.cpu,
                    cost.spread * 100.0,
                    cost.redis,
                    cost.per_second,
                    cost.p50,
                    cost.p99
                );
            }
        }
        text.push_str("\n| system | first page, ms | fresh, MB | after load, MB | idle, mCPU |\n|---|---|---|---|---|\n");
        for row in &self.rows {
            let opened = row.opened_in.map_or("-".to_owned(), |opened| format!("{opened:.1}"));
            let _ = writeln!(
                text,
                "| {} | {opened} | {:.1} | {:.1} | {:.2} |",
                row.label, row.fresh, row.loaded, row.idle
            );
        }
        text.push_str("\nThe shop mix by part, µs of CPU per HTTP request\n\n");
        for (row, cost) in self.costs(SHOP_MIX).filter(|(_, cost)| cost.parts.len() > 1) {
            let parts: Vec<_> =
                cost.parts.iter().map(|(name, cpu)| format!("{name} {cpu:.1}")).collect();
            let _ = writeln!(text, "- {}: {}", row.label, parts.join(", "));
        }
        for curve in &self.curves {
            let _ = writeln!(
                text,
                "\n{}\n\n| {} | {} |\n|---|---|",
                curve.title, curve.axis, curve.unit
            );
            for (at, value) in &curve.points {
                let _ = writeln!(text, "| {at} | {value:.2} |");
            }
        }
        if !self.figures.is_empty() {
            text.push_str("\n| figure | at most | found | |\n|---|---|---|---|\n");
        }
        for figure in &self.figures {
            let verdict = if figure.holds() { "holds" } else { "MISSED" };
            let _ = writeln!(
                text,
                "| {} | {:.2} | {:.2} | {verdict} |",
                figure.name, figure.at_most, figure.found
            );
        }
        for note in &self.notes {
            let _ = writeln!(text, "\n{note}");
        }
        text
    }

    fn costs(&self, workload: Workload) -> impl Iterator<Item = (&Row, &Cost)> {
        self.rows.iter().filter_map(move |row| Some((row, row.cost(workload)?)))
    }

    /// For programs.
    pub(crate) fn json(&self) -> Value {
        let costs = |row: &Row| {
            let pairs = row.costs.iter().map(|(workload, cost)| {
                let figures = json!({
                    "cpu_us": cost.cpu, "spread": cost.spread, "redis_us": cost.redis,
                    "generator_us": cost.generator, "per_second": cost.per_second,
                    "p50_ms": cost.p50, "p99_ms": cost.p99,
                    "parts_us": cost.parts.iter().cloned().collect::<BTreeMap<_, _>>(),
                });
                (workload.name.to_owned(), figures)
            });
            Value::Object(pairs.collect())
        };
        let systems = self.rows.iter().map(|row| {
            json!({
                "system": row.label, "first_page_ms": row.opened_in, "fresh_mb": row.fresh,
                "loaded_mb": row.loaded, "idle_mcpu": row.idle, "loads": costs(row),
            })
        });
        let figures = self.figures.iter().map(|figure| {
            json!({"figure": figure.name, "at_most": figure.at_most, "found": figure.found, "holds": figure.holds()})
        });
        let curves = self.curves.iter().map(|curve| {
            json!({"title": curve.title, "axis": curve.axis, "unit": curve.unit, "points": curve.points})
        });
        json!({
            "systems": systems.collect::<Vec<_>>(),
            "figures": figures.collect::<Vec<_>>(),
            "curves": curves.collect::<Vec<_>>(),
            "notes": self.notes,
        })
    }

    /// A page that needs nothing but itself.
    pub(crate) fn html(&self) -> anyhow::Result<String> {
        let mut plots = Vec::new();
        for workload in WORKLOADS {
            let bars: Vec<_> =
                self.costs(workload).map(|(row, cost)| (row.label.clone(), cost.cpu)).collect();
            plots.push(bars_plot(
                &format!("{}: µs of CPU per {}", workload.name, unit(workload.name)),
                &bars,
            )?);
        }
        for curve in &self.curves {
            plots.push(curve_plot(curve)?);
        }
        Ok(Page { text: self.text(), plots }.render()?)
    }
}

#[derive(Template)]
#[template(path = "benchmark.html")]
struct Page {
    text: String,
    plots: Vec<String>,
}

fn unit(workload: &str) -> &'static str {
    if workload.contains("order") { "order, its AddItems among it" } else { "HTTP request" }
}

const SIZE: (u32, u32) = (700, 260);
const COLOR: RGBColor = RGBColor(38, 84, 124);

fn bars_plot(title: &str, bars: &[(String, f64)]) -> anyhow::Result<String> {
    let top = bars.iter().map(|(_, value)| *value).fold(1e-3, f64::max) * 1.15;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .caption(title, ("sans-serif", 15))
            .margin(8)
            .x_label_area_size(10)
            .y_label_area_size(150)
            .build_cartesian_2d(0.0..top, 0.0..bars.len() as f64)
            .map_err(failed)?;
        for (place, (label, value)) in bars.iter().rev().enumerate() {
            let y = place as f64;
            let bar =
                Rectangle::new([(0.0, y + 0.15), (*value, y + 0.85)], COLOR.mix(0.75).filled());
            chart.draw_series([bar]).map_err(failed)?;
            let words = Text::new(
                format!("{value:.1}"),
                (*value + top * 0.01, y + 0.65),
                ("sans-serif", 12),
            );
            chart.draw_series([words]).map_err(failed)?;
            let (x, y) = chart.backend_coord(&(0.0, y + 0.65));
            area.draw(&Text::new(label.clone(), (x - 145, y), ("sans-serif", 12)))
                .map_err(failed)?;
        }
        area.present().map_err(failed)?;
    }
    Ok(svg)
}

fn curve_plot(curve: &Curve) -> anyhow::Result<String> {
    let top = curve.points.iter().map(|(_, value)| *value).fold(1e-3, f64::max) * 1.15;
    let first = curve.points.first().map_or(1.0, |point| point.0).max(1.0);
    let last = curve.points.last().map_or(10.0, |point| point.0).max(first + 1.0);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .caption(&curve.title, ("sans-serif", 15))
            .margin(8)
            .margin_right(40)
            .x_label_area_size(36)
            .y_label_area_size(60)
            .build_cartesian_2d((first..last).log_scale(), 0.0..top)
            .map_err(failed)?;
        let mut mesh = chart.configure_mesh();
        mesh.x_desc(curve.axis)
            .y_desc(curve.unit)
            .light_line_style(TRANSPARENT)
            .draw()
            .map_err(failed)?;
        let points = || curve.points.iter().map(|(at, value)| (at.max(first), *value));
        chart.draw_series(LineSeries::new(points(), COLOR.stroke_width(2))).map_err(failed)?;
        let dots = points().map(|point| Circle::new(point, 3, COLOR.filled()));
        chart.draw_series(dots).map_err(failed)?;
        area.present().map_err(failed)?;
    }
    Ok(svg)
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("cannot draw: {error}")
}
