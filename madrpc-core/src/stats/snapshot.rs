//! What `madrpc top` shows: all shards' counts together.

use super::counters::Counter;
use super::{Core, Latency, Upstream};
#[cfg(doc)]
use super::{OTHER_FUNCTIONS, ROWS_MAX, UNKNOWN_FUNCTIONS};
use crate::call::ErrorKind;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// Calls of one function at one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The node that ran them; `(none)` where an orchestrator found none, and `(gone)` for those that have left.
    pub node: String,
    /// The registered name, or [`UNKNOWN_FUNCTIONS`] or [`OTHER_FUNCTIONS`].
    pub function: String,
    /// Calls that ended, with a result or without.
    pub calls: u64,
    /// Calls that ended without one, by the error's name.
    pub errors: Vec<(String, u64)>,
    /// Pairs of microseconds and calls: from arrival to reply, as seen by the process that was asked.
    pub latency_us: Vec<(u64, u64)>,
    /// The latencies of all of them together, in microseconds.
    #[serde(default)]
    pub latency_sum_us: u64,
    /// The time that they had the core, in microseconds; an orchestrator does not count it.
    #[serde(default)]
    pub cpu_us: u64,
}

impl Row {
    pub(super) fn new(node: &str, function: &str, counter: &Counter) -> Self {
        let kinds = ErrorKind::ALL.into_iter().zip(counter.errors);
        Self {
            node: node.to_owned(),
            function: function.to_owned(),
            calls: counter.calls,
            errors: kinds
                .filter(|&(_, count)| count > 0)
                .map(|(kind, count)| (kind.name().to_owned(), count))
                .collect(),
            latency_us: counter.latency.buckets(),
            latency_sum_us: counter.latency_sum_us,
            cpu_us: counter.cpu_us,
        }
    }

    /// All errors together.
    #[must_use]
    pub fn error_count(&self) -> u64 {
        let counts = self.errors.iter().map(|(_, count)| *count);
        counts.fold(0, u64::saturating_add)
    }

    /// The latencies, for their percentiles.
    #[must_use]
    pub fn latency(&self) -> Latency {
        let mut latency = Latency::default();
        latency.add_buckets(&self.latency_us);
        latency
    }

    /// What was counted since `earlier`, a row of the same function and node.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |name: &str| {
            let found = earlier.errors.iter().find(|(known, _)| known == name);
            found.map_or(0, |(_, count)| *count)
        };
        let earlier_buckets: HashMap<u64, u64> = earlier.latency_us.iter().copied().collect();
        Self {
            node: self.node.clone(),
            function: self.function.clone(),
            calls: self.calls.saturating_sub(earlier.calls),
            errors: self
                .errors
                .iter()
                .map(|(name, count)| (name.clone(), count.saturating_sub(before(name))))
                .filter(|(_, count)| *count > 0)
                .collect(),
            latency_us: self
                .latency_us
                .iter()
                .map(|&(us, calls)| {
                    let before = earlier_buckets.get(&us).copied().unwrap_or(0);
                    (us, calls.saturating_sub(before))
                })
                .filter(|&(_, calls)| calls > 0)
                .collect(),
            latency_sum_us: self.latency_sum_us.saturating_sub(earlier.latency_sum_us),
            cpu_us: self.cpu_us.saturating_sub(earlier.cpu_us),
        }
    }
}

/// Datagrams, and how they were moved.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Datagrams.
    pub datagrams: u64,
    /// System calls that moved them.
    pub batches: u64,
}

impl Traffic {
    /// So many were moved by one system call.
    pub fn note(&mut self, datagrams: usize) {
        self.datagrams = self.datagrams.saturating_add(datagrams as u64);
        self.batches = self.batches.saturating_add(1);
    }

    /// Adds what another has moved.
    pub fn add(&mut self, other: Self) {
        self.datagrams = self.datagrams.saturating_add(other.datagrams);
        self.batches = self.batches.saturating_add(other.batches);
    }
}

/// What a process has counted since its start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// `node` or `orchestrator`.
    pub role: String,
    /// The name of the process: the address it serves.
    pub name: String,
    /// Its shards.
    pub shards: u16,
    /// Shards that did not answer in time, whose counts are missing here, in whole or in part.
    pub silent_shards: u16,
    /// Time since its start.
    pub uptime_ms: u64,
    /// Sessions open with callers.
    pub sessions: u64,
    /// How datagrams find their shard: `kernel`, `relay`, or `single` where there is but one.
    #[serde(default)]
    pub steering: String,
    /// Handshakes that are not over.
    #[serde(default)]
    pub handshakes: u64,
    /// Datagrams that reached a shard they did not belong to.
    pub misrouted: u64,
    /// Those of them that were handed to the right one.
    #[serde(default)]
    pub relayed: u64,
    /// Those of them that were dropped: the right one did not keep up.
    #[serde(default)]
    pub relay_dropped: u64,
    /// How often a client's address changed in the middle of a session.
    #[serde(default)]
    pub migrations: u64,
    /// How often a client was asked to prove its address (Retry), because many handshakes were open.
    #[serde(default)]
    pub retries: u64,
    /// How often a peer was told that its session is not known (stateless reset): it was this server's before a restart.
    #[serde(default)]
    pub resets: u64,
    /// Spans of traces that were dropped: their receiver was away, did not keep up, or refused them.
    #[serde(default)]
    pub spans_dropped: u64,
    /// Bytes that the shards hold for callers and nodes, of [`Snapshot::memory_max_bytes`].
    #[serde(default)]
    pub memory_used_bytes: u64,
    /// The bytes that they may hold (`--memory-max`).
    #[serde(default)]
    pub memory_max_bytes: u64,
    /// How often a core was stuck for half a second or more in something that cannot be interrupted, by the function
    /// that held it.
    #[serde(default)]
    pub stalls: Vec<(String, u64)>,
    /// Whether it takes new calls: `serving`, `draining` where some are under way still, or `drained`.
    #[serde(default)]
    pub state: String,
    /// Calls of callers that are under way.
    #[serde(default)]
    pub under_way: u64,
    /// What tells the script of a node from others: the first eight bytes of its SHA-256.
    #[serde(default)]
    pub script: u64,
    /// Calls of a node that wait for a lane.
    #[serde(default)]
    pub queued: u64,
    /// Lanes of a node with a call that has the core, or wants it.
    #[serde(default)]
    pub lanes_running: u64,
    /// Lanes with a call that waits for something.
    #[serde(default)]
    pub lanes_waiting: u64,
    /// Lanes without a call.
    #[serde(default)]
    pub lanes_free: u64,
    /// Pairs of microseconds and calls of a node: from arrival to the first slice.
    #[serde(default)]
    pub queue_wait_us: Vec<(u64, u64)>,
    /// All of that together, in microseconds.
    #[serde(default)]
    pub queue_wait_sum_us: u64,
    /// Handshakes that did not become sessions, and sessions that were refused, by the name of the error.
    #[serde(default)]
    pub refused: Vec<(String, u64)>,
    /// Datagrams received, and system calls that brought some.
    #[serde(default)]
    pub received: Traffic,
    /// Datagrams sent, and system calls that took some.
    #[serde(default)]
    pub sent: Traffic,
    /// Calls of an orchestrator that were put on another node.
    #[serde(default)]
    pub call_retries: u64,
    /// Calls that a second node was asked for while the first was at it.
    #[serde(default)]
    pub call_hedges: u64,
    /// How often a node was left out for a while, for its failures or as it was far slower than the others; each shard counts its own.
    #[serde(default)]
    pub ejections: u64,
    /// Its shards, in their order, without those that did not answer.
    #[serde(default)]
    pub cores: Vec<Core>,
    /// An orchestrator's nodes.
    pub upstreams: Vec<Upstream>,
    /// A row for each function and node, by node and function: at most [`ROWS_MAX`] of functions by name, and two more for
    /// each node.
    pub rows: Vec<Row>,
}

#[cfg(test)]
mod tests {
    use super::super::{Counters, Sum};
    use super::*;

    fn row(counters: &Counters) -> Row {
        let mut sum = Sum::default();
        sum.add(Snapshot::default());
        counters
            .part(0)
            .tallies
            .into_iter()
            .for_each(|tally| sum.count(tally));
        sum.finish().unwrap().rows.remove(0)
    }

    #[test]
    fn the_difference_of_two_rows_is_what_came_between() {
        let mut counters = Counters::new(["n"]);
        let add = counters.number("add");
        counters.record(add, 0, 10, None);
        counters.record(add, 0, 10, Some(ErrorKind::Cancelled));
        let earlier = row(&counters);
        counters.record(add, 0, 10, None);
        counters.record(add, 0, 9000, Some(ErrorKind::JavaScript));
        let between = row(&counters).since(&earlier);
        assert_eq!(between.calls, 2);
        assert_eq!(between.errors, [("JavaScript".to_owned(), 1)]);
        assert_eq!(between.latency().count(), 2);
        assert_eq!(between.latency().quantile_us(0.5), 10);
    }
}
