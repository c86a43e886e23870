//! Fleets in virtual time: the router of madrpc-core, with all that can happen to it, by seed.
//!
//! ```text
//! scenario ─▶ world ─┬─ shards: the Router, and what madrpc-shard's net/dial does around it (shard, links)
//!                    ├─ nodes: a core that calls share, a queue, and what is wrong with them (node)
//!                    └─ ledger: every call, and what must never be
//! ```
//!
//! Nothing here waits: a run is a heap of events, and time is what the next one says. The same seed gives the same run.
//! `seeds.rs` runs many and looks for what must never be; `cargo bench -p madrpc-benches --bench balance` compares who gets
//! calls.

mod agenda;
mod chance;
mod choice;
mod early;
mod judge;
mod ledger;
mod links;
mod node;
mod scenario;
mod shard;
mod world;

pub use agenda::{MS, SECOND, Time, US};
pub use choice::Policy;
pub use scenario::{Flaw, Function, Has, Lie, Scenario, What};

use std::time::Instant;

/// What came of a run.
#[derive(Debug)]
pub struct Report {
    /// What must never be, the first few, with the time of each.
    pub violations: Vec<String>,
    /// The way of the call that was watched.
    pub way: Vec<String>,
    /// How many calls ended in which way.
    pub ends: Vec<(String, usize)>,
    /// Calls that were sent again.
    pub retries: u64,
    /// How long the calls took that have a result and came in the time that was asked for, in their order.
    pub latencies: Vec<Time>,
    /// How many of that time have none.
    pub failed: usize,
    /// Calls that each node has begun.
    pub begun: Vec<u64>,
}

/// Runs a scenario. The figures are of the calls that came from `measured_from` on.
#[must_use]
pub fn run(scenario: Scenario, measured_from: Time) -> Report {
    let until = scenario.until;
    let mut world = world::World::new(scenario, Instant::now());
    world.run();
    let ledger = &mut world.io.ledger;
    let (latencies, failed) = ledger.latencies(measured_from, until);
    Report {
        violations: std::mem::take(&mut ledger.violations),
        way: std::mem::take(&mut ledger.way),
        ends: ledger.ends(),
        retries: ledger.retries(),
        latencies,
        failed,
        begun: world.nodes.iter().map(|node| node.begun).collect(),
    }
}
