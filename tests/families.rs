//! Calls of calls count against the first of them: whatever a call forks, directly or through an orchestrator, has together what
//! that call may have alone, and does not keep others from their answers, those of its own caller included.
//!
//! Setup: a node of one shard in this process, and an orchestrator that its calls go through, or none.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use madrpc_core::call::CallError;
use madrpc_core::identity::Role;
use madrpc_core::value::Value;
use madrpc_shard::client::Client;
use madrpc_shard::engine::Script;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::Server;
use std::time::{Duration, Instant};
use support::Fleet;

const SCRIPT: &str = r#"
const work = (n) => { let sum = 0; for (let i = 0; i < n * 40_000; i++) sum += i % 7; return sum; };
const sleep = (ms) => new Promise((wake) => setTimeout(wake, ms));
madrpc.register("ping", (value) => value);
madrpc.register("work", work);
madrpc.register("many", async (n) => { await Promise.all(Array.from({ length: 40 }, () => madrpc.call("work", n))); return "all"; }, { cpuMs: 400 });
madrpc.register("oneByOne", async (n) => { for (let i = 0; i < 40; i++) await madrpc.call("work", n); return "all"; }, { cpuMs: 400 });
madrpc.register("stubborn", async () => { for (;;) { try { await Promise.all([1, 2, 3].map(() => madrpc.call("work", 50))); } catch {} } }, { cpuMs: 400 });
madrpc.register("few", async () => { await Promise.all(Array.from({ length: 20 }, () => madrpc.call("work", 5))); return "few"; }, { cpuMs: 400 });
madrpc.register("forks", async () => { await Promise.allSettled([1, 2, 3].map(() => madrpc.call("forks"))); return 1; });
madrpc.register("hold", async (count) => { const all = new Uint8Array(count << 20).fill(1); await sleep(20); return all.length; });
madrpc.register("wide", async (count) => { const all = await Promise.all(Array.from({ length: 100 }, () => madrpc.call("hold", count))); return all.length; });
madrpc.register("length", async (bytes) => { await sleep(100); return bytes.length; });
madrpc.register("send", async (count) => { await sleep(100); const all = await Promise.all(Array.from({ length: count }, () => madrpc.call("length", new Uint8Array(1 << 20)))); return all.length; }, { memoryMb: 20 });
madrpc.register("sendBelow", async (count) => { const all = await Promise.all(Array.from({ length: count }, () => madrpc.call("send", 12))); return all.length; }, { memoryMb: 20 });
"#;

struct Stage {
    client: Client,
    other: Client,
    _node: Server,
    _orchestrator: Option<Server>,
}

/// A node, whose calls of calls stay or go through an orchestrator.
fn stage(fleet: &Fleet, is_forwarded: bool) -> Stage {
    let script = Script::new("families.js", SCRIPT);
    let (node, orchestrator) = match is_forwarded {
        true => {
            let (node, orchestrator) = fleet.node_with_orchestrator(&script);
            (node, Some(orchestrator))
        }
        false => {
            let config = fleet.config(Role::Node, 1);
            let node = Server::node(&config, &script, &NodeConfig::default());
            (node.unwrap(), None)
        }
    };
    Stage {
        client: fleet.client(node.address()),
        other: fleet.client(node.address()),
        _node: node,
        _orchestrator: orchestrator,
    }
}

fn both_ways(test: impl Fn(&Stage)) {
    for is_forwarded in [false, true] {
        let fleet = Fleet::new();
        let stage = stage(&fleet, is_forwarded);
        let _: i64 = stage.client.call_blocking("ping", &1).unwrap();
        if is_forwarded {
            support::eventually("the orchestrator reaches the node", || {
                let few: Result<String, CallError> = stage.client.call_blocking("few", &());
                few.is_ok()
            });
        }
        test(&stage);
    }
}

fn call(client: &Client, function: &str, argument: i64) -> Result<Value, CallError> {
    let call = client.prepare(function).timeout(Duration::from_secs(5));
    call.send_blocking(Value::from(argument))
        .map(|reply| reply.result)
}

#[test]
fn calls_of_calls_have_the_time_of_the_first_together() {
    both_ways(|stage| {
        let few: String = stage.client.call_blocking("few", &()).unwrap();
        assert_eq!(few, "few");
        for function in ["many", "oneByOne", "stubborn"] {
            let begun = Instant::now();
            let error = call(&stage.client, function, 50).unwrap_err();
            let took = begun.elapsed();
            let is_told = error.to_string().contains("400 ms together");
            assert!(is_told, "{function}: {error}");
            assert!(took < Duration::from_millis(2500), "{function}: {took:?}");
        }
    });
}

#[test]
fn calls_of_calls_have_the_memory_of_the_first_together() {
    both_ways(|stage| {
        let sent = call(&stage.client, "send", 12).unwrap();
        assert_eq!(sent, Value::from(12));
        // Each of them alone could, see above.
        let error = call(&stage.client, "sendBelow", 10).unwrap_err();
        assert!(error.to_string().contains("--memory-limit"), "{error}");
    });
    // Where each holds much for a moment, they wait for each other, and none fails.
    let fleet = Fleet::new();
    let stage = stage(&fleet, false);
    assert_eq!(call(&stage.client, "wide", 4).unwrap(), Value::from(100));
}

#[test]
fn whoever_forks_without_end_keeps_nobody_from_an_answer() {
    both_ways(|stage| {
        let (own, other) = (&stage.client, &stage.other);
        std::thread::scope(|scope| {
            let forks = scope.spawn(|| {
                let call = own.prepare("forks").timeout(Duration::from_secs(2));
                call.send_blocking(Value::Null).map(|reply| reply.result)
            });
            std::thread::sleep(Duration::from_millis(100));
            let begun = Instant::now();
            let mut longest = Duration::ZERO;
            let mut number = 0;
            while begun.elapsed() < Duration::from_secs(2) {
                for (whose, client) in [("its own", own), ("another", other)] {
                    number += 1;
                    let asked = Instant::now();
                    let echoed = call(client, "ping", number)
                        .unwrap_or_else(|error| panic!("{whose} caller: {error}"));
                    assert_eq!(echoed, Value::from(number));
                    longest = longest.max(asked.elapsed());
                }
                std::thread::sleep(Duration::from_millis(5));
            }
            assert!(longest < Duration::from_secs(1), "{longest:?}");
            let _ = forks.join().unwrap();
        });
        let _: i64 = stage.client.call_blocking("ping", &1).unwrap();
    });
}
