//! Spans of those who call: by HTTP, by the command and from Rust. What servers record of such a call hangs below them.
//!
//! Setup: an orchestrator and two nodes as processes, or a node in this one, and a collector in this one.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use futures_lite::future::{block_on, poll_once};
use madrpc_core::call::ErrorKind;
use madrpc_core::value::Value;
use madrpc_shard::client::{Client, ClientConfig, Ended, encode_args};
use madrpc_shard::traces::Exporter;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use support::collector::{Answers, Collector, Span};
use support::http;
use support::process::{Home, free_port, stderr, stdout};
use support::traced::{CALLER, CLIENT, Fleet, SCRIPT, id, one, passed_on, traceparent};

const JAVASCRIPT: &str = "JavaScript";

/// The call of a client that has this parent and name, at this address; below it is what servers have recorded.
fn called<'a>(spans: &'a [Span], parent: &str, name: &str, address: &str) -> &'a Span {
    let call = one(spans, "of the client", |span| {
        span.parent == parent && span.name == name
    });
    assert_eq!(call.kind, CLIENT, "{call:?}");
    assert_eq!(call.attribute("rpc.system.name"), "madrpc");
    assert_eq!(call.attribute("rpc.method"), name);
    let server = ["server.address", "server.port"].map(|key| call.attribute(key));
    assert_eq!(server.join(":"), address);
    let [front, ..] = passed_on(spans, &call.id);
    assert!(front.is_within(call), "{spans:#?}");
    call
}

/// The call with this parent was given up, and so everywhere, one after the other.
fn is_cancelled(spans: &[Span], parent: &str) {
    let mut parent = parent;
    for place in ["the client", "the orchestrator", "a try", "the node"] {
        let span = one(spans, place, |span| span.parent == parent);
        assert_eq!(
            span.attribute("error.type"),
            "Cancelled",
            "{place}: {span:?}"
        );
        parent = &span.id;
    }
}

#[test]
fn a_call_by_http_is_a_tree_from_its_request_to_its_node() {
    let mut collector = Collector::start(Answers::Well);
    let fleet = Fleet::start(&["--otlp", &collector.url, "--http", "0"]);
    let at = http::address(&fleet.orchestrator);
    let header = |trace, is_recorded| format!("traceparent: {}", traceparent(trace, is_recorded));
    let call = |function: &str, headers: &[&str], body: &str| {
        http::request(at, &format!("POST /call/{function}"), headers, body)
    };
    let mut of = |trace: u32, count| collector.wait(count, |span| span.trace == id(trace));

    let answer = call("trace", &[&header(1, true)], "");
    let spans = of(1, 4);
    let span = called(&spans, CALLER, "trace", &fleet.front);
    assert_eq!(
        (span.service.as_str(), &span.status),
        ("madrpc-orchestrator", &(0, String::new()))
    );
    let [_, _, node] = passed_on(&spans, &span.id);
    assert_eq!(answer.body, format!("\"00-{}-{}-01\"", id(1), node.id));

    assert_eq!(call("fail", &[&header(2, true)], "").kind(), JAVASCRIPT);
    let spans = of(2, 4);
    let span = called(&spans, CALLER, "fail", &fleet.front);
    assert_eq!(span.attribute("error.type"), JAVASCRIPT);

    let batch = r#"[{"jsonrpc": "2.0", "id": 1, "method": "trace"}, {"jsonrpc": "2.0", "id": 2, "method": "fail"}]"#;
    let json = "Content-Type: application/json";
    assert_eq!(
        http::request(at, "POST /", &[&header(3, true), json], batch).status,
        200
    );
    let spans = of(3, 8);
    for name in ["trace", "fail"] {
        called(&spans, CALLER, name, &fleet.front);
    }

    let events = "Accept: text/event-stream";
    let answer = call("count", &[&header(4, true), events], "3");
    assert!(answer.body.contains("event: result"), "{answer:?}");
    let spans = of(4, 4);
    let span = called(&spans, CALLER, "count", &fleet.front);
    assert_eq!(span.attribute("error.type"), "");

    // A client that goes cancels its call: certainly once something has come.
    let mut stream = http::connect(at);
    let trace = header(5, true);
    let endless = format!(
        "POST /call/count HTTP/1.1\r\nHost: {at}\r\n{trace}\r\n{events}\r\nContent-Length: 4\r\n\r\n1e15"
    );
    stream.write_all(endless.as_bytes()).unwrap();
    let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.starts_with("data: ")));
    drop(stream);
    is_cancelled(&of(5, 4), CALLER);

    // Neither of those is recorded.
    assert_eq!(call("trace", &[&header(6, false)], "").status, 200);
    assert_eq!(call("trace", &[], "").status, 200);
    sleep(Duration::from_millis(2_500));
    assert_eq!(collector.all().len(), 4 * 6);
}

#[test]
fn a_share_of_those_by_http_begins_traces_of_its_own() {
    let mut collector = Collector::start(Answers::Well);
    let flags = ["--otlp", &collector.url, "--otlp-sample", "1"];
    let fleet = Fleet::start(&[&flags[..], &["--http", "0"]].concat());
    let at = http::address(&fleet.orchestrator);
    assert_eq!(http::post(at, "/call/trace", "").status, 200);
    let spans = collector.wait(4, |_| true);
    let span = called(&spans, "", "trace", &fleet.front);
    assert!(
        spans.iter().all(|other| other.trace == span.trace),
        "{spans:#?}"
    );
}

#[test]
fn the_share_of_those_by_http_is_taken_once() {
    let mut collector = Collector::start(Answers::Well);
    let flags = ["--otlp", &collector.url, "--otlp-sample", "0.5"];
    let fleet = Fleet::start(&[&flags[..], &["--http", "0"]].concat());
    let at = http::address(&fleet.orchestrator);
    for _ in 0..64 {
        assert_eq!(http::post(at, "/call/trace", "").status, 200);
    }
    // Some are taken, but for a chance of one in 2⁶⁴; those that are have all their spans.
    collector.wait(4, |_| true);
    sleep(Duration::from_millis(2_500));
    let spans = collector.all();
    let begun: Vec<&Span> = spans.iter().filter(|span| span.parent.is_empty()).collect();
    assert!(begun.iter().all(|span| span.kind == CLIENT), "{begun:#?}");
    assert_eq!(spans.len(), 4 * begun.len());
}

#[test]
fn the_command_sends_the_spans_of_its_calls_before_it_ends() {
    let mut collector = Collector::start(Answers::Well);
    let fleet = Fleet::start(&["--otlp", &collector.url]);
    let url = collector.url.clone();
    let otlp = ["--otlp", &url];
    let call = |args: &[&str]| {
        let all = [&[fleet.front.as_str()], args, &otlp[..]].concat();
        fleet.home.call(&all)
    };
    let client = |span: &Span| span.service == "madrpc-client";

    // It begins a trace, which the servers go on with.
    let output = call(&["trace"]);
    assert!(output.status.success(), "{output:?}");
    let spans = collector.wait(4, |_| true);
    let span = called(&spans, "", "trace", &fleet.front);
    assert!(client(span), "{span:?}");
    let [_, _, node] = passed_on(&spans, &span.id);
    assert_eq!(
        stdout(&output),
        format!("\"00-{}-{}-01\"\n", span.trace, node.id)
    );

    let output = call(&["fail", "null", "--trace", &traceparent(1, true)]);
    assert_eq!(output.status.code(), Some(3), "{output:?}");
    let spans = collector.wait(4, |span| span.trace == id(1));
    let span = called(&spans, CALLER, "fail", &fleet.front);
    assert!(client(span), "{span:?}");
    assert_eq!(span.attribute("error.type"), JAVASCRIPT);

    for args in [
        &["trace", "null", "--trace", &traceparent(2, false)][..],
        &["trace", "--otlp-sample", "0"],
    ] {
        assert!(call(args).status.success());
    }

    // One whose reader goes is cancelled.
    let args = [&["call", &fleet.front, "count", "1e15"], &otlp[..]].concat();
    let mut command = fleet.home.command(&args);
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    reader.read_line(&mut line).unwrap();
    drop(reader);
    assert_eq!(
        (line.as_str(), child.wait().unwrap().code()),
        ("0\n", Some(0))
    );
    is_cancelled(&collector.wait(4, |span| span.name == "count"), "");

    let args = [&["map", &fleet.front, "sleep", "-q"], &otlp[..]].concat();
    let mut command = fleet.home.command(&args);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(b"1\n2\n3\n").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let spans = collector.wait(3 * 4, |span| span.name == "sleep");
    let calls: Vec<&Span> = spans.iter().filter(|span| client(span)).collect();
    assert_eq!(calls.len(), 3);
    for call in calls {
        assert_eq!(call.parent, "");
        passed_on(&spans, &call.id);
    }
    assert_eq!(collector.all().len(), 6 * 4);
}

#[test]
fn a_command_that_is_interrupted_sends_the_span_of_its_call() {
    let mut collector = Collector::start(Answers::Well);
    let fleet = Fleet::start(&["--otlp", &collector.url]);
    for (number, signal) in [(1, Signal::SIGINT), (2, Signal::SIGTERM)] {
        let trace = traceparent(number, true);
        let args = ["call", &fleet.front, "count", "1e15", "--trace", &trace];
        let mut command = fleet
            .home
            .command(&[&args[..], &["--otlp", &collector.url]].concat());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        assert_eq!(lines.next().unwrap().unwrap(), "0");
        // Nobody reads any more: who waits for that hears the signal all the same.
        kill(Pid::from_raw(child.id() as i32), signal).unwrap();
        assert_eq!(child.wait().unwrap().signal(), Some(signal as i32));
        drop(lines);
        let spans = collector.wait(4, |span| span.trace == id(number));
        is_cancelled(&spans, CALLER);
    }
}

/// A call whose spans go to this address; how it ended, and after how long.
fn call_at(home: &Home, address: &str, url: &str) -> (Output, Duration) {
    let begun = Instant::now();
    let output = home.call(&[address, "echo", "7", "--otlp", url]);
    (output, begun.elapsed())
}

#[test]
fn a_receiver_that_does_not_take_them_costs_a_line_and_a_second() {
    let home = Home::new();
    let (_node, address, _) = http::node(&home, &[]);
    let away = format!("http://127.0.0.1:{}", free_port());
    let silent = Collector::start(Answers::Never);
    let refusing = Collector::start(Answers::With(500));
    for (url, why) in [
        (&away, "refused"),
        (&silent.url, "no answer within 1 s"),
        (&refusing.url, "it answers 500"),
    ] {
        let (output, took) = call_at(&home, &address, url);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        assert_eq!(stdout(&output), "7\n");
        let said = stderr(&output);
        let words = "--otlp: spans have not come to their receiver (1 of them)";
        assert!(said.contains(words) && said.contains(why), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        // A server waits 10 s for an answer.
        assert!(took < Duration::from_secs(8), "{took:?}");
    }
}

#[test]
fn flags_that_do_not_fit_are_refused() {
    let home = Home::new();
    let address = "127.0.0.1:1";
    for (flags, words) in [
        (&["--otlp", "https://127.0.0.1"][..], "expected http://"),
        (&["--otlp-sample", "0.5"], "--otlp <URL>"),
        (
            &["--otlp", "http://127.0.0.1:1", "--otlp-sample", "2"],
            "from 0 to 1",
        ),
    ] {
        for command in ["call", "map"] {
            let output = home.run(&[&[command, address, "echo"], flags].concat());
            assert_eq!(output.status.code(), Some(2), "{output:?}");
            let said = stderr(&output);
            assert!(said.contains(words), "{said}");
        }
    }
}

#[test]
fn a_client_records_how_each_call_has_ended() {
    let mut collector = Collector::start(Answers::Well);
    let fleet = support::Fleet::new();
    let node = fleet.node(SCRIPT);
    let receiver = collector.url.parse().unwrap();
    let (exporter, recorder) = Exporter::of_clients(receiver, "billing", 1.0).unwrap();
    let client = Client::new(&ClientConfig {
        recorder: Some(recorder),
        ..fleet.client_config(node.address())
    })
    .unwrap();
    let failed = |function: &str, timeout| {
        let call = client.prepare(function).timeout(timeout);
        call.send_blocking(Value::from(600_000)).unwrap_err().kind
    };
    let (short, patient) = (Duration::from_millis(50), Duration::from_secs(60));
    assert_eq!(failed("fail", patient), ErrorKind::JavaScript);
    assert_eq!(failed("nothing", patient), ErrorKind::NoSuchFunction);
    assert_eq!(failed("sleep", short), ErrorKind::DeadlineExceeded);
    // Nothing is sent of that.
    let key = [0; 1000];
    let call = client.prepare("trace").key(&key);
    call.send_blocking(Value::Null).unwrap_err();
    let long = "f".repeat(1 << 20);
    let error = client.prepare(&long).send_blocking(Value::Null);
    let error = error.unwrap_err();
    assert_eq!(error.kind, ErrorKind::NoSuchFunction);
    assert!(error.message.contains("has 1048576 bytes"), "{error}");

    // Those that nobody waits for any more.
    {
        let mut call = Box::pin(client.call::<_, Value>("sleep", &600_001));
        assert!(block_on(poll_once(&mut call)).is_none());
    }
    let mut items = client.stream::<_, u64>("count", &1e15);
    assert_eq!(items.next_blocking(), Some(Ok(0)));
    drop(items);
    let mut items = client.stream::<_, u64>("count", &2);
    while let Some(item) = items.next_blocking() {
        item.unwrap();
    }
    let mut calls = client.calls();
    let call = client.prepare("sleep");
    let args = |ms: i64| encode_args(&Value::from(ms)).unwrap();
    calls.begin(1, &call, args(600_002)).unwrap();
    calls.begin(2, &call, args(1)).unwrap();
    let Ended { tag, result } = block_on(futures_lite::StreamExt::next(&mut calls)).unwrap();
    assert!(tag == 2 && result.is_ok(), "{result:?}");
    calls.cancel(1);
    client.close_blocking();
    exporter.close().unwrap();

    let spans = collector.wait(8, |_| true);
    let mut ends: Vec<_> = spans
        .iter()
        .map(|span| (span.name.as_str(), span.attribute("error.type")))
        .collect();
    ends.sort_unstable();
    let expected = [
        ("count", ""),
        ("count", "Cancelled"),
        ("fail", JAVASCRIPT),
        ("nothing", "NoSuchFunction"),
        ("sleep", ""),
        ("sleep", "Cancelled"),
        ("sleep", "Cancelled"),
        ("sleep", "DeadlineExceeded"),
    ];
    assert_eq!(ends, expected);
    let is_own = |span: &Span| span.service == "billing" && span.parent.is_empty();
    assert!(spans.iter().all(is_own), "{spans:#?}");
    assert_eq!(collector.all().len(), 8);
}
