//! `--once`: the totals since the server's start, as a table or as JSON.

use super::model::{Line, totals};
use super::text;
use crate::exit::{Failure, Reason};
use crate::output::figures::latency;
use crate::output::printable;
use madrpc_core::stats::Snapshot;
use serde::Serialize;
use std::collections::BTreeMap;

/// The document of `--once --json`. Keys are only ever added.
#[derive(Serialize)]
struct Document<'a> {
    /// `node` or `orchestrator`.
    role: &'a str,
    /// The address that the server goes by.
    name: &'a str,
    /// Time since its start.
    uptime_ms: u64,
    /// Its shards.
    shards: u16,
    /// Those that did not answer in time: their counts are missing.
    silent_shards: u16,
    /// Open sessions with callers.
    sessions: u64,
    /// How datagrams find their shard: `kernel`, `relay`, or `single` where there is but one.
    steering: &'a str,
    /// Handshakes that are not over.
    open_handshakes: u64,
    /// Datagrams that reached the wrong shard.
    misrouted_datagrams: u64,
    /// Those of them that were handed to the right one.
    relayed_datagrams: u64,
    /// Those of them that were dropped.
    relay_dropped_datagrams: u64,
    /// Changes of a client's address in the middle of a session.
    migrations: u64,
    /// Clients asked to prove their address, because many handshakes were open.
    retries: u64,
    /// Peers told that their session is not known any more.
    resets: u64,
    /// Bytes held for callers and nodes.
    memory_used_bytes: u64,
    /// Those that may be (`--memory-max`).
    memory_max_bytes: u64,
    /// How often a core was stuck for half a second or more, by the function that held it.
    stalls: BTreeMap<&'a str, u64>,
    /// An orchestrator's nodes.
    upstreams: Vec<Upstream<'a>>,
    /// One for each node and function, in this order.
    functions: Vec<Function<'a>>,
}

#[derive(Serialize)]
struct Upstream<'a> {
    node: &'a str,
    /// How many of the orchestrator's shards have a session with it; 0: it is down.
    connected_shards: u16,
}

#[derive(Serialize)]
struct Function<'a> {
    node: &'a str,
    function: &'a str,
    /// Calls that have ended, errors among them.
    calls: u64,
    errors: u64,
    /// By the names of `ErrorKind`; those that occurred.
    errors_by_kind: BTreeMap<&'a str, u64>,
    /// From arrival to reply, at this server, to a sixteenth; `null` without calls.
    p50_us: Option<u64>,
    p90_us: Option<u64>,
    p99_us: Option<u64>,
    max_us: Option<u64>,
}

/// One JSON document.
///
/// # Errors
/// None that is known: numbers and text are always JSON.
pub(super) fn json(snapshot: &Snapshot) -> Result<String, Failure> {
    let functions = snapshot.rows.iter().zip(totals(snapshot).0);
    let functions = functions.map(|(row, line)| Function {
        node: &row.node,
        function: &row.function,
        calls: line.calls,
        errors: line.errors,
        errors_by_kind: row
            .errors
            .iter()
            .map(|(kind, count)| (kind.as_str(), *count))
            .collect(),
        p50_us: line.latency.map(|latency| latency.p50_us),
        p90_us: line.latency.map(|latency| latency.p90_us),
        p99_us: line.latency.map(|latency| latency.p99_us),
        max_us: line.latency.map(|latency| latency.max_us),
    });
    let upstreams = snapshot.upstreams.iter().map(|upstream| Upstream {
        node: &upstream.node,
        connected_shards: upstream.connected_shards,
    });
    let document = Document {
        role: &snapshot.role,
        name: &snapshot.name,
        uptime_ms: snapshot.uptime_ms,
        shards: snapshot.shards,
        silent_shards: snapshot.silent_shards,
        sessions: snapshot.sessions,
        steering: &snapshot.steering,
        open_handshakes: snapshot.handshakes,
        misrouted_datagrams: snapshot.misrouted,
        relayed_datagrams: snapshot.relayed,
        relay_dropped_datagrams: snapshot.relay_dropped,
        migrations: snapshot.migrations,
        retries: snapshot.retries,
        resets: snapshot.resets,
        memory_used_bytes: snapshot.memory_used_bytes,
        memory_max_bytes: snapshot.memory_max_bytes,
        stalls: snapshot
            .stalls
            .iter()
            .map(|(function, count)| (function.as_str(), *count))
            .collect(),
        upstreams: upstreams.collect(),
        functions: functions.collect(),
    };
    serde_json::to_string(&document)
        .map_err(|error| Failure::new(Reason::Other, format!("JSON: {error}")))
}

/// A table for people, without anything that needs a terminal.
pub(super) fn table(snapshot: &Snapshot) -> String {
    let (lines, all) = totals(snapshot);
    let titles = [
        "NODE", "FUNCTION", "CALLS", "ERRORS", "P50", "P90", "P99", "MAX",
    ]
    .map(str::to_owned);
    let mut rows = vec![titles];
    rows.extend(
        lines
            .iter()
            .map(|line| cells(line, &line.node, &line.function)),
    );
    if lines.len() > 1 {
        rows.push(cells(&all, "all", ""));
    }
    let width = |column: usize| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; 8] = std::array::from_fn(width);
    let head = [
        Some(text::server(snapshot).join("   ")),
        text::silent(snapshot),
        Some(text::upstreams(snapshot).join("   ")).filter(|text| !text.is_empty()),
    ];
    let head: Vec<_> = head.iter().flatten().map(|text| printable(text)).collect();
    let mut text = head.join("\n");
    for row in &rows {
        text.push('\n');
        for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            text += &match column {
                0 => format!("{cell:width$}"),
                1 => format!("  {cell:width$}"),
                _ => format!("  {cell:>width$}"),
            };
        }
    }
    if lines.is_empty() {
        text += "\nno calls yet";
    }
    text
}

fn cells(line: &Line, node: &str, function: &str) -> [String; 8] {
    let latency = |us: Option<u64>| us.map_or_else(|| "-".to_owned(), latency);
    [
        printable(node).into_owned(),
        printable(function).into_owned(),
        line.calls.to_string(),
        line.errors.to_string(),
        latency(line.latency.map(|latency| latency.p50_us)),
        latency(line.latency.map(|latency| latency.p90_us)),
        latency(line.latency.map(|latency| latency.p99_us)),
        latency(line.latency.map(|latency| latency.max_us)),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::{row, snapshot};
    use super::*;

    #[test]
    fn the_document_has_its_documented_keys() {
        let rows = vec![row("a:1", "add", &[(10, 5)], 2), row("a:1", "idle", &[], 0)];
        let document: serde_json::Value =
            serde_json::from_str(&json(&snapshot(1000, rows)).unwrap()).unwrap();
        let expected = serde_json::json!({
            "role": "orchestrator", "name": "here:8080", "uptime_ms": 1000, "shards": 2, "silent_shards": 0,
            "sessions": 3, "steering": "kernel", "open_handshakes": 0, "misrouted_datagrams": 0,
            "relayed_datagrams": 0, "relay_dropped_datagrams": 0, "migrations": 0, "retries": 0, "resets": 0,
            "memory_used_bytes": 0, "memory_max_bytes": 0, "stalls": {},
            "upstreams": [{"node": "a:1", "connected_shards": 2}, {"node": "b:1", "connected_shards": 0}],
            "functions": [
                {"node": "a:1", "function": "add", "calls": 5, "errors": 2, "errors_by_kind": {"JavaScript": 2},
                 "p50_us": 10, "p90_us": 10, "p99_us": 10, "max_us": 10},
                {"node": "a:1", "function": "idle", "calls": 0, "errors": 0, "errors_by_kind": {},
                 "p50_us": null, "p90_us": null, "p99_us": null, "max_us": null},
            ],
        });
        assert_eq!(document, expected);
    }

    #[test]
    fn the_table_is_aligned_and_cannot_drive_a_terminal() {
        let rows = vec![
            row("a:1", "add", &[(10, 5)], 2),
            row("b:1", "\u{1b}[2J", &[(1500, 1)], 0),
        ];
        let text = table(&snapshot(1000, rows));
        let expected = "\
orchestrator here:8080   up 00:00:01   2 shards   3 sessions
nodes: 1 of 2 up   b:1 down
NODE  FUNCTION   CALLS  ERRORS      P50      P90      P99      MAX
a:1   add            5       2    10 µs    10 µs    10 µs    10 µs
b:1   \\u{1b}[2J      1       0  1.53 ms  1.53 ms  1.53 ms  1.53 ms
all                  6       2    10 µs  1.53 ms  1.53 ms  1.53 ms";
        assert_eq!(text, expected);
        assert!(table(&snapshot(1000, vec![])).ends_with("no calls yet"));
    }
}
