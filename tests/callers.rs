//! Callers who share a node: each has its part of the core, the lanes and the queue, whatever another does with his, and
//! whether they call it directly or through an orchestrator.
//!
//! Setup: a node of one shard in this process, and clients with certificates of their own. What share each gets, and how long
//! its calls take beside others, `make abuse` measures; here the bounds are wide enough for a loaded machine.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use futures_lite::future::{block_on, poll_once};
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::identity::Role;
use madrpc_core::limits::MEMORY_MIN_BYTES;
use madrpc_core::value::Value;
use madrpc_shard::client::Client;
use madrpc_shard::engine::Script;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::Server;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use support::{Fleet, eventually};

const SCRIPT: &str = r#"
madrpc.register("echo", (value) => value);
madrpc.register("spin", () => { for (;;) {} });
madrpc.register("loop", (ms) => { const end = Date.now() + ms; while (Date.now() < end); return ms; });
madrpc.register("sleep", (ms) => new Promise((done) => setTimeout(done, ms, ms)));
"#;

const LANES: usize = 4;

fn node(fleet: &Fleet, set: impl FnOnce(&mut NodeConfig)) -> Server {
    let mut settings = NodeConfig {
        pool_size: Some(LANES),
        ..NodeConfig::default()
    };
    set(&mut settings);
    let script = Script::new("test.js", SCRIPT);
    Server::node(&fleet.config(Role::Node, 1), &script, &settings).unwrap()
}

/// Two callers at a node, and two who come by an orchestrator's session.
fn each_way(node: impl Fn(&Fleet) -> Server, test: impl Fn(&Client, &Client)) {
    for is_forwarded in [false, true] {
        let fleet = Fleet::new();
        let node = node(&fleet);
        let orchestrator = is_forwarded.then(|| fleet.orchestrator(&[node.address()]));
        let address = orchestrator.as_ref().unwrap_or(&node).address();
        test(&fleet.client(address), &fleet.client(address));
    }
}

fn call(client: &Client, function: &str, value: i64, timeout: Duration) -> Result<i64, CallError> {
    let reply = client
        .prepare(function)
        .timeout(timeout)
        .send_blocking(Value::Integer(value))?;
    match reply.result {
        Value::Integer(number) => Ok(number),
        other => panic!("{}", other.kind()),
    }
}

/// Ends the threads that look at it, though the test fails.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How many calls of this function are over.
fn calls_over(client: &Client, function: &str) -> u64 {
    let snapshot: madrpc_core::stats::Snapshot = client
        .call_blocking(madrpc_core::stats::STATS, &())
        .unwrap();
    let rows = snapshot.rows.iter().filter(|row| row.function == function);
    rows.map(|row| row.calls).sum()
}

#[test]
fn endless_calls_of_one_caller_are_not_in_the_way_of_another() {
    each_way(
        |fleet| node(fleet, |_| {}),
        |hog, other| {
            std::thread::scope(|scope| {
                let endless: Vec<_> = (0..3 * LANES)
                    .map(|_| scope.spawn(|| call(hog, "spin", 0, Duration::from_secs(4))))
                    .collect();
                std::thread::sleep(Duration::from_millis(200));
                for number in 0..200 {
                    let echoed = call(other, "echo", number, Duration::from_secs(2));
                    assert_eq!(echoed, Ok(number));
                }
                for endless in endless {
                    let error = endless.join().unwrap().unwrap_err();
                    assert_eq!(error.kind, ErrorKind::DeadlineExceeded, "{error}");
                }
            });
        },
    );
}

/// One has eight times as many calls under way, of the same kind.
#[test]
fn callers_have_equal_parts_of_the_core_however_much_they_ask_for() {
    each_way(
        |fleet| node(fleet, |_| {}),
        |many, few| {
            let over = AtomicBool::new(false);
            let done = [AtomicU64::new(0), AtomicU64::new(0)];
            std::thread::scope(|scope| {
                for (client, threads, done) in [(many, 32, &done[0]), (few, LANES, &done[1])] {
                    for _ in 0..threads {
                        let over = &over;
                        scope.spawn(move || {
                            while !over.load(Ordering::Relaxed) {
                                call(client, "loop", 2, Duration::from_secs(20)).unwrap();
                                done.fetch_add(1, Ordering::Relaxed);
                            }
                        });
                    }
                }
                std::thread::sleep(Duration::from_secs(2));
                over.store(true, Ordering::Relaxed);
            });
            let [many, few] = done.map(AtomicU64::into_inner);
            assert!(few * 2 > many && many * 2 > few, "{many} and {few} calls");
        },
    );
}

/// Who has had more than his part waits for the others, and not for ever.
#[test]
fn a_call_of_one_who_is_ahead_comes_through_beside_those_who_have_much_to_say() {
    each_way(
        |fleet| node(fleet, |_| {}),
        |ahead, busy| {
            let over = AtomicBool::new(false);
            std::thread::scope(|scope| {
                for _ in 0..32 {
                    scope.spawn(|| {
                        while !over.load(Ordering::Relaxed) {
                            call(busy, "echo", 1, Duration::from_secs(20)).unwrap();
                        }
                    });
                }
                let _over = Over(&over);
                let end = Instant::now() + Duration::from_secs(2);
                while Instant::now() < end {
                    // It gets ahead by calls that run, and by such as only have to be read.
                    assert_eq!(call(ahead, "loop", 20, Duration::from_secs(2)), Ok(20));
                    let mut unknown: Vec<_> = (0..2000)
                        .map(|_| Box::pin(ahead.prepare("unknown").send(Value::Undefined)))
                        .collect();
                    let sent: Vec<_> = unknown
                        .iter_mut()
                        .map(|call| block_on(poll_once(call)))
                        .collect();
                    for (answer, call) in sent.into_iter().zip(unknown) {
                        let error = answer.unwrap_or_else(|| block_on(call)).unwrap_err();
                        assert_eq!(error.kind, ErrorKind::NoSuchFunction, "{error}");
                    }
                    assert_eq!(call(ahead, "echo", 1, Duration::from_secs(2)), Ok(1));
                }
            });
        },
    );
}

#[test]
fn calls_that_wait_leave_lanes_to_others() {
    let small = |fleet: &Fleet| {
        let script = Script::new("test.js", SCRIPT);
        let config = madrpc_shard::server::ServerConfig {
            memory_max_bytes: Some(MEMORY_MIN_BYTES as u64),
            ..fleet.config(Role::Node, 1)
        };
        Server::node(&config, &script, &NodeConfig::default()).unwrap()
    };
    each_way(small, |hog, other| {
        let sleep = || {
            let call = hog.prepare("sleep").timeout(Duration::from_secs(20));
            Box::pin(call.send(Value::Integer(10_000)))
        };
        // More than there is memory for: some are refused.
        let mut calls: Vec<_> = (0..600).map(|_| sleep()).collect();
        for call in &mut calls {
            let _ = block_on(poll_once(call));
        }
        eventually("some have no lane", || calls_over(other, "sleep") > 50);
        for _ in 0..20 {
            assert_eq!(call(other, "sleep", 1, Duration::from_secs(5)), Ok(1));
        }
    });
}

#[test]
fn a_call_of_another_takes_a_place_in_a_queue_that_one_has_filled() {
    const QUEUE: usize = 4;
    // Memory for some 180 lanes, of which one has four fifths at the most.
    let short = |fleet: &Fleet| {
        let script = Script::new("test.js", SCRIPT);
        let config = madrpc_shard::server::ServerConfig {
            memory_max_bytes: Some(MEMORY_MIN_BYTES as u64),
            ..fleet.config(Role::Node, 1)
        };
        let settings = NodeConfig {
            pool_size: Some(1),
            queue_max: QUEUE,
            ..NodeConfig::default()
        };
        Server::node(&config, &script, &settings).unwrap()
    };
    each_way(short, |hog, other| {
        std::thread::scope(|scope| {
            let spin = || scope.spawn(|| call(hog, "spin", 0, Duration::from_secs(5)).unwrap_err());
            let long: Vec<_> = (0..200).map(|_| spin()).collect();
            std::thread::sleep(Duration::from_millis(1000));
            // Only one of them at a time begins: the others wait where the hog's calls did.
            let short = || scope.spawn(|| call(other, "loop", 100, Duration::from_secs(10)));
            let short: Vec<_> = (0..QUEUE).map(|_| short()).collect();
            for call in short {
                assert_eq!(call.join().unwrap(), Ok(100));
            }
            let errors: Vec<_> = long.into_iter().map(|call| call.join().unwrap()).collect();
            let refused = errors
                .iter()
                .filter(|error| error.kind == ErrorKind::Overloaded);
            let refused: Vec<_> = refused.collect();
            assert!((10..=196).contains(&refused.len()), "{errors:?}");
            assert!(refused.iter().all(|error| !error.may_have_run));
            assert!(
                refused[0].message.contains("4 calls wait"),
                "{}",
                refused[0]
            );
        });
    });
}
