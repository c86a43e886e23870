//! The memory of a node's lanes: calls that hold much, each within its own limit, do not fill the node together, and nobody
//! else notices them.
//!
//! Setup: a node of one shard in this process, whose lanes may have 128 MiB together. One test, as it looks at what the
//! process takes.
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
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use support::{Fleet, rss};

const SCRIPT: &str = r#"
const sleep = (ms) => new Promise((wake) => setTimeout(wake, ms));
const block = () => new Uint8Array(1 << 20).fill(1);
madrpc.register("ping", (value) => value);
madrpc.register("hold", async (count) => { const all = new Uint8Array(count << 20).fill(1); await sleep(1000); return all.length; });
madrpc.register("grow", (count) => {
    const all = [];
    while (all.length < count) { all.push(block()); const end = Date.now() + 5; while (Date.now() < end); }
    return all.length;
});
madrpc.register("jump", async (count) => {
    const end = Date.now() + 10; while (Date.now() < end);
    const all = new Uint8Array(count << 20).fill(1);
    await sleep(1000);
    return all.length;
});
globalThis.kept = [];
madrpc.register("keep", async (count) => { for (let i = 0; i < count; i++) globalThis.kept.push(block()); await sleep(300); return count; });
"#;

const MIB: usize = 1 << 20;

/// What the lanes may hold together.
const LANES_MAX: usize = 128 * MIB;

/// What each call may, by the node's default.
const CALL_MAX: usize = 64 * MIB;

/// So many calls at a time; gives what came of them and the most that the process took meanwhile, while `other` calls.
fn many(
    client: &Client,
    other: &Client,
    function: &str,
    argument: &Value,
) -> (Vec<Result<Value, CallError>>, usize) {
    let is_over = AtomicBool::new(false);
    let peak = AtomicUsize::new(0);
    let ended = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..40)
            .map(|_| {
                let call = client.prepare(function).timeout(Duration::from_secs(20));
                let argument = argument.clone();
                scope.spawn(move || call.send_blocking(argument).map(|reply| reply.result))
            })
            .collect();
        scope.spawn(|| {
            let mut number = 0_i64;
            while !is_over.load(Ordering::Relaxed) {
                number += 1;
                let echoed: i64 = other
                    .call_blocking("ping", &number)
                    .unwrap_or_else(|error| panic!("beside {function}: {error}"));
                assert_eq!(echoed, number);
                peak.fetch_max(rss(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(2));
            }
        });
        let ended = calls.into_iter().map(|call| call.join().unwrap()).collect();
        is_over.store(true, Ordering::Relaxed);
        ended
    });
    (ended, peak.into_inner())
}

/// Waits until the process takes no more than that.
fn falls_to(bytes: usize) -> bool {
    let until = Instant::now() + Duration::from_secs(20);
    while rss() > bytes {
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    true
}

#[test]
fn calls_that_hold_much_do_not_fill_a_node_together() {
    let fleet = Fleet::new();
    let mut config = fleet.config(Role::Node, 1);
    config.memory_max_bytes = Some(2 * LANES_MAX as u64);
    let script = Script::new("memory.js", SCRIPT);
    let node = Server::node(&config, &script, &NodeConfig::default()).unwrap();
    let (client, other) = (fleet.client(node.address()), fleet.client(node.address()));
    let _: i64 = client.call_blocking("ping", &1).unwrap();
    let _: i64 = other.call_blocking("ping", &1).unwrap();
    let begun = rss();
    // A quarter more than they may, one call, and what is on its way back.
    let most = begun + LANES_MAX + LANES_MAX / 4 + CALL_MAX + 32 * MIB;
    for function in ["hold", "grow", "jump"] {
        let (ended, peak) = many(&client, &other, function, &Value::Integer(30));
        let kept: Vec<_> = ended.iter().filter(|one| one.is_ok()).collect();
        let refused = ended.iter().filter_map(|one| one.as_ref().err());
        assert!(kept.len() >= 2, "{function}: {ended:?}");
        for error in refused {
            assert_eq!(error.kind, ErrorKind::Overloaded, "{function}: {error}");
            assert!(error.message.contains("--memory-max"), "{error}");
        }
        assert!(peak < most, "{function}: {} MiB more", (peak - begun) >> 20);
        assert!(
            falls_to(begun + 64 * MIB),
            "{function}: {} MiB are left",
            (rss() - begun) >> 20
        );
    }
    // What scripts remember is bounded over all lanes together.
    let (ended, _) = many(&client, &other, "keep", &Value::Integer(2));
    assert!(ended.iter().all(Result::is_ok), "{ended:?}");
    assert!(
        falls_to(begun + LANES_MAX / 8 + 64 * MIB),
        "{} MiB are left",
        (rss() - begun) >> 20
    );
    // And one call alone has what it may have.
    let alone: i64 = client.call_blocking("hold", &60).unwrap();
    assert_eq!(alone as usize, 60 * MIB);
}
