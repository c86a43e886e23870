//! A fleet of processes whose calls belong to traces, and what is to be found in those.

use super::collector::Span;
use super::eventually;
use super::process::{Home, Served, free_port, stdout};
use serde_json::Value;

/// The span that calls are made from.
pub const CALLER: &str = "00f067aa01902b71";
/// Kinds of spans.
pub const SERVER: i32 = 2;
pub const CLIENT: i32 = 3;

pub const SCRIPT: &str = r#"
madrpc.register("trace", () => madrpc.traceparent);
madrpc.register("fail", () => { throw new RangeError("no"); });
madrpc.register("sleep", (ms) => new Promise((wake) => setTimeout(wake, ms)), { idempotent: true });
madrpc.register("below", async () => [await madrpc.call("trace"), madrpc.callSync("trace")]);
madrpc.register("count", function* (to) { for (let at = 0; at < to; at++) yield at; });
"#;

/// The trace with this number, recorded or not.
pub fn traceparent(trace: u32, is_recorded: bool) -> String {
    format!("00-{}-{CALLER}-0{}", id(trace), u8::from(is_recorded))
}

pub fn id(trace: u32) -> String {
    format!("{trace:032x}")
}

/// An orchestrator and two nodes, whose calls have spans.
pub struct Fleet {
    pub home: Home,
    pub front: String,
    pub nodes: Vec<Served>,
    pub orchestrator: Served,
}

impl Fleet {
    /// An orchestrator, and two nodes whose calls of calls go through it, with these flags more for each.
    pub fn start(more: &[&str]) -> Self {
        let home = Home::new();
        home.write("script.js", SCRIPT);
        let local = || format!("127.0.0.1:{}", free_port());
        let (front, nodes) = (local(), [local(), local()]);
        let one_shard = ["--shards", "1"];
        let flags = [
            "orchestrator",
            "-b",
            &front,
            "-n",
            &nodes[0],
            "-n",
            &nodes[1],
        ];
        let orchestrator = home.serve(&[&flags[..], &one_shard, more].concat());
        let nodes = nodes.iter().map(|node| {
            let flags = [
                "node",
                "-s",
                "script.js",
                "-b",
                node,
                "--orchestrator",
                &front,
            ];
            home.serve(&[&flags[..], &one_shard, more].concat())
        });
        let nodes: Vec<Served> = nodes.collect();
        let fleet = Self {
            home,
            front,
            nodes,
            orchestrator,
        };
        eventually("both nodes are known", || {
            let known = fleet.home.run(&["nodes", &fleet.front, "--json"]);
            let known: Value = serde_json::from_str(&stdout(&known)).unwrap_or_default();
            let nodes = known["nodes"].as_array().map_or(&[][..], Vec::as_slice);
            let has_all = |node: &&Value| node["states"]["up"] == 1 && node["functions"] == 5;
            nodes.iter().filter(has_all).count() == 2
        });
        fleet
    }

    pub fn call(&self, function: &str, argument: &str, trace: &str) -> std::process::Output {
        self.home
            .call(&[&self.front, function, argument, "--trace", trace])
    }
}

/// The one span that is so.
pub fn one<'a>(spans: &'a [Span], what: &str, is_it: impl Fn(&Span) -> bool) -> &'a Span {
    let found: Vec<_> = spans.iter().filter(|span| is_it(span)).collect();
    match found.as_slice() {
        &[one] => one,
        _ => panic!("{} spans are {what} in {spans:#?}", found.len()),
    }
}

/// The call at the orchestrator that has this parent, its try and that call at the node.
pub fn passed_on<'a>(spans: &'a [Span], parent: &str) -> [&'a Span; 3] {
    let front = one(spans, "at the orchestrator", |span| span.parent == parent);
    let tried = one(spans, "a try", |span| span.parent == front.id);
    let node = one(spans, "at the node", |span| span.parent == tried.id);
    assert_eq!(
        [front, tried, node].map(|span| (span.service.as_str(), span.kind)),
        [
            ("madrpc-orchestrator", SERVER),
            ("madrpc-orchestrator", CLIENT),
            ("madrpc-node", SERVER)
        ]
    );
    assert!(
        tried.is_within(front) && node.is_within(tried),
        "{spans:#?}"
    );
    [front, tried, node]
}
