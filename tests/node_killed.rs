//! A node that is gone without a word (SIGKILL) while calls come: those that may run twice are all answered.

#[path = "support/mod.rs"]
mod support;

use std::thread::sleep;
use std::time::Duration;
use support::fleet::RealFleet;

#[test]
fn no_call_that_may_run_twice_is_lost_where_a_node_is_killed() {
    let mut fleet = RealFleet::start(3);
    let load = fleet.load("twice", 2_000, "3s");
    sleep(Duration::from_millis(1_500));
    fleet.nodes[0].child.kill().unwrap();
    let outcome = load.end();
    assert!(
        outcome.errors.is_empty() && outcome.results > 4_000,
        "{outcome:?}"
    );
}

/// Large arguments have a stream of their own, and are kept in another way.
#[test]
fn nor_is_one_with_large_arguments() {
    let mut fleet = RealFleet::start(3);
    let load = fleet.load_of(200_000, "twice", 200, "4s");
    for node in 0..2 {
        sleep(Duration::from_millis(1_000));
        fleet.nodes[node].child.kill().unwrap();
    }
    let outcome = load.end();
    assert!(
        outcome.errors.is_empty() && outcome.results > 400,
        "{outcome:?}"
    );
}

#[test]
fn others_that_were_on_their_way_are_said_to_have_run_perhaps() {
    let mut fleet = RealFleet::start(3);
    let load = fleet.load("once", 5_000, "3s");
    sleep(Duration::from_millis(1_500));
    fleet.nodes[0].child.kill().unwrap();
    let outcome = load.end();
    let lost: u64 = outcome
        .errors
        .values()
        .filter_map(serde_json::Value::as_u64)
        .sum();
    // What was at the node, or before it, when it was killed: none after that.
    assert!(lost < 100, "{outcome:?}");
    assert!(
        outcome.errors.keys().all(|kind| kind == "Unavailable"),
        "{outcome:?}"
    );
}
