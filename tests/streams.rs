//! Functions that stream: generators whose items come one after the other, none lost and none twice, as far as their reader goes.
//!
//! Setup: nodes of one shard in this process, directly and through an orchestrator, over real sockets and mutual TLS; processes
//! where one is killed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use madrpc_abuse::peer::client::Peer;
use madrpc_core::call::frame::{self, Header};
use madrpc_core::call::{CallError, CallFields, ErrorKind, Fields};
use madrpc_core::identity::Identity;
use madrpc_core::limits::STREAM_WINDOW;
use madrpc_core::session::set_transport;
use madrpc_core::stats::{STATS, Snapshot};
use madrpc_core::value::Value;
use madrpc_core::value::json::to_json;
use madrpc_shard::client::{Client, ClientConfig, ItemStream};
use madrpc_shard::server::Server;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::Stdio;
use std::thread::sleep;
use std::time::{Duration, Instant};
use support::process::{Home, Served, free_port, stderr, stdout};
use support::{Fleet, eventually};

const SCRIPT: &str = r#"
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
madrpc.register("count", function* (n) { for (let i = 0; i < n; i++) yield i; return "counted"; });
madrpc.register("endless", function* () { for (let i = 1;; i++) yield i; }, { idempotent: true });
madrpc.register("ticking", async function* () { for (let i = 1;; i++) { await madrpc.call("tick"); yield i; } });
madrpc.register("tick", () => null);
madrpc.register("slowly", async function* ([n, ms]) { for (let i = 0; i < n; i++) { await pause(ms); yield i; } });
madrpc.register("later", async (n) => { await pause(1); return (function* () { yield* [n, Promise.resolve(n + 1)]; })(); });
madrpc.register("calls", async function* (n) { for (let i = 0; i < n; i++) yield await madrpc.call("echo", i); });
madrpc.register("fails", function* (n) { for (let i = 0; i < n; i++) yield i; throw new RangeError("no more"); });
madrpc.register("burns", function* () { yield 1; for (;;) {} });
madrpc.register("blocks", function* ([n, bytes]) { for (let i = 0; i < n; i++) yield new Uint8Array(bytes).fill(i); return new Uint8Array(bytes); });
madrpc.register("odd", function* () { yield 1; yield () => 1; });
madrpc.register("none", function* () {});
madrpc.register("echo", (value) => value);
"#;

/// A node, and an orchestrator before it.
struct Stage {
    _fleet: Fleet,
    _node: Server,
    _orchestrator: Server,
    /// Of the node, and of the orchestrator.
    clients: [Client; 2],
}

impl Stage {
    fn new() -> Self {
        let fleet = Fleet::new();
        let node = fleet.node(SCRIPT);
        let orchestrator = fleet.orchestrator(&[node.address()]);
        let clients = [&node, &orchestrator].map(|server| fleet.client(server.address()));
        eventually("calls come through", || {
            clients[1].call_blocking::<_, i64>("echo", &1).is_ok()
        });
        Self {
            _fleet: fleet,
            _node: node,
            _orchestrator: orchestrator,
            clients,
        }
    }
}

fn open(client: &Client, function: &str, args: impl Into<Value>) -> ItemStream<Value> {
    let call = client.prepare(function).timeout(Duration::from_secs(60));
    call.stream(args.into())
}

/// All items as JSON, and the error that comes after them.
fn drain(stream: &mut ItemStream<Value>) -> (Vec<String>, Option<CallError>) {
    let mut items = Vec::new();
    while let Some(item) = stream.next_blocking() {
        match item {
            Ok(item) => items.push(to_json(&item)),
            Err(error) => {
                assert!(stream.next_blocking().is_none(), "it goes on after {error}");
                return (items, Some(error));
            }
        }
    }
    (items, None)
}

fn list(values: impl IntoIterator<Item = i64>) -> Value {
    Value::Array(values.into_iter().map(Value::from).collect())
}

#[test]
fn all_items_come_once_and_in_order_with_the_bill_at_the_end() {
    let stage = Stage::new();
    for client in &stage.clients {
        let mut stream = client.stream::<_, i64>("count", &100_000);
        for expected in 0..100_000 {
            assert_eq!(stream.next_blocking().unwrap().unwrap(), expected);
        }
        assert!(stream.next_blocking().is_none() && stream.has_streamed());
        let reply = stream.reply().unwrap();
        assert_eq!(reply.result, Value::from("counted"));
        assert!(
            reply.bill.cpu_us > 0 && reply.bill.slices > 1,
            "{:?}",
            reply.bill
        );
    }
}

#[test]
fn generators_of_all_kinds_stream_and_what_else_there_is_does_not() {
    let stage = Stage::new();
    for client in &stage.clients {
        let all = |function, args: Value| drain(&mut open(client, function, args));
        assert_eq!(all("slowly", list([3, 5])).0, ["0", "1", "2"]);
        assert_eq!(all("later", 7.into()).0, ["7", "8"]);
        assert_eq!(all("calls", 3.into()).0, ["0", "1", "2"]);
        assert_eq!(all("none", Value::Null), (Vec::new(), None));
        let mut plain = open(client, "echo", 5);
        assert_eq!(drain(&mut plain), (Vec::new(), None));
        assert!(!plain.has_streamed());
        assert_eq!(plain.reply().unwrap().result, Value::from(5));
        let (items, error) = all("odd", Value::Null);
        let error = error.unwrap();
        assert_eq!((items.len(), error.kind), (1, ErrorKind::JavaScript));
        assert!(error.message.contains("the item cannot be sent"), "{error}");
        let none = all("nowhere", Value::Null).1.unwrap();
        assert_eq!(none.kind, ErrorKind::NoSuchFunction);
    }
}

#[test]
fn one_who_does_not_take_items_is_told_so() {
    let stage = Stage::new();
    for client in &stage.clients {
        let error = client.call_blocking::<_, Value>("count", &3).unwrap_err();
        assert_eq!(error.kind, ErrorKind::JavaScript);
        assert!(error.message.contains("the function streams"), "{error}");
    }
}

#[test]
fn a_function_waits_for_a_reader_that_stops_and_others_do_not() {
    let stage = Stage::new();
    for client in &stage.clients {
        let ticks = || ticks(&stage.clients[0]);
        let before = ticks();
        let mut stream = open(client, "ticking", Value::Null);
        stream.next_blocking().unwrap().unwrap();
        eventually("it has yielded all that it may", || {
            ticks() >= before + u64::from(STREAM_WINDOW)
        });
        for number in 0..200 {
            let echo: u64 = client.call_blocking("echo", &number).unwrap();
            assert_eq!(echo, number);
        }
        sleep(Duration::from_millis(200));
        // The one that was taken was not granted again, and one more is made before it waits.
        let most = before + u64::from(STREAM_WINDOW) + 1;
        assert!(ticks() <= most, "{} of {most}", ticks());
        for expected in 2..2_000 {
            assert_eq!(
                stream.next_blocking().unwrap().unwrap(),
                Value::from(expected)
            );
        }
        assert!(ticks() > most);
    }
}

/// How often `tick` has been called on a node.
fn ticks(client: &Client) -> u64 {
    let snapshot: Snapshot = client.call_blocking(STATS, &()).unwrap();
    let mut rows = snapshot.rows.iter();
    let row = rows.find(|row| row.function == "tick");
    row.map_or(0, |row| row.calls)
}

#[test]
fn an_error_comes_after_what_was_yielded_before_it() {
    let stage = Stage::new();
    for client in &stage.clients {
        let (items, error) = drain(&mut open(client, "fails", 1_000));
        let error = error.unwrap();
        assert_eq!(items.len(), 1_000);
        assert_eq!(error.kind, ErrorKind::JavaScript);
        assert!(error.message.contains("no more"), "{error}");
        assert!(error.bill.is_some());
    }
}

#[test]
fn deadlines_hold_for_all_of_it() {
    let stage = Stage::new();
    for client in &stage.clients {
        for (function, args) in [("slowly", list([1_000_000, 1])), ("burns", Value::Null)] {
            let call = client.prepare(function).timeout(Duration::from_millis(300));
            let (items, error) = drain(&mut call.stream(args));
            assert!(!items.is_empty(), "{function}");
            assert_eq!(error.unwrap().kind, ErrorKind::DeadlineExceeded);
        }
        // One that waits for its reader.
        let call = client
            .prepare("endless")
            .timeout(Duration::from_millis(300));
        let mut stream = call.stream(Value::Null);
        sleep(Duration::from_millis(600));
        let (items, error) = drain(&mut stream);
        assert!((1..=256).contains(&items.len()), "{}", items.len());
        assert_eq!(error.unwrap().kind, ErrorKind::DeadlineExceeded);
    }
}

#[test]
fn large_items_come_in_order_between_small_ones() {
    const BYTES: i64 = 1 << 20;
    let stage = Stage::new();
    for client in &stage.clients {
        let mut stream = open(client, "blocks", list([20, BYTES]));
        for expected in 0..20_u8 {
            let item = stream.next_blocking().unwrap().unwrap();
            let Value::TypedArray(array) = &item else {
                panic!("{item:?}");
            };
            let bytes = array.bytes();
            assert_eq!(bytes.len(), BYTES as usize);
            assert!(bytes.iter().all(|byte| *byte == expected), "{expected}");
        }
        assert!(stream.next_blocking().is_none() && stream.has_streamed());
        // Larger than all that may be on its way.
        let (items, error) = drain(&mut open(client, "blocks", list([1, 20 * BYTES])));
        assert_eq!((items.len(), error), (1, None));
    }
}

#[test]
fn a_stream_that_is_dropped_gives_its_lane_back() {
    let stage = Stage::new();
    for client in &stage.clients {
        // More than there are lanes for one caller at a time.
        for _ in 0..100 {
            let mut stream = open(client, "endless", Value::Null);
            stream.next_blocking().unwrap().unwrap();
        }
        let call = client.prepare("echo").timeout(Duration::from_secs(10));
        assert!(call.send_blocking(1.into()).is_ok());
    }
}

/// Two nodes and an orchestrator, each a process, and somebody who may call them.
struct Processes {
    _home: Home,
    nodes: [Served; 2],
    orchestrator: Served,
    front: SocketAddr,
    identity: Identity,
}

impl Processes {
    fn start(memory_max: &str) -> Self {
        let home = Home::new();
        home.write("script.js", SCRIPT);
        let ports = [free_port(), free_port()];
        let nodes = ports.map(|port| home.node(port));
        let front = format!("127.0.0.1:{}", free_port());
        let [first, second] = ports.map(|port| format!("127.0.0.1:{port}"));
        let args = [
            "orchestrator",
            "-b",
            &front,
            "--shards",
            "1",
            "-n",
            &first,
            "-n",
            &second,
        ];
        let orchestrator = home.serve(&[&args[..], &["--memory-max", memory_max]].concat());
        let issued = home.run(&[
            "tls", "issue", "client", "caller", "--ca", "tls", "--out", "out",
        ]);
        assert!(issued.status.success(), "{}", stderr(&issued));
        let identity = Identity::from_dir(&home.path("out/client")).unwrap();
        eventually("calls come through", || {
            home.call(&[&front, "echo", "1"]).status.success()
        });
        Self {
            _home: home,
            nodes,
            orchestrator,
            front: front.parse().unwrap(),
            identity,
        }
    }

    fn client(&self) -> Client {
        let config = ClientConfig::with_identity(&self.front.to_string(), self.identity.clone());
        Client::new(&config).unwrap()
    }
}

#[test]
fn a_node_that_is_killed_ends_its_streams_and_nothing_comes_twice() {
    let mut stage = Processes::start("1G");
    // Of a function that may run twice.
    let mut stream = open(&stage.client(), "endless", Value::Null);
    for expected in 1..1_000 {
        assert_eq!(
            stream.next_blocking().unwrap().unwrap(),
            Value::from(expected)
        );
    }
    // Whichever it is on; the other could have it again.
    for node in &mut stage.nodes {
        node.child.kill().unwrap();
        sleep(Duration::from_millis(100));
    }
    let (items, error) = drain(&mut stream);
    for (at, item) in items.iter().enumerate() {
        assert_eq!(*item, (1_000 + at).to_string());
    }
    let error = error.unwrap();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.may_have_run, "{error}");
}

/// What the process has in memory, in MiB.
fn resident(served: &Served) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", served.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<usize>().unwrap() >> 10
}

#[test]
fn one_who_grants_without_end_and_reads_nothing_harms_nobody() {
    let stage = Processes::start("256M");
    let client = stage.client();
    let mut config = stage.identity.client_config().unwrap();
    set_transport(&mut config, Duration::from_secs(30)).unwrap();
    let mut peer = Peer::connect(stage.front, &mut config).unwrap();
    let mut frames = Vec::new();
    let mut fields = Vec::new();
    let said = CallFields {
        credit: u32::MAX,
        ..CallFields::default()
    };
    said.write(&mut fields);
    let mut body = Vec::new();
    let args = list([100_000, 16_000]);
    args.encode(&mut body, 1_000).unwrap();
    for id in 0..200 {
        let call = Header::Call {
            id,
            function: "blocks",
            timeout_us: 60_000_000,
            depth: 0,
            account: None,
        };
        frame::write_head(&mut frames, &call, Fields(&fields), body.len());
        frames.extend_from_slice(&body);
    }
    for round in 0..20_000 {
        // Every other for none that is there.
        let id = round % 400;
        let frames_max = u32::MAX;
        let credit = Header::Credit {
            id,
            frames: frames_max,
        };
        frame::write(&mut frames, &credit, &[]);
    }
    peer.send_channel(&frames);
    let end = Instant::now() + Duration::from_secs(5);
    let mut most = 0;
    while Instant::now() < end {
        peer.turn(Duration::from_millis(5)).unwrap();
        most = most.max(resident(&stage.orchestrator));
        let call = client.prepare("echo").timeout(Duration::from_secs(10));
        call.send_blocking(1.into()).unwrap();
    }
    assert!(most < 400, "{most} MiB");
    // And one who keeps to it has its items meanwhile.
    let (items, error) = drain(&mut open(&client, "count", 1_000));
    assert_eq!((items.len(), error), (1_000, None));
}

#[test]
fn the_command_prints_items_as_they_come() {
    let home = Home::new();
    home.write("script.js", SCRIPT);
    let port = free_port();
    let _node = home.node(port);
    let address = format!("127.0.0.1:{port}");
    let output = home.call(&[&address, "count", "3"]);
    assert_eq!(stdout(&output), "0\n1\n2\n");
    assert!(output.status.success());
    let output = home.call(&[&address, "fails", "2"]);
    assert_eq!(stdout(&output), "0\n1\n");
    let plain = home.call(&[&address, "echo", "2"]);
    assert_eq!(stdout(&plain), "2\n");
    // One that never ends.
    let begun = Instant::now();
    let mut command = home.command(&["call", &address, "slowly", "[100000,20]"]);
    let mut call = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(call.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "0");
    drop(lines);
    assert!(call.wait().unwrap().success());
    assert!(begun.elapsed() < Duration::from_secs(25));
}
