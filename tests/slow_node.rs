//! One of three nodes is 30 times slower than the others, and gets calls that it cannot run: with `--balance least-loaded` the
//! callers hardly notice; in turn those that come to it do, and no more come to it than it can run.
//!
//! Setup: three nodes and an orchestrator as processes, and calls at a steady rate. A fleet of equals is measured beside it in the
//! same run, and again where the machine had something else to do.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

#[path = "support/mod.rs"]
mod support;

use std::io::Write;
use std::time::Duration;
use support::process::{Home, Served, free_port};
use support::steady::{Calls, Steady};

/// A third of these are several times as many as the slow node can run.
const RATE: u32 = 90;
const TIME: Duration = Duration::from_secs(5);
/// What is learnt of a node until then is not looked at.
const WARM_UP: Duration = Duration::from_secs(1);
const ATTEMPTS: usize = 3;

/// Some milliseconds of the core, so many times over.
fn script(slowness: u32) -> String {
    let rounds = 150_000 * slowness;
    format!(
        "madrpc.register('work', () => {{ let sum = 0; for (let i = 0; i < {rounds}; i++) sum += i % 7; return sum; }});"
    )
}

/// Calls of a fleet whose first node is so many times slower.
fn measure(balance: &str, slowness: u32) -> Calls {
    let home = Home::new();
    let start = |slowness| {
        let bind = format!("127.0.0.1:{}", free_port());
        let name = format!("{slowness}.js");
        home.write(&name, &script(slowness));
        let node = home.serve(&["node", "-s", &name, "-b", &bind, "--shards", "1"]);
        (node, bind)
    };
    let nodes: Vec<(Served, String)> = [slowness, 1, 1].into_iter().map(start).collect();
    let front = format!("127.0.0.1:{}", free_port());
    let mut args = vec![
        "orchestrator",
        "-b",
        &front,
        "--shards",
        "1",
        "--balance",
        balance,
    ];
    args.extend(nodes.iter().flat_map(|(_, bind)| ["-n", bind]));
    let _orchestrator = home.serve(&args);
    support::eventually("calls come through", || {
        home.call(&[&front, "work"]).status.success()
    });
    let calls = Steady::start(&home.path("tls"), &front, "work", RATE, TIME).end();
    assert_eq!(calls.error(), None);
    calls
}

/// The p99 of equals, and what was measured of a fleet with one that is slow, until that is good enough.
fn compare(balance: &str, is_enough: impl Fn(Duration, &Calls) -> bool) -> bool {
    (0..ATTEMPTS).any(|_| {
        let equals = measure(balance, 1).percentile(99, WARM_UP..TIME);
        let calls = measure(balance, 30);
        let [p50, p90, p99] = [50, 90, 99].map(|percent| calls.percentile(percent, WARM_UP..TIME));
        let _ = writeln!(
            std::io::stderr(),
            "{balance}: p99 of equals {equals:.1?}; with a slow one p50 {p50:.1?}, p90 {p90:.1?}, p99 {p99:.1?}"
        );
        is_enough(equals, &calls)
    })
}

/// One after the other: a slow node has a core to itself.
#[test]
fn who_goes_by_load_hardly_notices_a_slow_node_and_in_turn_it_gets_what_it_can_run() {
    let is_enough = |equals: Duration, calls: &Calls| {
        let (over, of) = calls.over(5 * equals, WARM_UP..TIME);
        over * 100 <= of
    };
    assert!(
        compare("least-loaded", is_enough),
        "p99 over five times that of equals"
    );
    // What it takes is 30 times as long; without the rule calls wait there for seconds.
    let is_enough = |_: Duration, calls: &Calls| {
        let (over, of) = calls.over(Duration::from_secs(1), WARM_UP..TIME);
        over * 20 <= of
    };
    assert!(
        compare("round-robin", is_enough),
        "one of twenty waits for more than a second"
    );
}
