//! The trace that a call belongs to: it comes in, goes on to calls of calls, and stands in each line about the call.
//!
//! Setup: nodes and orchestrators as processes.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use serde_json::Value;
use support::http::{self, request};
use support::process::{Home, Served, free_port, stdout};

const ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

const SCRIPT: &str = r#"
madrpc.register("trace", () => madrpc.traceparent);
madrpc.register("hasNone", () => madrpc.traceparent === undefined);
madrpc.register("say", (text) => { console.log(text); });
madrpc.register("sleep", (ms) => new Promise((wake) => setTimeout(wake, ms)));
madrpc.register("work", (ms) => { const end = Date.now() + ms; while (Date.now() < end) {} });
madrpc.register("below", async () => [
  await madrpc.call("trace"), ...await madrpc.map("trace", [1, 2]), madrpc.callSync("trace"),
]);
madrpc.register("streamed", function* () { yield madrpc.traceparent; });
madrpc.register("belowStream", async () => { for await (const item of madrpc.stream("streamed")) return item; });
"#;

fn traceparent() -> String {
    format!("00-{ID}-00f067aa01902b71-00")
}

/// A directory with the script above.
fn home() -> Home {
    let home = Home::new();
    home.write("script.js", SCRIPT);
    home
}

/// A node and an orchestrator that its calls of calls go through, with these flags more for both, and where each is called.
fn fleet(home: &Home, more: &[&str]) -> (Served, Served, String, String) {
    let (node, front) = (local(free_port()), local(free_port()));
    let one_shard = ["--shards", "1"];
    let orchestrator = [
        &["orchestrator", "-b", &front, "-n", &node],
        &one_shard[..],
        more,
    ];
    let orchestrator = home.serve(&orchestrator.concat());
    let flags = ["-s", "script.js", "-b", &node, "--orchestrator", &front];
    let served = home.serve(&[&["node"], &flags[..], &one_shard, more].concat());
    support::eventually("calls come through", || {
        home.call(&[&front, "trace"]).status.success()
    });
    (served, orchestrator, node, front)
}

fn local(port: u16) -> String {
    format!("127.0.0.1:{port}")
}

fn result(home: &Home, args: &[&str]) -> Value {
    let output = home.call(args);
    serde_json::from_str(&stdout(&output)).unwrap_or_else(|_| panic!("{output:?}"))
}

/// What a line says under this name.
fn said<'a>(line: &'a str, name: &str) -> &'a str {
    let (_, value) = line.split_once(&format!(" {name}=")).unwrap();
    value.split_whitespace().next().unwrap().trim_matches('"')
}

#[test]
fn a_trace_comes_in_and_goes_on_to_calls_of_calls() {
    let home = home();
    let (_node, _orchestrator, node, front) = fleet(&home, &[]);
    let given = traceparent();
    for address in [&node, &front] {
        assert_eq!(
            result(&home, &[address, "trace", "--trace", &given]),
            given.as_str()
        );
        // One that has none comes after it in the same lane.
        assert_eq!(result(&home, &[address, "hasNone"]), true);
        let below = result(&home, &[address, "below", "--trace", &given]);
        assert_eq!(below, Value::from(vec![given.as_str(); 4]));
        let item = result(&home, &[address, "belowStream", "--trace", &given]);
        assert_eq!(item, given.as_str());
    }
}

#[test]
fn it_is_inherited_on_the_shard_of_the_caller_too() {
    let home = home();
    let node = local(free_port());
    let _node = home.serve(&["node", "-s", "script.js", "-b", &node, "--shards", "1"]);
    let below = result(&home, &[&node, "below", "--trace", &traceparent()]);
    assert_eq!(below, Value::from(vec![traceparent(); 4]));
}

#[test]
fn what_is_no_trace_is_refused_by_the_command_and_left_by_http() {
    let home = home();
    let (_node, address, http) = http::node(&home, &[]);
    let wrong = traceparent().replace("4bf9", "4BF9");
    let output = home.call(&[&address, "trace", "--trace", &wrong]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    let call = |headers: &[&str]| request(http, "POST /call/trace", headers, "").body;
    let given = format!("traceparent: {}", traceparent());
    assert_eq!(call(&[&given]), format!("\"{}\"", traceparent()));
    for headers in [
        &[format!("traceparent: {wrong}").as_str()][..],
        &[&given, &given],
    ] {
        assert_eq!(call(headers), call(&[]), "{headers:?}");
    }
    let rpc = r#"{"jsonrpc": "2.0", "id": 1, "method": "trace"}"#;
    let answer = request(
        http,
        "POST /",
        &[&given, "Content-Type: application/json"],
        rpc,
    );
    assert_eq!(answer.json()["result"], traceparent().as_str());
}

#[test]
fn a_line_of_a_script_says_the_trace_of_its_call() {
    let home = home();
    let (mut node, _orchestrator, _, front) = fleet(&home, &[]);
    home.call(&[&front, "say", "\"one\"", "--trace", &traceparent()]);
    home.call(&[&front, "say", "\"two\""]);
    node.wait_for("two");
    let line = |word: &str| {
        let lines = node.seen.lines();
        lines.rev().find(|line| line.contains(word)).unwrap()
    };
    assert_eq!(said(line("one"), "trace"), ID);
    assert!(!line("two").contains("trace"), "{}", line("two"));
}

#[test]
fn a_slow_call_is_told_by_who_ran_it_and_by_who_passed_it_on() {
    let home = home();
    let (mut node, mut orchestrator, address, front) = fleet(&home, &["--slow", "300ms"]);
    // Waiting is slow too, and does not take the core.
    home.call(&[&front, "trace"]);
    home.call(&[&front, "sleep", "400", "--trace", &traceparent()]);
    for (server, caller) in [(&mut node, "orchestrator:"), (&mut orchestrator, "client:")] {
        server.wait_for("a slow call");
        let slow = server
            .seen
            .lines()
            .filter(|line| line.contains("a slow call"));
        let lines: Vec<&str> = slow.collect();
        let &[line] = lines.as_slice() else {
            panic!("{}", server.seen);
        };
        assert!(
            line.contains(" WARN ") && line.contains("(1 since"),
            "{line}"
        );
        assert_eq!(said(line, "function"), "sleep");
        assert!(said(line, "caller").starts_with(caller), "{line}");
        assert_eq!(said(line, "node"), address);
        assert_eq!(said(line, "trace"), ID);
        let took: u64 = said(line, "took_ms").parse().unwrap();
        assert!((400..30_000).contains(&took), "{line}");
    }
    let of = |seen: &str, name: &str| {
        let line = seen
            .lines()
            .find(|line| line.contains("a slow call"))
            .unwrap();
        said(line, name).parse::<u64>().unwrap()
    };
    assert_eq!(of(&orchestrator.seen, "tries"), 1);
    assert!(of(&node.seen, "slices") >= 1);
    assert!(of(&node.seen, "cpu_us") < 200_000);
    // Those that follow soon are counted in the next line, and are none of their own.
    for _ in 0..2 {
        home.call(&[&front, "work", "400"]);
    }
    std::thread::sleep(std::time::Duration::from_secs(5));
    home.call(&[&front, "work", "400"]);
    node.wait_for("(3 since the last such line)");
    let line = node.seen.lines().last().unwrap();
    assert!(
        said(line, "cpu_us").parse::<u64>().unwrap() > 200_000,
        "{line}"
    );
    // Of a call without a trace all have the same number.
    orchestrator.wait_for("(3 since the last such line)");
    let passed_on = orchestrator.seen.lines().last().unwrap();
    assert_eq!(said(line, "trace"), said(passed_on, "trace"));
    assert_eq!(said(line, "trace").len(), 32);
}
