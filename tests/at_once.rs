//! A function that may have few calls at once (`maxConcurrent` at register): never more on the whole node, none is lost, and
//! nobody else waits for them.
//!
//! Setup: a node of two shards in this process, and clients whose sessions land on both.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use futures_lite::future::{block_on, poll_once};
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::identity::Role;
use madrpc_core::value::Value;
use madrpc_shard::client::Client;
use madrpc_shard::engine::Script;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::Server;
use std::pin::Pin;
use std::time::{Duration, Instant};
use support::{Fleet, eventually};

/// A function that holds its slot for some milliseconds, and says from when to when it did.
fn script(options: &str) -> Script {
    let source = format!(
        r#"
const hold = async (ms) => {{
  const begun = Date.now();
  await new Promise((done) => setTimeout(done, ms));
  return [begun, Date.now()];
}};
madrpc.register("hold", hold, {options});
madrpc.register("free", hold);
madrpc.register("echo", (value) => value);
madrpc.register("spin", () => {{ for (;;) {{}} }}, {{ maxConcurrent: 1 }});
madrpc.register("again", async (depth) => depth > 0 ? await madrpc.call("again", depth - 1) : "end", {{ maxConcurrent: 1 }});
"#
    );
    Script::new("test.js", &source)
}

fn node(fleet: &Fleet, options: &str, shards: usize, queue_max: usize) -> Server {
    let settings = NodeConfig {
        queue_max,
        ..NodeConfig::default()
    };
    Server::node(
        &fleet.config(Role::Node, shards),
        &script(options),
        &settings,
    )
    .unwrap()
}

type Call<'a> = Pin<Box<dyn Future<Output = Result<Value, CallError>> + 'a>>;

/// A call that is on its way.
fn send<'a>(client: &'a Client, function: &'a str, argument: i64, timeout: Duration) -> Call<'a> {
    let mut call: Call<'a> = Box::pin(async move {
        let call = client.prepare(function).timeout(timeout);
        Ok(call.send(Value::Integer(argument)).await?.result)
    });
    // It is sent when it is first looked at, and may be over by then.
    match block_on(poll_once(&mut call)) {
        None => call,
        Some(ended) => Box::pin(std::future::ready(ended)),
    }
}

const LONG: Duration = Duration::from_secs(30);

/// From when to when a call held its slot.
fn span(result: Result<Value, CallError>) -> (i64, i64) {
    match result.unwrap() {
        Value::Array(times) => match times[..] {
            [Value::Integer(begun), Value::Integer(ended)] => (begun, ended),
            [Value::Float(begun), Value::Float(ended)] => (begun as i64, ended as i64),
            _ => panic!("{times:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// The most calls that were under way at the same time.
fn most_at_once(spans: &[(i64, i64)]) -> usize {
    let at = |time: i64| {
        let under_way = |span: &&(i64, i64)| span.0 <= time && time < span.1;
        spans.iter().filter(under_way).count()
    };
    spans.iter().map(|span| at(span.0)).max().unwrap_or(0)
}

/// Calls that wait on both shards.
fn clients(fleet: &Fleet, node: &Server) -> Vec<Client> {
    (0..6).map(|_| fleet.client(node.address())).collect()
}

#[test]
fn there_are_never_more_at_once_on_all_shards_and_as_many_as_may_be() {
    let fleet = Fleet::new();
    let node = node(&fleet, "{ maxConcurrent: 3 }", 2, 4096);
    let clients = clients(&fleet, &node);
    let begun = Instant::now();
    let calls: Vec<_> = (0..60)
        .map(|number| send(&clients[number % clients.len()], "hold", 50, LONG))
        .collect();
    // Meanwhile all else is as if they were not there.
    let asked = Instant::now();
    for number in 0..20 {
        let echoed: i64 = clients[number % clients.len()]
            .call_blocking("echo", &7)
            .unwrap();
        assert_eq!(echoed, 7);
    }
    assert!(
        asked.elapsed() < Duration::from_millis(500),
        "{:?}",
        asked.elapsed()
    );
    let spans: Vec<_> = calls.into_iter().map(|call| span(block_on(call))).collect();
    assert_eq!(most_at_once(&spans), 3);
    // One after the other on three slots; a slot that is not passed on would cost seconds.
    let took = begun.elapsed();
    assert!(
        (Duration::from_secs(1)..Duration::from_secs(4)).contains(&took),
        "{took:?}"
    );
}

#[test]
fn a_call_that_ends_in_any_way_gives_its_slot_back() {
    let fleet = Fleet::new();
    let node = node(&fleet, "{ maxConcurrent: 1 }", 2, 4096);
    let clients = clients(&fleet, &node);
    // By its deadline, in the middle of a loop; the lane goes with it.
    let error = block_on(send(&clients[0], "spin", 0, Duration::from_millis(100))).unwrap_err();
    assert_eq!(error.kind, ErrorKind::DeadlineExceeded, "{error}");
    let error = block_on(send(&clients[1], "spin", 0, Duration::from_millis(100))).unwrap_err();
    assert!(error.message.contains("CPU time"), "{error}");
    // By its caller, who gives it up, with one in line; and by one who leaves.
    let leaving = fleet.client(node.address());
    let calls = [
        send(&clients[0], "hold", 20_000, LONG),
        send(&clients[1], "hold", 20_000, LONG),
        send(&leaving, "hold", 20_000, LONG),
    ];
    drop(calls);
    drop(leaving);
    for client in &clients {
        span(block_on(send(client, "hold", 1, Duration::from_secs(8))));
    }
    // Of one that waits for a slot, the deadline holds.
    let held = send(&clients[0], "hold", 2_000, LONG);
    // The other client is of another shard, and might be faster.
    std::thread::sleep(Duration::from_millis(300));
    let asked = Instant::now();
    let waits = send(&clients[1], "hold", 1, Duration::from_millis(200));
    let error = block_on(waits).unwrap_err();
    assert_eq!(error.kind, ErrorKind::DeadlineExceeded, "{error}");
    assert!(error.message.contains("maxConcurrent"), "{error}");
    assert!(!error.may_have_run && asked.elapsed() < Duration::from_millis(1500));
    span(block_on(held));
}

#[test]
fn a_call_that_needs_the_slot_of_its_own_parent_ends_by_the_deadline() {
    let fleet = Fleet::new();
    let node = node(&fleet, "{}", 1, 4096);
    let client = fleet.client(node.address());
    let error = block_on(send(&client, "again", 1, Duration::from_millis(300))).unwrap_err();
    assert_eq!(error.kind, ErrorKind::DeadlineExceeded, "{error}");
    let end = block_on(send(&client, "again", 0, LONG)).unwrap();
    assert_eq!(end, Value::String("end".into()));
}

#[test]
fn a_reload_changes_the_limit_and_counts_those_that_are_under_way() {
    let fleet = Fleet::new();
    let mut node = node(&fleet, "{ maxConcurrent: 1 }", 2, 4096);
    let clients = clients(&fleet, &node);
    let send = |count: usize, ms: i64| -> Vec<_> {
        let one = |number: usize| send(&clients[number % clients.len()], "hold", ms, LONG);
        (0..count).map(one).collect()
    };
    let mut calls = send(6, 400);
    node.reload(&script("{ maxConcurrent: 2 }")).unwrap();
    calls.extend(send(6, 400));
    let ended = |calls: Vec<Call<'_>>| -> Vec<_> {
        calls.into_iter().map(|call| span(block_on(call))).collect()
    };
    assert_eq!(most_at_once(&ended(calls)), 2);
    // Those in line have nothing to wait for any more.
    let calls = send(12, 500);
    let begun = Instant::now();
    node.reload(&script("{}")).unwrap();
    assert!(most_at_once(&ended(calls)) >= 10);
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
    node.reload(&script("{ maxConcurrent: 1 }")).unwrap();
    // The shards go over to it one after the other.
    eventually("one at a time", || most_at_once(&ended(send(6, 30))) == 1);
}

#[test]
fn callers_have_slots_in_turn_and_the_line_has_a_bound_of_its_own() {
    const QUEUE: usize = 20;
    let fleet = Fleet::new();
    let node = node(&fleet, "{ maxConcurrent: 1 }", 1, QUEUE);
    let (many, one) = (fleet.client(node.address()), fleet.client(node.address()));
    let calls: Vec<_> = (0..60).map(|_| send(&many, "hold", 20, LONG)).collect();
    std::thread::sleep(Duration::from_millis(100));
    let (mut errors, mut left) = (Vec::new(), Vec::new());
    for mut call in calls {
        match block_on(poll_once(&mut call)) {
            Some(Err(error)) => errors.push(error),
            Some(Ok(_)) => {}
            None => left.push(call),
        }
    }
    // The others' calls are still taken, and those of a second caller do not wait for all of the first's.
    let echoed: i64 = many.call_blocking("echo", &7).unwrap();
    assert_eq!(echoed, 7);
    let asked = Instant::now();
    span(block_on(send(&one, "hold", 1, LONG)));
    let waited = asked.elapsed();
    let begun = Instant::now();
    for call in left {
        match block_on(call) {
            Ok(_) => {}
            Err(error) => errors.push(error),
        }
    }
    let rest = begun.elapsed();
    assert!(waited * 2 < rest, "{waited:?} of {rest:?}");
    assert!(errors.len() >= 30, "{}", errors.len());
    for error in errors {
        assert_eq!(error.kind, ErrorKind::Overloaded, "{error}");
        assert!(error.message.contains("may have few at once"), "{error}");
        assert!(!error.may_have_run);
    }
    eventually("all slots are free", || {
        span(block_on(send(&one, "hold", 1, LONG))).0 > 0
    });
}
