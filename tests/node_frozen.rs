//! A node that accepts and says nothing (SIGSTOP): few calls wait for it, and none that may run twice.

#[path = "support/mod.rs"]
mod support;

use nix::sys::signal::Signal;
use std::thread::sleep;
use std::time::Duration;
use support::fleet::RealFleet;

/// 6 s of calls, during which a node is frozen for 3 s; and what the orchestrator says of it.
fn freeze(function: &str) -> (support::fleet::Outcome, String) {
    let mut fleet = RealFleet::start(3);
    let load = fleet.load(function, 2_000, "6s");
    sleep(Duration::from_millis(1_500));
    fleet.nodes[0].signal(Signal::SIGSTOP);
    fleet.orchestrator.wait_for("says nothing");
    sleep(Duration::from_secs(3));
    fleet.nodes[0].signal(Signal::SIGCONT);
    fleet.orchestrator.wait_for("answers again");
    (load.end(), std::mem::take(&mut fleet.orchestrator.seen))
}

#[test]
fn few_calls_wait_for_a_node_that_is_frozen() {
    let (outcome, said) = freeze("once");
    assert!(outcome.errors.is_empty(), "{outcome:?}");
    // One of a hundred calls.
    assert!(outcome.p99_us < 500_000, "{outcome:?}");
    // One line for what is one thing.
    assert_eq!(said.matches("says nothing").count(), 1, "{said}");
}

#[test]
fn no_call_that_may_run_twice_waits_for_it() {
    let (outcome, _) = freeze("twice");
    assert!(outcome.errors.is_empty(), "{outcome:?}");
    assert!(outcome.max_us < 2_000_000, "{outcome:?}");
}
