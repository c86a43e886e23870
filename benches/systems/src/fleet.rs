//! Fleets of which one server is slow: who chooses among them, and what came of it.

use crate::outcome::Outcome;
use crate::system::System;
use std::time::Duration;

/// How much slower the one is.
pub(crate) const SLOWDOWN: u32 = 30;

/// Of which each takes a millisecond at a node as the others: two nodes on one core do it with two thirds of it left, and the
/// third part of it is three times what the slow one can.
pub(crate) const CALLS_PER_S: u32 = 300;

/// Calls that are not over by then have failed.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(3);

/// A caller of `compute` in a fleet.
pub(crate) trait FleetCaller: 'static {
    /// One call; gives its result in JSON.
    async fn call(&self) -> Outcome<String>;
}

/// Who chooses among the servers of a fleet, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fleet {
    RoundRobin,
    LeastLoaded,
    TonicP2c,
}

impl Fleet {
    pub(crate) const ALL: [Self; 3] = [Self::RoundRobin, Self::LeastLoaded, Self::TonicP2c];

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::RoundRobin => "madrpc, round-robin",
            Self::LeastLoaded => "madrpc, least-loaded",
            Self::TonicP2c => "tonic, tower's P2C with PeakEwma",
        }
    }

    /// What it consists of.
    pub(crate) fn system(self) -> System {
        match self {
            Self::RoundRobin | Self::LeastLoaded => System::Orchestrator,
            Self::TonicP2c => System::Tonic,
        }
    }
}

/// How long calls took of a fleet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FleetFigure {
    pub(crate) p50_us: u64,
    pub(crate) p90_us: u64,
    pub(crate) p99_us: u64,
    pub(crate) failed_percent: f64,
}
