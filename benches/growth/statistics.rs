//! Counting calls, and snapshots of what was counted.

use super::{Case, Gauge};
use madrpc_core::call::ErrorKind;
use madrpc_core::stats::{Counters, Snapshot, Sum, Tally, UNKNOWN};

pub(crate) const CASES: [Case; 7] = [
    Case::new("counters: a call of one of n functions", call),
    Case::new("counters: a call to one of n nodes", node),
    Case::new("counters: a node comes and one goes, n others", come_and_go),
    Case::new("counters: a name nobody knows, after n such", invent),
    Case::new("snapshot: a row of a shard that has n", part),
    Case::new("snapshot: a row added to n", add),
    // A single measurement makes all rows; step by step, more of them would take minutes.
    Case {
        sizes: [2, 20, 200],
        ..Case::new("snapshot: a row of one with n, told", finish)
    },
];

const MEASUREMENTS: usize = 16;

/// Latencies that differ as those of a function do.
const LATENCIES_US: [u64; 12] = [90, 100, 105, 110, 120, 140, 150, 190, 250, 400, 900, 3000];

fn name(number: usize) -> String {
    format!("function {number}")
}

/// A shard of a node that has had calls of so many functions.
fn shard(functions: usize) -> Counters {
    let mut counters = Counters::new(["10.0.0.1:9001"]);
    for number in 0..functions {
        let function = counters.number(&name(number));
        for latency in LATENCIES_US {
            counters.record(function, 0, latency, None);
        }
    }
    counters
}

/// So many rows, of as many shards as it takes.
fn tallies(count: usize) -> Vec<Tally> {
    let mut tallies = Vec::new();
    while tallies.len() < count {
        let mut counters = Counters::new([format!("10.0.0.{}:9001", tallies.len())]);
        for number in 0..1000.min(count - tallies.len()) {
            let function = counters.number(&name(number));
            for latency in LATENCIES_US {
                counters.record(function, 0, latency, None);
            }
        }
        let mut from = Some(0);
        while let Some(part) = from.map(|from| counters.part(from)) {
            tallies.extend(part.tallies);
            from = part.next;
        }
    }
    tallies
}

fn call(size: usize, gauge: &mut Gauge) {
    let mut counters = shard(size);
    for number in 0..MEASUREMENTS {
        let name = name(number % size);
        gauge.measure(|| {
            let function = counters.find(&name).unwrap_or(UNKNOWN);
            counters.record(function, 0, 150, None);
        });
    }
}

fn node(size: usize, gauge: &mut Gauge) {
    let nodes = (0..size).map(|number| format!("node {number}"));
    let mut counters = Counters::new(nodes);
    let echo = counters.number("echo");
    (0..size).for_each(|node| counters.record(echo, node, 150, None));
    for number in 0..MEASUREMENTS {
        gauge.measure(|| counters.record(echo, number * 7919 % size, 150, None));
    }
}

fn come_and_go(size: usize, gauge: &mut Gauge) {
    let nodes = (0..size).map(|number| format!("node {number}"));
    let mut counters = Counters::new(nodes);
    for number in 0..MEASUREMENTS {
        let name = format!("another {number}");
        let node = gauge.measure(|| counters.node(&name));
        gauge.measure(|| counters.forget_node(node));
    }
}

fn invent(size: usize, gauge: &mut Gauge) {
    let mut counters = shard(10);
    let mut call = |number: usize| {
        let name = format!("invented {number}");
        let function = counters.find(&name).unwrap_or(UNKNOWN);
        counters.record(function, 0, 1, Some(ErrorKind::NoSuchFunction));
    };
    (0..size).for_each(&mut call);
    (size..size + MEASUREMENTS).for_each(|number| gauge.measure(|| call(number)));
}

fn part(size: usize, gauge: &mut Gauge) {
    let counters = shard(size);
    for from in [0, size / 2] {
        let rows = counters.part(from).tallies.len();
        gauge.measure_units(rows, || counters.part(from));
    }
}

fn add(size: usize, gauge: &mut Gauge) {
    let mut sum = Sum::default();
    let rows = tallies(size);
    let again: Vec<Tally> = rows.iter().take(MEASUREMENTS).cloned().collect();
    rows.into_iter().for_each(|row| sum.count(row));
    for row in again {
        gauge.measure(|| sum.count(row));
    }
}

fn finish(size: usize, gauge: &mut Gauge) {
    let mut sum = Sum::default();
    sum.add(Snapshot::default());
    tallies(size).into_iter().for_each(|row| sum.count(row));
    gauge.measure_units(size, || sum.finish());
}
