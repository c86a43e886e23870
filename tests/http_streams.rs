//! Functions that stream, by HTTP: Server-Sent Events, at a node and through an orchestrator.
//!
//! Setup: real processes, raw sockets.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};
use support::http::{Answer, connect, get, node, orchestrator, parse, post, request};
use support::process::{Home, Served};

const SCRIPT: &str = r#"
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
madrpc.register("count", function* (n) { for (let i = 1; i <= n; i++) yield i; return "counted"; });
madrpc.register("turn", pause, { maxConcurrent: 1 });
madrpc.register("gated", async function* (n) {
  for (let i = 1; i <= n; i++) yield i;
  await madrpc.call("turn", 0);
  yield "then";
});
madrpc.register("ticking", async function* (bytes) {
  const text = "a".repeat(bytes);
  for (let i = 1;; i++) { await madrpc.call("tick"); yield [i, text]; }
});
madrpc.register("tick", () => null);
madrpc.register("endless", function* () { for (let i = 1;; i++) yield i; });
madrpc.register("slowly", async function* (ms) { for (let i = 1;; i++) { yield i; await pause(ms); } });
madrpc.register("fails", function* (n) { for (let i = 0; i < n; i++) yield "line\nbreak"; throw new RangeError("no more"); });
madrpc.register("blocks", function* ([n, bytes]) { const text = "é".repeat(bytes / 2); for (let i = 0; i < n; i++) yield text; return text; }, { memoryMb: 256 });
madrpc.register("none", function* () {});
madrpc.register("echo", (value) => value);
"#;

const EVENTS: &str = "Accept: text/event-stream";

/// A node, and an orchestrator before it.
struct Stage {
    home: Home,
    node: Served,
    orchestrator: Served,
    /// Of the node, and of the orchestrator.
    http: [SocketAddr; 2],
}

impl Stage {
    fn new() -> Self {
        let home = Home::new();
        home.write("script.js", SCRIPT);
        let (node, bind, at_node) = node(&home, &[]);
        let (orchestrator, at_orchestrator) = orchestrator(&home, &bind);
        let stage = Self {
            home,
            node,
            orchestrator,
            http: [at_node, at_orchestrator],
        };
        until("calls come through", || {
            post(at_orchestrator, "/call/echo", "1").body == "1"
        });
        stage
    }

    /// How often a function of the node has been called, with all that is under way there.
    fn status(&self) -> Value {
        get(self.http[0], "/status.json").json()
    }

    fn ticks(&self) -> u64 {
        let status = self.status();
        let functions = status["functions"].as_array().unwrap();
        let tick = functions.iter().find(|one| one["name"] == "tick");
        tick.map_or(0, |tick| tick["calls"].as_u64().unwrap())
    }

    fn none_is_under_way(&self) {
        until("calls are under way", || self.status()["under_way"] == 0);
    }
}

/// Asks again until it is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        sleep(Duration::from_millis(20));
    }
}

/// An event, as a browser would have it.
#[derive(Debug, PartialEq)]
struct Event {
    name: String,
    id: String,
    data: String,
}

impl Event {
    fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// An answer that comes bit by bit.
struct Reading {
    stream: BufReader<TcpStream>,
    bytes: Vec<u8>,
}

impl Reading {
    fn open(http: SocketAddr, function: &str, argument: &str) -> Self {
        Self::open_with(http, function, argument, &[])
    }

    fn open_with(http: SocketAddr, function: &str, argument: &str, headers: &[&str]) -> Self {
        let mut stream = connect(http);
        let length = argument.len();
        let headers: String = headers
            .iter()
            .map(|header| format!("{header}\r\n"))
            .collect();
        let text = format!(
            "POST /call/{function} HTTP/1.1\r\nHost: {http}\r\n{EVENTS}\r\n{headers}Content-Length: {length}\r\n\r\n{argument}"
        );
        stream.write_all(text.as_bytes()).unwrap();
        Self {
            stream: BufReader::new(stream),
            bytes: Vec::new(),
        }
    }

    /// The answer up to its body.
    fn head(&mut self) -> Answer {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(self.stream.read_line(&mut head).unwrap(), 0, "{head}");
        }
        parse(&head)
    }

    /// Another chunk of the body; nothing where it is whole, or has broken off.
    fn chunk(&mut self) -> Option<()> {
        let mut size = String::new();
        self.stream.read_line(&mut size).ok()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        let begun = self.bytes.len();
        self.bytes.resize(begun + size + 2, 0);
        self.stream.read_exact(&mut self.bytes[begun..]).ok()?;
        self.bytes.truncate(begun + size);
        (size > 0).then_some(())
    }

    /// Text up to the next empty line.
    fn block(&mut self) -> Option<String> {
        let mut searched = 0;
        loop {
            let mut pairs = self.bytes[searched..].windows(2);
            if let Some(at) = pairs.position(|pair| pair == b"\n\n") {
                let rest = self.bytes.split_off(searched + at + 2);
                let block = std::mem::replace(&mut self.bytes, rest);
                return Some(String::from_utf8(block).unwrap());
            }
            searched = self.bytes.len().saturating_sub(1);
            self.chunk()?;
        }
    }

    fn next(&mut self) -> Option<Event> {
        loop {
            let event = self.block()?;
            if event.starts_with(':') {
                continue;
            }
            let field = |name: &str| {
                let mut lines = event.lines().filter_map(|line| line.strip_prefix(name));
                let found = lines.next().unwrap_or_default().to_owned();
                assert_eq!(lines.next(), None);
                found
            };
            return Some(Event {
                name: field("event: "),
                id: field("id: "),
                data: field("data: "),
            });
        }
    }

    /// The items as they are left, and the last event.
    fn rest(&mut self) -> (Vec<String>, Option<Event>) {
        let mut items = Vec::new();
        while let Some(event) = self.next() {
            if !event.name.is_empty() {
                assert_eq!(self.chunk(), None, "it goes on after {event:?}");
                return (items, Some(event));
            }
            items.push(event.data);
        }
        (items, None)
    }
}

/// All of a stream: its items and its last event.
fn all(http: SocketAddr, function: &str, argument: &str) -> (Vec<String>, Event) {
    let mut reading = Reading::open(http, function, argument);
    assert_eq!(reading.head().status, 200);
    let (items, last) = reading.rest();
    (items, last.unwrap())
}

#[test]
fn an_item_comes_as_soon_as_it_is_yielded() {
    let stage = Stage::new();
    for http in stage.http {
        let mut holds = connect(stage.http[0]);
        let call = "POST /call/turn HTTP/1.1\r\nHost: localhost\r\nMadrpc-Timeout: 1h\r\nContent-Length: 7\r\n\r\n3600000";
        holds.write_all(call.as_bytes()).unwrap();
        until("nobody has the turn", || stage.status()["under_way"] == 1);
        let mut reading = Reading::open(http, "gated", "2");
        let head = reading.head();
        assert_eq!(head.status, 200);
        assert_eq!(head.header("content-type"), Some("text/event-stream"));
        assert_eq!(head.header("cache-control"), Some("no-store"));
        for id in ["1", "2"] {
            let event = reading.next().unwrap();
            let expected = Event {
                name: String::new(),
                id: id.into(),
                data: id.into(),
            };
            assert_eq!(event, expected);
        }
        // It cannot end before.
        drop(holds);
        let (items, last) = reading.rest();
        assert_eq!(items, ["\"then\""]);
        assert_eq!(last.unwrap().name, "result");
        stage.none_is_under_way();
    }
}

#[test]
fn all_items_come_once_in_order_and_the_bill_at_the_end() {
    let stage = Stage::new();
    for http in stage.http {
        let mut reading = Reading::open(http, "count", "100000");
        assert_eq!(reading.head().status, 200);
        for number in 1..=100_000 {
            let event = reading.next().unwrap();
            let number = number.to_string();
            assert_eq!((event.id, event.data), (number.clone(), number));
        }
        let (items, last) = reading.rest();
        let last = last.unwrap();
        assert_eq!((items.len(), last.name.as_str()), (0, "result"));
        let told = last.json();
        assert_eq!(told["result"], "counted");
        assert!(told["bill"]["node"].as_str().unwrap().starts_with("127."));
        assert!(told["bill"]["cpu_us"].as_u64().unwrap() > 0, "{told}");
        for number in ["shard", "queue_us", "slices", "heap_peak_bytes"] {
            assert!(told["bill"][number].is_u64(), "{number} in {told}");
        }
        // The connection is there for the next request.
        let stream = reading.stream.get_mut();
        let again = "POST /call/echo HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 1\r\n\r\n7";
        stream.write_all(again.as_bytes()).unwrap();
        assert_eq!(reading.head().status, 200);
    }
}

#[test]
fn functions_of_all_kinds_and_items_of_all_sizes_are_told() {
    let stage = Stage::new();
    for http in stage.http {
        let (items, last) = all(http, "none", "");
        assert_eq!((items.len(), &last.json()["result"]), (0, &Value::Null));
        // One that does not stream.
        let (items, last) = all(http, "echo", r#"{"a":[1,"\n"]}"#);
        assert_eq!((items.len(), last.name.as_str()), (0, "result"));
        assert_eq!(last.json()["result"], json!({"a": [1, "\n"]}));
        for (count, bytes) in [(20, 1 << 20), (2, 20 << 20), (2, 40 << 20)] {
            let (items, last) = all(http, "blocks", &format!("[{count},{bytes}]"));
            let expected = format!("\"{}\"", "é".repeat(bytes / 2));
            assert_eq!(items.len(), count);
            assert!(items.iter().all(|item| *item == expected));
            assert_eq!(last.json()["result"].as_str().unwrap().len(), bytes);
        }
    }
}

#[test]
fn an_error_before_the_first_item_is_that_of_any_call() {
    let stage = Stage::new();
    for http in stage.http {
        for (function, argument, header, status, kind) in [
            ("nowhere", "", "", 404, "NoSuchFunction"),
            ("madrpc.stats", "", "", 403, "Unauthorized"),
            ("count", "[1,", "", 400, "BadArguments"),
            ("count", "1", "Madrpc-Timeout: 5", 400, "BadArguments"),
            ("fails", "0", "", 500, "JavaScript"),
            (
                "turn",
                "60000",
                "Madrpc-Timeout: 100ms",
                504,
                "DeadlineExceeded",
            ),
        ] {
            let header = if header.is_empty() { "X: y" } else { header };
            let line = format!("POST /call/{function}");
            let answer = request(http, &line, &[EVENTS, header], argument);
            assert_eq!((answer.status, answer.kind().as_str()), (status, kind));
            assert_eq!(answer.header("content-type"), Some("application/json"));
            let has_bill = answer.header("madrpc-cpu-us").is_some();
            assert_eq!(has_bill, !["Unauthorized", "BadArguments"].contains(&kind));
        }
    }
}

#[test]
fn an_error_after_items_is_the_last_event() {
    let stage = Stage::new();
    for http in stage.http {
        let (items, last) = all(http, "fails", "3");
        assert_eq!(items, [r#""line\nbreak""#; 3]);
        assert_eq!(last.name, "error");
        let told = last.json();
        let error = &told["error"];
        assert_eq!(error["kind"], "JavaScript");
        assert_eq!(error["name"], "RangeError");
        assert_eq!(error["may_have_run"], true);
        assert!(error["message"].as_str().unwrap().contains("no more"));
        assert!(error["stack"].as_str().unwrap().contains("script.js:"));
        assert!(told["bill"]["cpu_us"].is_u64(), "{told}");
        // The deadline is that of all of it.
        let mut reading = Reading::open_with(http, "slowly", "20", &["Madrpc-Timeout: 500ms"]);
        assert_eq!(reading.head().status, 200);
        let (items, last) = reading.rest();
        assert!(!items.is_empty());
        assert_eq!(last.unwrap().json()["error"]["kind"], "DeadlineExceeded");
    }
}

#[test]
fn one_answer_for_a_function_that_streams_is_an_error_with_the_remedy() {
    let stage = Stage::new();
    for http in stage.http {
        let body = json!({"jsonrpc": "2.0", "method": "count", "params": [3], "id": 1});
        let rpc = post(http, "/", &body.to_string()).json();
        for (told, of) in [
            (post(http, "/call/count", "3"), None),
            (
                request(http, "POST /call/count", &["Accept: */*"], "3"),
                None,
            ),
            (post(http, "/", &body.to_string()), Some(rpc)),
        ] {
            let told = of.unwrap_or_else(|| told.json());
            let message = told["error"]["message"].as_str().unwrap();
            assert!(message.contains("`Accept: text/event-stream`"), "{told}");
        }
        let document = get(http, "/openapi.json").json();
        let content = &document["paths"]["/call/count"]["post"]["responses"]["200"]["content"];
        let content = content.as_object().unwrap();
        assert!(
            content.contains_key("application/json") && content.contains_key("text/event-stream")
        );
    }
}

#[test]
fn a_client_that_stops_reading_has_the_function_wait_and_is_cut_off() {
    // As much as the buffers of the two sockets and of the stream may hold, with room to spare.
    const MOST_BYTES: u64 = 40 << 20;
    const ITEM_BYTES: u64 = 10_000;
    let stage = Stage::new();
    for http in stage.http {
        let before = stage.ticks();
        let argument = ITEM_BYTES.to_string();
        let timeout = ["Madrpc-Timeout: 10m"];
        let mut reading = Reading::open_with(http, "ticking", &argument, &timeout);
        assert_eq!(reading.head().status, 200);
        let mut ticks = before;
        until("it goes on", || {
            sleep(Duration::from_millis(300));
            ticks == std::mem::replace(&mut ticks, stage.ticks()) && ticks > before
        });
        assert!((ticks - before) * ITEM_BYTES < MOST_BYTES, "{ticks}");
        // One that reads again goes on where it was.
        let enough = 2 * (ticks - before);
        for number in 1..=enough {
            assert_eq!(reading.next().unwrap().json()[0], number);
        }
        assert!(stage.ticks() > ticks);
        // One that does not is no call any more.
        stage.none_is_under_way();
        let (_, last) = reading.rest();
        assert_eq!(last, None);
    }
}

#[test]
fn a_client_that_goes_ends_its_call() {
    let stage = Stage::new();
    for http in stage.http {
        // More than there are lanes for one caller at a time, and some that yield nothing.
        for number in 0..60 {
            let function = ["endless", "slowly", "gated"][number % 3];
            let mut reading =
                Reading::open_with(http, function, "3600000", &["Madrpc-Timeout: 1h"]);
            assert_eq!(reading.head().status, 200);
            reading.next().unwrap();
        }
        stage.none_is_under_way();
        assert_eq!(post(http, "/call/echo", "1").body, "1");
    }
}

#[test]
fn a_client_that_hears_nothing_hears_that_it_is_connected() {
    let stage = Stage::new();
    let mut holds = connect(stage.http[0]);
    let call = "POST /call/turn HTTP/1.1\r\nHost: localhost\r\nMadrpc-Timeout: 1h\r\nContent-Length: 7\r\n\r\n3600000";
    holds.write_all(call.as_bytes()).unwrap();
    until("nobody has the turn", || stage.status()["under_way"] == 1);
    let timeout = ["Madrpc-Timeout: 10m"];
    let open = |http, items| Reading::open_with(http, "gated", items, &timeout);
    // Before the first item, and after it.
    let mut all = [open(stage.http[0], "0"), open(stage.http[1], "1")];
    for reading in &mut all {
        assert_eq!(reading.head().status, 200);
    }
    assert_eq!(all[1].next().unwrap().data, "1");
    for reading in &mut all {
        assert_eq!(reading.block().unwrap(), ":\n\n");
    }
    drop(holds);
    for reading in &mut all {
        let (items, last) = reading.rest();
        assert_eq!((items.len(), last.unwrap().name.as_str()), (1, "result"));
    }
}

/// What a process has in memory, in MiB.
fn resident(served: &Served) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{}/status", served.child.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.unwrap().trim().trim_end_matches(" kB");
    kib.parse::<usize>().unwrap() >> 10
}

#[test]
fn two_hundred_that_never_read_harm_nobody() {
    let stage = Stage::new();
    let at = [
        (stage.http[0], &stage.node),
        (stage.http[1], &stage.orchestrator),
    ];
    for (http, server) in at {
        for bytes in ["16000", "1000000"] {
            let before = resident(server);
            let unread: Vec<Reading> = (0..200)
                .map(|_| Reading::open(http, "ticking", bytes))
                .collect();
            let end = Instant::now() + Duration::from_secs(3);
            let mut most = 0;
            while Instant::now() < end {
                assert_eq!(get(http, "/healthz").body, "ok\n");
                let answer = post(http, "/call/echo", "1");
                // All that results may take may be taken for a moment.
                assert!([200, 503].contains(&answer.status), "{answer:?}");
                most = most.max(resident(server));
                sleep(Duration::from_millis(20));
            }
            // 64 MiB of items, and at a node a lane for each call.
            assert!(most < before + 400, "{most} MiB after {before}, {bytes}");
            drop(unread);
            until("nobody has room", || {
                post(http, "/call/echo", "1").body == "1"
            });
            stage.none_is_under_way();
        }
    }
    drop(stage.home);
}
