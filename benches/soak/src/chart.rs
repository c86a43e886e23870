//! The report's drawing: memory, latency, descriptors and CPU over time, one above the other.

use crate::Outcome;
use crate::record::{ProbeSecond, Record};
use crate::sample::Sample;
use crate::trend::quantile;
use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, Ranged, ValueFormatter};
use plotters::prelude::*;
use std::path::Path;

const SIZE: (u32, u32) = (1280, 1280);

/// What is left of a panel's width for the names of its lines.
const LEGEND_WIDTH: i32 = 190;
/// What the lines have, without the margin and the labels on the left.
const PANEL_WIDTH: i32 = SIZE.0 as i32 - LEGEND_WIDTH - 12 - 80;

/// More points than these are not told apart.
const POINTS_MAX: usize = 1500;

const COLORS: [RGBColor; 5] = [
    RGBColor(214, 39, 40),
    RGBColor(255, 127, 14),
    RGBColor(31, 119, 180),
    RGBColor(44, 160, 44),
    RGBColor(127, 127, 127),
];

/// A line: minutes and values.
struct Line {
    title: String,
    points: Vec<(f64, f64)>,
}

impl Line {
    fn new(title: impl Into<String>, points: impl Iterator<Item = (f64, f64)>) -> Self {
        let points: Vec<_> = points.map(|(at_s, value)| (at_s / 60.0, value)).collect();
        // The highest of those that fall together: peaks stay.
        let together = points.len() / POINTS_MAX + 1;
        let highest = |points: &[(f64, f64)]| {
            let mut points = points.iter().copied();
            let first = points.next()?;
            Some(points.fold(
                first,
                |most, point| if point.1 > most.1 { point } else { most },
            ))
        };
        Self {
            title: title.into(),
            points: points.chunks(together).filter_map(highest).collect(),
        }
    }
}

/// What a panel shows.
struct Panel {
    title: &'static str,
    lines: Vec<Line>,
    /// Minutes.
    warm_up: f64,
    end: f64,
}

pub(crate) fn draw(record: &Record, path: &Path) -> Outcome<()> {
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE).map_err(failed)?;
    let panel = |title, lines| Panel {
        title,
        lines,
        warm_up: record.warm_up.as_secs_f64() / 60.0,
        end: (record.elapsed.as_secs_f64() / 60.0).max(1.0 / 60.0),
    };
    let areas = area.split_evenly((4, 1));
    let panels = [
        panel(
            "memory that is of no file, MiB",
            of_samples(record, |sample| sample.own_mib),
        ),
        panel("the probe, µs", latency(record)),
        panel(
            "open descriptors",
            of_samples(record, |sample| sample.descriptors as f64),
        ),
        panel("CPU, % of a core", cpu(record)),
    ];
    for (area, (number, panel)) in areas.iter().zip(panels.iter().enumerate()) {
        let most = highest(panel);
        // Latency is of several orders of magnitude; of the others, the ground counts.
        if number == 1 {
            panel.draw(area, (10.0..most * 1.5).log_scale())?;
        } else {
            panel.draw(area, 0.0..most * 1.1)?;
        }
    }
    area.present().map_err(failed)
}

fn highest(panel: &Panel) -> f64 {
    let values = panel.lines.iter().flat_map(|line| &line.points);
    values.fold(10.0, |most, point| most.max(point.1))
}

impl Panel {
    fn draw<Y>(&self, area: &DrawingArea<SVGBackend<'_>, Shift>, y: Y) -> Outcome<()>
    where
        Y: AsRangedCoord<Value = f64>,
        Y::CoordDescType: Ranged<ValueType = f64> + ValueFormatter<f64>,
    {
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, ("sans-serif", 20))
            .margin(12)
            .margin_right(LEGEND_WIDTH)
            .x_label_area_size(36)
            .y_label_area_size(80)
            .build_cartesian_2d(0.0..self.end, y)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .x_desc("minutes; judged from the dotted line on")
            .x_label_formatter(&|x| format!("{x:.1}"))
            .y_label_formatter(&|y| format!("{y:.0}"))
            .light_line_style(WHITE)
            .draw()
            .map_err(failed)?;
        for (line, color) in self.lines.iter().zip(COLORS) {
            let series = LineSeries::new(line.points.iter().copied(), color.stroke_width(1));
            chart
                .draw_series(series)
                .map_err(failed)?
                .label(&line.title)
                .legend(move |(x, y)| {
                    PathElement::new([(x, y), (x + 16, y)], color.stroke_width(3))
                });
        }
        let dots = DashedLineSeries::new(
            [(self.warm_up, 0.0), (self.warm_up, f64::MAX)],
            2,
            4,
            BLACK.mix(0.5).into(),
        );
        chart.draw_series(dots).map_err(failed)?;
        chart
            .configure_series_labels()
            // Beside the panel, where no line is.
            .position(SeriesLabelPosition::Coordinate(PANEL_WIDTH + 8, 0))
            .background_style(WHITE)
            .draw()
            .map_err(failed)
    }
}

fn of_samples(record: &Record, value: fn(&Sample) -> f64) -> Vec<Line> {
    let lines = record.samples.iter().map(|(name, samples)| {
        let points = samples.iter().map(|sample| (sample.at_s, value(sample)));
        Line::new(*name, points)
    });
    lines.collect()
}

fn cpu(record: &Record) -> Vec<Line> {
    let lines = record.samples.iter().map(|(name, samples)| {
        let points = samples.windows(2).filter_map(|pair| {
            let [before, after] = pair else { return None };
            let share = (after.cpu_s - before.cpu_s) / (after.at_s - before.at_s);
            Some((after.at_s, 100.0 * share))
        });
        Line::new(*name, points)
    });
    lines.collect()
}

fn latency(record: &Record) -> Vec<Line> {
    let line = |title: &str, of: fn(&ProbeSecond) -> &Vec<u32>, share: f64| {
        let points = record.probe.iter().map(|(at_s, second)| {
            let values: Vec<_> = of(second).iter().map(|&us| f64::from(us)).collect();
            (*at_s, quantile(&values, share).max(10.0))
        });
        Line::new(title, points)
    };
    vec![
        line("p99", |second| &second.latencies_us, 0.99),
        line("p50", |second| &second.latencies_us, 0.5),
        line("a thread wakes late, p99", |second| &second.wakes_us, 0.99),
    ]
}

fn failed(error: impl std::fmt::Display) -> Box<dyn std::error::Error + Send + Sync> {
    format!("the drawing: {error}").into()
}
