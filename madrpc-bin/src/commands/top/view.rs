//! The live screen: a head, the panes, and a line of help or of trouble.

mod head;

use super::model::Model;
use super::panes::Pane;
use super::screen::Screen;
use super::sheet::Sheet;
use super::text;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph};
use std::time::Instant;

/// Less than this shows nothing that is of use.
const WIDTH_MIN: u16 = 40;
const HEIGHT_MIN: u16 = 12;

/// From here on all panes are shown together.
const WIDTH_OF_ALL: u16 = 140;
const HEIGHT_OF_ALL: u16 = 40;

const HELP: [&str; 14] = [
    "1-5, Tab          choose a pane",
    "↑ ↓ PgUp PgDn     scroll in it (also k and j, Home and End)",
    "s                 sort functions by name, calls, CPU, p99, errors",
    "/                 show only what has these letters in its name; Esc shows all",
    "space             hold what is shown, and go on",
    "?                 this help",
    "q, Esc, Ctrl-C    leave",
    "",
    "CALLS and ERRORS count from the server's start; rates, CPU and latency are",
    "over the last second. CPU is of one core. Latency is from arrival to reply.",
    "",
    "A core's bar:  # calls   = sessions and datagrams   ~ awake, looking for more",
    "               . idle, or somebody else's",
    "! marks what is not well.",
];

/// Draws it all; `model` is the latest, which is not shown while the screen is paused.
pub(super) fn draw(screen: &mut Screen, frame: &mut Frame<'_>, model: &Model, now: Instant) {
    let area = frame.area();
    if area.width < WIDTH_MIN || area.height < HEIGHT_MIN {
        let text = format!(
            "needs {WIDTH_MIN}x{HEIGHT_MIN}, not {}x{}",
            area.width, area.height
        );
        frame.render_widget(Paragraph::new(text), area);
        return;
    }
    let paused = screen.paused.take();
    let shown = paused.as_deref().unwrap_or(model);
    let width = usize::from(area.width);
    let is_large = area.width >= WIDTH_OF_ALL && area.height >= HEIGHT_OF_ALL;
    let head = head::lines(screen, shown, paused.is_some(), width);
    let mut trouble = trouble(model, width, now);
    trouble.truncate(3);
    let rows = |count: usize| Constraint::Length(u16::try_from(count).unwrap_or(u16::MAX));
    let [top, rates, tabs, middle, bottom] = Layout::vertical([
        rows(head.len()),
        rows(if is_large { 3 } else { 1 }),
        rows(usize::from(!is_large)),
        Constraint::Fill(1),
        rows(trouble.len().max(1)),
    ])
    .areas(area);
    frame.render_widget(Paragraph::new(head), top);
    head::rates(frame, rates, shown);
    let is_stale = model.outage().is_some();
    if screen.has_help {
        frame.render_widget(Paragraph::new(HELP.map(Line::from).to_vec()), middle);
    } else if is_large {
        all(screen, frame, middle, shown, is_stale);
    } else {
        frame.render_widget(tab_titles(screen.pane, width), tabs);
        one(screen, frame, middle, shown, screen.pane, is_stale);
    }
    let foot = match trouble.is_empty() || screen.is_typing {
        true => vec![foot(screen, paused.is_some(), width)],
        false => trouble,
    };
    frame.render_widget(Paragraph::new(foot), bottom);
    screen.paused = paused;
}

/// The names of the panes with their keys; the selected one is in brackets.
fn tab_titles(selected: Pane, width: usize) -> Line<'static> {
    let titles = Pane::ALL.map(|pane| {
        let title = format!("{} {}", pane.key(), pane.title());
        match pane == selected {
            true => Span::styled(
                format!("[{title}]"),
                Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED),
            ),
            false => Span::raw(format!(" {title} ")),
        }
    });
    let line = Line::from(titles.to_vec());
    match line.width() <= width {
        true => line,
        // The selected one and the keys.
        false => Line::from(format!(
            "[{} {}] 1-5, Tab",
            selected.key(),
            selected.title()
        ))
        .bold(),
    }
}

/// All panes together.
fn all(screen: &mut Screen, frame: &mut Frame<'_>, area: Rect, model: &Model, is_stale: bool) {
    let [functions, middle, below] = Layout::vertical([
        Constraint::Fill(5),
        Constraint::Fill(4),
        Constraint::Length(13),
    ])
    .areas(area);
    let halves = |area| -> [Rect; 2] {
        Layout::horizontal([Constraint::Fill(1), Constraint::Fill(1)]).areas(area)
    };
    let ([nodes, shards], [errors, memory]) = (halves(middle), halves(below));
    let places = [functions, nodes, shards, errors, memory];
    for (pane, place) in Pane::ALL.into_iter().zip(places) {
        let title = format!("{} {}", pane.key(), pane.title());
        let (title, style) = match pane == screen.pane {
            true => (
                format!("[{title}]"),
                Style::new().add_modifier(Modifier::BOLD),
            ),
            false => (format!(" {title} "), Style::new()),
        };
        let block = Block::bordered()
            .title(Span::styled(title, style))
            .border_style(style);
        let inner = block.inner(place);
        frame.render_widget(block, place);
        one(screen, frame, inner, model, pane, is_stale);
    }
}

/// A pane, scrolled to where it was, with a word of what is out of sight.
fn one(
    screen: &mut Screen,
    frame: &mut Frame<'_>,
    area: Rect,
    model: &Model,
    pane: Pane,
    is_stale: bool,
) {
    let Sheet { titles, lines, sum } = pane.sheet(model, screen, area.width.into());
    let height = usize::from(area.height);
    let fixed = usize::from(titles.is_some()) + usize::from(sum.is_some());
    let (count, mut page) = (lines.len(), height.saturating_sub(fixed));
    let is_cut = count > page;
    if is_cut {
        page = page.saturating_sub(1);
    }
    let offset = &mut screen.offsets[pane as usize];
    *offset = (*offset).min(count.saturating_sub(page));
    let (first, last) = (*offset + 1, (*offset + page).min(count));
    if pane == screen.pane {
        screen.page = page.max(1);
    }
    let mut text: Vec<Line<'_>> = titles.into_iter().collect();
    text.extend(lines.into_iter().skip(first - 1).take(page));
    text.extend(sum);
    if is_cut {
        text.push(Line::from(format!("{first}-{last} of {count}")).dim());
    }
    let mut paragraph = Paragraph::new(text);
    if is_stale {
        paragraph = paragraph.style(Modifier::DIM);
    }
    frame.render_widget(paragraph, area);
}

/// What keys do, or the filter as it is typed.
fn foot(screen: &Screen, is_paused: bool, width: usize) -> Line<'static> {
    if screen.is_typing {
        return Line::from(format!(
            "/{}_   Enter keeps it, Esc shows all",
            screen.filter
        ));
    }
    let mut parts = Vec::new();
    if is_paused {
        parts.push("PAUSED: space goes on".to_owned());
    }
    if !screen.filter.is_empty() {
        parts.push(format!("only /{}, Esc shows all", screen.filter));
    }
    parts.push("q leaves".to_owned());
    parts.push("? helps".to_owned());
    parts.push(format!("s sorts (by {})", screen.order.name()));
    parts.push("/ filters".to_owned());
    parts.push("space pauses".to_owned());
    parts.push(format!("every {} ms", screen.interval_ms));
    // What does not fit is left out.
    let line = text::flow(&parts, "   ", width).into_iter().next();
    let line = Line::from(line.unwrap_or_default());
    match is_paused || !screen.filter.is_empty() {
        true => line.bold(),
        false => line.dim(),
    }
}

/// Why the server does not answer, in words; empty where it does.
fn trouble(model: &Model, width: usize, now: Instant) -> Vec<Line<'static>> {
    let Some(outage) = model.outage() else {
        return Vec::new();
    };
    let seconds = now.saturating_duration_since(outage.since).as_secs();
    let text = format!(
        "! no answer for {seconds} s, trying again: {}",
        outage.message
    );
    let words: Vec<_> = text.split(' ').map(str::to_owned).collect();
    let lines = text::flow(&words, " ", width).into_iter();
    lines.map(|line| Line::from(line).red().bold()).collect()
}

#[cfg(test)]
mod tests;
