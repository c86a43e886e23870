//! A node that is told to stop (SIGTERM) while calls come: none of them is lost, whatever its function is.

#[path = "support/mod.rs"]
mod support;

use nix::sys::signal::Signal;
use std::thread::sleep;
use std::time::Duration;
use support::fleet::RealFleet;

#[test]
fn no_call_is_lost_where_a_node_stops() {
    let mut fleet = RealFleet::start(3);
    let load = fleet.load("once", 5_000, "3s");
    sleep(Duration::from_millis(1_500));
    fleet.nodes[0].signal(Signal::SIGTERM);
    assert!(fleet.nodes[0].end().success());
    let outcome = load.end();
    assert!(
        outcome.errors.is_empty() && outcome.results > 10_000,
        "{outcome:?}"
    );
}

#[test]
fn a_fleet_is_restarted_node_by_node_without_a_lost_call() {
    let mut fleet = RealFleet::start(3);
    let load = fleet.load("once", 2_000, "8s");
    for number in 0..3 {
        sleep(Duration::from_millis(1_000));
        fleet.nodes[number].signal(Signal::SIGTERM);
        assert!(fleet.nodes[number].end().success());
        fleet.restart(number);
    }
    let outcome = load.end();
    assert!(
        outcome.errors.is_empty() && outcome.results > 10_000,
        "{outcome:?}"
    );
}
