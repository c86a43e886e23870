//! The nodes of an orchestrator, how each is and what it has to do; of a node, itself.

use super::{rate, warning};
use crate::commands::top::model::{Line, Model, Percentiles, sum};
use crate::commands::top::screen::Screen;
use crate::commands::top::sheet::{Cell, Column, Sheet};
use crate::commands::top::text::{plural, uptime};
use crate::output::figures::latency;
use madrpc_core::stats::{Snapshot, Upstream};
use ratatui::style::{Modifier, Style};
use ratatui::text::Line as TextLine;
use std::collections::BTreeMap;

/// The state of a node that takes calls, and of a server that does.
const WELL: [&str; 2] = ["up", "serving"];

const COLUMNS: [Column; 12] = {
    const fn column(title: &'static str, is_number: bool, dispensable: u8) -> Column {
        Column {
            title,
            is_number,
            dispensable,
        }
    }
    [
        column("NODE", false, 0),
        column("STATE", false, 1),
        column("SINCE", true, 5),
        column("BUSIEST SHARD", false, 4),
        column("UNDER WAY", true, 6),
        column("CALLS/S", true, 2),
        column("ERRORS/S", true, 3),
        column("P99", true, 7),
        column("CALLS", true, 8),
        column("ERRORS", true, 9),
        column("SCRIPT", false, 11),
        column("WHY", false, 10),
    ]
};

pub(super) fn sheet(model: &Model, screen: &Screen, width: usize) -> Sheet {
    let Some(snapshot) = model.latest() else {
        return Sheet::default();
    };
    let mut done = by_node(model);
    let mut rows = Vec::new();
    let own;
    let nodes = match snapshot.role.as_str() {
        "node" => {
            own = [itself(snapshot)];
            &own[..]
        }
        _ => &snapshot.upstreams[..],
    };
    for node in nodes {
        let has_done = done.remove(&node.node).unwrap_or_default();
        if screen.lets_through(&[&node.node]) {
            rows.push(row(node, has_done));
        }
    }
    // What is counted for nodes that are not there: `(gone)`, `(none)`.
    for (name, has_done) in done {
        if screen.lets_through(&[&name]) {
            let node = Upstream {
                node: name,
                ..Upstream::default()
            };
            rows.push(row(&node, has_done));
        }
    }
    match (rows.is_empty(), screen.filter.is_empty()) {
        (true, true) => Sheet::of_lines(vec![TextLine::from("no nodes yet")]),
        (true, false) => {
            Sheet::of_lines(vec![TextLine::from("no node has the filter in its name")])
        }
        _ => Sheet::of_cells(COLUMNS, &rows, width),
    }
}

/// A node that is asked itself.
fn itself(snapshot: &Snapshot) -> Upstream {
    Upstream {
        node: snapshot.name.clone(),
        connected_shards: snapshot.shards,
        states: vec![(snapshot.state.clone(), snapshot.shards)],
        since_ms: snapshot.uptime_ms,
        script: snapshot.script,
        under_way: snapshot.under_way,
        ..Upstream::default()
    }
}

/// What each node has done, all of its functions together.
fn by_node(model: &Model) -> BTreeMap<String, (Line, Option<Percentiles>)> {
    let mut nodes: BTreeMap<String, Vec<Line>> = BTreeMap::new();
    for line in model.lines().0 {
        nodes.entry(line.node.clone()).or_default().push(line);
    }
    let mut latencies = model.latency_by_node();
    let nodes = nodes.into_iter();
    nodes
        .map(|(node, lines)| {
            let latency = latencies.remove(&node);
            (node, (sum(&lines), latency))
        })
        .collect()
}

fn row(node: &Upstream, (done, percentiles): (Line, Option<Percentiles>)) -> [Cell; 12] {
    let is_there = !node.states.is_empty();
    let is_well = node
        .states
        .iter()
        .all(|(state, _)| WELL.contains(&state.as_str()));
    let state = match node.states.as_slice() {
        [] => "-".to_owned(),
        [(state, _)] => state.clone(),
        states => {
            let each = states
                .iter()
                .map(|(state, shards)| format!("{state} for {shards}"));
            each.collect::<Vec<_>>().join(", ")
        }
    };
    let state = match is_well {
        true => Cell::new(state),
        // The mark is for those who see no colours.
        false => Cell::new(format!("! {state}")).styled(warning()),
    };
    let busiest = node.busiest.map(|load| {
        let calls = u64::from(load.running) + u64::from(load.queued);
        let ms = load.expected_us.div_ceil(1000);
        format!("{}, {ms} ms", plural(calls, "call"))
    });
    let errors = done.rates.map(|rates| rates.errors);
    let marked = match errors {
        Some(errors) if errors > 0.0 => Style::new().red().add_modifier(Modifier::BOLD),
        _ => Style::new(),
    };
    let if_there = |text: String| if is_there { text } else { "-".to_owned() };
    [
        node.node.clone().into(),
        state,
        if_there(uptime(node.since_ms)).into(),
        busiest.unwrap_or_else(|| "-".into()).into(),
        if_there(node.under_way.to_string()).into(),
        rate(done.rates.map(|rates| rates.calls)).into(),
        Cell::new(rate(errors)).styled(marked),
        percentiles
            .map_or_else(|| "-".to_owned(), |one| latency(one.p99_us))
            .into(),
        done.calls.to_string().into(),
        done.errors.to_string().into(),
        match node.script {
            0 => "-".into(),
            script => format!("{script:016x}").into(),
        },
        node.reason.clone().into(),
    ]
}
