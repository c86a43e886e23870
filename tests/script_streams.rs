//! `madrpc.stream`: a function takes the items of another, one after the other, on its own node and through the orchestrator.
//!
//! Setup: nodes of one shard in this process, over real sockets and mutual TLS: one whose calls of calls stay on their shard, and one
//! that sends them through an orchestrator.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use madrpc_core::value::Value;
use madrpc_core::value::json::{from_json, to_json};
use madrpc_shard::client::Client;
use madrpc_shard::engine::Script;
use madrpc_shard::server::Server;
use std::time::Duration;
use support::{Fleet, eventually};

const SCRIPT: &str = r#"
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
let made = 0;
madrpc.register("count", function* (n) { for (let i = 0; i < n; i++) yield i; return "counted"; });
madrpc.register("endless", function* () { for (let i = 1;; i++) { made = i; yield i; } });
madrpc.register("ticking", async function* () { for (let i = 1;; i++) { await madrpc.call("tick", i); yield i; } });
let ticks = 0;
madrpc.register("tick", (i) => { ticks = i; });
madrpc.register("slowly", async function* (n) { for (let i = 0; i < n; i++) { await pause(5); yield i; } });
madrpc.register("fails", function* (n) { for (let i = 0; i < n; i++) yield i; throw new RangeError("no more"); });
madrpc.register("blocks", function* ([n, bytes]) { for (let i = 0; i < n; i++) yield new Uint8Array(bytes).fill(i); });
madrpc.register("sized", function* (sizes) { for (const size of sizes) yield "x".repeat(size); });
madrpc.register("echo", (value) => value);
madrpc.register("nothing", () => {});

madrpc.register("sum", async ([name, args]) => {
  let sum = 0, items = 0;
  for await (const item of madrpc.stream(name, args)) { sum += item; items++; }
  return [items, sum];
});
madrpc.register("lengths", async (sizes) => {
  const lengths = [];
  for await (const item of madrpc.stream("sized", sizes)) lengths.push(item.length);
  return lengths;
});
madrpc.register("raw", async ([name, args, times]) => {
  const stream = madrpc.stream(name, args);
  const steps = await Promise.all(Array.from({ length: times }, () => stream.next()));
  return steps.map(({ value, done }) => [value, done]);
});
madrpc.register("whole", async (value) => {
  const { value: whole, done } = await madrpc.stream("echo", value).next();
  return [done, whole === value];
});
madrpc.register("first", async ([name, n]) => {
  const taken = [];
  for await (const item of madrpc.stream(name)) { taken.push(item); if (taken.length === n) break; }
  return taken;
});
madrpc.register("again and again", async ([name, times]) => {
  for (let i = 0; i < times; i++) for await (const item of madrpc.stream(name)) break;
  return times;
});
madrpc.register("catches", async (n) => {
  let items = 0;
  try { for await (const item of madrpc.stream("fails", n)) items++; } catch (error) { return [items, error.name, error.message]; }
});
madrpc.register("passed on", async function* ([name, args]) { yield* madrpc.stream(name, args); });
madrpc.register("hoards", async ([streams, bytes]) => {
  const all = Array.from({ length: streams }, () => madrpc.stream("blocks", [64, bytes]));
  await pause(500);
  let items = 0;
  for (const stream of all) for await (const item of stream) items++;
  return items;
});
madrpc.register("dawdles", async (ms) => {
  const stream = madrpc.stream("ticking");
  await stream.next();
  await pause(ms);
  return ticks;
});
madrpc.register("forgets", async () => { madrpc.stream("endless"); madrpc.stream("slowly", 1e6); await pause(20); return "done"; });
"#;

/// Clients of a node that has its calls of calls run on its own shard, and of one that sends them through an orchestrator.
struct Stage {
    _fleet: Fleet,
    _servers: [Server; 3],
    clients: [Client; 2],
}

impl Stage {
    fn new() -> Self {
        let fleet = Fleet::new();
        let alone = fleet.node(SCRIPT);
        let (node, orchestrator) = fleet.node_with_orchestrator(&Script::new("test.js", SCRIPT));
        let clients = [&alone, &node].map(|server| fleet.client(server.address()));
        eventually("calls of calls come through", || {
            let sum = [Value::from("count"), Value::from(3)];
            let sum = clients[1].call_blocking::<_, Value>("sum", &Value::Array(sum.into()));
            sum.is_ok()
        });
        Self {
            _fleet: fleet,
            _servers: [alone, node, orchestrator],
            clients,
        }
    }
}

/// The result, as JSON.
fn call(client: &Client, function: &str, args: &str) -> String {
    let call = client.prepare(function).timeout(Duration::from_secs(60));
    match call.send_blocking(from_json(args).unwrap()) {
        Ok(reply) => to_json(&reply.result),
        Err(error) => panic!("{function} {args}: {error}"),
    }
}

#[test]
fn items_come_once_and_in_order() {
    let stage = Stage::new();
    for client in &stage.clients {
        assert_eq!(
            call(client, "sum", r#"["count", 20000]"#),
            "[20000,199990000]"
        );
        assert_eq!(call(client, "sum", r#"["slowly", 20]"#), "[20,190]");
        assert_eq!(call(client, "sum", r#"["count", 0]"#), "[0,0]");
        // One that does not stream has no items.
        assert_eq!(call(client, "sum", r#"["echo", 5]"#), "[0,0]");
        // Several that wait at the same time, and what is returned.
        assert_eq!(
            call(client, "raw", r#"["count", 2, 5]"#),
            r#"[[0,false],[1,false],["counted",true],[null,true],[null,true]]"#
        );
        assert_eq!(
            call(client, "raw", r#"["echo", 7, 2]"#),
            "[[7,true],[null,true]]"
        );
        assert_eq!(call(client, "raw", r#"["nothing", 7, 1]"#), "[[null,true]]");
        for plain in ["null", "false", "0", r#""""#] {
            assert_eq!(call(client, "whole", plain), "[true,true]", "{plain}");
        }
        assert_eq!(
            call(client, "sum", r#"["passed on", ["count", 1000]]"#),
            "[1000,499500]"
        );
    }
}

#[test]
fn items_of_all_sizes_come_whole() {
    let stage = Stage::new();
    for client in &stage.clients {
        let sizes = "[0,1,16383,16384,16385,100000,1,3000000,20,0]";
        assert_eq!(call(client, "lengths", sizes), sizes);
    }
}

#[test]
fn an_error_comes_after_the_items_before_it() {
    let stage = Stage::new();
    for client in &stage.clients {
        assert_eq!(
            call(client, "catches", "500"),
            r#"[500,"RangeError","no more"]"#
        );
        let unknown = client.call_blocking::<_, Value>("sum", &("nowhere", 1));
        let error = unknown.unwrap_err();
        assert!(error.message.contains("nowhere"), "{error}");
    }
}

#[test]
fn a_stream_that_is_left_ends_its_call() {
    let stage = Stage::new();
    for client in &stage.clients {
        assert_eq!(call(client, "first", r#"["endless", 3]"#), "[1,2,3]");
        // More than there are lanes.
        assert_eq!(
            call(client, "again and again", r#"["endless", 200]"#),
            "200"
        );
        // With the call that has made them.
        for _ in 0..50 {
            assert_eq!(call(client, "forgets", "null"), r#""done""#);
        }
        assert_eq!(call(client, "echo", "1"), "1");
    }
}

#[test]
fn a_function_waits_for_a_script_that_takes_nothing() {
    let stage = Stage::new();
    let made = call(&stage.clients[0], "dawdles", "500");
    let made: u32 = made.parse().unwrap();
    // What may be on its way, and one that waits for room.
    assert!(
        made <= madrpc_core::limits::SCRIPT_STREAM_WINDOW + 2,
        "{made}"
    );
}

#[test]
fn what_is_not_taken_counts_as_memory() {
    let stage = Stage::new();
    for client in &stage.clients {
        assert_eq!(call(client, "hoards", "[10, 16000]"), "640");
        let call = client.prepare("hoards").timeout(Duration::from_secs(30));
        // 500 of half a megabyte each.
        let error = call
            .send_blocking(from_json("[500, 16000]").unwrap())
            .unwrap_err();
        // The call itself, or one of its streams that it has not caught.
        assert!(error.to_string().contains("MemoryLimit"), "{error}");
        assert_eq!(self::call(client, "echo", "1"), "1");
    }
}
