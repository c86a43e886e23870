//! The columns of the live table: which of them fit, how wide they are, and what stands in them.

use super::model::Line;
use super::sheet::{cells, padded};
use super::text;
use crate::output::figures::latency;
use crate::output::printable;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Span;

/// Between two columns.
pub(super) const GAP: u16 = 2;

/// Cells for which names of nodes and functions drive out other columns; longer ones get what is left.
const NAME_WIDTH: u16 = 24;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Column {
    Node,
    Function,
    Calls,
    CallsRate,
    Errors,
    ErrorsRate,
    Cpu,
    P50,
    P90,
    P99,
    Max,
}

impl Column {
    const ALL: [Self; 11] = [
        Self::Node,
        Self::Function,
        Self::Calls,
        Self::CallsRate,
        Self::Errors,
        Self::ErrorsRate,
        Self::Cpu,
        Self::P50,
        Self::P90,
        Self::P99,
        Self::Max,
    ];

    /// What a narrow terminal does without, the first one first.
    const DISPENSABLE: [Self; 9] = [
        Self::Max,
        Self::P90,
        Self::Errors,
        Self::Calls,
        Self::P50,
        Self::Cpu,
        Self::ErrorsRate,
        Self::P99,
        Self::Node,
    ];

    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Node => "NODE",
            Self::Function => "FUNCTION",
            Self::Calls => "CALLS",
            Self::CallsRate => "CALLS/S",
            Self::Errors => "ERRORS",
            Self::ErrorsRate => "ERRORS/S",
            Self::Cpu => "CPU",
            Self::P50 => "P50",
            Self::P90 => "P90",
            Self::P99 => "P99",
            Self::Max => "MAX",
        }
    }

    pub(super) const fn is_name(self) -> bool {
        matches!(self, Self::Node | Self::Function)
    }

    /// Cells it has at least, so that it does not change with every number.
    const fn width_min(self) -> u16 {
        match self {
            Self::Node | Self::Function => 8,
            Self::Calls => 11,
            Self::CallsRate | Self::Errors => 8,
            Self::ErrorsRate => 9,
            Self::Cpu | Self::P50 | Self::P90 | Self::P99 | Self::Max => 7,
        }
    }

    /// Cells for the longest of its texts; for names, up to [`NAME_WIDTH`].
    pub(super) fn width(self, lines: &[&Line], all: &Line) -> u16 {
        let texts = lines
            .iter()
            .copied()
            .chain([all])
            .map(|line| self.text(line));
        let longest = texts.map(|text| cells(&text)).max();
        let longest = longest
            .and_then(|width| u16::try_from(width).ok())
            .unwrap_or(0);
        let longest = if self.is_name() {
            longest.min(NAME_WIDTH)
        } else {
            longest
        };
        longest.max(self.width_min())
    }

    fn text(self, line: &Line) -> String {
        let latency = |us: Option<u64>| us.map_or_else(|| "-".to_owned(), latency);
        let rate = |rate: Option<f64>| rate.map_or_else(|| "-".to_owned(), text::rate);
        match self {
            Self::Node => printable(&line.node).into_owned(),
            Self::Function => printable(&line.function).into_owned(),
            Self::Calls => line.calls.to_string(),
            Self::CallsRate => rate(line.rates.map(|rates| rates.calls)),
            Self::Errors => line.errors.to_string(),
            Self::ErrorsRate => rate(line.rates.map(|rates| rates.errors)),
            // Of a core. Who runs nothing does not know.
            Self::Cpu if line.cpu_us == 0 => "-".to_owned(),
            Self::Cpu => line
                .rates
                .map_or_else(|| "-".to_owned(), |rates| text::share(rates.cores)),
            Self::P50 => latency(line.latency.map(|latency| latency.p50_us)),
            Self::P90 => latency(line.latency.map(|latency| latency.p90_us)),
            Self::P99 => latency(line.latency.map(|latency| latency.p99_us)),
            Self::Max => latency(line.latency.map(|latency| latency.max_us)),
        }
    }

    pub(super) fn cell(self, line: &Line, width: u16) -> Span<'static> {
        let text = padded(&self.text(line), width.into(), !self.is_name());
        let style = match self {
            Self::Errors if line.errors > 0 => Style::new().fg(Color::Yellow),
            Self::ErrorsRate if line.rates.is_some_and(|rates| rates.errors > 0.0) => {
                Style::new().fg(Color::Red).add_modifier(Modifier::BOLD)
            }
            _ => Style::new(),
        };
        Span::styled(text, style)
    }
}

/// The columns that fit into `width`, each with its own, of which `need` tells.
pub(super) fn that_fit(width: u16, need: impl Fn(Column) -> u16) -> Vec<(Column, u16)> {
    let mut columns: Vec<_> = Column::ALL
        .into_iter()
        .map(|column| (column, need(column)))
        .collect();
    let sum = |columns: &[(Column, u16)]| -> u16 {
        let gaps = GAP * u16::try_from(columns.len().saturating_sub(1)).unwrap_or(0);
        columns.iter().map(|(_, width)| width).sum::<u16>() + gaps
    };
    for dispensable in Column::DISPENSABLE {
        if sum(&columns) <= width {
            break;
        }
        columns.retain(|(column, _)| *column != dispensable);
    }
    // The function's name takes what is left, or goes without what is missing.
    let (left, missing) = (
        width.saturating_sub(sum(&columns)),
        sum(&columns).saturating_sub(width),
    );
    if let Some((_, function)) = columns
        .iter_mut()
        .find(|(column, _)| *column == Column::Function)
    {
        *function = (*function + left).saturating_sub(missing);
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_drive_out_columns() {
        let widths = |width, name| {
            let need = |column: Column| {
                if column.is_name() {
                    name
                } else {
                    column.width_min()
                }
            };
            let columns = that_fit(width, need).into_iter();
            columns
                .map(|(column, width)| (column.title(), width))
                .collect::<Vec<_>>()
        };
        assert_eq!(widths(123, 16).len(), 11);
        assert_eq!(widths(122, 16).len(), 10);
        let three = [("NODE", 16), ("FUNCTION", 17), ("CALLS/S", 8)];
        assert_eq!(widths(45, 16), three);
        assert_eq!(widths(20, 16), [("FUNCTION", 10), ("CALLS/S", 8)]);
    }
}
