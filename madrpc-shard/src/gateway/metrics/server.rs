//! The metrics of a server's snapshot.

use super::families::{Durations, Families, Labels, Number};
use crate::gateway::functions::by_function;
use madrpc_core::call::ErrorKind;
use madrpc_core::stats::Snapshot;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use std::collections::BTreeMap;
use std::fmt::Error;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What OpenTelemetry calls the protocol.
const SYSTEM: (&str, &str) = ("rpc_system_name", "madrpc");

/// The states of a server and of an orchestrator's nodes; each has a line, so that a state that goes is seen to be 0.
const SERVER_STATES: [&str; 3] = ["serving", "draining", "drained"];
const MEMBER_STATES: [&str; 7] = [
    "up",
    "draining",
    "ejected",
    "double",
    "silent",
    "connecting",
    "down",
];

/// Why handshakes are refused, mostly.
const REASONS: [ErrorKind; 4] = [
    ErrorKind::Overloaded,
    ErrorKind::Protocol,
    ErrorKind::Unauthorized,
    ErrorKind::Unavailable,
];

/// What the shards of a server have counted.
#[derive(Debug)]
pub(super) struct Server(pub(super) Arc<Snapshot>);

impl Collector for Server {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let Self(snapshot) = self;
        let mut out = Families(encoder);
        whole(snapshot, &mut out)?;
        calls(snapshot, &mut out)?;
        network(snapshot, &mut out)?;
        match snapshot.role.as_str() {
            "node" => node(snapshot, &mut out),
            _ => members(snapshot, &mut out),
        }
    }
}

fn whole(snapshot: &Snapshot, out: &mut Families<'_>) -> Result<(), Error> {
    let build: Labels<'_> = &[
        ("version", env!("CARGO_PKG_VERSION")),
        ("role", &snapshot.role),
        ("name", &snapshot.name),
        ("steering", &snapshot.steering),
    ];
    out.info(
        "madrpc_build",
        "The server: its version, role, name and steering.",
        build,
    )?;
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let started = now.saturating_sub(Duration::from_millis(snapshot.uptime_ms));
    // Whole seconds: it is computed anew for each scrape, and must not seem to change.
    let started = started.saturating_add(Duration::from_millis(500)).as_secs();
    out.level(
        "madrpc_start_time_seconds",
        "When it was started, since the Unix epoch.",
        started,
    )?;
    let states: Vec<[(&str, &str); 1]> = SERVER_STATES.map(|state| [("state", state)]).into();
    let states: Vec<(Labels<'_>, Number)> = states
        .iter()
        .map(|label| {
            (
                &label[..],
                Number::Whole(u64::from(label[0].1 == snapshot.state)),
            )
        })
        .collect();
    out.gauge(
        "madrpc_state",
        "Whether it takes calls: 1 for its state.",
        &states,
    )?;
    out.level("madrpc_shards", "Its shards.", snapshot.shards.into())?;
    let silent = snapshot.silent_shards.into();
    out.level(
        "madrpc_shards_silent",
        "Shards that did not answer this scrape, and whose counts are missing in it.",
        silent,
    )?;
    out.level(
        "madrpc_memory_used_bytes",
        "Bytes held for callers and nodes.",
        snapshot.memory_used_bytes,
    )?;
    out.level(
        "madrpc_memory_limit_bytes",
        "Bytes that may be held for them (--memory-max).",
        snapshot.memory_max_bytes,
    )?;
    out.level(
        "madrpc_sessions",
        "Sessions open with callers.",
        snapshot.sessions,
    )?;
    out.level(
        "madrpc_calls_under_way",
        "Calls of callers that have no answer yet.",
        snapshot.under_way,
    )
}

fn calls(snapshot: &Snapshot, out: &mut Families<'_>) -> Result<(), Error> {
    let functions = by_function(&snapshot.rows);
    let mut lines: Vec<([(&str, &str); 3], u64)> = Vec::new();
    for (name, calls) in &functions {
        let label = |outcome, kind| {
            [
                ("function", *name),
                ("outcome", outcome),
                ("error_type", kind),
            ]
        };
        lines.push((label("ok", ""), calls.results()));
        lines.extend(
            calls
                .errors
                .iter()
                .map(|(kind, count)| (label("error", *kind), *count)),
        );
    }
    out.counter(
        "madrpc_calls",
        "Calls that ended, by function, outcome and kind of error.",
        &numbers(&lines),
    )?;
    let labels: Vec<[(&str, &str); 2]> = functions
        .keys()
        .map(|name| [SYSTEM, ("rpc_method", *name)])
        .collect();
    let latencies: Vec<Vec<(u64, u64)>> = functions
        .values()
        .map(|calls| {
            calls
                .latencies
                .iter()
                .map(|(us, count)| (*us, *count))
                .collect()
        })
        .collect();
    let durations = labels.iter().zip(&latencies).zip(functions.values());
    let durations: Vec<(Labels<'_>, Durations<'_>)> = durations
        .map(|((labels, buckets), calls)| {
            let sum_us = calls.latency_sum_us;
            (&labels[..], Durations { buckets, sum_us })
        })
        .collect();
    let help = "Time from a call's arrival to its answer, by function.";
    out.durations("rpc_server_call_duration", help, &durations)?;
    if snapshot.role == "node" {
        let labels: Vec<[(&str, &str); 1]> =
            functions.keys().map(|name| [("function", *name)]).collect();
        let cpu = labels.iter().zip(functions.values());
        let cpu: Vec<(Labels<'_>, Number)> = cpu
            .map(|(label, calls)| (&label[..], Number::Us(calls.cpu_us)))
            .collect();
        out.counter(
            "madrpc_call_cpu_seconds",
            "Time that calls had the core, by function.",
            &cpu,
        )?;
    }
    // Those of no stall too: what counts from the first one on would not be seen to grow by it.
    let mut stalls: BTreeMap<&str, u64> = functions.keys().map(|name| (*name, 0)).collect();
    stalls.extend(
        snapshot
            .stalls
            .iter()
            .map(|(name, count)| (name.as_str(), *count)),
    );
    let stalls: Vec<_> = stalls
        .into_iter()
        .map(|(name, count)| ([("function", name)], count))
        .collect();
    let help = "How often a core was held for half a second and more by what cannot be interrupted, by function.";
    out.counter("madrpc_stalls", help, &numbers(&stalls))
}

fn network(snapshot: &Snapshot, out: &mut Families<'_>) -> Result<(), Error> {
    let mut refused: BTreeMap<&str, u64> = REASONS.map(|kind| (kind.name(), 0)).into();
    refused.extend(
        snapshot
            .refused
            .iter()
            .map(|(kind, count)| (kind.as_str(), *count)),
    );
    let refused: Vec<_> = refused
        .into_iter()
        .map(|(kind, count)| ([("reason", kind)], count))
        .collect();
    let help =
        "Handshakes that became no session, and sessions that were refused, by the kind of error.";
    out.counter("madrpc_handshakes_refused", help, &numbers(&refused))?;
    out.level(
        "madrpc_handshakes_open",
        "Handshakes that are not over.",
        snapshot.handshakes,
    )?;
    let moved = |received, sent| {
        [
            ([("direction", "received")], received),
            ([("direction", "sent")], sent),
        ]
    };
    let (received, sent) = (snapshot.received, snapshot.sent);
    let datagrams = moved(received.datagrams, sent.datagrams);
    out.counter("madrpc_datagrams", "Datagrams moved.", &numbers(&datagrams))?;
    let batches = moved(received.batches, sent.batches);
    let help = "System calls that moved datagrams: datagrams by batches is the size of a batch.";
    out.counter("madrpc_datagram_batches", help, &numbers(&batches))?;
    for (name, help, number) in [
        (
            "madrpc_datagrams_misrouted",
            "Datagrams that reached another shard than theirs.",
            snapshot.misrouted,
        ),
        (
            "madrpc_datagrams_relayed",
            "Those of them that were handed to theirs.",
            snapshot.relayed,
        ),
        (
            "madrpc_datagrams_relay_dropped",
            "Those of them that were dropped, as it did not keep up.",
            snapshot.relay_dropped,
        ),
        (
            "madrpc_migrations",
            "How often a client's address changed in a session.",
            snapshot.migrations,
        ),
        (
            "madrpc_address_validations",
            "How often a client was asked to prove its address (QUIC Retry).",
            snapshot.retries,
        ),
        (
            "madrpc_stateless_resets",
            "How often a peer was told that its session is not known.",
            snapshot.resets,
        ),
        (
            "madrpc_spans_dropped",
            "Spans of traces that their receiver did not get: it is away, does not keep up or refuses them.",
            snapshot.spans_dropped,
        ),
    ] {
        out.total(name, help, number)?;
    }
    Ok(())
}

fn node(snapshot: &Snapshot, out: &mut Families<'_>) -> Result<(), Error> {
    let digest = format!("{:016x}", snapshot.script);
    out.info(
        "madrpc_script",
        "The script, by the first eight bytes of its SHA-256.",
        &[("digest", &digest)],
    )?;
    out.level(
        "madrpc_calls_queued",
        "Calls that wait for a lane.",
        snapshot.queued,
    )?;
    let lanes = [
        ([("state", "running")], snapshot.lanes_running),
        ([("state", "waiting")], snapshot.lanes_waiting),
        ([("state", "free")], snapshot.lanes_free),
    ];
    let help = "Lanes: with a call that has or wants the core, with one that waits for something, and without one.";
    out.gauge("madrpc_lanes", help, &numbers(&lanes))?;
    let waits = Durations {
        buckets: &snapshot.queue_wait_us,
        sum_us: snapshot.queue_wait_sum_us,
    };
    out.durations(
        "madrpc_queue_wait",
        "Time from a call's arrival to when it has the core first.",
        &[(&[], waits)],
    )
}

fn members(snapshot: &Snapshot, out: &mut Families<'_>) -> Result<(), Error> {
    let mut states: BTreeMap<&str, u64> = MEMBER_STATES.map(|state| (state, 0)).into();
    for upstream in &snapshot.upstreams {
        if let Some(state) = upstream.state() {
            let count = states.entry(state).or_default();
            *count = count.saturating_add(1);
        }
    }
    let states: Vec<_> = states
        .into_iter()
        .map(|(state, count)| ([("state", state)], count))
        .collect();
    out.gauge(
        "madrpc_members",
        "Nodes, by how most of the shards see them.",
        &numbers(&states),
    )?;
    let mut nodes: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for row in &snapshot.rows {
        let (calls, errors) = nodes.entry(&row.node).or_default();
        *calls = calls.saturating_add(row.calls);
        *errors = errors.saturating_add(row.error_count());
    }
    let mut lines = Vec::new();
    for (node, (calls, errors)) in nodes {
        lines.push((
            [("member", node), ("outcome", "ok")],
            calls.saturating_sub(errors),
        ));
        lines.push(([("member", node), ("outcome", "error")], errors));
    }
    out.counter(
        "madrpc_member_calls",
        "Calls that ended, by the node that they were on and outcome.",
        &numbers(&lines),
    )?;
    for (name, help, number) in [
        (
            "madrpc_call_retries",
            "Calls that were put on another node.",
            snapshot.call_retries,
        ),
        (
            "madrpc_call_hedges",
            "Calls that a second node was asked for while the first was at it.",
            snapshot.call_hedges,
        ),
        (
            "madrpc_ejections",
            "How often a node was left out for a while, counted by each shard.",
            snapshot.ejections,
        ),
    ] {
        out.total(name, help, number)?;
    }
    Ok(())
}

fn numbers<'a, const N: usize>(
    lines: &'a [([(&'static str, &'a str); N], u64)],
) -> Vec<(Labels<'a>, Number)> {
    lines
        .iter()
        .map(|(labels, number)| (&labels[..], Number::Whole(*number)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Requests, write};
    use super::*;
    use madrpc_core::stats::{Row, Upstream};

    fn row(node: &str, function: &str) -> Row {
        Row {
            node: node.into(),
            function: function.into(),
            calls: 5,
            errors: vec![("JavaScript".into(), 2)],
            latency_us: vec![(9, 3), (2_000, 2)],
            latency_sum_us: 4_027,
            cpu_us: 1_500,
        }
    }

    fn text(snapshot: Snapshot) -> String {
        write(Arc::new(snapshot), &Requests::default(), true).unwrap()
    }

    #[test]
    fn a_function_has_its_lines_whatever_its_name() {
        let text = text(Snapshot {
            role: "node".into(),
            rows: vec![row("n", "a \"b\"\\\nc"), row("n", "(other)")],
            ..Snapshot::default()
        });
        for line in [
            r#"madrpc_calls_total{function="a \"b\"\\\nc",outcome="ok",error_type=""} 3"#,
            r#"madrpc_calls_total{function="(other)",outcome="error",error_type="JavaScript"} 2"#,
            r#"rpc_server_call_duration_seconds_bucket{le="0.00001",rpc_system_name="madrpc",rpc_method="(other)"} 3"#,
            r#"rpc_server_call_duration_seconds_bucket{le="0.0025",rpc_system_name="madrpc",rpc_method="(other)"} 5"#,
            r#"rpc_server_call_duration_seconds_sum{rpc_system_name="madrpc",rpc_method="(other)"} 0.004027"#,
            r#"madrpc_call_cpu_seconds_total{function="(other)"} 0.0015"#,
        ] {
            assert!(
                text.lines().any(|one| one == line),
                "no `{line}` in\n{text}"
            );
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn members_are_counted_once_by_what_most_shards_say() {
        let seen = |states: &[(&str, u16)]| Upstream {
            states: states
                .iter()
                .map(|(state, shards)| ((*state).to_owned(), *shards))
                .collect(),
            ..Upstream::default()
        };
        let text = text(Snapshot {
            role: "orchestrator".into(),
            upstreams: vec![seen(&[("down", 1), ("up", 3)]), seen(&[("ejected", 4)])],
            rows: vec![row("a:1", "f"), row("b:1", "f")],
            ..Snapshot::default()
        });
        for line in [
            r#"madrpc_members{state="up"} 1"#,
            r#"madrpc_members{state="ejected"} 1"#,
            r#"madrpc_members{state="down"} 0"#,
            r#"madrpc_member_calls_total{member="b:1",outcome="ok"} 3"#,
            r#"madrpc_calls_total{function="f",outcome="ok",error_type=""} 6"#,
        ] {
            assert!(
                text.lines().any(|one| one == line),
                "no `{line}` in\n{text}"
            );
        }
        assert!(!text.contains("madrpc_lanes"));
    }
}
