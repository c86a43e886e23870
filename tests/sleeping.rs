//! Very many calls of one caller that sleep at the same time, and all wake at once: none fails, they take what packed lanes take, and
//! another caller's small calls go on beside them.
//!
//! Setup: a node of one shard in this process. By hand, for 10,000 within 2 GB:
//! `MADRPC_SLEEPING=10000 cargo test --release -p madrpc-bin --test sleeping -- --nocapture`
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use futures_lite::future::block_on;
use futures_util::StreamExt;
use madrpc_core::identity::Role;
use madrpc_core::stats::{STATS, Snapshot};
use madrpc_core::value::Value;
use madrpc_shard::client::Client;
use madrpc_shard::engine::Script;
use madrpc_shard::node::NodeConfig;
use madrpc_shard::server::Server;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use support::{Fleet, rss};

const SCRIPT: &str = r#"
madrpc.register("echo", (value) => value);
madrpc.register("sleepUntil", (ms) => new Promise((wake) => setTimeout(wake, ms - Date.now(), ms)));
"#;

/// Calls in CI, and what the node may take for each: as for 10,000 within 2 GB.
const CALLS: usize = 2000;
const BYTES_PER_CALL: usize = (2 << 30) / 10_000;

fn waiting(client: &Client) -> u64 {
    let snapshot: Snapshot = client.call_blocking(STATS, &()).unwrap();
    snapshot.lanes_waiting
}

/// So many calls by so many sessions, which wake when all of them sleep, or after that time.
fn sleep(fleet: &Fleet, node: &Server, calls: usize, sessions: usize, begun: usize, limit: usize) {
    let identity = fleet.identity(Role::Client);
    let config = madrpc_shard::client::ClientConfig::with_identity;
    let address = node.address().to_string();
    let clients: Vec<_> = (0..sessions)
        .map(|_| Client::new(&config(&address, identity.clone())).unwrap())
        .collect();
    let other = fleet.client(node.address());
    let _: i64 = other.call_blocking("echo", &1).unwrap();
    // Time enough for a machine that does other things too.
    let sleep = Duration::from_millis(4000 + 6 * calls as u64);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let wake_at = i64::try_from((now + sleep).as_millis()).unwrap();
    let mut args = Vec::new();
    Value::from(wake_at).encode(&mut args, 64).unwrap();
    let mut places: Vec<_> = clients.iter().map(Client::calls).collect();
    for tag in 0..calls {
        let at = tag % sessions;
        let call = clients[at].prepare("sleepUntil");
        let call = call.timeout(Duration::from_secs(600));
        places[at]
            .begin(tag as u64, &call, args.clone().into())
            .unwrap();
    }
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let (mut most, mut peak, mut longest) = (0, 0, Duration::ZERO);
            while !is_over.load(Ordering::Relaxed) {
                let asked = Instant::now();
                let echoed: i64 = other.call_blocking("echo", &7).unwrap();
                assert_eq!(echoed, 7);
                longest = longest.max(asked.elapsed());
                most = most.max(waiting(&other));
                peak = peak.max(rss());
                std::thread::sleep(Duration::from_millis(20));
            }
            (most, peak, longest)
        });
        let mut errors = Vec::new();
        for place in &mut places {
            while !place.is_empty() {
                let ended = block_on(place.next()).unwrap();
                errors.extend(ended.result.err());
            }
        }
        is_over.store(true, Ordering::Relaxed);
        let (most, peak, longest) = watch.join().unwrap();
        let took = peak.saturating_sub(begun);
        let _ = writeln!(
            std::io::stderr(),
            "{calls} calls of {sessions} sessions: {most} sleep at a time, {} MiB more at the most ({} KiB each), the longest call \
             beside took {longest:?}, {} failed",
            took >> 20,
            (took / calls) >> 10,
            errors.len()
        );
        assert_eq!(errors.first(), None, "{} of {calls}", errors.len());
        assert!(took < limit, "{} MiB more", took >> 20);
        assert!(most as usize >= calls / 2, "{most} at a time");
        assert!(longest < Duration::from_secs(2), "{longest:?}");
    });
}

#[test]
fn very_many_calls_sleep_at_a_time_and_wake_at_once() {
    let calls = std::env::var("MADRPC_SLEEPING").ok();
    let calls = calls.map_or(CALLS, |calls| calls.parse().unwrap());
    let fleet = Fleet::new();
    let mut config = fleet.config(Role::Node, 1);
    let limit = calls * BYTES_PER_CALL;
    config.memory_max_bytes = Some(limit as u64);
    let script = Script::new("sleeping.js", SCRIPT);
    let node = Server::node(&config, &script, &NodeConfig::default()).unwrap();
    let begun = rss();
    sleep(&fleet, &node, calls, 1, begun, limit);
    sleep(&fleet, &node, calls / 2, 10, begun, limit);
}
