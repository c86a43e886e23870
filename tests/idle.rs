//! Callers who come back after long: their sessions are over by then, and no call meets that.
//!
//! Setup: a node of one shard and an orchestrator in this process, over real sockets and mutual TLS.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use madrpc_core::call::CallError;
use madrpc_core::limits::{CLIENT_IDLE_MAX, CLIENT_IDLE_TIMEOUT};
use madrpc_core::stats::{STATS, Snapshot};
use madrpc_shard::client::Client;
use std::thread::{sleep, spawn};
use std::time::Duration;
use support::{Fleet, eventually};

const SCRIPT: &str = "madrpc.register('add', ([a, b]) => a + b);";

fn add(client: &Client) -> Result<i64, CallError> {
    client.call_blocking("add", &(1, 2))
}

/// Calls once, and three times after so long.
fn come_back(client: Client, pause: Duration) -> impl FnOnce() {
    let caller = spawn(move || {
        assert_eq!(add(&client), Ok(3));
        sleep(pause);
        for call in 0..3 {
            assert_eq!(add(&client), Ok(3), "call {call} after {pause:?}");
        }
    });
    move || caller.join().unwrap()
}

#[test]
fn the_first_call_after_long_is_like_any_other() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let orchestrator = fleet.orchestrator(&[node.address()]);
    let front = fleet.client(orchestrator.address());
    eventually("the orchestrator reaches the node", || add(&front).is_ok());
    // While the session is there, as it ends, as the server would end it, and long after.
    let near = Duration::from_millis(20);
    let pauses = [
        CLIENT_IDLE_MAX - near,
        CLIENT_IDLE_MAX,
        CLIENT_IDLE_MAX + near,
        CLIENT_IDLE_TIMEOUT - near,
        CLIENT_IDLE_TIMEOUT,
        CLIENT_IDLE_TIMEOUT + near,
        CLIENT_IDLE_TIMEOUT + Duration::from_secs(2),
    ];
    let mut callers = Vec::new();
    for pause in pauses {
        let addresses = [node.address(), orchestrator.address()];
        let both = addresses.map(|address| address.to_string()).join(",");
        for (address, connections) in [
            (addresses[0].to_string(), None),
            (addresses[1].to_string(), None),
            (addresses[0].to_string(), Some(3)),
            (both, None),
        ] {
            let mut config = fleet.client_config(addresses[0]);
            (config.address, config.connections) = (address, connections);
            callers.push(come_back(Client::new(&config).unwrap(), pause));
        }
    }
    // Meanwhile: one that has ended says goodbye, and its server does not wait for it to go silent.
    sleep(CLIENT_IDLE_MAX + Duration::from_millis(2_500));
    let watcher = fleet.client(node.address());
    let snapshot: Snapshot = watcher.call_blocking(STATS, &()).unwrap();
    let left = snapshot.sessions;
    assert!(left <= 20, "{left} sessions");
    for caller in callers {
        caller();
    }
}
