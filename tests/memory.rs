//! Memory stays flat, whatever calls fail of.
//!
//! Setup: a node of one shard and two lanes in this process, which has no other test: its resident memory is measured.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use madrpc_core::error::ErrorKind;
use madrpc_core::identity::Role;
use madrpc_core::value::Value;
use madrpc_shard::client::Client;
use madrpc_shard::engine::Script;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::Server;
use support::Fleet;

const SCRIPT: &str = r#"
madrpc.register("one", () => 1);
madrpc.register("spin", () => { for (;;) {} }, { cpuMs: 5 });
madrpc.register("late", () => { for (;;) {} }, { timeoutMs: 5 });
madrpc.register("never", () => new Promise((wake) => setTimeout(wake, 60_000)), { timeoutMs: 2 });
madrpc.register("bomb", () => { const all = []; for (;;) all.push(new Array(1000).fill(1)); });
madrpc.register("swallow", () => { const all = []; for (;;) { try { all.push("x".repeat(100_000) + all.length); } catch {} } });
madrpc.register("strings", () => { let text = "x"; for (;;) text = [text, text].join(""); });
madrpc.register("pattern", () => /^(a+)+$/.test("a".repeat(40) + "b"), { cpuMs: 5 });
madrpc.register("deep", () => { const down = () => down() + 1; return down(); });
madrpc.register("throw", () => { throw new RangeError("x".repeat(1000)); });
madrpc.register("reject", async () => { await null; throw new Error("later"); });
madrpc.register("cycle", () => { const a = { bytes: new Uint8Array(100_000) }; a.a = a; return a; });
madrpc.register("left", () => { for (;;) {} });
"#;

const KINDS: [(&str, ErrorKind); 12] = [
    ("spin", ErrorKind::CpuLimit),
    ("late", ErrorKind::DeadlineExceeded),
    ("never", ErrorKind::DeadlineExceeded),
    ("bomb", ErrorKind::MemoryLimit),
    ("swallow", ErrorKind::MemoryLimit),
    ("strings", ErrorKind::MemoryLimit),
    ("pattern", ErrorKind::CpuLimit),
    ("deep", ErrorKind::StackLimit),
    ("throw", ErrorKind::JavaScript),
    ("reject", ErrorKind::JavaScript),
    ("cycle", ErrorKind::JavaScript),
    // Its caller leaves.
    ("left", ErrorKind::Cancelled),
];

/// Calls that fail, each followed by one that does not.
fn fail(client: &Client, calls: usize) {
    for (function, kind) in KINDS.iter().cycle().take(calls) {
        if *kind == ErrorKind::Cancelled {
            let mut call = Box::pin(client.prepare(function).send(Value::Null));
            let once = futures_lite::future::poll_once(&mut call);
            assert!(futures_lite::future::block_on(once).is_none());
        } else {
            let error = client.call_blocking::<_, Value>(function, &()).unwrap_err();
            assert_eq!(error.kind, *kind, "{function}: {error}");
        }
        let one: i64 = client.call_blocking("one", &()).unwrap();
        assert_eq!(one, 1);
    }
}

/// The resident memory of this process.
fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    kib.unwrap().parse().unwrap()
}

#[test]
fn memory_is_flat_over_calls_that_fail() {
    let fleet = Fleet::new();
    let mut settings = NodeConfig {
        pool_size: Some(2),
        ..NodeConfig::default()
    };
    settings.lane.memory_bytes = 2 << 20;
    let script = Script::new("test.js", SCRIPT);
    let node = Server::node(&fleet.config(Role::Node, 1), &script, &settings).unwrap();
    let client = fleet.client(node.address());
    fail(&client, 240);
    let before = resident_kib();
    fail(&client, 2_000);
    let after = resident_kib();
    // Now and then there is one step of 12 MiB, in an arena of the C library, and none after it. Lanes that were not
    // given back when they are replaced would be 600 MiB.
    assert!(
        after < before + (32 << 10),
        "{before} KiB before, {after} KiB after"
    );
}
