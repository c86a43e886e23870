//! What a call holds is counted against its limit wherever it lies: in its heap, in results and arguments that are being written, in
//! answers and errors that have come for it and that it has not seen, and in its calls of calls on this shard.
//!
//! Setup: a node of one shard in this process. One test, as it looks at what the process takes.
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
use std::time::Duration;
use support::{Fleet, eventually, rss};

const SCRIPT: &str = r#"
const text = "x".repeat(5e5);
const sleep = (ms) => new Promise((wake) => setTimeout(wake, ms));
const many = () => Array(120).fill(text);
const forks = (count, name) => { const all = []; for (let i = 0; i < count; i++) all.push(madrpc.call(name).catch((error) => error)); return all; };
madrpc.register("ping", (value) => value);
madrpc.register("sleep", sleep);
madrpc.register("boom", () => {
  const error = new Error("m".repeat(15000));
  error.stack = "s".repeat(15000);
  error.data = "d".repeat(15000);
  throw error;
});
madrpc.register("errors", (count) => { const all = forks(count, "boom"); madrpc.callSync("sleep", 1500); return all.length; }, { memoryMb: 8 });
madrpc.register("told", async (count) => {
  const all = forks(count, "boom");
  madrpc.callSync("sleep", 1500);
  const errors = await Promise.all(all);
  return errors.every((error) => error.message.startsWith("mmm") || error.message.startsWith("Error: mmm"));
}, { memoryMb: 8 });
madrpc.register("result", many, { memoryMb: 1 });
madrpc.register("argument", async () => { try { return await madrpc.call("ping", many()); } catch (error) { return error.message; } }, { memoryMb: 1 });
madrpc.register("yielded", function* () { yield many(); }, { memoryMb: 1 });
madrpc.register("large", (count) => new Uint8Array(count << 20).fill(1), { memoryMb: 130 });
madrpc.register("twenty", () => new Uint8Array(20 << 20).fill(1));
madrpc.register("results", (count) => { const all = forks(count, "twenty"); madrpc.callSync("sleep", 1500); return all.length; });
madrpc.register("inTurn", async (count) => { let sum = 0; for (let i = 0; i < count; i++) sum += (await madrpc.call("twenty")).length; return sum; }, { memoryMb: 130 });
"#;

const MIB: usize = 1 << 20;

fn call(client: &Client, function: &str, argument: i64) -> Result<Value, CallError> {
    let call = client.prepare(function).timeout(Duration::from_secs(60));
    call.send_blocking(Value::from(argument))
        .map(|reply| reply.result)
}

/// What came of a call, and what the process took more meanwhile.
fn beside<R>(call: impl FnOnce() -> R) -> (R, usize) {
    let (is_over, peak, begun) = (AtomicBool::new(false), AtomicUsize::new(0), rss());
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                peak.fetch_max(rss(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        let ended = call();
        is_over.store(true, Ordering::Relaxed);
        ended
    });
    (ended, peak.into_inner().saturating_sub(begun))
}

#[test]
fn a_call_holds_no_more_than_its_limit_wherever_it_lies() {
    let fleet = Fleet::new();
    let script = Script::new("charged.js", SCRIPT);
    let config = fleet.config(Role::Node, 1);
    let node = Server::node(&config, &script, &NodeConfig::default()).unwrap();
    let client = fleet.client(node.address());
    // Lanes that are made for the first time, and buffers, are no call's.
    assert_eq!(call(&client, "errors", 50), Ok(50.into()));
    assert!(call(&client, "large", 1).is_ok());
    let at_most = |what: &str, took: usize, mib: usize| {
        println!("{what}: {:.1} MiB", took as f64 / MIB as f64);
        assert!(took <= mib * MIB, "{what}: {} KiB more", took >> 10);
    };
    let begun = rss();

    let (ended, took) = beside(|| call(&client, "errors", 4000));
    assert_eq!(ended, Ok(4000.into()));
    at_most("errors of children", took, 8 + 8);
    let (ended, took) = beside(|| call(&client, "told", 500));
    assert_eq!(ended, Ok(true.into()));
    at_most("errors of children that are read", took, 8 + 8);
    eventually("it is given back", || rss() < begun + 16 * MIB);

    let (ended, took) = beside(|| call(&client, "result", 0));
    let error = ended.unwrap_err();
    assert_eq!(error.kind, ErrorKind::MemoryLimit, "{error}");
    assert!(
        error.message.contains("the result cannot be sent"),
        "{error}"
    );
    at_most("a result", took, 1 + 8);
    let (ended, took) = beside(|| call(&client, "argument", 0));
    let Ok(Value::String(words)) = ended else {
        panic!("{ended:?}");
    };
    assert!(words.contains("the argument cannot be sent"), "{words}");
    assert!(words.contains("--memory-limit"), "{words}");
    at_most("an argument", took, 1 + 8);

    let (ended, took) = beside(|| call(&client, "results", 200));
    assert_eq!(ended, Ok(200.into()));
    at_most("results of children", took, 64 + 8);
    assert_eq!(call(&client, "ping", 7), Ok(7.into()));
    // One after the other they are what each may be, and a result may be as large as any.
    assert_eq!(
        call(&client, "inTurn", 5),
        Ok(Value::from(100 * MIB as i64))
    );
    let Value::TypedArray(large) = call(&client, "large", 63).unwrap() else {
        panic!("no typed array");
    };
    assert_eq!(large.bytes().len(), 63 * MIB);
}
