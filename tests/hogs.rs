//! Functions that keep the core, each in another way: beside as many calls of one as a node has lanes, and three times as many,
//! nobody fails or waits for long, and each of them ends soon after its deadline, whatever it is in the middle of.
//!
//! Setup: a node of one shard and two lanes in this process. How long others wait is measured by `--bench hogs`; here the bounds
//! are wide enough for a loaded machine: many times what there is, and less than what one built-in takes that is not stopped.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use madrpc_core::call::ErrorKind;
use madrpc_core::identity::Role;
use madrpc_core::value::Value;
use madrpc_shard::client::Client;
use madrpc_shard::engine::{LaneConfig, Preemption, Script};
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::Server;
use std::time::{Duration, Instant};
use support::Fleet;

const SCRIPT: &str = include_str!("../benches/hogs.js");

const LANES: usize = 2;
const DEADLINE: Duration = Duration::from_millis(250);
const LATE_MAX: Duration = Duration::from_secs(1);

/// Tiny calls, one after the other, and how long half of them may take at the most.
const TINY: usize = 20;
const TINY_MAX: Duration = Duration::from_millis(150);

const ARGUMENT_BYTES: usize = 20_000_000;
/// Their arguments have to arrive before.
const TAKERS_DEADLINE: Duration = Duration::from_secs(2);

fn node(fleet: &Fleet, preemption: Preemption) -> Server {
    let settings = NodeConfig {
        pool_size: Some(LANES),
        lane: LaneConfig {
            preemption,
            ..LaneConfig::default()
        },
        ..NodeConfig::default()
    };
    let script = Script::new("hogs.js", SCRIPT);
    Server::node(&fleet.config(Role::Node, 1), &script, &settings).unwrap()
}

#[test]
fn whatever_keeps_the_core_ends_at_its_deadline_and_nobody_fails_beside_it() {
    if std::env::var_os("ASAN_OPTIONS").is_some() {
        return;
    }
    let fleet = Fleet::new();
    let node = node(&fleet, Preemption::Forced);
    let (hog, other) = (fleet.client(node.address()), fleet.client(node.address()));
    let hogs: Vec<String> = hog.call_blocking("hogs", &()).unwrap();
    assert!(hogs.len() >= 40, "{hogs:?}");
    for name in &hogs {
        for calls in [LANES, 3 * LANES] {
            beside(calls, name, &Value::Null, DEADLINE, &hog, &other);
        }
    }
    let takers: Vec<String> = hog.call_blocking("takers", &()).unwrap();
    for name in &takers {
        let bytes = ARGUMENT_BYTES;
        let argument = match name.as_str() {
            "textArgument" => Value::String("é".repeat(bytes / 2)),
            "keyArgument" => Value::object([("x".repeat(bytes).as_str(), Value::Null)]),
            "listArgument" => Value::Array(vec![Value::Integer(1); bytes / 20]),
            "bytesArgument" => Value::Bytes(vec![1; bytes]),
            other => panic!("what is `{other}` called with?"),
        };
        beside(LANES, name, &argument, TAKERS_DEADLINE, &hog, &other);
    }
    // All lanes are as they were.
    for number in 0..100 {
        assert_eq!(hog.call_blocking::<_, i64>("ping", &number), Ok(number));
    }
}

/// So many calls of a hog, and tiny ones of another caller.
fn beside(
    calls: usize,
    name: &str,
    argument: &Value,
    deadline: Duration,
    hog: &Client,
    other: &Client,
) {
    std::thread::scope(|scope| {
        let calls: Vec<_> = (0..calls)
            .map(|_| {
                scope.spawn(|| {
                    let begun = Instant::now();
                    let call = hog.prepare(name).timeout(deadline);
                    let ended = call.send_blocking(argument.clone());
                    (ended.map(|reply| reply.result), begun.elapsed())
                })
            })
            .collect();
        std::thread::sleep(deadline / 10);
        let mut took: Vec<_> = (0..TINY as i64)
            .map(|number| {
                let begun = Instant::now();
                let echoed: i64 = other
                    .call_blocking("ping", &number)
                    .unwrap_or_else(|error| panic!("beside {name}: {error}"));
                assert_eq!(echoed, number);
                begun.elapsed()
            })
            .collect();
        took.sort_unstable();
        assert!(took[TINY / 2] < TINY_MAX, "beside {name}: {took:?}");
        for call in calls {
            let (ended, took) = call.join().unwrap();
            assert!(took < deadline + LATE_MAX, "{name}: {took:?}");
            if let Err(error) = ended {
                assert_ne!(error.kind, ErrorKind::Internal, "{name}: {error}");
            }
        }
    });
}

/// That force is what ends it: without it, the built-in goes on.
#[test]
fn without_force_a_long_built_in_keeps_the_core() {
    let fleet = Fleet::new();
    let node = node(&fleet, Preemption::Polling);
    let client = fleet.client(node.address());
    let begun = Instant::now();
    std::thread::scope(|scope| {
        let call = scope.spawn(|| {
            let call = client.prepare("short").timeout(DEADLINE);
            call.send_blocking(Value::Null)
        });
        std::thread::sleep(Duration::from_millis(50));
        // Where that is long enough, the node counts as gone.
        let _ = client.call_blocking::<_, i64>("ping", &1);
        assert!(begun.elapsed() > Duration::from_millis(500));
        call.join().unwrap().unwrap_err();
    });
}
