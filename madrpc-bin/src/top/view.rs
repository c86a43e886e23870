//! The live screen: a head, the table, and a line of help or of trouble.

use super::model::{Line, Model, WINDOW_MS};
use super::text;
use crossterm::event::KeyCode;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line as TextLine, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table};
use std::time::Instant;

/// Between two columns.
const GAP: u16 = 2;

/// What a name needs at least to be recognised.
const NAME_MIN: u16 = 8;

/// What the screen remembers between two drawings.
pub(super) struct Screen {
    address: String,
    interval_ms: u64,
    /// The first line of the table that is shown.
    offset: usize,
    /// How many lines were shown at the last drawing.
    page: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
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
        Self::Node,
        Self::P99,
    ];

    const fn title(self) -> &'static str {
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

    /// Cells it needs; those of names can be shortened to it.
    const fn width(self) -> u16 {
        match self {
            Self::Node | Self::Function => NAME_MIN,
            Self::Calls => 11,
            Self::CallsRate | Self::Errors | Self::ErrorsRate => 8,
            Self::P50 | Self::P90 | Self::P99 | Self::Max => 7,
        }
    }

    fn text(self, line: &Line) -> String {
        let latency = |us: Option<u64>| us.map_or_else(|| "-".to_owned(), text::latency);
        let rate = |rate: Option<f64>| rate.map_or_else(|| "-".to_owned(), text::rate);
        match self {
            Self::Node => line.node.clone(),
            Self::Function => line.function.clone(),
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

    fn cell(self, line: &Line) -> Cell<'static> {
        let text = TextLine::from(self.text(line));
        match self {
            Self::Node | Self::Function => Cell::new(text),
            Self::Errors if line.errors > 0 => Cell::new(text.right_aligned()).yellow(),
            Self::ErrorsRate if line.rates.is_some_and(|rates| rates.errors > 0.0) => {
                Cell::new(text.right_aligned()).red()
            }
            _ => Cell::new(text.right_aligned()),
        }
    }
}

impl Screen {
    pub(super) fn new(address: &str, interval_ms: u64) -> Self {
        Self {
            address: address.to_owned(),
            interval_ms,
            offset: 0,
            page: 1,
        }
    }

    /// Scrolls; the next drawing keeps it within the table.
    pub(super) fn on_key(&mut self, key: KeyCode) {
        self.offset = match key {
            KeyCode::Up | KeyCode::Char('k') => self.offset.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.offset.saturating_add(1),
            KeyCode::PageUp => self.offset.saturating_sub(self.page),
            KeyCode::PageDown => self.offset.saturating_add(self.page),
            KeyCode::Home => 0,
            KeyCode::End => usize::MAX,
            _ => self.offset,
        };
    }

    pub(super) fn draw(&mut self, frame: &mut Frame<'_>, model: &Model, now: Instant) {
        let head = self.head(model);
        let height = u16::try_from(head.len()).unwrap_or(u16::MAX);
        let parts = Layout::vertical([
            Constraint::Length(height),
            Constraint::Fill(1),
            Constraint::Length(1),
        ]);
        let [top, middle, bottom] = parts.areas(frame.area());
        frame.render_widget(Paragraph::new(head), top);
        let (lines, all) = model.lines();
        self.table(frame, middle, &lines, &all, model.outage().is_some());
        frame.render_widget(self.foot(model, lines.len(), now), bottom);
    }

    fn head(&self, model: &Model) -> Vec<TextLine<'static>> {
        let Some(snapshot) = model.latest() else {
            return vec![TextLine::from(format!("connecting to {}", self.address))];
        };
        let mut head = vec![TextLine::from(text::server(snapshot)).bold()];
        head.extend(text::silent(snapshot).map(|text| TextLine::from(text).red()));
        if let Some(text) = text::upstreams(snapshot) {
            let down = snapshot.upstreams.iter().any(|(_, shards)| *shards == 0);
            let line = TextLine::from(text);
            head.push(if down { line.yellow() } else { line });
        }
        head.push(TextLine::default());
        head
    }

    fn table(
        &mut self,
        frame: &mut Frame<'_>,
        area: Rect,
        lines: &[Line],
        all: &Line,
        stale: bool,
    ) {
        // The titles, and the sum below.
        self.page = usize::from(area.height.saturating_sub(2)).max(1);
        self.offset = self.offset.min(lines.len().saturating_sub(self.page));
        let longest =
            |name: fn(&Line) -> &str| lines.iter().map(|line| Span::raw(name(line)).width()).max();
        let nodes = longest(|line| &line.node).unwrap_or(0);
        let columns = columns(area.width, u16::try_from(nodes).unwrap_or(u16::MAX));
        let row = |line: &Line| {
            Row::new(
                columns
                    .iter()
                    .map(|(column, _)| column.cell(line))
                    .collect::<Vec<_>>(),
            )
        };
        let titles = columns.iter().map(|(column, _)| {
            let title = TextLine::from(column.title());
            match column {
                Column::Node | Column::Function => title,
                _ => title.right_aligned(),
            }
        });
        let shown = lines.iter().skip(self.offset).take(self.page).map(row);
        let mut table = Table::new(
            shown,
            columns.iter().map(|&(_, width)| Constraint::Length(width)),
        )
        .column_spacing(GAP)
        .header(Row::new(titles).style(Style::new().fg(Color::Cyan)));
        if lines.len() > 1 {
            let all = Line {
                function: "all".to_owned(),
                ..all.clone()
            };
            table = table.footer(row(&all).style(Modifier::BOLD));
        }
        if stale {
            table = table.style(Modifier::DIM);
        }
        frame.render_widget(table, area);
    }

    fn foot(&self, model: &Model, lines: usize, now: Instant) -> TextLine<'static> {
        if let Some(outage) = model.outage() {
            let seconds = now.saturating_duration_since(outage.since).as_secs();
            let text = format!(
                "no answer for {seconds} s, trying again: {}",
                outage.message
            );
            return TextLine::from(text).red();
        }
        let place = match lines > self.page {
            true => {
                let last = (self.offset + self.page).min(lines);
                format!(
                    "   {}-{last} of {lines}, ↑↓ PgUp PgDn to scroll",
                    self.offset + 1
                )
            }
            false if lines == 0 && model.latest().is_some() => "   no calls yet".to_owned(),
            false => String::new(),
        };
        let window = WINDOW_MS.max(self.interval_ms);
        #[expect(clippy::cast_precision_loss, reason = "at most a minute")]
        let window = window as f64 / 1000.0;
        TextLine::from(format!(
            "q to leave{place}   rates and latency over {window} s, every {} ms",
            self.interval_ms
        ))
        .dim()
    }
}

/// The columns that fit into `width`, with theirs; `nodes` is what the longest name of a node needs.
fn columns(width: u16, nodes: u16) -> Vec<(Column, u16)> {
    let mut columns: Vec<_> = Column::ALL
        .into_iter()
        .map(|column| (column, column.width()))
        .collect();
    let need = |columns: &[(Column, u16)]| -> u16 {
        let gaps = GAP * u16::try_from(columns.len().saturating_sub(1)).unwrap_or(0);
        columns.iter().map(|(_, width)| width).sum::<u16>() + gaps
    };
    for dispensable in Column::DISPENSABLE {
        if need(&columns) <= width {
            break;
        }
        columns.retain(|(column, _)| *column != dispensable);
    }
    // What is left goes to the names: the nodes' get what they need of one half, the functions' the rest.
    let mut spare = width.saturating_sub(need(&columns));
    if let Some((_, node)) = columns
        .iter_mut()
        .find(|(column, _)| *column == Column::Node)
    {
        let more = nodes.saturating_sub(*node).min(spare / 2);
        *node += more;
        spare -= more;
    }
    if let Some((_, function)) = columns
        .iter_mut()
        .find(|(column, _)| *column == Column::Function)
    {
        *function += spare;
    }
    columns
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::{row, snapshot};
    use super::*;
    use madrpc_core::error::{CallError, ErrorKind};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    /// What a terminal of this size shows, a string for each line, without trailing blanks.
    fn draw(
        screen: &mut Screen,
        model: &Model,
        width: u16,
        height: u16,
        now: Instant,
    ) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal
            .draw(|frame| screen.draw(frame, model, now))
            .unwrap();
        let buffer = terminal.backend().buffer().clone();
        let line = |y| -> String {
            (0..width)
                .map(|x| buffer[(x, y)].symbol().to_owned())
                .collect()
        };
        (0..height).map(|y| line(y).trim_end().to_owned()).collect()
    }

    fn model(functions: usize) -> Model {
        let mut model = Model::new();
        for round in 1..=2 {
            let rows = (0..functions).map(|number| {
                row(
                    "a:1",
                    &format!("f{number:02}"),
                    &[(1500, 100 * round)],
                    round,
                )
            });
            model.succeeded(snapshot(1000 * round, rows.collect()));
        }
        model
    }

    #[test]
    fn a_wide_terminal_shows_everything() {
        let mut screen = Screen::new("here:8080", 250);
        let lines = draw(&mut screen, &model(2), 110, 9, Instant::now());
        let expected = [
            "orchestrator here:8080   up 00:00:02   2 shards   3 sessions",
            "nodes: 1 of 2 up   b:1 down",
            "",
            "NODE      FUNCTION                     CALLS   CALLS/S    ERRORS  ERRORS/S      P50      P90      P99      MAX",
            "a:1       f00                            200       100         2       1.0  1.50 ms  1.50 ms  1.50 ms  1.50 ms",
            "a:1       f01                            200       100         2       1.0  1.50 ms  1.50 ms  1.50 ms  1.50 ms",
            "",
            "          all                            400       200         4       2.0  1.50 ms  1.50 ms  1.50 ms  1.50 ms",
            "q to leave   rates and latency over 1 s, every 250 ms",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_narrow_terminal_keeps_function_and_rate() {
        let mut screen = Screen::new("here:8080", 250);
        let lines = draw(&mut screen, &model(1), 26, 7, Instant::now());
        assert_eq!(lines[3], "FUNCTION           CALLS/S");
        // No size may panic.
        for width in 1..140 {
            for height in 1..12 {
                draw(&mut screen, &model(3), width, height, Instant::now());
            }
        }
    }

    #[test]
    fn many_rows_are_scrolled_and_never_out_of_sight() {
        let mut screen = Screen::new("here:8080", 250);
        let model = model(30);
        let mut shown = |keys: &[KeyCode]| {
            keys.iter().for_each(|&key| screen.on_key(key));
            let lines = draw(&mut screen, &model, 100, 16, Instant::now());
            let names = lines
                .iter()
                .filter_map(|line| line.strip_prefix("a:1       "));
            let names: Vec<_> = names.map(|line| line[..3].to_owned()).collect();
            assert_eq!(names.len(), 10);
            (names[0].clone(), lines[15].clone())
        };
        assert!(shown(&[]).1.contains("1-10 of 30"));
        assert_eq!(shown(&[KeyCode::Down, KeyCode::Down, KeyCode::Up]).0, "f01");
        assert_eq!(shown(&[KeyCode::PageDown]).0, "f11");
        assert_eq!(shown(&[KeyCode::End]).0, "f20");
        assert_eq!(shown(&[KeyCode::Down, KeyCode::PageDown]).0, "f20");
        assert_eq!(shown(&[KeyCode::PageUp]).0, "f10");
        assert_eq!(shown(&[KeyCode::Home]).0, "f00");
    }

    #[test]
    fn an_outage_is_told_in_words_and_the_last_table_stays() {
        let mut screen = Screen::new("here:8080", 250);
        let mut model = Model::new();
        let begun = Instant::now();
        let lines = draw(&mut screen, &model, 100, 5, begun);
        assert_eq!(lines[0], "connecting to here:8080");
        model.succeeded(snapshot(1000, vec![row("a:1", "add", &[(10, 5)], 0)]));
        model.failed(&CallError::not_run(ErrorKind::Unavailable, "gone"), begun);
        let later = begun + std::time::Duration::from_secs(3);
        let lines = draw(&mut screen, &model, 100, 7, later);
        assert!(lines[4].contains("add"), "{lines:?}");
        assert_eq!(
            lines[6],
            "no answer for 3 s, trying again: Unavailable: gone"
        );
    }
}
