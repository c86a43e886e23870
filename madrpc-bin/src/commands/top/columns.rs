//! The columns of the live table: which of them fit, how wide they are, and what stands in them.

use super::model::Line;
use super::text;
use crate::output::figures::latency;
use crate::output::printable;
use ratatui::style::Stylize;
use ratatui::text::{Line as TextLine, Span};
use ratatui::widgets::Cell;

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
    P50,
    P90,
    P99,
    Max,
}

impl Column {
    const ALL: [Self; 10] = [
        Self::Node,
        Self::Function,
        Self::Calls,
        Self::CallsRate,
        Self::Errors,
        Self::ErrorsRate,
        Self::P50,
        Self::P90,
        Self::P99,
        Self::Max,
    ];

    /// What a narrow terminal does without, the first one first.
    const DISPENSABLE: [Self; 8] = [
        Self::Max,
        Self::P90,
        Self::Errors,
        Self::Calls,
        Self::P50,
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
            Self::CallsRate | Self::Errors | Self::ErrorsRate => 8,
            Self::P50 | Self::P90 | Self::P99 | Self::Max => 7,
        }
    }

    /// Cells for the longest of its texts; for names, up to [`NAME_WIDTH`].
    pub(super) fn width(self, lines: &[Line], all: &Line) -> u16 {
        let texts = lines.iter().chain([all]).map(|line| self.text(line));
        let longest = texts.map(|text| Span::raw(text).width()).max();
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
            Self::P50 => latency(line.latency.map(|latency| latency.p50_us)),
            Self::P90 => latency(line.latency.map(|latency| latency.p90_us)),
            Self::P99 => latency(line.latency.map(|latency| latency.p99_us)),
            Self::Max => latency(line.latency.map(|latency| latency.max_us)),
        }
    }

    pub(super) fn cell(self, line: &Line, width: u16) -> Cell<'static> {
        let text = self.text(line);
        if self.is_name() {
            return Cell::new(shortened(text, width));
        }
        let cell = Cell::new(TextLine::from(text).right_aligned());
        match self {
            Self::Errors if line.errors > 0 => cell.yellow(),
            Self::ErrorsRate if line.rates.is_some_and(|rates| rates.errors > 0.0) => cell.red(),
            _ => cell,
        }
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

/// A name's end, where it is too long: nodes differ in their ports, functions in their last part.
fn shortened(name: String, width: u16) -> String {
    let fits = |text: &str| Span::raw(text).width() <= usize::from(width);
    if fits(&name) {
        return name;
    }
    let ends = name
        .char_indices()
        .skip(1)
        .map(|(at, _)| format!("…{}", &name[at..]));
    ends.into_iter().find(|end| fits(end)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_drive_out_columns_and_are_shortened_at_their_start() {
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
        assert_eq!(widths(113, 16).len(), 10);
        assert_eq!(widths(112, 16).len(), 9);
        let three = [("NODE", 16), ("FUNCTION", 17), ("CALLS/S", 8)];
        assert_eq!(widths(45, 16), three);
        assert_eq!(widths(20, 16), [("FUNCTION", 10), ("CALLS/S", 8)]);
        assert_eq!(shortened("127.0.0.1:9001".into(), 14), "127.0.0.1:9001");
        assert_eq!(shortened("127.0.0.1:9001".into(), 7), "…1:9001");
        assert_eq!(shortened("🦀🦀🦀".into(), 4), "…🦀");
        assert_eq!(shortened("abc".into(), 0), "");
    }
}
