//! Claim: calls of a key go to one node, by whichever orchestrator they come and whatever the others do; and an orchestrator
//! that is to have some of the nodes has no sessions to the others; and it is told what nodes do for
//! others.
//!
//! Setup: orchestrators of one shard and nodes of one shard each, in this process, over real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use madrpc_core::call::ErrorKind;
use madrpc_core::fleet::{Balance, Routing};
use madrpc_core::identity::Role;
use madrpc_core::limits::KEY_MAX_BYTES;
use madrpc_core::stats::{STATS, Snapshot};
use madrpc_core::value::Value;
use madrpc_shard::client::Client;
use madrpc_shard::net::address::Addresses;
use madrpc_shard::server::{Server, ServerConfig};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::{Fleet, eventually};

const SCRIPT: &str = r#"madrpc.register("echo", (value) => value, { idempotent: true });"#;

const NODES: usize = 4;

fn orchestrator(fleet: &Fleet, nodes: &[Server], routing: Routing) -> Server {
    let config = ServerConfig {
        routing,
        ..fleet.config(Role::Orchestrator, 1)
    };
    let nodes: Vec<Addresses> = nodes.iter().map(|node| node.address().into()).collect();
    Server::orchestrator(&config, &nodes).unwrap()
}

/// Nodes that the orchestrator has sessions to.
fn sessions(client: &Client) -> usize {
    let snapshot: Snapshot = client.call_blocking(STATS, &()).unwrap();
    let open = snapshot
        .upstreams
        .iter()
        .filter(|upstream| upstream.connected_shards > 0);
    open.count()
}

fn node_of(client: &Client, key: &str) -> String {
    let call = client.prepare("echo").key(key.as_bytes());
    call.send_blocking(Value::Integer(7)).unwrap().bill.node
}

#[test]
fn calls_of_a_key_go_to_one_node_by_any_orchestrator() {
    let fleet = Fleet::new();
    let mut nodes: Vec<Server> = (0..NODES).map(|_| fleet.node(SCRIPT)).collect();
    let routing = Routing {
        balance: Balance::Hash,
        ..Routing::default()
    };
    let orchestrators = [(); 2].map(|()| orchestrator(&fleet, &nodes, routing));
    let clients = orchestrators
        .each_ref()
        .map(|server| fleet.client(server.address()));
    for client in &clients {
        eventually("sessions to all nodes", || sessions(client) == NODES);
    }
    let keys: Vec<String> = (0..40).map(|number| format!("user {number}")).collect();
    let of = |client| -> Vec<String> { keys.iter().map(|key| node_of(client, key)).collect() };
    let before = of(&clients[0]);
    assert_eq!(before, of(&clients[1]));
    assert_eq!(before, of(&clients[0]));
    let met: BTreeSet<&String> = before.iter().collect();
    assert_eq!(met.len(), NODES);
    // A node goes: its keys go to others, and no other does.
    let gone = nodes.pop().unwrap();
    let name = gone.name().to_owned();
    drop(gone);
    let after = of(&clients[0]);
    for (before, after) in before.iter().zip(&after) {
        assert_ne!(*after, name);
        assert!(before == after || *before == name, "{before}, {after}");
    }
    let call = clients[0].prepare("echo");
    let long = vec![7; KEY_MAX_BYTES + 1];
    let error = call.key(&long).send_blocking(Value::Null).unwrap_err();
    assert_eq!(error.kind, ErrorKind::BadArguments);
}

#[test]
fn an_orchestrator_is_told_what_a_node_does_for_others() {
    is_told_with_answers_of("echo");
}

#[test]
fn an_orchestrator_is_told_so_with_failures_too() {
    is_told_with_answers_of("fail");
}

fn is_told_with_answers_of(function: &'static str) {
    let fleet = Fleet::new();
    let script = r#"madrpc.register("spin", () => { const end = Date.now() + 40; while (Date.now() < end); });
        madrpc.register("echo", (value) => value);
        madrpc.register("fail", () => { throw new Error("no"); });"#;
    let nodes = [fleet.node(script), fleet.node(script)];
    let server = orchestrator(&fleet, &nodes, Routing::default());
    let client = fleet.client(server.address());
    eventually("sessions to both nodes", || sessions(&client) == 2);
    let direct = fleet.client(nodes[0].address());
    let is_over = AtomicBool::new(false);
    // Where the test fails, too.
    let latest = Instant::now() + Duration::from_secs(60);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) && Instant::now() < latest {
                    direct.call_blocking::<_, Value>("spin", &()).unwrap();
                }
            });
        }
        // As soon as the node knows what such a call costs.
        eventually("the busy node is known as one", || {
            let _ = client.call_blocking::<_, Value>(function, &());
            let snapshot: Snapshot = client.call_blocking(STATS, &()).unwrap();
            let expected_us = |node: &Server| {
                let mut known = snapshot.upstreams.iter();
                let known = known.find(|one| one.node == node.name());
                known
                    .and_then(|one| one.busiest)
                    .map(|load| load.expected_us)
            };
            expected_us(&nodes[0]).is_some_and(|us| us > 40_000)
                && expected_us(&nodes[1]).is_none_or(|us| us < 20_000)
        });
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn an_orchestrator_has_sessions_to_its_part_of_the_nodes() {
    let fleet = Fleet::new();
    let nodes: Vec<Server> = (0..NODES).map(|_| fleet.node(SCRIPT)).collect();
    let routing = Routing {
        subset: Some(2),
        ..Routing::default()
    };
    let server = orchestrator(&fleet, &nodes, routing);
    let client = fleet.client(server.address());
    // And to one more at a time, which is asked what it has.
    eventually("sessions to two nodes", || {
        [2, 3].contains(&sessions(&client))
    });
    let met: BTreeSet<String> = (0..20).map(|_| node_of(&client, "any")).collect();
    assert_eq!(met.len(), 2);
    let snapshot: Snapshot = client.call_blocking(STATS, &()).unwrap();
    assert!([2, 3].contains(&snapshot.upstreams.len()));
}
