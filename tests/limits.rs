//! What a call may use: each limit, by flag and by the function's own option, and the lane clean afterwards.
//!
//! Setup: a node of one shard in this process, over real sockets and mutual TLS; for the flags, one as a process.
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
use madrpc_shard::engine::{LaneConfig, Script};
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::{Server, StartError};
use std::time::{Duration, Instant};
use support::Fleet;
use support::process::{Home, free_port, refused, stderr};

const SCRIPT: &str = r#"
globalThis.seen = 0;
globalThis.kept = [];
madrpc.register("count", () => ++globalThis.seen);
madrpc.register("spin", () => { globalThis.seen += 100; for (;;) {} });
madrpc.register("spinBriefly", () => { for (;;) {} }, { cpuMs: 50 });
madrpc.register("spinUntil", () => { for (;;) {} }, { timeoutMs: 50 });
madrpc.register("sleep", (ms) => new Promise((wake) => setTimeout(wake, ms, "awake")), { cpuMs: 50 });
madrpc.register("never", () => new Promise(() => setTimeout(() => {}, 60_000)), { timeoutMs: 50 });
madrpc.register("take", (megabytes) => new Uint8Array(megabytes * 1024 * 1024).length);
madrpc.register("takeMore", (megabytes) => new Uint8Array(megabytes * 1024 * 1024).length, { memoryMb: 16 });
madrpc.register("bomb", () => { globalThis.seen += 100; const all = []; for (;;) all.push(new Array(1000).fill(1)); });
madrpc.register("swallow", () => { const all = []; for (;;) { try { all.push("x".repeat(100_000) + all.length); } catch {} } });
madrpc.register("pretend", () => { throw new InternalError("out of memory"); });
madrpc.register("deep", () => { globalThis.seen += 100; const down = () => down() + 1; return down(); });
madrpc.register("strings", () => { let text = "x"; for (;;) text = [text, text].join(""); });
madrpc.register("pattern", () => /^(a+)+$/.test("a".repeat(40) + "b"), { timeoutMs: 30 });
madrpc.register("alone", () => ++globalThis.seen, { isolate: true });
madrpc.register("keep", (megabytes) => { globalThis.kept.push(new Uint8Array(megabytes * 1024 * 1024)); return globalThis.kept.length; });
madrpc.register("cycles", (count) => { for (let i = 0; i < count; i++) { const a = { bytes: new Uint8Array(100_000) }; a.a = a; } return ++globalThis.seen; });
madrpc.register("length", (value) => value.length);
madrpc.register("fill", (length) => "x".repeat(length));
"#;

/// A node of one shard and one lane.
fn node(fleet: &Fleet, change: impl FnOnce(&mut NodeConfig)) -> Server {
    let mut settings = NodeConfig {
        pool_size: Some(1),
        ..NodeConfig::default()
    };
    change(&mut settings);
    let script = Script::new("test.js", SCRIPT);
    Server::node(&fleet.config(Role::Node, 1), &script, &settings).unwrap()
}

fn call(client: &Client, function: &str, argument: i64) -> Result<Value, CallError> {
    client.call_blocking(function, &argument)
}

/// The call fails so, and says the limit and the use in these words.
fn fails(client: &Client, function: &str, argument: i64, kind: ErrorKind, words: &[&str]) {
    let error = call(client, function, argument).unwrap_err();
    assert_eq!(error.kind, kind, "{function}: {error}");
    assert!(error.may_have_run, "{function}: {error}");
    for word in words {
        assert!(
            error.message.contains(word),
            "{function}: no `{word}` in: {error}"
        );
    }
}

#[test]
fn cpu_time_is_limited_for_all_and_for_each_function() {
    let fleet = Fleet::new();
    let node = node(&fleet, |node| node.lane.cpu = Duration::from_millis(200));
    let client = fleet.client(node.address());
    let begun = Instant::now();
    let words = ["ms of CPU time", "limit is 200 ms", "--cpu-limit"];
    fails(&client, "spin", 0, ErrorKind::CpuLimit, &words);
    let took = begun.elapsed();
    assert!((200..1500).contains(&took.as_millis()), "{took:?}");
    let words = ["limit is 50 ms", "cpuMs"];
    fails(&client, "spinBriefly", 0, ErrorKind::CpuLimit, &words);
    assert_eq!(call(&client, "count", 0), Ok(Value::Integer(1)));
    let slept = call(&client, "sleep", 200);
    assert_eq!(slept, Ok(Value::from("awake")), "waiting is not using");
}

#[test]
fn cpu_time_is_counted_over_all_slices() {
    let fleet = Fleet::new();
    let node = node(&fleet, |node| {
        node.pool_size = Some(2);
        node.lane.cpu = Duration::from_millis(100);
    });
    let client = fleet.client(node.address());
    // Two at once share the core: each is cut off by its own use, not by the clock on the wall.
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let words = ["limit is 100 ms"];
                fails(&client, "spin", 0, ErrorKind::CpuLimit, &words);
            });
        }
    });
    assert!(
        begun.elapsed() >= Duration::from_millis(190),
        "{:?}",
        begun.elapsed()
    );
}

#[test]
fn a_functions_own_deadline_cuts_that_of_its_caller() {
    let fleet = Fleet::new();
    let node = node(&fleet, |_| {});
    let client = fleet.client(node.address());
    let words = ["50 ms after it arrived", "timeoutMs", "ms of CPU time"];
    for function in ["spinUntil", "never"] {
        let begun = Instant::now();
        fails(&client, function, 0, ErrorKind::DeadlineExceeded, &words);
        assert!(begun.elapsed() < Duration::from_secs(2), "{function}");
    }
    fails(
        &client,
        "pattern",
        0,
        ErrorKind::DeadlineExceeded,
        &["30 ms"],
    );
}

#[test]
fn heap_is_limited_for_all_and_for_each_function() {
    let fleet = Fleet::new();
    let node = node(&fleet, |node| node.lane.memory_bytes = 4 << 20);
    let client = fleet.client(node.address());
    assert_eq!(call(&client, "take", 3), Ok(Value::Integer(3 << 20)));
    let words = ["asked for 5", "limit is 4 MiB", "--memory-limit"];
    fails(&client, "take", 5, ErrorKind::MemoryLimit, &words);
    assert_eq!(call(&client, "takeMore", 12), Ok(Value::Integer(12 << 20)));
    let words = ["asked for 20", "limit is 16 MiB", "memoryMb"];
    fails(&client, "takeMore", 20, ErrorKind::MemoryLimit, &words);
    for function in ["bomb", "swallow", "strings"] {
        fails(
            &client,
            function,
            0,
            ErrorKind::MemoryLimit,
            &["limit is 4 MiB"],
        );
    }
    assert_eq!(call(&client, "count", 0), Ok(Value::Integer(1)));
    fails(
        &client,
        "pretend",
        0,
        ErrorKind::JavaScript,
        &["out of memory"],
    );
}

#[test]
fn the_bill_tells_the_peak_of_the_heap() {
    let fleet = Fleet::new();
    let node = node(&fleet, |_| {});
    let client = fleet.client(node.address());
    let peak = |function: &str, argument: i64| {
        let reply = client
            .prepare(function)
            .send_blocking(Value::Integer(argument));
        reply.unwrap().bill.heap_peak_bytes
    };
    let little = peak("count", 0);
    assert!((10_000..4_000_000).contains(&little), "{little}");
    let much = peak("take", 30);
    assert!((30 << 20..(31 << 20) + little).contains(&much), "{much}");
    let little = peak("count", 0);
    assert!(little < 4_000_000, "not that of the call before: {little}");
}

#[test]
fn what_a_call_that_was_cut_off_has_left_is_gone() {
    let fleet = Fleet::new();
    let node = node(&fleet, |node| {
        node.lane.cpu = Duration::from_millis(50);
        node.lane.memory_bytes = 8 << 20;
    });
    let client = fleet.client(node.address());
    assert_eq!(call(&client, "count", 0), Ok(Value::Integer(1)));
    assert_eq!(call(&client, "count", 0), Ok(Value::Integer(2)));
    // They add a hundred; a lane that none of them had, as where one is made for the next call meanwhile, has counted a few.
    let assert_gone = |after: &str| {
        let count = call(&client, "count", 0).unwrap();
        assert!(
            (1..10).map(Value::Integer).any(|few| few == count),
            "{count:?} after {after}"
        );
    };
    for function in ["spin", "bomb", "deep"] {
        call(&client, function, 0).unwrap_err();
        assert_gone(function);
    }
    let request = client.prepare("spin").timeout(Duration::from_millis(20));
    assert_eq!(
        request.send_blocking(Value::Null).unwrap_err().kind,
        ErrorKind::DeadlineExceeded
    );
    assert_gone("a deadline");
}

#[test]
fn isolated_calls_find_nothing_of_each_other() {
    let fleet = Fleet::new();
    let some = node(&fleet, |_| {});
    let client = fleet.client(some.address());
    for _ in 0..3 {
        call(&client, "count", 0).unwrap();
    }
    let found = [(); 3].map(|()| call(&client, "alone", 0).unwrap());
    assert_eq!(found, [1, 1, 1].map(Value::Integer), "nor of others");
    let all = node(&fleet, |node| node.lane.isolate = true);
    let client = fleet.client(all.address());
    for _ in 0..3 {
        assert_eq!(call(&client, "count", 0), Ok(Value::Integer(1)));
    }
}

#[test]
fn a_lane_is_replaced_after_so_many_calls() {
    let fleet = Fleet::new();
    let node = node(&fleet, |node| node.lane.recycle_after = Some(3));
    let client = fleet.client(node.address());
    let counts = [(); 7].map(|()| call(&client, "count", 0).unwrap());
    assert_eq!(counts, [1, 2, 3, 1, 2, 3, 1].map(Value::Integer));
}

#[test]
fn a_lane_that_holds_too_much_is_replaced() {
    let fleet = Fleet::new();
    let node = node(&fleet, |node| node.lane.memory_bytes = 8 << 20);
    let client = fleet.client(node.address());
    // Half of the limit is passed with the third.
    let kept: Vec<Value> = (0..6).map(|_| call(&client, "keep", 2).unwrap()).collect();
    assert_eq!(kept, [1, 2, 1, 2, 1, 2].map(Value::Integer));
    // Garbage is no reason, cycles or not.
    for count in 1..6 {
        assert_eq!(call(&client, "cycles", 60), Ok(Value::Integer(count)));
    }
}

#[test]
fn bodies_are_limited_both_ways() {
    let fleet = Fleet::new();
    let node = node(&fleet, |node| node.lane.body_bytes = 10_000);
    let client = fleet.client(node.address());
    let length = |bytes: usize| client.call_blocking::<_, i64>("length", &"x".repeat(bytes));
    assert_eq!(length(9_000), Ok(9_000));
    let error = length(11_000).unwrap_err();
    assert_eq!(error.kind, ErrorKind::PayloadTooLarge);
    assert!(!error.may_have_run);
    assert!(error.message.contains("limit is 10000"), "{error}");
    assert!(call(&client, "fill", 9_000).is_ok());
    fails(
        &client,
        "fill",
        11_000,
        ErrorKind::PayloadTooLarge,
        &["10000"],
    );
    fails(
        &client,
        "fill",
        200_000,
        ErrorKind::PayloadTooLarge,
        &["10000"],
    );
}

#[test]
fn the_queue_is_as_long_as_it_is_said_to_be() {
    let fleet = Fleet::new();
    let node = node(&fleet, |node| {
        node.queue_max = 3;
        node.lane.cpu = Duration::from_millis(400);
    });
    let client = fleet.client(node.address());
    let errors: Vec<CallError> = std::thread::scope(|scope| {
        let calls: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| call(&client, "spin", 0).unwrap_err()))
            .collect();
        calls.into_iter().map(|call| call.join().unwrap()).collect()
    });
    let (refused, ran): (Vec<_>, Vec<_>) = errors
        .iter()
        .partition(|error| error.kind == ErrorKind::Overloaded);
    assert_eq!((refused.len(), ran.len()), (4, 4), "{errors:?}");
    for error in refused {
        assert!(!error.may_have_run);
        for word in ["3 calls wait", "limit is 3", "--queue-limit"] {
            assert!(error.message.contains(word), "{error}");
        }
    }
}

#[test]
fn settings_that_make_no_sense_are_refused() {
    let fleet = Fleet::new();
    let lane = LaneConfig::default();
    let of = |lane: LaneConfig| NodeConfig {
        lane,
        ..NodeConfig::default()
    };
    for (settings, words) in [
        (
            of(LaneConfig {
                memory_bytes: 1000,
                ..lane.clone()
            }),
            "at least 1 MiB",
        ),
        (
            of(LaneConfig {
                cpu: Duration::ZERO,
                ..lane.clone()
            }),
            "CPU limit",
        ),
        (
            of(LaneConfig {
                body_bytes: 1 << 30,
                ..lane.clone()
            }),
            "64 MiB",
        ),
        (
            of(LaneConfig {
                recycle_after: Some(0),
                ..lane.clone()
            }),
            "1 call",
        ),
        (
            NodeConfig {
                queue_max: 0,
                ..NodeConfig::default()
            },
            "queue",
        ),
    ] {
        let script = Script::new("test.js", SCRIPT);
        match Server::node(&fleet.config(Role::Node, 1), &script, &settings) {
            Err(StartError::Settings(text)) => assert!(text.contains(words), "{text}"),
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("it starts: {settings:?}"),
        }
    }
}

#[test]
fn the_flags_say_the_same() {
    let home = Home::new();
    home.write("script.js", SCRIPT);
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let args = "node -s script.js --shards 1 --pool-size 1 --memory-limit 4M --cpu-limit 100ms --body-limit 10K \
                --queue-limit 7 --recycle-after 2 -b";
    let args: Vec<&str> = args.split_whitespace().chain([address.as_str()]).collect();
    let _node = home.serve(&args);
    let call = |args: &[&str]| home.call(&[&[address.as_str()], args].concat());
    for expected in ["1\n", "2\n", "1\n"] {
        let output = call(&["count", "-v"]);
        assert_eq!(
            support::process::stdout(&output),
            expected,
            "{}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains("KiB of heap"),
            "{}",
            stderr(&output)
        );
    }
    refused(&call(&["spin"]), 1, &["CpuLimit", "limit is 100 ms"]);
    refused(&call(&["take", "5"]), 1, &["MemoryLimit", "limit is 4 MiB"]);
    refused(&call(&["fill", "20000"]), 1, &["PayloadTooLarge", "10240"]);
    let isolated = free_port();
    let isolated = format!("127.0.0.1:{isolated}");
    let _other = home.serve(&[
        "node",
        "-s",
        "script.js",
        "--shards",
        "1",
        "--isolate",
        "-b",
        &isolated,
    ]);
    for _ in 0..3 {
        let output = home.call(&[&isolated, "count"]);
        assert_eq!(support::process::stdout(&output), "1\n");
    }
    home.write(
        "bad.js",
        "\nmadrpc.register('f', () => 1, { timeoutMS: 5 });",
    );
    let words = [
        "bad.js:2:",
        "no option \"timeoutMS\"",
        "did you mean timeoutMs?",
    ];
    refused_with_stack(
        &home.run(&["node", "-s", "bad.js", "-b", "127.0.0.1:0"]),
        &words,
    );
    let help = support::process::stdout(&home.run(&["node", "--help"]));
    for word in [
        "--memory-limit",
        "[default: 64M]",
        "--cpu-limit",
        "[default: 30s]",
        "[default: 16384]",
    ] {
        assert!(help.contains(word), "no `{word}` in:\n{help}");
    }
}

/// A node's refusal to start, whose later lines are a JavaScript stack.
fn refused_with_stack(output: &std::process::Output, words: &[&str]) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(78), "{said}");
    for word in words {
        assert!(said.contains(word), "no `{word}` in: {said}");
    }
}
