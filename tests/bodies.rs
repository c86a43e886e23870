//! Large arguments and results: they arrive whole, each goes its own way, and small calls wait for none of them.
//!
//! Setup: nodes of one shard, and orchestrators, in this process, over real sockets and mutual TLS.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use madrpc_core::call::ErrorKind;
use madrpc_core::identity::Role;
use madrpc_core::stats::{STATS, Snapshot};
use madrpc_core::value::Value;
use madrpc_shard::client::Client;
use madrpc_shard::server::Server;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;
use support::{Fleet, eventually};

const SCRIPT: &str = r#"
madrpc.register("echo", (value) => value);
madrpc.register("late", () => new Promise((done) => setTimeout(done, 100_000)), { memoryMb: 512 });
madrpc.register("size", (bytes) => bytes.byteLength, { memoryMb: 512 });
madrpc.register("length", (value) => value.length, { memoryMb: 512 });
madrpc.register("text", (length) => "é".repeat(length), { memoryMb: 512 });
madrpc.register("isText", ([text, part]) => text === part.repeat(text.length / part.length), { memoryMb: 512 });
"#;

#[test]
fn large_bodies_travel_both_ways_and_larger_ones_are_refused() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let client = fleet.client(node.address());
    let text = "x".repeat(5 << 20);
    let echoed: String = client.call_blocking("echo", &text).unwrap();
    assert_eq!(echoed.len(), text.len());
    assert!(echoed == text);
    let bytes = Value::Bytes(vec![0; (64 << 20) + 1]);
    let error = client.prepare("echo").send_blocking(bytes).unwrap_err();
    assert_eq!(error.kind, ErrorKind::PayloadTooLarge);
    assert!(!error.may_have_run);
}

#[test]
fn large_bodies_in_both_directions_at_once_do_not_wait_for_each_other() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let client = fleet.client(node.address());
    let text = "x".repeat(6 << 20);
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                let echoed: String = client.call_blocking("echo", &text).unwrap();
                assert!(echoed == text);
            });
        }
    });
}

#[test]
fn large_bodies_pass_through() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let orchestrator = fleet.orchestrator(&[node.address()]);
    let client = fleet.client(orchestrator.address());
    let bytes = Value::Bytes((0..3 << 20).map(|index: u32| (index % 251) as u8).collect());
    let reply = client.prepare("echo").send_blocking(bytes.clone()).unwrap();
    assert!(reply.result == bytes);
}

/// Makes small calls while large ones go on and on; all of either kind have to get their results.
fn beside(large: &Client, small: &Client, call_large: impl Fn(&Client) + Sync) {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let callers: Vec<_> = (0..3)
            .map(|_| {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        call_large(large);
                    }
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(200));
        let small = scope.spawn(|| {
            for number in 0..300 {
                let echoed = small.call_blocking::<_, i64>("echo", &number);
                assert_eq!(
                    echoed.unwrap_or_else(|error| panic!("{number}: {error}")),
                    number
                );
                thread::sleep(Duration::from_millis(2));
            }
        });
        let ended = small.join();
        is_over.store(true, Ordering::Relaxed);
        for caller in callers {
            caller.join().unwrap();
        }
        ended.unwrap();
    });
}

/// An orchestrator that has much to pass on to its only node once refused whatever else there was.
#[test]
fn small_calls_pass_large_arguments_on_their_way_through_an_orchestrator() {
    const BYTES: usize = 40_000_000;
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let orchestrator = fleet.orchestrator(&[node.address()]);
    let (large, small) = (
        fleet.client(orchestrator.address()),
        fleet.client(orchestrator.address()),
    );
    let text = "x".repeat(BYTES);
    let call = |client: &Client| {
        assert_eq!(
            client.call_blocking::<_, usize>("length", &text).unwrap(),
            BYTES
        );
    };
    beside(&large, &small, call);
}

/// The same caller's too, on the same session. How soon is for the bench `hogs` to say.
#[test]
fn small_calls_are_answered_beside_large_results_of_their_own_caller() {
    const CHARACTERS: usize = 20_000_000;
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let client = fleet.client(node.address());
    beside(&client, &client, |client| {
        let text: String = client.call_blocking("text", &CHARACTERS).unwrap();
        assert!(text.len() == 2 * CHARACTERS && text.chars().all(|one| one == 'é'));
    });
}

/// An orchestrator keeps large arguments to send them again, which is to take nothing from anybody.
#[test]
fn what_one_caller_has_under_way_leaves_another_its_share() {
    let fleet = Fleet::new();
    let nodes = [0; 2].map(|_| fleet.node(SCRIPT));
    let mut config = fleet.config(Role::Orchestrator, 1);
    config.memory_max_bytes = Some(128 << 20);
    let addresses = nodes.each_ref().map(Server::address);
    let orchestrator = Server::orchestrator(&config, &addresses).unwrap();
    let (one, other) = (
        fleet.client(orchestrator.address()),
        fleet.client(orchestrator.address()),
    );
    let call = |client: &Client, function: &'static str, mebibytes: usize| {
        let client = client.clone();
        let body = Value::Bytes(vec![7; mebibytes << 20]);
        move || {
            let call = client.prepare(function).timeout(Duration::from_secs(120));
            call.send_blocking(body).map(|reply| reply.result)
        }
    };
    let clients = addresses.map(|address| fleet.client(address));
    let running = || {
        let of = |client: &Client| {
            let snapshot: Snapshot = client.call_blocking(STATS, &()).unwrap();
            let cores = snapshot.cores.iter().map(|core| core.under_way);
            cores.sum::<u64>()
        };
        clients.iter().map(of).sum::<u64>()
    };
    let mut under_way = Vec::new();
    for count in 1..=3 {
        under_way.push(thread::spawn(call(&one, "late", 20)));
        eventually("the call has begun", || running() == count);
    }
    for _ in 0..3 {
        let length = call(&other, "size", 40)();
        assert_eq!(length, Ok(Value::Integer(40 << 20)));
    }
    assert!(under_way.iter().all(|call| !call.is_finished()));
    drop(orchestrator);
    for call in under_way {
        assert_eq!(
            call.join().unwrap().unwrap_err().kind,
            ErrorKind::Unavailable
        );
    }
}

/// Long texts are looked at in parts, whose ends fall into the middle of characters.
#[test]
fn a_long_text_is_the_same_on_the_other_side() {
    let fleet = Fleet::new();
    let node = fleet.node(SCRIPT);
    let client = fleet.client(node.address());
    for part in ["a漢é", "🦀", "ab🦀é"] {
        let text = part.repeat(500_000);
        let is_text: bool = client.call_blocking("isText", &(&text, part)).unwrap();
        assert!(is_text, "{part}");
        let echoed: String = client.call_blocking("echo", &text).unwrap();
        assert!(echoed == text, "{part}");
    }
}
