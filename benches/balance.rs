//! Who gets a call: latency and spread of load by policy, in fleets of the simulator, in virtual time.
//!
//! `cargo bench -p madrpc-benches --bench balance`, with a part of a fleet's name for some of them. Figures repeat exactly: they
//! are of one seed and no clock. Outliers stay in, but where a row says so, as they would hide what a policy does.
#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

use madrpc_core::fleet::Balance;
use madrpc_simulator::{Function, Has, MS, Policy, Report, SECOND, Scenario, Time, US, What, run};

/// What a fleet is told before its figures are looked at.
const WARM_UP: Time = SECOND;

/// Nodes do not say what they have to do.
const WITHOUT_REPORTS: &str = "least-loaded, by its own calls alone";

struct Fleet {
    name: &'static str,
    speeds: Vec<f64>,
    shards: usize,
    subset: Option<usize>,
    functions: Vec<Function>,
    /// Of what all nodes that have sessions can do.
    load: f64,
    seconds: u64,
    /// Nodes are restarted one after the other, and the first calls of each take so much longer.
    cold: Option<Time>,
}

fn one_function() -> Vec<Function> {
    vec![Function::plain("plain", MS, 1)]
}

fn fleets() -> [Fleet; 8] {
    let even = |name, cost, weight| Function {
        is_even: true,
        ..Function::plain(name, cost, weight)
    };
    let slow = |count: usize, speed: f64, of: usize| -> Vec<f64> {
        (0..of)
            .map(|node| if node < count { speed } else { 1.0 })
            .collect()
    };
    let fleet = |name, speeds, load| Fleet {
        name,
        speeds,
        shards: 8,
        subset: None,
        functions: one_function(),
        load,
        seconds: 15,
        cold: None,
    };
    [
        fleet("10 equals", vec![1.0; 10], 0.7),
        fleet(
            "3, one of them 30 times slower",
            slow(1, 1.0 / 30.0, 3),
            0.6,
        ),
        fleet("10, half of them 2 times slower", slow(5, 0.5, 10), 0.7),
        Fleet {
            shards: 100,
            ..fleet("10 equals, many shards", vec![1.0; 10], 0.7)
        },
        Fleet {
            shards: 100,
            ..fleet(
                "10, half of them 2 times slower, many shards",
                slow(5, 0.5, 10),
                0.7,
            )
        },
        Fleet {
            functions: vec![even("quick", 100 * US, 99), even("long", 100 * MS, 1)],
            ..fleet("10, mixed calls", vec![1.0; 10], 0.6)
        },
        Fleet {
            cold: Some(20 * MS),
            ..fleet("10, restarted in turn", vec![1.0; 10], 0.6)
        },
        Fleet {
            shards: 100,
            subset: Some(20),
            seconds: 1,
            ..fleet("10000, 100 shards with 20 each", vec![1.0; 10_000], 0.7)
        },
    ]
}

impl Fleet {
    fn run(&self, policy: Policy, max_ejected: u8, says_load: bool) -> Report {
        let mut scenario = Scenario::plain(7, self.speeds.len(), self.shards, policy);
        let weights: u32 = self.functions.iter().map(|function| function.weight).sum();
        let costs = self
            .functions
            .iter()
            .map(|function| function.cost as f64 * f64::from(function.weight));
        let cost = costs.sum::<f64>() / f64::from(weights);
        // Those beyond the subsets have no sessions.
        let most = self
            .subset
            .map_or(f64::INFINITY, |size| (size * self.shards) as f64);
        let capacity = self.speeds.iter().sum::<f64>().min(most);
        scenario.calls_per_second = self.load * capacity * SECOND as f64 / cost;
        scenario.speeds.clone_from(&self.speeds);
        scenario.functions.clone_from(&self.functions);
        scenario.scripts = vec![Has {
            functions: vec![true; self.functions.len()],
            fails: false,
        }];
        scenario.subset = self.subset;
        scenario.until = WARM_UP + self.seconds * SECOND;
        scenario.max_ejected = max_ejected;
        if !says_load {
            scenario.load_interval = None;
        }
        if let Some(cold) = self.cold {
            scenario.cold_cost = cold;
            for (number, node) in (0..self.seconds).zip((0..self.speeds.len() as u32).cycle()) {
                let at = WARM_UP + number * SECOND;
                scenario.faults.push((at, What::Drain(node)));
                scenario.faults.push((at + SECOND / 5, What::Start(node)));
            }
        }
        run(scenario, WARM_UP)
    }
}

fn row(name: &str, report: &Report) {
    let latencies = &report.latencies;
    let at = |share: f64| {
        let place = (latencies.len() as f64 * share) as usize;
        let latency = latencies.get(place).or(latencies.last());
        latency.copied().unwrap_or_default() as f64 / MS as f64
    };
    let all = latencies.len() + report.failed;
    let failed = report.failed as f64 / all.max(1) as f64 * 100.0;
    // Of those that can have calls at all.
    let mut begun: Vec<u64> = report
        .begun
        .iter()
        .copied()
        .filter(|calls| *calls > 0)
        .collect();
    begun.sort_unstable();
    let mean = begun.iter().sum::<u64>() as f64 / begun.len().max(1) as f64;
    let of_mean = |calls: Option<&u64>| *calls.unwrap_or(&0) as f64 / mean;
    let (least, most) = (of_mean(begun.first()), of_mean(begun.last()));
    println!(
        "| {name:37} | {:8.2} | {:8.2} | {:8.2} | {failed:6.2} % | {least:5.2} | {most:5.2} |",
        at(0.5),
        at(0.99),
        at(0.999)
    );
}

fn main() {
    let wanted = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'));
    let policies = [
        ("round-robin", Policy::Router(Balance::RoundRobin), 0),
        (
            "round-robin, outliers left out",
            Policy::Router(Balance::RoundRobin),
            50,
        ),
        (
            "hash (300 keys, some with many calls)",
            Policy::Router(Balance::Hash),
            0,
        ),
        ("two choices, least in flight", Policy::TwoChoices, 0),
        ("least in flight", Policy::LeastInFlight, 0),
        ("in flight x latency", Policy::InFlightTimesLatency, 0),
        (WITHOUT_REPORTS, Policy::Router(Balance::LeastLoaded), 0),
        ("least-loaded", Policy::Router(Balance::LeastLoaded), 0),
        (
            "least-loaded, outliers left out",
            Policy::Router(Balance::LeastLoaded),
            50,
        ),
    ];
    for fleet in fleets() {
        if wanted
            .as_ref()
            .is_some_and(|wanted| !fleet.name.contains(wanted.as_str()))
        {
            continue;
        }
        println!(
            "\n{}, {} shards, load {}\n",
            fleet.name, fleet.shards, fleet.load
        );
        println!(
            "| policy | p50, ms | p99 | p99.9 | failed | calls of a node: least / mean | most / mean |"
        );
        println!("|---|---:|---:|---:|---:|---:|---:|");
        for (name, policy, max_ejected) in policies {
            let says_load = name != WITHOUT_REPORTS;
            row(name, &fleet.run(policy, max_ejected, says_load));
        }
    }
}
