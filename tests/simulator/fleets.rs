//! Claim: a fleet in which one node is odd serves nearly as one without it.
//!
//! Setup: small fleets with one fault each, in virtual time; see the crate. `cargo bench -p madrpc-benches --bench balance` has
//! the figures of more of them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

use madrpc_core::fleet::Balance;
use madrpc_simulator::{Lie, MS, Policy, Report, SECOND, Scenario, What, run};

/// Nodes of which each runs a thousand calls in a second, and such a share of that for some seconds.
fn fleet(balance: Balance, nodes: usize, load: f64) -> Scenario {
    let mut scenario = Scenario::plain(7, nodes, 4, Policy::Router(balance));
    scenario.calls_per_second = 1000.0 * nodes as f64 * load;
    scenario.until = 5 * SECOND;
    scenario
}

fn finished(scenario: Scenario) -> Report {
    let report = run(scenario, 2 * SECOND);
    assert!(report.violations.is_empty(), "{:#?}", report.violations);
    report
}

/// The share of a run's calls that ended so.
fn share(report: &Report, how: &str) -> f64 {
    let count = |ends: &[(String, usize)]| ends.iter().map(|(_, count)| *count).sum::<usize>();
    let (these, _): (Vec<_>, Vec<_>) = report
        .ends
        .iter()
        .cloned()
        .partition(|(end, _)| end.contains(how));
    count(&these) as f64 / count(&report.ends) as f64
}

/// Calls of the node that had the fewest, and of the one that had the most, as shares of the mean.
fn spread(report: &Report) -> (f64, f64) {
    let mean = report.begun.iter().sum::<u64>() as f64 / report.begun.len() as f64;
    let of_mean = |calls: Option<&u64>| *calls.unwrap() as f64 / mean;
    (
        of_mean(report.begun.iter().min()),
        of_mean(report.begun.iter().max()),
    )
}

#[test]
fn a_node_that_throws_at_once_does_not_draw_the_calls_of_the_others() {
    for (nodes, throwing) in [(3, 1), (3, 2), (10, 1), (10, 6_u32)] {
        let mut scenario = fleet(Balance::LeastLoaded, nodes, 0.15);
        for node in 0..throwing {
            scenario
                .faults
                .push((SECOND / 2, What::Lies(node, Lie::Throws(1.0))));
        }
        let report = finished(scenario);
        let thrown = share(&report, "Thrown");
        let in_turn = f64::from(throwing) / nodes as f64;
        println!("{throwing} of {nodes} throw: {thrown:.3} of the calls, {in_turn:.3} in turn");
        // Who throws is to be found out first, and tried now and then.
        assert!(thrown < 0.4 * in_turn, "{:?}", report.begun);
    }
}

#[test]
fn a_function_that_throws_everywhere_goes_to_all() {
    for share in [1.0, 0.5] {
        let mut scenario = fleet(Balance::LeastLoaded, 5, 0.6);
        for node in 0..5 {
            scenario
                .faults
                .push((0, What::Lies(node, Lie::Throws(share))));
        }
        let report = finished(scenario);
        let (least, most) = spread(&report);
        println!("{share} thrown: {:?}", report.begun);
        assert!(least > 0.8 && most < 1.2, "{:?}", report.begun);
    }
}

/// How long all but one of so many calls took at the most, in milliseconds.
fn at_most(report: &Report, one_in: usize) -> f64 {
    let calls = report.latencies.len();
    report.latencies[calls - 1 - calls / one_in] as f64 / MS as f64
}

#[test]
fn turns_pass_over_a_node_that_is_far_behind_and_are_even_among_equals() {
    let slow = |speed| {
        let mut scenario = fleet(Balance::RoundRobin, 3, 0.4);
        scenario.speeds[0] = speed;
        // To know who is an outlier takes longer than this.
        scenario.until = 4 * SECOND;
        let report = finished(scenario);
        (at_most(&report, 10), at_most(&report, 100), report)
    };
    let (p90, p99, report) = slow(1.0);
    println!(
        "equals: p90 {p90:.1} ms, p99 {p99:.1} ms, {:?}",
        report.begun
    );
    let (least, most) = spread(&report);
    assert!(least > 0.99 && most < 1.01, "{:?}", report.begun);
    let (slow_p90, slow_p99, report) = slow(1.0 / 30.0);
    println!(
        "one 30 times slower: p90 {slow_p90:.1} ms, p99 {slow_p99:.1} ms, {:?}",
        report.begun
    );
    // It has what it can do.
    assert!(report.begun[0] > 50 && slow_p90 < 5.0 * p90 && slow_p99 < 100.0 * p99);
}
