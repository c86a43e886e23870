//! Spans of calls, as a collector of OTLP gets them, and that nothing waits for a collector.
//!
//! Setup: an orchestrator and two nodes as processes, and a collector in this one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use serde_json::Value;
use std::process::Stdio;
use std::thread::sleep;
use std::time::Duration;
use support::collector::{Answers, Collector, Span};
use support::process::{Home, Served, free_port, stdout};
use support::traced::{CALLER, CLIENT, Fleet, SCRIPT, id, one, passed_on, traceparent};
use support::{eventually, http};

#[test]
fn a_call_is_a_tree_of_spans_from_its_caller_to_its_node() {
    let mut collector = Collector::start(Answers::Well);
    let fleet = Fleet::start(&["--otlp", &collector.url]);
    let told = fleet.call("trace", "null", &traceparent(1, true));
    assert_eq!(
        fleet
            .call("fail", "null", &traceparent(2, true))
            .status
            .code(),
        Some(3)
    );
    // Neither of those is recorded.
    assert!(
        fleet
            .call("trace", "null", &traceparent(3, false))
            .status
            .success()
    );
    assert!(fleet.home.call(&[&fleet.front, "trace"]).status.success());

    let spans = collector.wait(3, |span| span.trace == id(1));
    assert_eq!(spans.len(), 3);
    let [front, tried, node] = passed_on(&spans, CALLER);
    for span in [front, tried, node] {
        assert_eq!(span.name, "trace");
        assert_eq!(span.attribute("rpc.system.name"), "madrpc");
        assert_eq!(span.attribute("rpc.method"), "trace");
        assert_eq!(span.status, (0, String::new()));
        // Some time in this century.
        assert!(span.begun > 1_700_000_000_000_000_000, "{span:?}");
    }
    assert_eq!(front.attribute("madrpc.tries"), "1");
    assert_eq!(tried.attribute("server.address"), "127.0.0.1");
    assert_eq!(node.attribute("madrpc.slices"), "1");
    // What the script sees is its own span.
    let expected = format!("\"00-{}-{}-01\"\n", id(1), node.id);
    assert_eq!(stdout(&told), expected);

    let spans = collector.wait(3, |span| span.trace == id(2));
    for span in passed_on(&spans, CALLER) {
        assert_eq!(span.status, (2, "JavaScript".to_owned()));
        assert_eq!(span.attribute("error.type"), "JavaScript");
    }
    sleep(Duration::from_millis(2_500));
    let others = collector
        .all()
        .iter()
        .filter(|span| ![id(1), id(2)].contains(&span.trace));
    assert_eq!(others.count(), 0);
}

#[test]
fn calls_of_calls_hang_below_theirs() {
    let mut collector = Collector::start(Answers::Well);
    let fleet = Fleet::start(&["--otlp", &collector.url]);
    assert!(
        fleet
            .call("below", "null", &traceparent(1, true))
            .status
            .success()
    );
    let spans = collector.wait(9, |span| span.trace == id(1));
    assert_eq!(spans.len(), 9);
    let [_, _, node] = passed_on(&spans, CALLER);
    assert_eq!(node.name, "below");
    let children = spans.iter().filter(|span| span.parent == node.id);
    let children: Vec<&Span> = children.collect();
    assert_eq!(children.len(), 2, "{spans:#?}");
    for child in children {
        assert!(child.name == "trace" && child.is_within(node), "{spans:#?}");
        let tried = one(&spans, "a try", |span| span.parent == child.id);
        one(&spans, "at a node", |span| span.parent == tried.id);
    }
}

#[test]
fn a_call_whose_node_is_killed_has_two_tries() {
    let mut collector = Collector::start(Answers::Well);
    let mut fleet = Fleet::start(&["--otlp", &collector.url]);
    // In turn: one is on each node.
    let calls: Vec<_> = (1..=2)
        .map(|trace| {
            let trace = traceparent(trace, true);
            let args = ["call", &fleet.front, "sleep", "2000", "--trace", &trace];
            let mut command = fleet.home.command(&args);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    sleep(Duration::from_millis(1_000));
    fleet.nodes[0].child.kill().unwrap();
    for call in calls {
        let output = call.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
    }
    // Three of the one, and of the other the call, two tries and what the second has come to.
    let spans = collector.wait(7, |_| true);
    let tries = |trace: u32| {
        let tries = spans
            .iter()
            .filter(|span| span.trace == id(trace) && span.kind == CLIENT);
        let mut tries: Vec<&Span> = tries.collect();
        tries.sort_by_key(|span| span.begun);
        tries
    };
    let both = [tries(1), tries(2)];
    let mut counts = both.each_ref().map(Vec::len);
    counts.sort_unstable();
    assert_eq!(counts, [1, 2], "{spans:#?}");
    let twice = both.into_iter().find(|tries| tries.len() == 2).unwrap();
    let &[first, second] = twice.as_slice() else {
        panic!("{twice:?}");
    };
    assert_eq!(first.parent, second.parent);
    assert_eq!(first.attribute("error.type"), "Unavailable");
    assert_eq!(second.status, (0, String::new()));
    assert_ne!(
        first.attribute("server.port"),
        second.attribute("server.port")
    );
    assert_eq!(
        [first, second].map(|span| span.attribute("madrpc.try")),
        ["0", "1"]
    );
    assert!(first.ended <= second.begun, "{twice:#?}");
    one(&spans, "at the second node", |span| {
        span.parent == second.id
    });
    let front = one(&spans, "at the orchestrator", |span| {
        span.id == first.parent
    });
    assert_eq!(front.attribute("madrpc.tries"), "2");
    assert!(first.is_within(front) && second.is_within(front));
}

#[test]
fn a_share_of_the_others_begins_traces_of_its_own() {
    let mut collector = Collector::start(Answers::Well);
    let fleet = Fleet::start(&["--otlp", &collector.url, "--otlp-sample", "1"]);
    assert!(fleet.home.call(&[&fleet.front, "trace"]).status.success());
    let spans = collector.wait(3, |_| true);
    let [front, ..] = passed_on(&spans, "");
    assert!(
        spans.iter().all(|span| span.trace == front.trace),
        "{spans:#?}"
    );
    // One that says that it is not recorded is not.
    assert!(
        fleet
            .call("trace", "null", &traceparent(3, false))
            .status
            .success()
    );
    sleep(Duration::from_millis(2_500));
    assert_eq!(collector.all().len(), 3);
}

#[test]
fn a_trace_for_the_log_of_an_orchestrator_leaves_its_nodes_their_share() {
    let mut collector = Collector::start(Answers::Well);
    let home = Home::new();
    home.write("script.js", SCRIPT);
    let (node, front) = (free_port(), free_port());
    let [node, front] = [node, front].map(|port| format!("127.0.0.1:{port}"));
    let flags = ["node", "-s", "script.js", "-b", &node, "--shards", "1"];
    let records = ["--otlp", &collector.url, "--otlp-sample", "1"];
    let _node = home.serve(&[&flags[..], &records].concat());
    let flags = ["orchestrator", "-b", &front, "-n", &node, "--shards", "1"];
    let mut orchestrator = home.serve(&[&flags[..], &["--slow", "100ms"]].concat());
    eventually("the node is known", || {
        stdout(&home.run(&["functions", &front])).contains("sleep")
    });
    let output = home.call(&[&front, "sleep", "200"]);
    assert!(output.status.success(), "{output:?}");
    let spans = collector.wait(1, |_| true);
    assert_eq!(
        (spans[0].name.as_str(), spans[0].parent.as_str()),
        ("sleep", "")
    );
    // The line of the log and the span are of one trace.
    orchestrator.wait_for(&format!("trace={}", spans[0].trace));
}

/// A node that records all calls, and where its HTTP is.
fn recording(home: &Home, url: &str) -> (Served, String, std::net::SocketAddr) {
    http::node(home, &["--otlp", url, "--otlp-sample", "1"])
}

fn metric(http: std::net::SocketAddr) -> u64 {
    let text = http::get(http, "/metrics").body;
    let line = text
        .lines()
        .find(|line| line.starts_with("madrpc_spans_dropped_total"));
    let (_, number) = line.unwrap().rsplit_once(' ').unwrap();
    number.parse().unwrap()
}

/// Many calls; all have their results.
fn calls_go_on(home: &Home, address: &str, http: std::net::SocketAddr) {
    let args = ["bench", address, "add", "[1, 2]", "-d", "2s", "--json"];
    let measured: Value = serde_json::from_str(&stdout(&home.run(&args))).unwrap();
    assert!(measured["results"].as_u64().unwrap() > 5_000, "{measured}");
    assert_eq!(measured["errors"], serde_json::json!({}));
    // They do not fit into the ring.
    eventually("spans are dropped", || metric(http) > 0);
}

#[test]
fn a_receiver_that_is_away_holds_nothing_up_and_is_used_once_it_is_there() {
    let home = Home::new();
    let port = free_port();
    let (mut node, address, http) = recording(&home, &format!("http://127.0.0.1:{port}"));
    calls_go_on(&home, &address, http);
    node.wait_for("spans do not come to their receiver");
    let mut collector = Collector::at(port, Answers::Well);
    // What it has kept, and then what comes.
    collector.wait(512, |span| span.name == "add");
    node.wait_for("takes them again");
    assert_eq!(
        node.seen.matches("spans do not come").count(),
        1,
        "{}",
        node.seen
    );
    home.call(&[&address, "echo", "1"]);
    collector.wait(1, |span| span.name == "echo");
}

#[test]
fn nor_does_one_that_never_answers_and_one_that_refuses() {
    for answers in [Answers::Never, Answers::With(500)] {
        let home = Home::new();
        let collector = Collector::start(answers);
        let (mut node, address, http) = recording(&home, &collector.url);
        calls_go_on(&home, &address, http);
        if answers == Answers::With(500) {
            node.wait_for("it answers 500");
        }
        assert_eq!(home.call(&[&address, "echo", "1"]).status.code(), Some(0));
        node.signal(nix::sys::signal::Signal::SIGTERM);
        assert_eq!(node.end().code(), Some(0));
    }
}

#[test]
fn what_is_no_receiver_is_refused() {
    let home = Home::new();
    for (flags, words) in [
        (["--otlp", "https://127.0.0.1"], "expected http://"),
        (["--otlp", "127.0.0.1:4318"], "http://127.0.0.1:4318"),
        (["--otlp-sample", "1.5"], "from 0 to 1"),
        (["--otlp-sample", "NaN"], "from 0 to 1"),
        (["--otlp-sample", "0.5"], "nowhere that spans are sent"),
    ] {
        let output = home.run(
            &[
                &["node", "-s", "script.js", "-b", "127.0.0.1:0"],
                &flags[..],
            ]
            .concat(),
        );
        assert_eq!(output.status.code(), Some(2), "{output:?}");
        let said = support::process::stderr(&output);
        assert!(said.contains(words), "{said}");
    }
}
