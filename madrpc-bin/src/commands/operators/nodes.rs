//! `madrpc nodes`: the nodes of an orchestrator, how each is, and what it has done.

use super::{ANSWER_TIMEOUT, describe, json, on_each, snapshot};
use crate::args::OperatorArgs;
use crate::exit::Failure;
use crate::output::{self, table::columns};
use madrpc_core::call::Load;
use madrpc_core::stats::{Snapshot, Upstream};
use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// The document of `--json`. Keys are only ever added.
#[derive(Serialize)]
struct Document<'a> {
    /// Where it was asked.
    server: &'a str,
    /// `node` or `orchestrator`.
    role: &'a str,
    name: &'a str,
    /// `serving`, `draining` or `drained`.
    state: &'a str,
    under_way: u64,
    /// An orchestrator's nodes.
    nodes: Vec<Node<'a>>,
}

#[derive(Serialize)]
struct Node<'a> {
    node: &'a str,
    /// By state, the orchestrator's shards that see it so: up, draining, ejected, silent, connecting, down.
    states: BTreeMap<&'a str, u16>,
    /// Why it is not up for all; empty where it is.
    reason: &'a str,
    since_ms: u64,
    /// How many of the orchestrator's shards have a session with it.
    connected_shards: u16,
    functions: u64,
    /// What tells its script from others, in hexadecimal; `null` where it has not said.
    script: Option<String>,
    under_way: u64,
    /// What the busiest of its shards has to do, for all of its callers; `null` where it has not said so in the last second.
    busiest_shard: Option<Busiest>,
    /// Calls that have ended, errors among them, since the orchestrator's start.
    calls: u64,
    errors: u64,
}

#[derive(Serialize)]
struct Busiest {
    running: u32,
    queued: u32,
    /// The time on the core that those are expected to take.
    expected_us: u64,
    free_lanes: u32,
}

pub(crate) fn nodes(args: &OperatorArgs) -> Result<(), Failure> {
    on_each(args, ANSWER_TIMEOUT, |server, client| {
        let snapshot = snapshot(&client)?;
        client.close_blocking();
        let text = match args.json {
            true => json(&document(server, &snapshot))?,
            false => table(&snapshot),
        };
        Ok(output::result(&text)?)
    })
}

fn document<'a>(server: &'a str, snapshot: &'a Snapshot) -> Document<'a> {
    let counts = counts(snapshot);
    let nodes = snapshot.upstreams.iter().map(|one| {
        let (calls, errors) = counts.get(one.node.as_str()).copied().unwrap_or_default();
        let states = one.states.iter();
        Node {
            node: &one.node,
            states: states
                .map(|(state, shards)| (state.as_str(), *shards))
                .collect(),
            reason: &one.reason,
            since_ms: one.since_ms,
            connected_shards: one.connected_shards,
            functions: one.functions,
            script: script(one),
            under_way: one.under_way,
            busiest_shard: one.busiest.map(|load| Busiest {
                running: load.running,
                queued: load.queued,
                expected_us: load.expected_us,
                free_lanes: load.free_lanes,
            }),
            calls,
            errors,
        }
    });
    Document {
        server,
        role: &snapshot.role,
        name: &snapshot.name,
        state: &snapshot.state,
        under_way: snapshot.under_way,
        nodes: nodes.collect(),
    }
}

fn table(snapshot: &Snapshot) -> String {
    let head = describe(snapshot);
    if snapshot.upstreams.is_empty() {
        return head;
    }
    let counts = counts(snapshot);
    let rows = snapshot.upstreams.iter().map(|one| {
        let (calls, errors) = counts.get(one.node.as_str()).copied().unwrap_or_default();
        let since = Duration::from_secs(one.since_ms / 1000);
        [
            one.node.clone(),
            states(one),
            humantime::format_duration(since).to_string(),
            one.functions.to_string(),
            script(one).unwrap_or_else(|| "-".into()),
            one.under_way.to_string(),
            one.busiest.map_or_else(|| "-".into(), load),
            calls.to_string(),
            errors.to_string(),
            one.reason.clone(),
        ]
    });
    let titles = [
        "NODE",
        "STATE",
        "SINCE",
        "FUNCTIONS",
        "SCRIPT",
        "UNDER WAY",
        "BUSIEST SHARD",
        "CALLS",
        "ERRORS",
        "WHY",
    ];
    format!("{head}\n{}", columns(titles, rows))
}

/// What a shard has to do, and how long it is expected to take.
fn load(load: Load) -> String {
    let (calls, ms) = (
        u64::from(load.running) + u64::from(load.queued),
        load.expected_us.div_ceil(1000),
    );
    format!("{calls} calls, {ms} ms")
}

/// The state, with the shards that see it so where they differ.
fn states(node: &Upstream) -> String {
    match node.states.as_slice() {
        [(state, _)] => state.clone(),
        states => {
            let each = states
                .iter()
                .map(|(state, shards)| format!("{state} for {shards}"));
            each.collect::<Vec<_>>().join(", ")
        }
    }
}

fn script(node: &Upstream) -> Option<String> {
    (node.script != 0).then(|| format!("{:016x}", node.script))
}

/// Calls and errors by node.
fn counts(snapshot: &Snapshot) -> HashMap<&str, (u64, u64)> {
    let mut counts: HashMap<&str, (u64, u64)> = HashMap::new();
    for row in &snapshot.rows {
        let (calls, errors) = counts.entry(&row.node).or_default();
        *calls = calls.saturating_add(row.calls);
        *errors = errors.saturating_add(row.error_count());
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use madrpc_core::stats::Row;

    fn snapshot() -> Snapshot {
        let row = |node: &str, calls, errors| Row {
            node: node.into(),
            function: "f".into(),
            calls,
            errors: vec![("Internal".into(), errors)],
            latency_us: Vec::new(),
            latency_sum_us: 0,
            cpu_us: 0,
        };
        Snapshot {
            role: "orchestrator".into(),
            name: "o:1".into(),
            state: "serving".into(),
            under_way: 3,
            upstreams: vec![
                Upstream {
                    node: "a:1".into(),
                    connected_shards: 2,
                    states: vec![("up".into(), 2)],
                    since_ms: 61_500,
                    functions: 2,
                    script: 0xab,
                    under_way: 3,
                    busiest: Some(Load {
                        running: 2,
                        queued: 1,
                        expected_us: 2_001,
                        free_lanes: 6,
                    }),
                    ..Upstream::default()
                },
                Upstream {
                    node: "b:1".into(),
                    connected_shards: 1,
                    states: vec![("down".into(), 1), ("up".into(), 1)],
                    reason: "refused\u{1b}[2J".into(),
                    ..Upstream::default()
                },
            ],
            rows: vec![row("a:1", 5, 1), row("a:1", 2, 0), row("(none)", 1, 1)],
            ..Snapshot::default()
        }
    }

    #[test]
    fn each_node_has_a_row() {
        let expected = "\
orchestrator o:1 is serving; calls under way: 3
NODE  STATE                 SINCE  FUNCTIONS  SCRIPT            UNDER WAY  BUSIEST SHARD  CALLS  ERRORS  WHY
a:1   up                    1m 1s  2          00000000000000ab  3          3 calls, 3 ms  7      1
b:1   down for 1, up for 1  0s     0          -                 0          -              0      0       refused\\u{1b}[2J";
        assert_eq!(table(&snapshot()), expected);
    }

    #[test]
    fn the_document_has_its_documented_keys() {
        let text = json(&document("front:8080", &snapshot())).unwrap();
        let document: serde_json::Value = serde_json::from_str(&text).unwrap();
        let first = serde_json::json!({
            "node": "a:1", "states": {"up": 2}, "reason": "", "since_ms": 61_500, "connected_shards": 2, "functions": 2,
            "script": "00000000000000ab", "under_way": 3, "calls": 7, "errors": 1,
            "busiest_shard": {"running": 2, "queued": 1, "expected_us": 2_001, "free_lanes": 6},
        });
        assert_eq!(document["nodes"][0], first);
        assert_eq!(document["nodes"][1]["script"], serde_json::Value::Null);
        assert_eq!(document["state"], "serving");
    }
}
