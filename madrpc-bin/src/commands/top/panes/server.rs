//! The server itself: its memory, what waits in it, and what goes in and out.

use super::{rate, warning};
use crate::commands::top::model::Model;
use crate::commands::top::sheet::{Sheet, bar};
use crate::commands::top::text;
use crate::output::figures::latency;
use crate::output::printable;
use madrpc_core::stats::{Latency, Snapshot, Traffic};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Span};

/// The bar of the memory.
const BAR: usize = 30;

/// What stands before each line.
const LABEL: usize = 12;

/// A memory as full as this stands out.
const FULL: f64 = 0.9;

pub(super) fn sheet(model: &Model, width: usize) -> Sheet {
    let Some(snapshot) = model.latest() else {
        return Sheet::default();
    };
    let mut lines = Vec::new();
    let mut say = |label: &str, parts: &[String]| {
        // A line below the first of the same kind has no label.
        for (at, text) in text::flow(parts, "   ", width.saturating_sub(LABEL))
            .into_iter()
            .enumerate()
        {
            let label = if at == 0 { label } else { "" };
            lines.push(Line::from(vec![
                Span::styled(
                    format!("{label:LABEL$}"),
                    Style::new().add_modifier(Modifier::BOLD),
                ),
                Span::raw(text),
            ]));
        }
    };
    if snapshot.memory_max_bytes > 0 {
        #[expect(
            clippy::cast_precision_loss,
            reason = "a share is shown to a hundredth"
        )]
        let share = snapshot.memory_used_bytes as f64 / snapshot.memory_max_bytes as f64;
        let mark = if share >= FULL { "! nearly full" } else { "" };
        let drawn = bar(&[('#', share), ('.', 1.0)], BAR);
        let parts = [
            format!("[{drawn}] {}", text::share(share)),
            text::memory(snapshot),
            mark.to_owned(),
        ];
        say("memory", &parts);
    }
    let calls = ["under way", "queued"]
        .into_iter()
        .zip([snapshot.under_way, snapshot.queued]);
    let mut parts: Vec<_> = calls
        .map(|(name, count)| format!("{count} {name}"))
        .collect();
    if snapshot.role == "node" {
        parts.push(queue_wait(model));
    } else {
        let counts = [
            (snapshot.call_retries, "put on another node"),
            (snapshot.call_hedges, "hedged"),
        ];
        parts.extend(counts.map(|(count, name)| format!("{count} {name}")));
        parts.push(format!("nodes left out {} times", snapshot.ejections));
    }
    say("calls", &parts);
    if snapshot.role == "node" {
        let lanes = [
            (snapshot.lanes_running, "running"),
            (snapshot.lanes_waiting, "waiting"),
            (snapshot.lanes_free, "free"),
        ];
        say(
            "lanes",
            &lanes.map(|(count, name)| format!("{count} {name}")),
        );
        say("script", &[format!("{:016x}", snapshot.script)]);
    }
    let steering = match snapshot.steering.as_str() {
        "" => String::new(),
        steering => format!("steered by: {steering}"),
    };
    say(
        "sessions",
        &[
            format!("{} open", snapshot.sessions),
            text::plural(snapshot.handshakes, "handshake"),
            steering,
        ],
    );
    say("received", &traffic(model, |snapshot| snapshot.received));
    say("sent", &traffic(model, |snapshot| snapshot.sent));
    let refused = snapshot
        .refused
        .iter()
        .map(|(kind, count)| format!("{count} {kind}"));
    let mut troubles = |label: &str, parts: Vec<String>| {
        let style = if parts.is_empty() {
            Style::new()
        } else {
            warning()
        };
        let (mark, parts) = match parts.is_empty() {
            true => ("", vec!["none".to_owned()]),
            false => ("! ", parts),
        };
        let text = format!("{mark}{}", printable(&parts.join(", ")));
        lines.push(Line::from(vec![
            Span::styled(
                format!("{label:LABEL$}"),
                Style::new().add_modifier(Modifier::BOLD),
            ),
            Span::styled(text, style),
        ]));
    };
    troubles("refused", refused.collect());
    troubles("events", text::events(snapshot));
    troubles("stalls", text::stalls(snapshot).into_iter().collect());
    Sheet::of_lines(lines)
}

/// How long calls waited for a lane in the window.
fn queue_wait(model: &Model) -> String {
    let buckets = |snapshot: Option<&Snapshot>| {
        snapshot.map_or_else(Vec::new, |snapshot| snapshot.queue_wait_us.clone())
    };
    let before: std::collections::HashMap<u64, u64> = match model.window_ms() {
        0 => Default::default(),
        _ => buckets(model.earlier()).into_iter().collect(),
    };
    let recent = buckets(model.latest()).into_iter().map(|(us, calls)| {
        let earlier = before.get(&us).copied().unwrap_or(0);
        (us, calls.saturating_sub(earlier))
    });
    let recent: Vec<_> = recent.filter(|&(_, calls)| calls > 0).collect();
    let mut waits = Latency::default();
    waits.add_buckets(&recent);
    match waits.count() {
        0 => "none waited".to_owned(),
        _ => {
            let [p50, p99] = [0.5, 0.99].map(|share| latency(waits.quantile_us(share)));
            format!("waited {p50} (p99 {p99})")
        }
    }
}

fn traffic(model: &Model, of: fn(&Snapshot) -> Traffic) -> [String; 2] {
    let datagrams = model.rate(|snapshot| of(snapshot).datagrams);
    let batches = model.rate(|snapshot| of(snapshot).batches);
    let per_batch = match (datagrams, batches) {
        (Some(datagrams), Some(batches)) if batches > 0.0 => Some(datagrams / batches),
        _ => None,
    };
    [
        format!("{} datagrams/s", rate(datagrams)),
        per_batch.map_or_else(String::new, |many| format!("{many:.1} by each system call")),
    ]
}
