//! A fifth of the calls end badly, in every way there is: each with its own error, beside calls that succeed,
//! and at the end the node holds no more memory than near the start.
//!
//! Setup: a node of one shard and four lanes of 1 MiB in this process, which has no other test: its resident memory is
//! measured. 64 calls are under way at any time. `MADRPC_MIX_CALLS` says how many are made, by default 20,000, which
//! takes 5 s; 100,000 take 30 s.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use futures_lite::future::{block_on, poll_fn};
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::identity::Role;
use madrpc_core::value::Value;
use madrpc_shard::client::{Client, Reply};
use madrpc_shard::engine::Script;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::Server;
use std::pin::Pin;
use std::task::Poll;
use std::time::Instant;
use support::Fleet;

const SCRIPT: &str = r#"
madrpc.register("one", () => 1);
madrpc.register("echo", (value) => value);
madrpc.register("throw", () => { throw new RangeError("x".repeat(1000)); });
madrpc.register("reject", async () => { await null; throw new Error("later"); });
madrpc.register("cycle", () => { const a = { bytes: new Uint8Array(1000) }; a.a = a; return a; });
madrpc.register("unsettled", () => new Promise(() => {}));
madrpc.register("bomb", () => { const all = []; for (;;) all.push(new Array(1000).fill(1)); });
madrpc.register("strings", () => { let text = "x"; for (;;) text = [text, text].join(""); });
madrpc.register("swallow", () => { const all = []; for (;;) { try { all.push("x".repeat(100_000) + all.length); } catch {} } });
madrpc.register("deep", () => { const down = () => down() + 1; return down(); });
madrpc.register("spin", () => { for (;;) {} }, { cpuMs: 2 });
madrpc.register("pattern", () => /^(a+)+$/.test("a".repeat(40) + "b"), { cpuMs: 2 });
madrpc.register("late", () => { for (;;) {} }, { timeoutMs: 3 });
madrpc.register("later", async () => { for (;;) await null; }, { timeoutMs: 3 });
madrpc.register("never", () => new Promise((wake) => setTimeout(wake, 60_000)), { timeoutMs: 3 });
madrpc.register("left", () => { for (;;) {} });
"#;

/// What comes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Result,
    Error(ErrorKind),
    /// Its caller leaves, and never hears of it. If it ran on all the same, it would hold a lane for 30 s.
    Left,
}

/// How many of a thousand calls are of which kind, and how they end.
const MIX: [(&str, usize, End); 17] = [
    ("one", 500, End::Result),
    ("echo", 301, End::Result),
    ("throw", 60, End::Error(ErrorKind::JavaScript)),
    ("reject", 40, End::Error(ErrorKind::JavaScript)),
    ("cycle", 10, End::Error(ErrorKind::JavaScript)),
    ("unsettled", 20, End::Error(ErrorKind::JavaScript)),
    ("absent", 10, End::Error(ErrorKind::NoSuchFunction)),
    ("bomb", 6, End::Error(ErrorKind::MemoryLimit)),
    ("strings", 6, End::Error(ErrorKind::MemoryLimit)),
    ("swallow", 6, End::Error(ErrorKind::MemoryLimit)),
    ("deep", 6, End::Error(ErrorKind::StackLimit)),
    ("spin", 5, End::Error(ErrorKind::CpuLimit)),
    ("pattern", 6, End::Error(ErrorKind::CpuLimit)),
    ("late", 6, End::Error(ErrorKind::DeadlineExceeded)),
    ("later", 6, End::Error(ErrorKind::DeadlineExceeded)),
    ("never", 6, End::Error(ErrorKind::DeadlineExceeded)),
    ("left", 6, End::Left),
];

const IN_FLIGHT: usize = 64;

/// So many calls must have ended since a call began before its caller leaves.
const STAY: usize = 30;

/// The kind of the call with this number: the mix repeats every thousand calls, well stirred.
fn kind_of(number: usize) -> usize {
    let mut place = number * 377 % 1000;
    MIX.iter()
        .position(|(_, share, _)| {
            let is_here = place < *share;
            place = place.wrapping_sub(*share);
            is_here
        })
        .unwrap()
}

/// A call under way.
struct Open<'a> {
    number: usize,
    kind: usize,
    /// How many calls had ended when it began.
    begun: usize,
    reply: Pin<Box<dyn Future<Output = Result<Reply<Value>, CallError>> + 'a>>,
}

fn begin(client: &Client, number: usize, ended: usize) -> Open<'_> {
    let kind = kind_of(number);
    Open {
        number,
        kind,
        begun: ended,
        reply: Box::pin(
            client
                .prepare(MIX[kind].0)
                .send(Value::Integer(number as i64)),
        ),
    }
}

/// What the mix says must come of a call.
fn check(call: &Open<'_>, result: &Result<Reply<Value>, CallError>) {
    let (function, _, end) = MIX[call.kind];
    let is_short = end == End::Error(ErrorKind::DeadlineExceeded);
    let found = match result {
        Ok(_) => End::Result,
        // It has few milliseconds, and others were before it.
        Err(error) if is_short && error.retry_after.is_some() => end,
        Err(error) => End::Error(error.kind),
    };
    assert_eq!(found, end, "{function}: {result:?}");
    if let Ok(reply) = result {
        let number = if function == "one" { 1 } else { call.number };
        assert_eq!(reply.result, Value::Integer(number as i64));
    }
}

/// Makes these calls; gives how many of each kind have ended.
fn run(client: &Client, mut numbers: std::ops::Range<usize>) -> [usize; MIX.len()] {
    let (mut counts, mut ended) = ([0; MIX.len()], 0);
    let mut open: Vec<Open<'_>> = Vec::with_capacity(IN_FLIGHT);
    block_on(poll_fn(|context| {
        loop {
            while open.len() < IN_FLIGHT
                && let Some(number) = numbers.next()
            {
                open.push(begin(client, number, ended));
            }
            let before = ended;
            open.retain_mut(|call| {
                let is_over = match call.reply.as_mut().poll(context) {
                    Poll::Ready(result) => {
                        check(call, &result);
                        true
                    }
                    // Where only such calls are left, nothing else is going to end.
                    Poll::Pending => {
                        MIX[call.kind].2 == End::Left
                            && (ended >= call.begun + STAY || numbers.is_empty())
                    }
                };
                if is_over {
                    counts[call.kind] += 1;
                    ended += 1;
                }
                !is_over
            });
            if open.is_empty() && numbers.is_empty() {
                return Poll::Ready(());
            }
            if ended == before {
                return Poll::Pending;
            }
        }
    }));
    counts
}

/// The resident memory of this process.
fn resident_kib() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    kib.unwrap().parse().unwrap()
}

#[test]
fn every_call_of_a_mix_ends_as_it_should_and_memory_is_flat() {
    let calls = std::env::var("MADRPC_MIX_CALLS").map_or(20_000, |calls| calls.parse().unwrap());
    let fleet = Fleet::new();
    let mut settings = NodeConfig {
        pool_size: Some(4),
        ..NodeConfig::default()
    };
    settings.lane.memory_bytes = 1 << 20;
    let script = Script::new("test.js", SCRIPT);
    let node = Server::node(&fleet.config(Role::Node, 1), &script, &settings).unwrap();
    let client = fleet.client(node.address());

    let started = Instant::now();
    let mut counts = [0; MIX.len()];
    let mut resident = Vec::new();
    // Ten parts, each of whole thousands.
    let part = (calls / 10_000).max(1) * 1000;
    for part in (0..10).map(|at| at * part..(at + 1) * part) {
        for (sum, count) in counts.iter_mut().zip(run(&client, part)) {
            *sum += count;
        }
        resident.push(resident_kib());
    }
    println!(
        "{calls} calls in {:?}; resident, in KiB: {resident:?}",
        started.elapsed()
    );
    for ((function, share, _), count) in MIX.iter().zip(counts) {
        assert_eq!(count, share * part / 100, "{function}");
    }
    // A lane that is not given back when it is replaced would be 500 KiB, and there is one to replace for every 19 calls.
    // How many there are, and what they hold, is not always the same.
    let least = |parts: &[usize]| parts.iter().copied().min().unwrap();
    let (early, last) = (least(&resident[3..6]), least(&resident[7..]));
    assert!(last < early + (6 << 10), "resident, in KiB: {resident:?}");
}
