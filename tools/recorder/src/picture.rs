//! A case as a picture: what its metrics do, before and after the fault.

use std::path::Path;

use anyhow::anyhow;
use boutique_proto::services::SERVICES;
use plotters::coord::Shift;
use plotters::prelude::*;

use crate::signals::Table;

const SIZE: (u32, u32) = (960, 560);
const AT_FAULT: RGBColor = RGBColor(190, 40, 60);
const FRONTEND: RGBColor = RGBColor(38, 84, 124);
const OTHERS: RGBColor = RGBColor(190, 190, 190);

/// A chart: its title, the metric, and the factor of its unit.
const CHARTS: [(&str, &str, f64); 5] = [
    ("requests/s", "workload", 1.0),
    ("failed requests/s", "error", 1.0),
    ("p90 latency, ms", "latency-90", 1e3),
    ("CPU, % of a core", "cpu", 1.0),
    ("memory, MB", "mem", 1e-6),
];

/// Draws the metrics of all services into an SVG file: the one at fault, the frontend, and the others in gray.
pub(crate) fn draw(
    file: &Path,
    table: &Table,
    (service, fault): (&str, &str),
    injected: u64,
) -> anyhow::Result<()> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(failed)?;
        let parts = area.split_evenly((2, 3));
        let [charts @ .., legend] = &parts[..] else { return Ok(()) };
        for (part, chart) in charts.iter().zip(CHARTS) {
            draw_chart(part, table, chart, service, injected)?;
        }
        for (row, (name, color)) in
            (1..).zip([(service, AT_FAULT), ("frontend", FRONTEND), ("others", OTHERS)])
        {
            let y = 30 + row * 24;
            let line = PathElement::new([(40, y), (64, y)], color.stroke_width(3));
            legend.draw(&line).map_err(failed)?;
            let text = Text::new(name, (74, y - 6), ("sans-serif", 15));
            legend.draw(&text).map_err(failed)?;
        }
        let title =
            Text::new(format!("{fault}, from the dashed line"), (8, 20), ("sans-serif", 16));
        legend.draw(&title).map_err(failed)?;
        area.present().map_err(failed)?;
    }
    std::fs::write(file, svg)?;
    Ok(())
}

fn draw_chart(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    table: &Table,
    (title, metric, factor): (&str, &str, f64),
    at_fault: &str,
    injected: u64,
) -> anyhow::Result<()> {
    let began = table.keys().next().copied().unwrap_or_default();
    let second = |time: u64| time.saturating_sub(began) as f64;
    let points = |service: &str| -> Vec<(f64, f64)> {
        let column = format!("{service}_{metric}");
        let value = |row: &std::collections::BTreeMap<String, f64>| row.get(&column).copied();
        let rows = table.iter().filter_map(|(time, row)| Some((second(*time), value(row)?)));
        rows.map(|(time, value)| (time, value * factor)).collect()
    };
    let lines: Vec<_> = SERVICES.iter().map(|spec| (spec.name, points(spec.name))).collect();
    let all = || lines.iter().flat_map(|(_, points)| points);
    let top = all().map(|point| point.1).fold(0.0, f64::max).max(1e-3) * 1.1;
    let end = all().map(|point| point.0).fold(1.0, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 15))
        .margin(6)
        .x_label_area_size(24)
        .y_label_area_size(44)
        .build_cartesian_2d(0.0..end, 0.0..top)
        .map_err(failed)?;
    let mut mesh = chart.configure_mesh();
    mesh.light_line_style(TRANSPARENT).x_labels(6).y_labels(5).draw().map_err(failed)?;
    // The lines that matter are above the others.
    let mut sorted: Vec<_> = lines.iter().collect();
    sorted.sort_by_key(|(name, _)| (*name == at_fault, *name == "frontend"));
    for (name, points) in sorted {
        let (color, width) = match *name {
            name if name == at_fault => (AT_FAULT, 2),
            "frontend" => (FRONTEND, 2),
            _ => (OTHERS, 1),
        };
        let line = LineSeries::new(points.iter().copied(), color.stroke_width(width));
        chart.draw_series(line).map_err(failed)?;
    }
    let injected = second(injected);
    let dashes = DashedLineSeries::new([(injected, 0.0), (injected, top)], 4, 4, BLACK.into());
    chart.draw_series(dashes).map_err(failed)?;
    Ok(())
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("cannot draw: {error}")
}
