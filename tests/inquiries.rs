//! What can be called is everybody's to ask: it costs the servers little, however often it is asked for and with whatever arguments.
//!
//! Setup: nodes with many functions and an orchestrator, of one shard each, in this process. What nodes send and receive is counted.
#![allow(clippy::unwrap_used, reason = "that is how a test fails")]

mod support;

use futures_lite::future::block_on;
use futures_util::future::join_all;
use madrpc_core::call::ErrorKind;
use madrpc_core::call::catalog::{Catalog, FUNCTIONS};
use madrpc_core::stats::{STATS, Snapshot};
use madrpc_core::value::{Value, from_value};
use madrpc_shard::client::Client;
use madrpc_shard::server::Server;
use std::fmt::Write;
use std::time::Duration;
use support::Fleet;

fn many(functions: usize) -> String {
    let mut script = String::new();
    for number in 0..functions {
        writeln!(
            script,
            "madrpc.register('function{number}', () => {number});"
        )
        .unwrap();
    }
    script
}

fn told(client: &Client) -> Snapshot {
    client.call_blocking(STATS, &()).unwrap()
}

#[test]
fn an_orchestrator_passes_nothing_on_of_what_was_sent_with_the_question() {
    let fleet = Fleet::new();
    let node = fleet.node(&many(3));
    let orchestrator = fleet.orchestrator(&[node.address()]);
    let [asker, watcher] = [orchestrator.address(), node.address()].map(|at| fleet.client(at));
    let before = told(&watcher).received.datagrams;
    for _ in 0..5 {
        let argument = "x".repeat(1_000_000);
        let catalog: Catalog = asker.call_blocking(FUNCTIONS, &argument).unwrap();
        assert_eq!(catalog.functions.len(), 3);
    }
    let received = told(&watcher).received.datagrams - before;
    assert!(received < 200, "{received} datagrams");
}

#[test]
fn the_nodes_are_asked_once_for_all_who_ask_meanwhile() {
    let fleet = Fleet::new();
    let nodes = [fleet.node(&many(1000)), fleet.node(&many(500))];
    let addresses = nodes.each_ref().map(Server::address);
    let orchestrator = fleet.orchestrator(&addresses);
    let watcher = fleet.client(nodes[0].address());
    let first: Catalog = watcher.call_blocking(FUNCTIONS, &()).unwrap();
    assert_eq!(first.functions.len(), 1000);
    // What one answer is, with all that goes with it.
    let before = told(&watcher).sent.datagrams;
    let _: Catalog = watcher.call_blocking(FUNCTIONS, &()).unwrap();
    let one = told(&watcher).sent.datagrams - before;

    let askers: Vec<Client> = (0..10)
        .map(|_| fleet.client(orchestrator.address()))
        .collect();
    let before = told(&watcher).sent.datagrams;
    let (mut answered, mut refused) = (0, 0);
    let asked = askers.iter().flat_map(|asker| {
        (0..20).map(|_| {
            asker
                .prepare(FUNCTIONS)
                .timeout(Duration::from_secs(20))
                .send(Value::Null)
        })
    });
    for reply in block_on(join_all(asked)) {
        match reply {
            Ok(reply) => {
                let catalog: Catalog = from_value(reply.result).unwrap();
                assert_eq!(catalog.functions.len(), 1000);
                assert_eq!(catalog.functions[0].nodes.len(), 2);
                answered += 1;
            }
            Err(error) => {
                assert_eq!(
                    (error.kind, error.may_have_run),
                    (ErrorKind::Overloaded, false)
                );
                refused += 1;
            }
        }
    }
    assert!(answered >= 10 && answered + refused == 200, "{answered}");
    let sent = told(&watcher).sent.datagrams - before;
    assert!(sent < 20 * one, "{sent} datagrams, and an answer has {one}");
}
