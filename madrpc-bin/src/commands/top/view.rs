//! The live screen: a head, the table, and a line of help or of trouble.

use super::columns::{self, GAP};
use super::model::{Line, Model, WINDOW_MS};
use super::text;
use crossterm::event::KeyCode;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::Line as TextLine;
use ratatui::widgets::{Paragraph, Row, Table};
use std::time::{Duration, Instant};

/// What the screen remembers between two drawings.
pub(super) struct Screen {
    address: String,
    interval_ms: u64,
    /// The first line of the table that is shown.
    offset: usize,
    /// How many lines were shown at the last drawing.
    page: usize,
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
        let area = frame.area();
        let (lines, all) = model.lines();
        // The table gets half of the screen at least.
        let half = usize::from(area.height / 2);
        let mut head = self.head(model, area.width.into());
        head.truncate(half);
        let mut trouble = trouble(model, area.width.into(), now);
        trouble.truncate(half.saturating_sub(head.len()).max(1));
        let rows = |count: usize| Constraint::Length(u16::try_from(count).unwrap_or(u16::MAX));
        let (above, below) = (rows(head.len()), rows(trouble.len().max(1)));
        let [top, middle, bottom] =
            Layout::vertical([above, Constraint::Fill(1), below]).areas(area);
        frame.render_widget(Paragraph::new(head), top);
        self.table(frame, middle, &lines, &all, model.outage().is_some());
        let foot = match trouble.is_empty() {
            true => vec![self.help(model, lines.len(), area.width.into())],
            false => trouble,
        };
        frame.render_widget(Paragraph::new(foot), bottom);
    }

    fn head(&self, model: &Model, width: usize) -> Vec<TextLine<'static>> {
        let Some(snapshot) = model.latest() else {
            return vec![TextLine::from(format!("connecting to {}", self.address))];
        };
        let flow = |parts: &[String], style: Style| {
            let lines = text::flow(parts, "   ", width).into_iter();
            lines.map(move |line| TextLine::styled(line, style))
        };
        let down = snapshot
            .upstreams
            .iter()
            .any(|upstream| upstream.connected_shards == 0);
        let upstreams = if down {
            Style::new().yellow()
        } else {
            Style::new()
        };
        let mut head: Vec<_> = flow(&text::server(snapshot), Style::new().bold()).collect();
        head.extend(text::silent(snapshot).map(|text| TextLine::from(text).red()));
        head.extend(flow(&text::upstreams(snapshot), upstreams));
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
        if lines.is_empty() {
            return;
        }
        // The titles, and the sum below.
        self.page = usize::from(area.height.saturating_sub(2)).max(1);
        self.offset = self.offset.min(lines.len().saturating_sub(self.page));
        let all = Line {
            function: "all".to_owned(),
            ..all.clone()
        };
        let columns = columns::that_fit(area.width, |column| column.width(lines, &all));
        let row = |line: &Line| {
            let cells = columns
                .iter()
                .map(|&(column, width)| column.cell(line, width));
            Row::new(cells.collect::<Vec<_>>())
        };
        let titles = columns.iter().map(|(column, _)| {
            let title = TextLine::from(column.title());
            if column.is_name() {
                title
            } else {
                title.right_aligned()
            }
        });
        let shown = lines.iter().skip(self.offset).take(self.page);
        // The sum follows the last line, wherever the screen ends.
        let height = u16::try_from(shown.len() + 2)
            .unwrap_or(u16::MAX)
            .min(area.height);
        let widths = columns.iter().map(|&(_, width)| Constraint::Length(width));
        let mut table = Table::new(shown.map(row), widths)
            .column_spacing(GAP)
            .header(Row::new(titles).style(Style::new().fg(Color::Cyan)));
        if lines.len() > 1 {
            table = table.footer(row(&all).style(Modifier::BOLD));
        }
        if stale {
            table = table.style(Modifier::DIM);
        }
        frame.render_widget(table, Rect { height, ..area });
    }

    fn help(&self, model: &Model, lines: usize, width: usize) -> TextLine<'static> {
        let mut parts = vec!["q to leave".to_owned()];
        if lines > self.page {
            let (first, last) = (self.offset + 1, (self.offset + self.page).min(lines));
            parts.push(format!("{first}-{last} of {lines}, ↑↓ PgUp PgDn to scroll"));
        }
        if lines == 0 && model.latest().is_some() {
            parts.push("no calls yet".to_owned());
        }
        let window = Duration::from_millis(WINDOW_MS.max(self.interval_ms)).as_secs_f32();
        parts.push(format!(
            "rates and latency over {window} s, every {} ms",
            self.interval_ms
        ));
        // What does not fit is left out.
        let line = text::flow(&parts, "   ", width).into_iter().next();
        TextLine::from(line.unwrap_or_default()).dim()
    }
}

/// Why the server does not answer, in words; empty where it does.
fn trouble(model: &Model, width: usize, now: Instant) -> Vec<TextLine<'static>> {
    let Some(outage) = model.outage() else {
        return Vec::new();
    };
    let seconds = now.saturating_duration_since(outage.since).as_secs();
    let text = format!(
        "no answer for {seconds} s, trying again: {}",
        outage.message
    );
    let words: Vec<_> = text.split(' ').map(str::to_owned).collect();
    let lines = text::flow(&words, " ", width).into_iter();
    lines.map(|line| TextLine::from(line).red()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::{row, snapshot};
    use super::*;
    use madrpc_core::call::{CallError, ErrorKind};
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
        let lines = draw(&mut screen, &model(2), 110, 10, Instant::now());
        let expected = [
            "orchestrator here:8080   up 00:00:02   2 shards   3 sessions",
            "nodes: 1 of 2 up   b:1 down",
            "",
            "NODE      FUNCTION                     CALLS   CALLS/S    ERRORS  ERRORS/S      P50      P90      P99      MAX",
            "a:1       f00                            200       100         2       1.0  1.53 ms  1.53 ms  1.53 ms  1.53 ms",
            "a:1       f01                            200       100         2       1.0  1.53 ms  1.53 ms  1.53 ms  1.53 ms",
            "          all                            400       200         4       2.0  1.53 ms  1.53 ms  1.53 ms  1.53 ms",
            "",
            "",
            "q to leave   rates and latency over 1 s, every 250 ms",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_narrow_terminal_keeps_function_and_rate() {
        let mut screen = Screen::new("here:8080", 250);
        let lines = draw(&mut screen, &model(1), 26, 12, Instant::now());
        let expected = [
            "orchestrator here:8080",
            "up 00:00:02   2 shards",
            "3 sessions",
            "nodes: 1 of 2 up",
            "b:1 down",
            "",
            "FUNCTION           CALLS/S",
            "f00                    100",
        ];
        assert_eq!(lines[..8], expected);
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
        let later = begun + Duration::from_secs(3);
        let lines = draw(&mut screen, &model, 100, 7, later);
        assert!(lines[4].contains("add"), "{lines:?}");
        assert_eq!(
            lines[6],
            "no answer for 3 s, trying again: Unavailable: gone"
        );
    }
}
