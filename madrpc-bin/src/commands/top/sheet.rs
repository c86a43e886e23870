//! A table as text: titles, lines and perhaps a sum, laid out for a width, of which a pane shows a part.

use crate::output::printable;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

/// Between two columns.
const GAP: usize = 2;

/// A column of words.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) title: &'static str,
    /// Of numbers: at the right of the column.
    pub(super) is_number: bool,
    /// Those with the highest number go first where there is no room for all.
    pub(super) dispensable: u8,
}

/// What a cell says, and how.
#[derive(Debug, Clone, Default)]
pub(super) struct Cell {
    pub(super) text: String,
    pub(super) style: Style,
}

/// What a pane shows.
#[derive(Debug, Default)]
pub(super) struct Sheet {
    pub(super) titles: Option<Line<'static>>,
    pub(super) lines: Vec<Line<'static>>,
    pub(super) sum: Option<Line<'static>>,
}

impl Cell {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            style: Style::new(),
        }
    }

    pub(super) fn styled(self, style: Style) -> Self {
        Self { style, ..self }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text)
    }
}

impl Sheet {
    /// Lines as they are, without titles.
    pub(super) fn of_lines(lines: Vec<Line<'static>>) -> Self {
        Self {
            lines,
            ..Self::default()
        }
    }

    /// Columns as wide as the longest of their cells, those that fit.
    pub(super) fn of_cells<const N: usize>(
        columns: [Column; N],
        rows: &[[Cell; N]],
        width: usize,
    ) -> Self {
        let mut shown: Vec<(usize, usize)> = (0..N)
            .map(|at| {
                let longest = rows.iter().map(|row| cells(&printable(&row[at].text)));
                (
                    at,
                    longest.chain([cells(columns[at].title)]).max().unwrap_or(0),
                )
            })
            .collect();
        let total = |shown: &[(usize, usize)]| {
            shown
                .iter()
                .map(|(_, width)| width + GAP)
                .sum::<usize>()
                .saturating_sub(GAP)
        };
        while total(&shown) > width && shown.len() > 1 {
            let most = shown.iter().map(|&(at, _)| columns[at].dispensable).max();
            let Some(last) = shown
                .iter()
                .rposition(|&(at, _)| Some(columns[at].dispensable) == most)
            else {
                break;
            };
            shown.remove(last);
        }
        if let [(_, only)] = &mut shown[..] {
            *only = (*only).min(width);
        }
        let line = |cell: &dyn Fn(usize) -> Cell| {
            let mut spans = Vec::new();
            for (place, &(at, width)) in shown.iter().enumerate() {
                if place > 0 {
                    spans.push(Span::raw(" ".repeat(GAP)));
                }
                let Cell { text, style } = cell(at);
                let text = padded(&printable(&text), width, columns[at].is_number);
                spans.push(Span::styled(text, style));
            }
            Line::from(spans)
        };
        Self {
            titles: Some(line(&|at| columns[at].title.into()).style(TITLES)),
            lines: rows.iter().map(|row| line(&|at| row[at].clone())).collect(),
            sum: None,
        }
    }
}

/// How titles are told from what stands below them, with and without colours.
pub(super) const TITLES: Style = Style::new()
    .fg(Color::Cyan)
    .add_modifier(Modifier::UNDERLINED);

/// Blanks before a number or after a word; what is too long is shortened at its start, where names differ least.
pub(super) fn padded(text: &str, width: usize, is_number: bool) -> String {
    let text = shortened(text, width);
    let blanks = " ".repeat(width.saturating_sub(cells(&text)));
    match is_number {
        true => blanks + &text,
        false => text + &blanks,
    }
}

/// A name's end, where it is too long: nodes differ in their ports, functions in their last part.
pub(super) fn shortened(name: &str, width: usize) -> String {
    if cells(name) <= width {
        return name.to_owned();
    }
    let ends = name
        .char_indices()
        .skip(1)
        .map(|(at, _)| format!("…{}", &name[at..]));
    ends.into_iter()
        .find(|end| cells(end) <= width)
        .unwrap_or_default()
}

/// The cells of a terminal that a text takes.
pub(super) fn cells(text: &str) -> usize {
    Span::raw(text).width()
}

/// A bar of so many cells, each part a share of it with its own mark.
pub(super) fn bar(parts: &[(char, f64)], width: usize) -> String {
    let mut bar = String::new();
    let (mut sum, mut drawn) = (0.0, 0);
    for &(mark, share) in parts {
        sum += share;
        let end = ((sum * width as f64).round() as usize).min(width);
        bar.extend(std::iter::repeat_n(mark, end.saturating_sub(drawn)));
        drawn = drawn.max(end);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shortened_at_their_start() {
        assert_eq!(shortened("127.0.0.1:9001", 14), "127.0.0.1:9001");
        assert_eq!(shortened("127.0.0.1:9001", 7), "…1:9001");
        assert_eq!(shortened("🦀🦀🦀", 4), "…🦀");
        assert_eq!(shortened("abc", 0), "");
        assert_eq!(padded("abc", 5, true), "  abc");
        assert_eq!(padded("🦀", 5, false), "🦀   ");
    }

    #[test]
    fn columns_that_do_not_fit_are_left_out_and_nothing_drives_the_terminal() {
        let column = |title, is_number, dispensable| Column {
            title,
            is_number,
            dispensable,
        };
        let columns = [
            column("NODE", false, 0),
            column("CALLS", true, 1),
            column("WHY", false, 2),
        ];
        let rows = [
            ["a:1".into(), "7".into(), "refused".into()],
            ["b\u{1b}:1".into(), "12345".into(), "".into()],
        ];
        let text = |width| {
            let sheet = Sheet::of_cells(columns, &rows, width);
            let lines = sheet.titles.into_iter().chain(sheet.lines);
            lines
                .map(|line| line.to_string().trim_end().to_owned())
                .collect::<Vec<_>>()
        };
        let wide = [
            r"NODE       CALLS  WHY",
            r"a:1            7  refused",
            r"b\u{1b}:1  12345",
        ];
        assert_eq!(text(25), wide);
        assert_eq!(text(24)[0], "NODE       CALLS");
        assert_eq!(text(15)[1], "a:1");
        assert_eq!(text(4), ["NODE", "a:1", "…}:1"]);
    }

    #[test]
    fn a_bar_is_as_long_as_it_is_to_be() {
        assert_eq!(bar(&[('#', 0.5), ('=', 0.25), ('.', 0.25)], 8), "####==..");
        assert_eq!(
            bar(&[('#', 0.33), ('=', 0.33), ('.', 0.34)], 10),
            "###====..."
        );
        assert_eq!(bar(&[('#', f64::NAN), ('=', 9.0)], 3), "");
        assert_eq!(bar(&[('#', 0.1), ('=', 9.0)], 3), "===");
    }
}
