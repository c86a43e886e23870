//! Functions that wait: promises, timers, and calls of calls, on a node alone and through an orchestrator.
//!
//! Setup: nodes of one shard in this process, over real sockets and mutual TLS.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::identity::Role;
use madrpc_core::value::Value;
use madrpc_core::value::json::to_json;
use madrpc_shard::client::Client;
use madrpc_shard::engine::Script;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::Server;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use support::Fleet;

const SCRIPT: &str = r#"
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
madrpc.register("echo", (value) => value);
madrpc.register("fail", () => { throw new TypeError("no good"); });
madrpc.register("spin", () => { for (;;) {} });
madrpc.register("sleep", async (ms) => { await sleep(ms); return "slept"; });
madrpc.register("order", async () => {
  const seen = [];
  setTimeout(() => seen.push("b"), 20);
  setTimeout((x) => seen.push(x), 1, "a");
  clearTimeout(setTimeout(() => seen.push("never"), 1));
  queueMicrotask(() => seen.push("micro"));
  await new Promise((resolve) => {
    const timer = setInterval(() => {
      if (seen.push("tick") === 5) { clearInterval(timer); resolve(); }
    }, 50);
  });
  await sleep(60);
  return seen.join(" ");
});
madrpc.register("left", () => { setTimeout(() => { globalThis.leaked = true; }, 5); return "done"; });
madrpc.register("leaked", async () => { await sleep(30); return globalThis.leaked === true; });
madrpc.register("unhandled", async () => { Promise.reject(new RangeError("nobody cares")); return 1; });
madrpc.register("late", async () => { const p = Promise.reject(new Error("x")); await null; p.catch(() => {}); return 1; });
madrpc.register("timerThrows", async () => { setTimeout(() => { throw new SyntaxError("in a timer"); }, 1); await sleep(50); });
madrpc.register("down", async (depth) => depth === 0 ? 0 : 1 + await madrpc.call("down", depth - 1));
madrpc.register("downSync", (depth) => depth === 0 ? 0 : 1 + madrpc.callSync("downSync", depth - 1));
madrpc.register("fan", async (n) => {
  const all = await Promise.all(Array.from({ length: n }, (_, i) => madrpc.call("echo", i)));
  return all.reduce((sum, value) => sum + value, 0);
});
madrpc.register("map", async (n) => madrpc.map("echo", Array.from({ length: n }, (_, i) => i), { concurrency: 7 }));
madrpc.register("child", (name) => madrpc.call(name));
madrpc.register("childSync", (name) => madrpc.callSync(name));
madrpc.register("caught", async (name) => {
  try { await madrpc.call(name); } catch (error) { return [error.name, error.message, error.mayHaveRun, error instanceof Error]; }
});
madrpc.register("shorter", async () => {
  try { await madrpc.call("spin", null, { timeoutMs: 50 }); } catch (error) { return error.name; }
});
madrpc.register("forget", () => { madrpc.call("spin"); return "gone"; });
madrpc.register("nap", async (ms) => { const limits = [Infinity, -Infinity, NaN, 1e25, 2 ** 31, Number.MAX_VALUE, -1, "x", undefined, {}];
  await new Promise((resolve) => setTimeout(resolve, limits[ms])); return "woke"; });
madrpc.register("within", async (ms) => { const limits = [Infinity, -Infinity, NaN, 1e25, -1];
  return madrpc.call("echo", 1, { timeoutMs: limits[ms] }); });
madrpc.register("about", () => [Math.abs(madrpc.deadline - Date.now() - 5000) < 1000, madrpc.cancelled, madrpc.node]);
"#;

fn node(fleet: &Fleet, pool_size: usize, orchestrator: Option<SocketAddr>) -> Server {
    let settings = NodeConfig {
        pool_size: Some(pool_size),
        orchestrators: orchestrator.into_iter().map(Into::into).collect(),
        ..NodeConfig::default()
    };
    let script = Script::new("test.js", SCRIPT);
    Server::node(&fleet.config(Role::Node, 1), &script, &settings).unwrap()
}

fn call(client: &Client, function: &str, argument: impl Into<Value>) -> Result<Value, CallError> {
    let call = client.prepare(function).timeout(Duration::from_secs(20));
    call.send_blocking(argument.into())
        .map(|reply| reply.result)
}

#[test]
fn timers_fire_in_order_and_end_with_their_call() {
    let fleet = Fleet::new();
    let node = node(&fleet, 1, None);
    let client = fleet.client(node.address());
    let begun = Instant::now();
    assert_eq!(call(&client, "sleep", 50), Ok("slept".into()));
    assert!(begun.elapsed() >= Duration::from_millis(50));
    assert_eq!(call(&client, "order", ()), Ok("micro a b tick tick".into()));
    assert_eq!(call(&client, "left", ()), Ok("done".into()));
    assert_eq!(call(&client, "leaked", ()), Ok(false.into()));
    let error = call(&client, "timerThrows", ()).unwrap_err();
    assert_eq!(error.exception.unwrap().message, "in a timer");
    assert_eq!(call(&client, "echo", 1), Ok(1.into()));
}

#[test]
fn a_waiting_call_gives_up_its_place() {
    let fleet = Fleet::new();
    let node = node(&fleet, 1, None);
    let client = fleet.client(node.address());
    std::thread::scope(|scope| {
        let sleeping: Vec<_> = (0..10)
            .map(|_| scope.spawn(|| call(&client, "sleep", 500)))
            .collect();
        std::thread::sleep(Duration::from_millis(100));
        let begun = Instant::now();
        assert_eq!(call(&client, "echo", 7), Ok(7.into()));
        assert!(begun.elapsed() < Duration::from_millis(300));
        for call in sleeping {
            assert_eq!(call.join().unwrap(), Ok("slept".into()));
        }
    });
}

#[test]
fn an_unhandled_rejection_is_the_calls_error() {
    let fleet = Fleet::new();
    let node = node(&fleet, 1, None);
    let client = fleet.client(node.address());
    let error = call(&client, "unhandled", ()).unwrap_err();
    assert_eq!(error.exception.unwrap().message, "nobody cares");
    assert_eq!(call(&client, "late", ()), Ok(1.into()));
}

#[test]
fn parents_never_block_their_children_even_with_one_lane() {
    let fleet = Fleet::new();
    let node = node(&fleet, 1, None);
    let client = fleet.client(node.address());
    assert_eq!(call(&client, "down", 50), Ok(50.into()));
    assert_eq!(call(&client, "downSync", 50), Ok(50.into()));
    assert_eq!(
        call(&client, "fan", 10_000),
        Ok((10_000 * 9_999 / 2).into())
    );
    let list = (0..100).map(Value::from).collect();
    assert_eq!(call(&client, "map", 100), Ok(Value::Array(list)));
    let error = call(&client, "down", 100).unwrap_err();
    assert!(error.message.contains("deep"), "{error}");
    let error = call(&client, "fan", 20_000).unwrap_err();
    assert!(error.message.contains("under way already"), "{error}");
    assert_eq!(call(&client, "echo", 1), Ok(1.into()));
}

#[test]
fn the_error_of_a_child_reaches_its_parent() {
    let fleet = Fleet::new();
    let node = node(&fleet, 1, None);
    let client = fleet.client(node.address());
    for parent in ["child", "childSync"] {
        let error = call(&client, parent, "fail").unwrap_err();
        assert!(
            error.message.contains("TypeError: no good"),
            "{parent}: {error}"
        );
        let error = call(&client, parent, "missing").unwrap_err();
        assert!(
            error.message.contains("NoSuchFunction"),
            "{parent}: {error}"
        );
    }
    let Ok(Value::Array(caught)) = call(&client, "caught", "fail") else {
        panic!("not caught");
    };
    assert_eq!(caught[..2], ["TypeError".into(), "no good".into()]);
    assert_eq!(caught[2..], [true.into(), true.into()]);
}

#[test]
fn deadlines_only_shrink_and_end_the_children_too() {
    let fleet = Fleet::new();
    let node = node(&fleet, 1, None);
    let client = fleet.client(node.address());
    assert_eq!(call(&client, "shorter", ()), Ok("DeadlineExceeded".into()));
    for parent in ["child", "childSync"] {
        let begun = Instant::now();
        let short = client.prepare(parent).timeout(Duration::from_millis(200));
        let error = short.send_blocking("spin".into()).unwrap_err();
        assert_eq!(error.kind, ErrorKind::DeadlineExceeded, "{parent}");
        assert!(begun.elapsed() < Duration::from_secs(5));
        // With one place among the running, a child that went on would keep this from running.
        assert_eq!(call(&client, "echo", 1), Ok(1.into()));
    }
    assert_eq!(call(&client, "forget", ()), Ok("gone".into()));
    assert_eq!(call(&client, "echo", 2), Ok(2.into()));
}

#[test]
fn a_cancelled_parent_ends_its_children() {
    let fleet = Fleet::new();
    let node = node(&fleet, 1, None);
    for parent in ["child", "childSync"] {
        let client = fleet.client(node.address());
        let long = client.prepare(parent).timeout(Duration::from_secs(60));
        let short = async {
            std::thread::sleep(Duration::from_millis(100));
            futures_lite::future::yield_now().await;
        };
        let endless = async { drop(long.send("spin".into()).await) };
        futures_lite::future::block_on(futures_lite::future::or(endless, short));
        let begun = Instant::now();
        assert_eq!(call(&client, "echo", 1), Ok(1.into()));
        assert!(begun.elapsed() < Duration::from_secs(5), "{parent}");
    }
}

#[test]
fn a_call_knows_its_deadline_and_its_node() {
    let fleet = Fleet::new();
    let node = node(&fleet, 1, None);
    let client = fleet.client(node.address());
    let about = client
        .prepare("about")
        .timeout(Duration::from_secs(5))
        .send_blocking(Value::Null);
    let expected = Value::Array(vec![true.into(), false.into(), node.name().into()]);
    assert_eq!(about.unwrap().result, expected);
}

#[test]
fn calls_of_calls_go_through_the_orchestrator() {
    let fleet = Fleet::new();
    // The nodes have to know the orchestrator's address before it is there.
    let probe = UdpSocket::bind("127.0.0.1:0").unwrap();
    let front = probe.local_addr().unwrap();
    drop(probe);
    let nodes = [node(&fleet, 1, Some(front)), node(&fleet, 1, Some(front))];
    let mut config = fleet.config(Role::Orchestrator, 1);
    config.bind = front;
    let addresses = nodes.each_ref().map(Server::address);
    let orchestrator = Server::orchestrator(&config, &addresses).unwrap();
    let client = fleet.client(orchestrator.address());
    assert_eq!(call(&client, "down", 50), Ok(50.into()));
    assert_eq!(call(&client, "downSync", 20), Ok(20.into()));
    assert_eq!(call(&client, "fan", 2_000), Ok((2_000 * 1_999 / 2).into()));
    let error = call(&client, "down", 100).unwrap_err();
    assert!(error.message.contains("deep"), "{error}");
    // Both have worked.
    for node in &nodes {
        let own: madrpc_core::stats::Snapshot = fleet
            .client(node.address())
            .call_blocking(madrpc_core::stats::STATS, &())
            .unwrap();
        let echoes = own.rows.iter().find(|row| row.function == "echo").unwrap();
        assert!(echoes.calls >= 500, "{echoes:?}");
    }
}

/// A time that is none, or none that anybody waits for, is a call's own affair: it fires at once, or waits for its deadline.
#[test]
fn timers_take_any_number() {
    let fleet = Fleet::new();
    let node = node(&fleet, 2, None);
    let client = fleet.client(node.address());
    let call = |function: &str, which: usize| {
        let call = client.prepare(function).timeout(Duration::from_millis(200));
        call.send_blocking(Value::Integer(which as i64))
    };
    for which in [0, 3, 4, 5] {
        let error = call("nap", which).unwrap_err();
        assert_eq!(error.kind, ErrorKind::DeadlineExceeded, "{which}: {error}");
    }
    for which in [1, 2, 6, 7, 8, 9] {
        let reply = call("nap", which).unwrap();
        assert_eq!(reply.result, Value::String("woke".into()), "{which}");
    }
    // Whatever becomes of the calls: the node answers the next one.
    for which in 0..5 {
        let _ = call("within", which);
        assert_eq!(
            call("echo", which).unwrap().result,
            Value::Integer(which as i64)
        );
    }
}

/// What `madrpc.map` is given, and what comes of it.
const MAPS: &[(&str, &str)] = &[
    ("[3, 1, 2]", "[30,10,20]"),
    ("new Set([1, 2])", "[10,20]"),
    ("(function* () { yield 1; yield 2; })()", "[10,20]"),
    ("(async function* () { yield 1; yield 2; })()", "[10,20]"),
    ("[Promise.resolve(1), 2]", "[10,20]"),
    ("'12'", "[10,20]"),
    ("new Float64Array([1, 2])", "[10,20]"),
    ("[]", "[]"),
    (
        "undefined",
        "TypeError: madrpc.map: the list must be iterable",
    ),
    ("null", "TypeError: madrpc.map: the list must be iterable"),
    ("7", "TypeError: madrpc.map: the list must be iterable"),
    (
        "{ length: 2 }",
        "TypeError: madrpc.map: the list must be iterable",
    ),
    (
        "[Promise.reject(new RangeError('no item'))]",
        "RangeError: no item",
    ),
    (
        "(function* () { yield 1; throw new RangeError('no more'); })()",
        "RangeError: no more",
    ),
    (
        "[() => 1]",
        "BadArguments: the argument cannot be sent: it is a function",
    ),
    ("(function* () { for (;;) yield -1; })()", "RangeError: -1"),
];

#[test]
fn map_takes_what_can_be_gone_through_and_begins_nothing_after_a_failure() {
    let maps = MAPS.iter().map(|(list, _)| {
        format!("return madrpc.map('tenfold', {list}, {{ concurrency: 2 }}).catch(String);")
    });
    let maps: Vec<_> = maps.collect();
    let functions = support::Functions::new(maps.iter().map(String::as_str));
    for (place, (list, expected)) in MAPS.iter().enumerate() {
        let result = match functions.call(place).unwrap() {
            Value::String(error) => error,
            value => to_json(&value),
        };
        assert_eq!(result, *expected, "{list}");
    }
    let stops = support::Functions::new(["let taken = 0, closed = false; \
         function* list() { try { for (;;) yield ++taken > 10 ? -1 : taken; } finally { closed = true; } } \
         return madrpc.map('tenfold', list(), { concurrency: 3 }).catch((error) => [error.message, taken <= 14, closed]);"]);
    assert_eq!(to_json(&stops.call(0).unwrap()), r#"["-1",true,true]"#);
}
