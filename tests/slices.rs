//! Calls that share a core by slices: nobody waits for a long call, nobody starves, and nothing is mixed up.
//!
//! Setup: a node of one shard in this process, over real sockets and mutual TLS. How fast all this is, the bench
//! `lanes` tells; here the bounds are wide enough for a loaded machine.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use madrpc_core::call::ErrorKind;
use madrpc_core::identity::Role;
use madrpc_core::value::Value;
use madrpc_shard::client::{Client, Reply};
use madrpc_shard::engine::Script;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::Server;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::time::{Duration, Instant};
use support::Fleet;

const SCRIPT: &str = r#"
madrpc.register("echo", (value) => value);
madrpc.register("spin", () => { for (;;) {} });
madrpc.register("loop", (ms) => { const end = Date.now() + ms; let n = 0; while (Date.now() < end) n++; return n; });
madrpc.register("sum", ([from, to]) => { let sum = 0; for (let i = from; i < to; i++) sum += i % 7; return sum; });
"#;

fn node(fleet: &Fleet, pool: usize, slice: Option<Duration>) -> Server {
    let settings = NodeConfig {
        pool_size: Some(pool),
        slice,
        ..NodeConfig::default()
    };
    let script = Script::new("test.js", SCRIPT);
    Server::node(&fleet.config(Role::Node, 1), &script, &settings).unwrap()
}

fn sliced(fleet: &Fleet, pool: usize) -> Server {
    node(fleet, pool, Some(Duration::from_micros(500)))
}

fn looping(client: &Client, busy: Duration) -> Reply<Value> {
    let call = client.prepare("loop").timeout(Duration::from_secs(60));
    call.send_blocking(Value::Integer(busy.as_millis() as i64))
        .unwrap()
}

#[test]
fn loops_share_the_core_and_advance_under_a_flood_of_short_calls() {
    let fleet = Fleet::new();
    let node = sliced(&fleet, 4);
    let client = fleet.client(node.address());
    let busy = Duration::from_secs(2);
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let loops: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| looping(&client, busy)))
            .collect();
        let flood: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    let mut calls = 0;
                    while !over.load(Ordering::Relaxed) {
                        let echoed: i64 = client.call_blocking("echo", &calls).unwrap();
                        assert_eq!(echoed, calls);
                        calls += 1;
                    }
                    calls
                })
            })
            .collect();
        let shares: Vec<f64> = loops
            .into_iter()
            .map(|call| {
                let cpu = Duration::from_micros(call.join().unwrap().bill.cpu_us);
                cpu.div_duration_f64(busy)
            })
            .collect();
        over.store(true, Ordering::Relaxed);
        let calls: Vec<i64> = flood.into_iter().map(|call| call.join().unwrap()).collect();
        // Long calls keep about a third of the core under a flood, so each has 0.11 of it; less where other processes
        // of the machine want the core too.
        assert!(shares.iter().all(|share| *share > 0.05), "{shares:?}");
        let (least, most) = (
            shares.iter().copied().fold(f64::INFINITY, f64::min),
            shares.iter().copied().fold(0.0, f64::max),
        );
        assert!(least * 3.0 > most, "not shared evenly: {shares:?}");
        let (least, most) = (calls.iter().min(), calls.iter().max());
        assert!(least > Some(&50), "{least:?} to {most:?} short calls");
    });
}

#[test]
fn without_slices_they_run_one_after_the_other() {
    let fleet = Fleet::new();
    let node = node(&fleet, 4, None);
    let client = fleet.client(node.address());
    std::thread::scope(|scope| {
        let long = scope.spawn(|| looping(&client, Duration::from_millis(700)));
        std::thread::sleep(Duration::from_millis(200));
        let begun = Instant::now();
        let _: i64 = client.call_blocking("echo", &1).unwrap();
        assert!(
            begun.elapsed() > Duration::from_millis(300),
            "{:?}",
            begun.elapsed()
        );
        assert_eq!(long.join().unwrap().bill.slices, 1);
    });
}

#[test]
fn calls_in_the_same_loop_are_not_mixed_up() {
    let fleet = Fleet::new();
    let node = sliced(&fleet, 4);
    let client = fleet.client(node.address());
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..4)
            .map(|number: i64| {
                let client = client.clone();
                scope.spawn(move || {
                    let (from, to) = (number * 1000, 2_000_000 + number * 3);
                    let call = client.prepare("sum").timeout(Duration::from_secs(60));
                    let args = Value::Array(vec![from.into(), to.into()]);
                    let reply = call.send_blocking(args).unwrap();
                    let expected: i64 = (from..to).map(|i| i % 7).sum();
                    assert_eq!(reply.result, Value::Integer(expected));
                    reply.bill.slices
                })
            })
            .collect();
        for call in calls {
            let slices = call.join().unwrap();
            assert!(slices > 3, "{slices} slices");
        }
    });
}

#[test]
fn an_endless_loop_in_a_full_pool_ends_by_its_deadline_or_with_its_caller() {
    let fleet = Fleet::new();
    let node = sliced(&fleet, 4);
    let client = fleet.client(node.address());
    let busy = Duration::from_secs(3);
    std::thread::scope(|scope| {
        let loops: Vec<_> = (0..3)
            .map(|_| scope.spawn(|| looping(&client, busy)))
            .collect();
        std::thread::sleep(Duration::from_millis(100));
        for _ in 0..5 {
            let timeout = Duration::from_millis(100);
            let call = client.prepare("spin").timeout(timeout);
            let error = call.send_blocking(Value::Undefined).unwrap_err();
            assert_eq!(error.kind, ErrorKind::DeadlineExceeded, "{error}");
            // Where the node were late, the client would say so in its stead.
            assert!(!error.message.contains("did not answer"), "{error}");
        }
        for _ in 0..5 {
            {
                let call = client.prepare("spin").timeout(Duration::from_secs(60));
                let mut call = pin!(call.send(Value::Undefined));
                let polled = call.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                assert!(polled.is_pending());
                std::thread::sleep(Duration::from_millis(20));
            }
            // It gets the lane of the one that was just dropped: the others are taken.
            let begun = Instant::now();
            let _: i64 = client.call_blocking("echo", &1).unwrap();
            assert!(
                begun.elapsed() < Duration::from_millis(500),
                "{:?}",
                begun.elapsed()
            );
        }
        let are_done = loops.iter().any(std::thread::ScopedJoinHandle::is_finished);
        assert!(!are_done, "the machine is too slow for this test");
        for call in loops {
            call.join().unwrap();
        }
    });
}

#[test]
fn calls_in_the_queue_start_beside_a_long_one_whatever_the_slice() {
    let fleet = Fleet::new();
    let node = node(&fleet, 3, Some(Duration::from_millis(3)));
    let client = fleet.client(node.address());
    std::thread::scope(|scope| {
        let long = scope.spawn(|| looping(&client, Duration::from_secs(4)));
        std::thread::sleep(Duration::from_millis(100));
        // Each is longer than a slice, so that those behind the first of them have to queue.
        let short: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| looping(&client, Duration::from_millis(10))))
            .collect();
        for call in short {
            call.join().unwrap();
        }
        assert!(!long.is_finished(), "they waited for the long call");
        long.join().unwrap();
    });
}
