//! Claim: whatever happens to a fleet, no call is lost, none is answered twice, none runs where it must not, and none fails
//! for nothing.
//!
//! Setup: fleets by seed, see the crate. `MADRPC_SEED=7 cargo test -p madrpc-simulator --test seeds` repeats one that failed,
//! `MADRPC_SEEDS=100000` runs so many, and `MADRPC_CALL=12` beside the seed tells the way of that call.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

use madrpc_simulator::{Flaw, MS, Scenario, run};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// Seeds, where nobody says how many.
const SEEDS: u64 = 1_000;

/// Within so many each defect is found.
const SEEDS_FOR_A_FLAW: u64 = 200;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// The first of these seeds that breaks a rule, and how; on two threads.
fn first_broken(seeds: Range<u64>, flaw: Flaw) -> Option<(u64, Vec<String>)> {
    let found = AtomicU64::new(seeds.end);
    let find = |first: usize| {
        let seeds = seeds.clone().skip(first).step_by(2);
        let mut left = seeds.take_while(|seed| *seed < found.load(Ordering::Relaxed));
        left.find_map(|seed| {
            let violations = run(Scenario::of_seed(seed).with_flaw(flaw), 0).violations;
            let is_broken = !violations.is_empty();
            if is_broken {
                found.fetch_min(seed, Ordering::Relaxed);
            }
            is_broken.then_some((seed, violations))
        })
    };
    let broken = std::thread::scope(|scope| {
        let other = scope.spawn(|| find(1));
        [find(0), other.join().unwrap()]
    });
    broken.into_iter().flatten().min()
}

#[test]
fn whatever_happens_no_rule_is_broken() {
    if let Some(seed) = number("MADRPC_SEED") {
        let mut scenario = Scenario::of_seed(seed);
        scenario.watched = number("MADRPC_CALL").map(|call| call as u32);
        let faults = scenario.faults.iter().map(|(at, what)| {
            let milliseconds = at / MS;
            format!("{milliseconds} ms {what:?}")
        });
        println!("{}", faults.collect::<Vec<_>>().join(", "));
        let (nodes, shards, policy) = (scenario.speeds.len(), scenario.shards, scenario.policy);
        println!("{nodes} nodes, {shards} shards, {policy:?}");
        let report = run(scenario, 0);
        println!("{}", report.way.join("\n"));
        println!("{:?}, {} retries", report.ends, report.retries);
        assert!(report.violations.is_empty(), "{:#?}", report.violations);
        return;
    }
    let seeds = number("MADRPC_SEEDS").unwrap_or(SEEDS);
    if let Some((seed, violations)) = first_broken(0..seeds, Flaw::None) {
        panic!(
            "seed {seed}: {violations:#?}\nMADRPC_SEED={seed} cargo test -p madrpc-simulator --test seeds repeats it"
        );
    }
}

#[test]
fn a_seed_repeats() {
    for seed in [3, 4] {
        let [one, other] = [0; 2].map(|_| run(Scenario::of_seed(seed), 0));
        assert_eq!(one.latencies, other.latencies);
        assert_eq!((one.ends, one.begun), (other.ends, other.begun));
    }
}

#[test]
fn defects_are_found() {
    for flaw in [
        Flaw::ForgetsLost,
        Flaw::ForgetsDeadlines,
        Flaw::RetriesAll,
        Flaw::TakesAllForNotRun,
        Flaw::AnswersTwice,
        Flaw::HedgesAll,
        Flaw::LeavesSecond,
        Flaw::KeepsSubset,
    ] {
        let found = first_broken(0..SEEDS_FOR_A_FLAW, flaw);
        assert!(found.is_some(), "{flaw:?} is not found");
    }
}
