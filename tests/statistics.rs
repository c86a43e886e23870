//! Statistics cost a bounded amount, whatever callers name and however often they ask.
//!
//! Setup: servers of one or two shards in this process, over real sockets and mutual TLS.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use futures_lite::future::{block_on, poll_once};
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::identity::Role;
use madrpc_core::stats::STATS;
use madrpc_core::stats::{Snapshot, UNKNOWN_FUNCTIONS};
use madrpc_core::value::{Value, from_value};
use madrpc_shard::client::{Client, Reply};
use madrpc_shard::server::Server;
use madrpc_shard::server::heartbeat::Heartbeat;
use std::collections::BTreeSet;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};
use support::{Fleet, eventually};

const SCRIPT: &str = r#"
madrpc.register("echo", (value) => value);
madrpc.register("fail", () => { throw new TypeError("no good"); });
"#;

type Outcome = Result<Reply<Value>, CallError>;

/// More than any table of names ever held.
const INVENTED: usize = 5000;

fn snapshot(client: &Client) -> Snapshot {
    client.call_blocking(STATS, &()).unwrap()
}

/// The outcomes of calls that are all under way at the same time.
fn together<'a>(client: &Client, names: impl IntoIterator<Item = &'a str>) -> Vec<Outcome> {
    let calls = names.into_iter();
    let calls = calls.map(|name| Box::pin(client.prepare(name).send(Value::Null)));
    let mut calls: Vec<_> = calls.collect();
    block_on(async {
        let mut early = Vec::new();
        for call in &mut calls {
            early.push(poll_once(call).await);
        }
        let mut outcomes = Vec::new();
        for (call, outcome) in calls.into_iter().zip(early) {
            outcomes.push(match outcome {
                Some(outcome) => outcome,
                None => call.await,
            });
        }
        outcomes
    })
}

/// Calls so many functions that nobody has.
fn invent(client: &Client, count: usize) {
    for first in (0..count).step_by(100) {
        let names = (first..first + 100).map(|number| format!("invented {number:0100}"));
        let names: Vec<String> = names.collect();
        for outcome in together(client, names.iter().map(String::as_str)) {
            assert_eq!(outcome.unwrap_err().kind, ErrorKind::NoSuchFunction);
        }
    }
}

/// The functions that have rows, each with its calls.
fn rows(snapshot: &Snapshot) -> Vec<(&str, u64)> {
    let rows = snapshot.rows.iter();
    rows.map(|row| (row.function.as_str(), row.calls)).collect()
}

#[test]
fn names_that_callers_invent_have_one_row_and_leave_the_others_theirs() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let orchestrator = fleet.orchestrator(&[node.address()]);
    let client = fleet.client(orchestrator.address());
    eventually("a session to the node", || {
        let upstreams = snapshot(&client).upstreams;
        upstreams
            .iter()
            .any(|upstream| upstream.connected_shards > 0)
    });
    invent(&client, INVENTED);
    let direct = fleet.client(node.address());
    client.call_blocking::<_, Value>("echo", &1).unwrap();
    client.call_blocking::<_, Value>("fail", &1).unwrap_err();
    for client in [&client, &direct] {
        let snapshot = snapshot(client);
        let expected = [
            (UNKNOWN_FUNCTIONS, INVENTED as u64),
            ("echo", 1),
            ("fail", 1),
        ];
        assert_eq!(rows(&snapshot), expected, "{}", snapshot.role);
    }
}

#[test]
fn names_that_find_no_node_have_no_row_either() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let orchestrator = fleet.orchestrator(&[node.address()]);
    let client = fleet.client(orchestrator.address());
    eventually("a session to the node", || {
        client.call_blocking::<_, Value>("echo", &1).is_ok()
    });
    drop(node);
    for number in 0..50 {
        let error = client.call_blocking::<_, Value>(&format!("invented {number}"), &());
        assert_eq!(error.unwrap_err().kind, ErrorKind::Unavailable);
    }
    let snapshot = snapshot(&client);
    let names: BTreeSet<&str> = rows(&snapshot).iter().map(|(name, _)| *name).collect();
    assert_eq!(names, BTreeSet::from([UNKNOWN_FUNCTIONS, "echo"]));
}

#[test]
fn callers_who_ask_without_end_share_few_snapshots_and_the_heart_beats_on() {
    const BEAT: Duration = Duration::from_millis(50);
    let fleet = Fleet::new();
    let script = madrpc_shard::engine::Script::new("test.js", SCRIPT);
    let node = Server::node(&fleet.config(Role::Node, 1), &script, &Default::default()).unwrap();
    let (tell, beats) = channel();
    node.watch(Heartbeat {
        every: BEAT,
        stall_limit: Duration::from_secs(60),
        tell: Box::new(move |pulse| {
            let _ = tell.send((Instant::now(), pulse.is_alive()));
        }),
    });
    let begun = Instant::now();
    let asking: Vec<_> = (0..4)
        .map(|_| {
            let client = fleet.client(node.address());
            std::thread::spawn(move || {
                let mut seen = BTreeSet::new();
                while begun.elapsed() < Duration::from_secs(2) {
                    seen.insert(snapshot(&client).uptime_ms);
                }
                seen
            })
        })
        .collect();
    let seen: BTreeSet<u64> = asking
        .into_iter()
        .flat_map(|thread| thread.join().unwrap())
        .collect();
    let elapsed = begun.elapsed();
    // One each 100 ms for the callers, and those of the heartbeat are shared with them.
    let bound = elapsed.as_millis() / 100 + elapsed.as_millis() / BEAT.as_millis() + 2;
    assert!(
        !seen.is_empty() && seen.len() as u128 <= bound,
        "{} in {elapsed:?}",
        seen.len()
    );
    let beats: Vec<_> = beats.try_iter().collect();
    assert!(beats.len() >= 4 && beats.iter().all(|(_, alive)| *alive));
}

#[test]
fn one_session_does_not_queue_up_for_snapshots() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let client = fleet.client(node.address());
    // The next one is made a while after this.
    snapshot(&client);
    let outcomes = together(&client, [STATS; 200]);
    let (mut answers, mut refused) = (0, 0);
    for outcome in outcomes {
        match outcome {
            Ok(reply) => {
                from_value::<Snapshot>(reply.result).unwrap();
                answers += 1;
            }
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::Overloaded, "{error}");
                refused += 1;
            }
        }
    }
    assert!(
        answers >= 8 && refused > 0,
        "{answers} answers, {refused} refused"
    );
    // Those who wait no more leave their places.
    snapshot(&client);
}
