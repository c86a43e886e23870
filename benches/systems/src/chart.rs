//! The report's drawing: throughput and latency over the calls in flight, for each function.

use crate::figures::{Figure, Work};
use crate::outcome::Outcome;
use crate::report::Results;
use crate::system::System;
use plotters::prelude::*;
use std::path::Path;

const SIZE: (u32, u32) = (1280, 960);

fn color(system: System) -> RGBColor {
    match system {
        System::Direct => RGBColor(214, 39, 40),
        System::Orchestrator => RGBColor(255, 127, 14),
        System::Ancestor => RGBColor(31, 119, 180),
        System::Tonic => RGBColor(44, 160, 44),
        System::NodeHttp => RGBColor(148, 103, 189),
        System::NodePiscina => RGBColor(140, 86, 75),
        System::Quic => RGBColor(127, 127, 127),
        System::Kernel => RGBColor(227, 119, 194),
        System::Programs => RGBColor(188, 189, 34),
    }
}

/// What a panel shows of a figure.
struct Quantity {
    title: &'static str,
    of: fn(&Figure) -> f64,
}

const QUANTITIES: [Quantity; 2] = [
    Quantity {
        title: "calls/s",
        of: |figure| figure.calls_per_s,
    },
    Quantity {
        title: "p50, µs",
        of: |figure| figure.p50_us as f64,
    },
];

/// A line of a panel.
struct Line {
    system: System,
    points: Vec<(f64, f64)>,
}

pub(crate) fn draw(results: &Results, path: &Path) -> Outcome<()> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(failed)?;
    let panels = area.split_evenly((results.setting.works.len(), QUANTITIES.len()));
    let contents = results
        .setting
        .works
        .iter()
        .flat_map(|work| QUANTITIES.iter().map(move |quantity| (work, quantity)));
    for (panel, (work, quantity)) in panels.iter().zip(contents) {
        draw_panel(panel, results, work, quantity)?;
    }
    area.present().map_err(failed)
}

fn draw_panel(
    panel: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    results: &Results,
    work: &Work,
    quantity: &Quantity,
) -> Outcome<()> {
    let lines = lines(results, work, quantity);
    let values = lines
        .iter()
        .flat_map(|line| &line.points)
        .map(|point| point.1);
    let (least, most) = values.fold((f64::MAX, 1.0_f64), |(least, most), value| {
        (least.min(value), most.max(value))
    });
    let last = work.levels.last().map_or(1.0, |&level| level as f64);
    let mut chart = ChartBuilder::on(panel)
        .caption(
            format!("{}: {}", work.function, quantity.title),
            ("sans-serif", 20),
        )
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(80)
        .build_cartesian_2d(
            (0.9..last * 1.1).log_scale(),
            (least.min(most) / 1.5..most * 1.5).log_scale(),
        )
        .map_err(failed)?;
    chart
        .configure_mesh()
        .x_desc("calls in flight")
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .light_line_style(WHITE)
        .draw()
        .map_err(failed)?;
    for line in lines {
        let style = color(line.system).stroke_width(2);
        let series = LineSeries::new(line.points, style).point_size(3);
        chart
            .draw_series(series)
            .map_err(failed)?
            .label(line.system.title())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .draw()
        .map_err(failed)
}

fn lines(results: &Results, work: &Work, quantity: &Quantity) -> Vec<Line> {
    let line = |system| Line {
        system,
        points: work
            .levels
            .iter()
            .filter_map(|&level| {
                let median = results.median(system, work, level)?;
                Some((level as f64, (quantity.of)(&median)))
            })
            .collect(),
    };
    let lines = System::ALL.into_iter().map(line);
    lines.filter(|line| !line.points.is_empty()).collect()
}

fn failed(error: impl std::fmt::Display) -> Box<dyn std::error::Error + Send + Sync> {
    format!("the drawing: {error}").into()
}
