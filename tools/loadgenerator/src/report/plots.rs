//! Plots as SVG: lines over time, and a histogram.

use anyhow::anyhow;
use plotters::prelude::*;

const SIZE: (u32, u32) = (760, 280);
const COLORS: [RGBColor; 4] =
    [RGBColor(38, 84, 124), RGBColor(6, 150, 104), RGBColor(216, 130, 0), RGBColor(190, 40, 60)];

/// A line: its name and its points.
pub(crate) type Line = (&'static str, Vec<(f64, f64)>);

/// Lines over the seconds of a run.
pub(crate) fn lines(title: &str, unit: &str, lines: &[Line]) -> anyhow::Result<String> {
    let points = || lines.iter().flat_map(|(_, points)| points);
    let end = points().map(|(at, _)| *at).fold(1.0, f64::max);
    let top = points().map(|(_, value)| *value).fold(0.0, f64::max);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = frame(&area, title)
            .build_cartesian_2d(0.0..end, 0.0..top.max(1e-3) * 1.1)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc("seconds")
            .y_desc(unit)
            .draw()
            .map_err(failed)?;
        for ((name, points), color) in lines.iter().zip(COLORS) {
            chart
                .draw_series(LineSeries::new(points.iter().copied(), color.stroke_width(2)))
                .map_err(failed)?
                .label(*name)
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2))
                });
        }
        if lines.len() > 1 {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperRight)
                .background_style(WHITE.mix(0.8))
                .draw()
                .map_err(failed)?;
        }
        area.present().map_err(failed)?;
    }
    Ok(svg)
}

/// The histogram of latencies: bars of a logarithmic axis in milliseconds.
pub(crate) fn histogram(title: &str, bars: &[(f64, f64, u64)]) -> anyhow::Result<String> {
    let from = bars.first().map_or(0.1, |bar| bar.0).max(1e-3);
    let to = bars.last().map_or(1.0, |bar| bar.1).max(from * 2.0);
    let top = bars.iter().map(|bar| bar.2).max().unwrap_or(1).max(1);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = frame(&area, title)
            .build_cartesian_2d((from..to).log_scale(), 0..top + top / 10 + 1)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_desc("milliseconds")
            .y_desc("requests")
            .draw()
            .map_err(failed)?;
        let bars = bars.iter().map(|(from, to, count)| {
            Rectangle::new([(*from, 0), (*to, *count)], COLORS[0].mix(0.7).filled())
        });
        chart.draw_series(bars).map_err(failed)?;
        area.present().map_err(failed)?;
    }
    Ok(svg)
}

fn frame<'a, 'b, DB: DrawingBackend>(
    area: &'a DrawingArea<DB, plotters::coord::Shift>,
    title: &str,
) -> ChartBuilder<'a, 'b, DB> {
    let mut chart = ChartBuilder::on(area);
    chart.caption(title, ("sans-serif", 16)).margin(8).x_label_area_size(36).y_label_area_size(60);
    chart
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("cannot draw: {error}")
}
