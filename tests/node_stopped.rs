//! A node that is told to stop (SIGTERM) while calls come: none of them is lost, whatever its function is.
//!
//! What counts is that there is no error. A machine that cannot make so many calls in a second makes fewer, and it is said.

#[path = "support/mod.rs"]
mod support;

use nix::sys::signal::Signal;
use std::io::Write;
use std::thread::sleep;
use std::time::Duration;
use support::fleet::{Outcome, RealFleet};

/// Of so many calls none has failed.
fn none_is_lost(outcome: &Outcome, offered: u64) {
    assert!(outcome.errors.is_empty(), "{outcome:?}");
    if outcome.results < offered * 9 / 10 {
        let results = outcome.results;
        let said = "this machine could not make all of the calls";
        let _ = writeln!(std::io::stderr(), "{said}: {results} of {offered}");
    }
    assert!(outcome.results > offered / 10, "{outcome:?}");
}

fn stop_at(rate: u32) {
    let mut fleet = RealFleet::start(3);
    let load = fleet.load("once", rate, "3s");
    sleep(Duration::from_millis(1_500));
    fleet.nodes[0].signal(Signal::SIGTERM);
    assert!(fleet.nodes[0].end().success());
    none_is_lost(&load.end(), u64::from(rate) * 3);
}

#[test]
fn no_call_is_lost_where_a_node_stops_under_2_000_in_a_second() {
    stop_at(2_000);
}

#[test]
fn no_call_is_lost_where_a_node_stops_under_20_000_in_a_second() {
    stop_at(20_000);
}

#[test]
fn a_fleet_is_restarted_node_by_node_without_a_lost_call() {
    let mut fleet = RealFleet::start(3);
    let load = fleet.load("once", 5_000, "8s");
    for number in 0..3 {
        sleep(Duration::from_millis(1_000));
        fleet.nodes[number].signal(Signal::SIGTERM);
        assert!(fleet.nodes[number].end().success());
        fleet.restart(number);
    }
    none_is_lost(&load.end(), 5_000 * 8);
}
