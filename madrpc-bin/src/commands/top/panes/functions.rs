//! The functions: calls, errors, time on the core and latency of each at each node.

use crate::commands::top::columns::{self, GAP};
use crate::commands::top::model::{Line, Model, sum};
use crate::commands::top::screen::Screen;
use crate::commands::top::sheet::{Sheet, TITLES, padded};
use columns::Column;
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line as TextLine, Span};
use std::cmp::Ordering;

/// What comes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in super::super) enum Order {
    /// By node and function.
    #[default]
    Name,
    /// Most calls a second first.
    Calls,
    /// Most time on the core first.
    Cpu,
    /// The longest p99 first.
    P99,
    /// Most errors a second first, then most errors.
    Errors,
}

impl Order {
    pub(in super::super) const fn next(self) -> Self {
        match self {
            Self::Name => Self::Calls,
            Self::Calls => Self::Cpu,
            Self::Cpu => Self::P99,
            Self::P99 => Self::Errors,
            Self::Errors => Self::Name,
        }
    }

    pub(in super::super) const fn name(self) -> &'static str {
        match self {
            Self::Name => "name",
            Self::Calls => "calls",
            Self::Cpu => "CPU",
            Self::P99 => "p99",
            Self::Errors => "errors",
        }
    }

    /// The order of two lines; those that are equal stay in the order of their names.
    fn compare(self, one: &Line, other: &Line) -> Ordering {
        let most = |key: &dyn Fn(&Line) -> f64| key(other).total_cmp(&key(one));
        let calls = |line: &Line| line.rates.map_or(0.0, |rates| rates.calls);
        match self {
            Self::Name => Ordering::Equal,
            Self::Calls => most(&calls).then(other.calls.cmp(&one.calls)),
            Self::Cpu => most(&|line| line.rates.map_or(0.0, |rates| rates.cores))
                .then(other.cpu_us.cmp(&one.cpu_us)),
            Self::P99 => {
                let p99 = |line: &Line| line.latency.map_or(0, |latency| latency.p99_us);
                p99(other).cmp(&p99(one))
            }
            Self::Errors => most(&|line| line.rates.map_or(0.0, |rates| rates.errors))
                .then(other.errors.cmp(&one.errors)),
        }
    }

    /// The column that it goes by; several where a narrow terminal may lack one.
    const fn goes_by(self, column: Column) -> bool {
        match self {
            Self::Name => false,
            Self::Calls => matches!(column, Column::CallsRate),
            Self::Cpu => matches!(column, Column::Cpu),
            Self::P99 => matches!(column, Column::P99),
            Self::Errors => matches!(column, Column::ErrorsRate),
        }
    }
}

pub(super) fn sheet(model: &Model, screen: &Screen, width: usize) -> Sheet {
    let (lines, all) = model.lines();
    let mut shown: Vec<&Line> = lines
        .iter()
        .filter(|line| screen.lets_through(&[&line.node, &line.function]))
        .collect();
    if shown.is_empty() {
        let why = match lines.is_empty() {
            true => "no calls yet",
            false => "no function or node has the filter in its name",
        };
        return Sheet::of_lines(vec![TextLine::from(why)]);
    }
    shown.sort_by(|one, other| screen.order.compare(one, other));
    // Percentiles cannot be added up: those of all are no use for some.
    let mut sum = match shown.len() == lines.len() {
        true => all,
        false => sum(&shown),
    };
    sum.function = "all".to_owned();
    let width = u16::try_from(width).unwrap_or(u16::MAX);
    let columns = columns::that_fit(width, |column| column.width(&shown, &sum));
    let gap = " ".repeat(GAP.into());
    let row = |line: &Line| {
        let mut spans = Vec::new();
        for &(column, width) in &columns {
            if !spans.is_empty() {
                spans.push(Span::raw(gap.clone()));
            }
            spans.push(column.cell(line, width));
        }
        TextLine::from(spans)
    };
    let titles = columns.iter().map(|&(column, width)| {
        let title = match screen.order.goes_by(column) {
            true => format!("▼{}", column.title()),
            false => column.title().to_owned(),
        };
        padded(&title, width.into(), !column.is_name())
    });
    let titles = titles.collect::<Vec<_>>().join(&gap);
    let bold = Style::new().add_modifier(Modifier::BOLD);
    Sheet {
        titles: Some(TextLine::styled(titles, TITLES)),
        lines: shown.iter().map(|line| row(line)).collect(),
        sum: (shown.len() > 1).then(|| row(&sum).style(bold)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::model::tests::{row, snapshot};
    use super::*;
    use madrpc_core::stats::Row;

    #[test]
    fn what_there_is_most_of_comes_first() {
        let mut model = Model::new();
        for round in 1..=2 {
            let function = |name: &str, us, calls, errors, cpu_us| Row {
                cpu_us: cpu_us * round,
                ..row("n:1", name, &[(us, calls * round)], errors * round)
            };
            let rows = vec![
                function("busy", 10, 20, 0, 900_000),
                function("failing", 20, 30, 9, 10),
                function("many", 5, 90, 0, 20),
                function("slow", 5000, 10, 1, 30),
            ];
            model.succeeded(snapshot(1000 * round, rows));
        }
        let mut screen = Screen::new("n:1", 250);
        let mut first = || {
            let sheet = sheet(&model, &screen, 130);
            screen.order = screen.order.next();
            let titles = sheet.titles.unwrap().to_string();
            let by = titles
                .split_whitespace()
                .find(|title| title.starts_with('▼'));
            let first = sheet.lines[0].to_string();
            let name = first.split_whitespace().nth(1).unwrap().to_owned();
            (by.unwrap_or_default().to_owned(), name)
        };
        let expected = [
            ("", "busy"),
            ("▼CALLS/S", "many"),
            ("▼CPU", "busy"),
            ("▼P99", "slow"),
            ("▼ERRORS/S", "failing"),
            ("", "busy"),
        ];
        for (by, name) in expected {
            assert_eq!(first(), (by.to_owned(), name.to_owned()));
        }
        screen.filter = "O".into();
        let sheet = sheet(&model, &screen, 130);
        assert_eq!(sheet.lines.len(), 1, "only `slow` has an o");
        assert!(sheet.sum.is_none());
    }
}
