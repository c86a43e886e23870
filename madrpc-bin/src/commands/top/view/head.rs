//! The first lines: who the server is, what is wrong with it, and how much it does.

use crate::commands::top::model::Model;
use crate::commands::top::screen::Screen;
use crate::commands::top::text;
use crate::output::figures::{each_second, latency};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Paragraph, Sparkline};

/// Lines that it has at the most.
const LINES_MAX: usize = 4;

pub(super) fn lines(
    screen: &Screen,
    model: &Model,
    is_paused: bool,
    width: usize,
) -> Vec<Line<'static>> {
    let Some(snapshot) = model.latest() else {
        return vec![Line::from(format!("connecting to {}", screen.address))];
    };
    let flow = |parts: &[String], style: Style| {
        let lines = text::flow(parts, "   ", width).into_iter();
        lines.map(move |line| Line::styled(line, style))
    };
    let mut who = text::identity(snapshot);
    if !matches!(snapshot.state.as_str(), "" | "serving") {
        who.insert(1, format!("! {}", snapshot.state));
    }
    if is_paused {
        who.insert(0, "PAUSED".to_owned());
    }
    let is_down = snapshot
        .upstreams
        .iter()
        .any(|one| one.connected_shards == 0);
    let mut nodes = text::upstreams(snapshot);
    let style = if is_down {
        Style::new().yellow()
    } else {
        Style::new()
    };
    if is_down && let Some(first) = nodes.first_mut() {
        first.insert_str(0, "! ");
    }
    let mut head: Vec<_> = flow(&who, Style::new().bold()).collect();
    head.extend(text::silent(snapshot).map(|text| Line::from(format!("! {text}")).red().bold()));
    head.extend(flow(&nodes, style));
    head.truncate(LINES_MAX);
    head
}

/// All calls together, and how many there were lately.
pub(super) fn rates(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    if model.latest().is_none() {
        return;
    }
    let (_, all) = model.lines();
    let rate = |rate: Option<f64>| rate.map_or_else(|| "-".to_owned(), each_second);
    let time = |us: Option<u64>| us.map_or_else(|| "-".to_owned(), latency);
    let text = format!(
        "{:>9} calls/s  {:>5} errors/s  p50 {:>7}  p99 {:>7}  ",
        rate(all.rates.map(|rates| rates.calls)),
        rate(all.rates.map(|rates| rates.errors)),
        time(all.latency.map(|latency| latency.p50_us)),
        time(all.latency.map(|latency| latency.p99_us)),
    );
    let line = Line::from(text).bold();
    let width = u16::try_from(line.width()).unwrap_or(u16::MAX);
    let [left, right] =
        Layout::horizontal([Constraint::Length(width), Constraint::Fill(1)]).areas(area);
    frame.render_widget(Paragraph::new(line), left);
    // The latest is at the right.
    let room = usize::from(right.width);
    let mut history: Vec<u64> = model.history().rev().take(room).collect();
    history.resize(room, 0);
    history.reverse();
    frame.render_widget(Sparkline::default().data(&history), right);
}
