//! The result for people: a table, the histogram, the errors; in 80 columns.

use super::args::BenchArgs;
use super::document::{Baseline, Document, Figures};
use crate::output::printable;
use crate::top::text::latency;
use hdrhistogram::Histogram;
use indicatif::HumanCount;
use madrpc_shard::client::load::Report;

/// Bars of the histogram at most.
const BARS: usize = 16;
const BAR_WIDTH: f64 = 40.0;

/// The width of a column of times, and of the one that says of what.
const TIME: usize = 10;
const TITLE: usize = 12;

const COLUMNS: [&str; 5] = ["p50", "p90", "p99", "p99.9", "max"];

pub(super) fn report(
    args: &BenchArgs,
    document: &Document<'_>,
    report: &Report,
    baseline: Option<&Baseline>,
) -> String {
    let mut lines = head(args, document, report);
    lines.extend(warnings(args, document));
    lines.push(String::new());
    lines.extend(table(document));
    if let (Some(baseline), Some(ratios)) = (baseline, &document.ratios) {
        lines.push(String::new());
        lines.extend(comparison(document, baseline, ratios.calls_per_s));
    }
    if !report.latency_us.is_empty() {
        lines.push(String::new());
        lines.extend(histogram(&report.latency_us));
    }
    if !document.places.is_empty() {
        lines.push(String::new());
        lines.extend(places(document));
    }
    if !report.errors.is_empty() {
        lines.push(String::new());
        lines.extend(errors(report));
    }
    lines.join("\n")
}

fn head(args: &BenchArgs, document: &Document<'_>, report: &Report) -> Vec<String> {
    let errors = report.error_count();
    let early = if document.stopped {
        ", ended early"
    } else {
        ""
    };
    vec![
        format!(
            "{} at {}: {}",
            printable(&document.settings.function),
            args.address,
            document.settings.describe()
        ),
        format!(
            "{} calls in {:.2} s after {} of warm-up, generator on core {}{early}",
            HumanCount(document.sent),
            document.elapsed_s,
            humantime::format_duration(args.warm_up),
            report.core,
        ),
        format!(
            "{} calls/s, {} results, {} errors",
            HumanCount(document.calls_per_s.round() as u64),
            HumanCount(document.results),
            HumanCount(errors),
        ),
    ]
}

/// What makes the figures other than they seem.
fn warnings(args: &BenchArgs, document: &Document<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    if args.rate.is_some() {
        lines.push(format!(
            "in flight at most {}; sent at most {} after they were due",
            HumanCount(document.in_flight_max as u64),
            latency(document.late_max_us)
        ));
    }
    if document.not_sent > 0 {
        let why = match document.in_flight_max >= args.max_in_flight {
            true => "the server is slower: --max-in-flight was reached",
            false => "the generator is slower: give it a core with --pin",
        };
        lines.push(format!(
            "the rate was not kept: {} of {} calls due were not sent;\n{why}",
            HumanCount(document.not_sent),
            HumanCount(document.sent + document.not_sent),
        ));
    }
    if document.cut_off > 0 {
        lines.push(format!(
            "{} calls had no reply yet when it was ended",
            HumanCount(document.cut_off)
        ));
    }
    lines
}

fn table(document: &Document<'_>) -> Vec<String> {
    let rows = [
        ("corrected", &document.latency_us),
        ("service", &document.service_us),
        ("  queue", &document.queue_us),
        ("  CPU", &document.cpu_us),
        ("  network", &document.network_us),
    ];
    let head = row("latency", COLUMNS.map(str::to_owned));
    let rows = rows
        .into_iter()
        .filter_map(|(title, figures)| Some(row(title, times(figures.as_ref()?))));
    std::iter::once(head).chain(rows).collect()
}

fn comparison(document: &Document<'_>, baseline: &Baseline, calls: Option<f64>) -> Vec<String> {
    let shown = |ratio: Option<f64>| ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
    let mut lines = vec![
        format!(
            "baseline: {} calls/s, now {} times that",
            HumanCount(baseline.calls_per_s.round() as u64),
            shown(calls)
        ),
        row("", COLUMNS.map(str::to_owned)),
    ];
    let Some(ratios) = &document.ratios else {
        return lines;
    };
    let both = [
        ("corrected", &baseline.latency_us, &ratios.latency_us),
        ("service", &baseline.service_us, &ratios.service_us),
    ];
    for (title, earlier, ratios) in both {
        if let (Some(earlier), Some(ratios)) = (earlier, ratios) {
            lines.push(row(title, times(earlier)));
            lines.push(row("  now times", ratios.all().map(shown)));
        }
    }
    lines
}

fn times(figures: &Figures<u64>) -> [String; 5] {
    figures.all().map(latency)
}

fn row(title: &str, cells: [String; 5]) -> String {
    let cells = cells.map(|cell| format!("{cell:>TIME$}"));
    format!("{title:<TITLE$}{}", cells.concat())
}

/// A bar for each range of latencies; the ranges grow by the same factor.
fn histogram(latency_us: &Histogram<u64>) -> Vec<String> {
    let (least, most) = (latency_us.min().max(1) as f64, latency_us.max() as f64);
    // Narrower ranges than the histogram's resolution would be empty by chance.
    let bars = ((most / least).ln() / 1.02f64.ln()).ceil();
    let bars = (bars as usize).clamp(1, BARS);
    let factor = (most / least)
        .powf(1.0 / bars as f64)
        .max(1.0 + f64::EPSILON);
    let mut calls = vec![0u64; bars];
    for value in latency_us.iter_recorded() {
        let middle = latency_us.median_equivalent(value.value_iterated_to()) as f64;
        let bar = ((middle / least).ln() / factor.ln()).max(0.0) as usize;
        calls[bar.min(bars - 1)] += value.count_at_value();
    }
    let total = latency_us.len() as f64;
    let highest = calls.iter().copied().max().unwrap_or(1).max(1) as f64;
    let lines = calls.iter().enumerate().map(|(bar, &calls)| {
        let up_to = least * factor.powi(bar as i32 + 1);
        let cells = (calls as f64 / highest * BAR_WIDTH).ceil() as usize;
        let line = format!(
            "{:>TITLE$}{:>14}{:>8.2} %  {}",
            latency(up_to.round() as u64),
            HumanCount(calls).to_string(),
            calls as f64 * 100.0 / total,
            "█".repeat(cells)
        );
        line.trim_end().to_owned()
    });
    let head = format!("{:>TITLE$}{:>14}{:>10}", "corrected ≤", "calls", "share");
    std::iter::once(head).chain(lines).collect()
}

fn places(document: &Document<'_>) -> Vec<String> {
    let total = document.places.iter().map(|place| place.calls).sum::<u64>();
    let places = document.places.iter().map(|place| {
        let name = match place.node {
            "" => "the server itself".to_owned(),
            node => format!("{} shard {}", printable(node), place.shard),
        };
        format!(
            "{:>26}{:>8.2} %  {name}",
            HumanCount(place.calls).to_string(),
            place.calls as f64 * 100.0 / total.max(1) as f64
        )
    });
    let head = format!("{:>26}{:>10}  by", "results", "share");
    std::iter::once(head).chain(places).collect()
}

fn errors(report: &Report) -> Vec<String> {
    let head = format!("{:>TITLE$}  the first of each kind", "errors");
    let lines = report.errors.iter().map(|(kind, failures)| {
        format!(
            "{:>TITLE$}  {kind}: {}",
            HumanCount(failures.calls).to_string(),
            printable(&failures.example)
        )
    });
    std::iter::once(head).chain(lines).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_hold_every_call_and_fit_the_terminal() {
        let mut latency = Histogram::new(3).unwrap();
        latency.record_n(100, 900).unwrap();
        latency.record_n(200, 90).unwrap();
        latency.record_n(80_000, 10).unwrap();
        let lines = histogram(&latency);
        assert_eq!(lines.len(), 1 + BARS);
        let counts = lines[1..].iter().map(|line| {
            let number = line.split_whitespace().nth(2).unwrap();
            number.replace(',', "").parse::<u64>().unwrap()
        });
        assert_eq!(counts.sum::<u64>(), 1000);
        assert!(lines[1].contains("900") && lines[1].ends_with(&"█".repeat(40)));
        assert!(lines[BARS].contains("10    1.00 %  █"), "{}", lines[BARS]);
        assert!(lines.iter().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn equal_latencies_are_one_bar() {
        let mut latency = Histogram::new(3).unwrap();
        latency.record_n(1, 5).unwrap();
        let lines = histogram(&latency);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[1].contains("100.00 %"), "{lines:?}");
    }
}
