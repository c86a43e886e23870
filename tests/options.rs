//! Limits that a function has of its own, by what is said when it is registered.
//!
//! Setup: a node of one shard and one lane in this process, over real sockets and mutual TLS.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::identity::Role;
use madrpc_core::value::Value;
use madrpc_shard::client::Client;
use madrpc_shard::engine::Script;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::Server;
use std::time::Duration;
use support::Fleet;

const SCRIPT: &str = r#"
madrpc.register("echo", (value) => value);
madrpc.register("length", (value) => value.length);
const depth = (n) => { try { return depth(n + 1); } catch { return n; } };
madrpc.register("depth", () => depth(0));
madrpc.register("depthSmall", () => depth(0), { stackKb: 64 });
madrpc.register("deepSmall", () => { const down = () => down() + 1; return down(); }, { stackKb: 64 });
madrpc.register("lengthSmall", (value) => value.length, { bodyKb: 2 });
madrpc.register("fillSmall", (length) => "x".repeat(length), { bodyKb: 2 });
madrpc.register("spinAlone", () => { for (;;) {} }, { queue: 2, cpuMs: 400 });
"#;

fn node(fleet: &Fleet) -> Server {
    let settings = NodeConfig {
        pool_size: Some(1),
        ..NodeConfig::default()
    };
    let script = Script::new("test.js", SCRIPT);
    Server::node(&fleet.config(Role::Node, 1), &script, &settings).unwrap()
}

fn call(client: &Client, function: &str, argument: i64) -> Result<Value, CallError> {
    client.call_blocking(function, &argument)
}

#[test]
fn a_function_has_a_stack_and_a_size_of_bodies_of_its_own() {
    let fleet = Fleet::new();
    let node = node(&fleet);
    let client = fleet.client(node.address());
    let depth = |function: &str| match call(&client, function, 0).unwrap() {
        Value::Integer(depth) => depth,
        other => panic!("{other:?}"),
    };
    let (all, small) = (depth("depth"), depth("depthSmall"));
    assert!(small * 4 < all && small > 10, "{small} of {all}");
    // In the same lane, in turns.
    assert_eq!((depth("depth"), depth("depthSmall")), (all, small));
    let words = ["64 KiB", "stackKb"];
    let error = call(&client, "deepSmall", 0).unwrap_err();
    assert_eq!(error.kind, ErrorKind::StackLimit);
    assert!(
        words.iter().all(|word| error.message.contains(word)),
        "{error}"
    );
    let words = ["limit is 2048", "bodyKb"];
    let error = client.call_blocking::<_, Value>("lengthSmall", &"x".repeat(3000));
    let error = error.unwrap_err();
    assert_eq!(error.kind, ErrorKind::PayloadTooLarge);
    assert!(
        words.iter().all(|word| error.message.contains(word)),
        "{error}"
    );
    let error = call(&client, "fillSmall", 3000).unwrap_err();
    assert_eq!(error.kind, ErrorKind::PayloadTooLarge);
    assert!(error.message.contains("2048"), "{error}");
    let length: i64 = client.call_blocking("length", &"x".repeat(3000)).unwrap();
    assert_eq!(length, 3000);
}

#[test]
fn a_function_has_a_queue_of_its_own() {
    let fleet = Fleet::new();
    let node = node(&fleet);
    let client = fleet.client(node.address());
    let errors: Vec<CallError> = std::thread::scope(|scope| {
        let spin = || scope.spawn(|| call(&client, "spinAlone", 0).unwrap_err());
        let mut calls = vec![spin()];
        // It has its lane by then, which is made for it.
        std::thread::sleep(Duration::from_millis(100));
        calls.extend((0..30).map(|_| spin()));
        std::thread::sleep(Duration::from_millis(100));
        // Calls of others still wait for the lane.
        assert!(call(&client, "echo", 0).is_ok());
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let refused = errors
        .iter()
        .filter(|error| error.kind == ErrorKind::Overloaded);
    // One at a time begins, for a millisecond.
    assert!(refused.clone().count() >= 10, "{errors:?}");
    for error in refused {
        assert!(error.message.contains("2 of its calls wait"), "{error}");
        assert!(!error.may_have_run);
    }
}
