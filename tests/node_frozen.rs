//! A node that accepts and says nothing (SIGSTOP): few calls wait for it, and none that may run twice.
//!
//! Setup: three nodes, 2,000 calls in a second for 6 s, of which a node is frozen for 3 s. Calls are counted by when they were due,
//! and beside those before the freeze, so that a slow machine is compared with itself.

#[path = "support/mod.rs"]
mod support;

use nix::sys::signal::Signal;
use std::io::Write;
use std::thread::sleep;
use std::time::Duration;
use support::fleet::RealFleet;
use support::steady::{Calls, Steady};

const RATE: u32 = 2_000;
const SECOND: Duration = Duration::from_secs(1);

/// The calls, when the node was frozen, and what the orchestrator says of it.
fn freeze(function: &str) -> (Calls, Duration, String) {
    let mut fleet = RealFleet::start(3);
    let load = Steady::start(
        &fleet.home.path("tls"),
        &fleet.front,
        function,
        RATE,
        6 * SECOND,
    );
    sleep(SECOND * 3 / 2);
    let frozen = load.begun.elapsed();
    fleet.nodes[0].signal(Signal::SIGSTOP);
    fleet.orchestrator.wait_for("says nothing");
    sleep(3 * SECOND);
    fleet.nodes[0].signal(Signal::SIGCONT);
    fleet.orchestrator.wait_for("answers again");
    let calls = load.end();
    assert_eq!(calls.error(), None);
    (calls, frozen, std::mem::take(&mut fleet.orchestrator.seen))
}

/// What is far from usual: several times what all but one of a hundred calls took before.
fn noticed(calls: &Calls, frozen: Duration) -> Duration {
    let before = calls.percentile(99, SECOND / 2..frozen);
    let bound = (5 * before).max(SECOND / 20);
    let (few, of) = calls.over(bound, frozen..6 * SECOND);
    let (later, of_later) = calls.over(bound, frozen + SECOND..frozen + 3 * SECOND);
    let said = format!(
        "p99 before {before:.1?}; over {bound:.1?}: {few} of {of}, from 1 s after the freeze on {later} of {of_later}"
    );
    let _ = writeln!(std::io::stderr(), "{said}");
    bound
}

#[test]
fn few_calls_wait_for_a_node_that_is_frozen() {
    let (calls, frozen, said) = freeze("once");
    // One line for what is one thing.
    assert_eq!(said.matches("says nothing").count(), 1, "{said}");
    let bound = noticed(&calls, frozen);
    if !calls.were_offered() {
        let _ = writeln!(
            std::io::stderr(),
            "this machine could not make {RATE} calls in a second"
        );
        return;
    }
    // One of a hundred sees it; and of the others none, once it is known.
    let (few, of) = calls.over(bound, SECOND / 2..6 * SECOND);
    assert!(few * 100 <= of, "{few} of {of} took longer than {bound:?}");
    let (later, of) = calls.over(bound, frozen + SECOND..frozen + 3 * SECOND);
    assert!(
        later * 100 <= of,
        "{later} of {of}, when it was known for long"
    );
}

#[test]
fn no_call_that_may_run_twice_waits_for_it() {
    let (calls, frozen, _) = freeze("twice");
    noticed(&calls, frozen);
    let (long, of) = calls.over(2 * SECOND, Duration::ZERO..6 * SECOND);
    assert_eq!(long, 0, "of {of}");
}
