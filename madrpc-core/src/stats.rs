//! What a shard counts, and the snapshot of it that `madrpc top` shows.
//!
//! Each shard counts on its own, without atomics; snapshots of the shards are merged by the control thread.

use crate::call::ErrorKind;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// The reserved function whose result is a [`Snapshot`].
pub const STATS: &str = "madrpc.stats";

/// Names counted one by one; calls of any further name are counted together, so that a caller who invents names
/// cannot make the table grow.
pub const FUNCTIONS_MAX: usize = 1024;

/// The row of the names beyond [`FUNCTIONS_MAX`].
pub const OTHER_FUNCTIONS: &str = "(other)";

/// The longest latency that is told apart: ten minutes, in microseconds.
const LATENCY_MAX_US: u64 = 600_000_000;

/// Latencies in microseconds, to two significant digits.
#[derive(Debug, Clone)]
pub struct Latency(Histogram<u64>);

impl Default for Latency {
    fn default() -> Self {
        let bounds = Histogram::new_with_bounds(1, LATENCY_MAX_US, 2);
        Self(
            bounds.unwrap_or_else(|_| {
                unreachable!("the bounds are constants that hdrhistogram accepts")
            }),
        )
    }
}

impl Latency {
    /// Counts one call.
    pub fn record(&mut self, microseconds: u64) {
        self.0.saturating_record(microseconds.max(1));
    }

    /// The latency in microseconds that the given share of calls (0 to 1) stays within; 0 without calls.
    #[must_use]
    pub fn quantile_us(&self, share: f64) -> u64 {
        self.0.value_at_quantile(share)
    }

    /// The longest latency in microseconds; 0 without calls.
    #[must_use]
    pub fn max_us(&self) -> u64 {
        self.0.max()
    }

    /// Calls counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.len()
    }

    /// The histogram as pairs of microseconds and calls.
    #[must_use]
    pub fn buckets(&self) -> Vec<(u64, u64)> {
        let recorded = self.0.iter_recorded();
        recorded
            .map(|bucket| (bucket.value_iterated_to(), bucket.count_at_value()))
            .collect()
    }

    /// Counts calls by pairs of microseconds and calls.
    pub fn add_buckets(&mut self, buckets: &[(u64, u64)]) {
        for &(microseconds, calls) in buckets {
            self.0.saturating_record_n(microseconds.max(1), calls);
        }
    }
}

/// Calls of one function at one node, as one shard has counted them.
#[derive(Debug, Clone, Default)]
pub struct Counter {
    calls: u64,
    errors: [u64; ErrorKind::ALL.len()],
    latency: Latency,
}

impl Counter {
    /// Counts a call that ended after `microseconds`, with `error` where it had no result.
    pub fn record(&mut self, microseconds: u64, error: Option<ErrorKind>) {
        self.calls += 1;
        self.latency.record(microseconds);
        if let Some(kind) = error {
            self.errors[usize::from(kind.number()) - 1] += 1;
        }
    }
}

/// A shard's counters by function and node. A function is found by a number that stays the same.
#[derive(Debug)]
pub struct Counters {
    nodes: Vec<String>,
    numbers: HashMap<Box<str>, usize>,
    functions: Vec<Function>,
}

#[derive(Debug)]
struct Function {
    name: Box<str>,
    /// One for each node, made when it is first used: a histogram is some 25 KiB.
    counters: Vec<Option<Box<Counter>>>,
}

impl Counters {
    /// Counters for calls at these nodes.
    #[must_use]
    pub fn new(nodes: Vec<String>) -> Self {
        Self {
            nodes,
            numbers: HashMap::new(),
            functions: Vec::new(),
        }
    }

    /// The nodes, in the order of their numbers.
    #[must_use]
    pub fn nodes(&self) -> &[String] {
        &self.nodes
    }

    /// The number of a function, given at its first call.
    pub fn number(&mut self, function: &str) -> usize {
        if let Some(&number) = self.numbers.get(function) {
            return number;
        }
        let name = if self.functions.len() < FUNCTIONS_MAX {
            function
        } else {
            OTHER_FUNCTIONS
        };
        if let Some(&number) = self.numbers.get(name) {
            return number;
        }
        let number = self.functions.len();
        self.numbers.insert(name.into(), number);
        self.functions.push(Function {
            name: name.into(),
            counters: vec![None; self.nodes.len()],
        });
        number
    }

    /// Counts a call of a function at a node, both by their numbers.
    pub fn record(
        &mut self,
        function: usize,
        node: usize,
        microseconds: u64,
        error: Option<ErrorKind>,
    ) {
        let counters = self
            .functions
            .get_mut(function)
            .map(|function| &mut function.counters);
        if let Some(counter) = counters.and_then(|counters| counters.get_mut(node)) {
            counter.get_or_insert_default().record(microseconds, error);
        }
    }

    /// The rows for a snapshot, by node and function.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let rows = self.functions.iter().flat_map(|function| {
            let counters = self.nodes.iter().zip(&function.counters);
            counters.filter_map(|(node, counter)| {
                Some(Row::new(node, &function.name, counter.as_deref()?))
            })
        });
        let mut rows: Vec<Row> = rows.collect();
        sort(&mut rows);
        rows
    }
}

/// Calls of one function at one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The node that ran them.
    pub node: String,
    /// The registered name.
    pub function: String,
    /// Calls that ended, with a result or without.
    pub calls: u64,
    /// Calls that ended without one, by the error's name.
    pub errors: Vec<(String, u64)>,
    /// Pairs of microseconds and calls: from arrival to reply, as seen by the process that was asked.
    pub latency_us: Vec<(u64, u64)>,
}

impl Row {
    fn new(node: &str, function: &str, counter: &Counter) -> Self {
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
        }
    }

    /// All errors together.
    #[must_use]
    pub fn error_count(&self) -> u64 {
        self.errors.iter().map(|(_, count)| count).sum()
    }

    /// The latencies, for their percentiles.
    #[must_use]
    pub fn latency(&self) -> Latency {
        let mut latency = Latency::default();
        latency.add_buckets(&self.latency_us);
        latency
    }

    /// Adds the counts of another row of the same function and node.
    fn merge(&mut self, other: &Self) {
        self.calls += other.calls;
        for (name, count) in &other.errors {
            match self.errors.iter_mut().find(|(known, _)| known == name) {
                Some((_, sum)) => *sum += count,
                None => self.errors.push((name.clone(), *count)),
            }
        }
        let mut latency = self.latency();
        latency.add_buckets(&other.latency_us);
        self.latency_us = latency.buckets();
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
        }
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
    /// Shards that did not answer in time, whose counts are missing here.
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
    /// How often a core was stuck for half a second or more in something that cannot be interrupted, by the function
    /// that held it.
    #[serde(default)]
    pub stalls: Vec<(String, u64)>,
    /// Bytes that the shards hold for callers and nodes, of [`Snapshot::memory_max_bytes`].
    #[serde(default)]
    pub memory_used_bytes: u64,
    /// The bytes that they may hold (`--memory-max`).
    #[serde(default)]
    pub memory_max_bytes: u64,
    /// An orchestrator's nodes, with the number of its shards that have a session to it.
    pub upstreams: Vec<(String, u16)>,
    /// A row for each function and node.
    pub rows: Vec<Row>,
}

impl Snapshot {
    /// Adds what another shard of the same process has counted.
    pub fn merge(&mut self, other: Self) {
        self.sessions += other.sessions;
        self.handshakes += other.handshakes;
        self.misrouted += other.misrouted;
        self.relayed += other.relayed;
        self.relay_dropped += other.relay_dropped;
        self.migrations += other.migrations;
        self.retries += other.retries;
        self.resets += other.resets;
        self.memory_used_bytes += other.memory_used_bytes;
        self.memory_max_bytes += other.memory_max_bytes;
        for (node, sessions) in other.upstreams {
            match self.upstreams.iter_mut().find(|(known, _)| *known == node) {
                Some((_, sum)) => *sum += sessions,
                None => self.upstreams.push((node, sessions)),
            }
        }
        for row in other.rows {
            let known = self
                .rows
                .iter_mut()
                .find(|known| known.function == row.function && known.node == row.node);
            match known {
                Some(known) => known.merge(&row),
                None => self.rows.push(row),
            }
        }
        sort(&mut self.rows);
    }
}

fn sort(rows: &mut [Row]) {
    rows.sort_by(|a, b| (&a.node, &a.function).cmp(&(&b.node, &b.function)));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters() -> Counters {
        Counters::new(vec!["n".into()])
    }

    fn snapshot(counters: &Counters) -> Snapshot {
        Snapshot {
            role: "node".into(),
            name: "n".into(),
            shards: 2,
            silent_shards: 0,
            uptime_ms: 1,
            sessions: 1,
            steering: "kernel".into(),
            handshakes: 1,
            misrouted: 5,
            relayed: 3,
            relay_dropped: 2,
            migrations: 1,
            retries: 4,
            resets: 3,
            stalls: Vec::new(),
            memory_used_bytes: 7,
            memory_max_bytes: 9,
            upstreams: Vec::new(),
            rows: counters.rows(),
        }
    }

    #[test]
    fn shards_add_up() {
        let (mut one, mut two) = (counters(), counters());
        let add = one.number("add");
        one.record(add, 0, 100, None);
        one.record(add, 0, 200, Some(ErrorKind::JavaScript));
        let other = two.number("echo");
        let add = two.number("add");
        two.record(other, 0, 5, None);
        two.record(add, 0, 300, Some(ErrorKind::JavaScript));
        let mut sum = snapshot(&one);
        sum.merge(snapshot(&two));
        assert_eq!((sum.sessions, sum.handshakes), (2, 2));
        assert_eq!((sum.memory_used_bytes, sum.memory_max_bytes), (14, 18));
        assert_eq!((sum.misrouted, sum.relayed, sum.relay_dropped), (10, 6, 4));
        assert_eq!((sum.migrations, sum.retries, sum.resets), (2, 8, 6));
        let names: Vec<_> = sum
            .rows
            .iter()
            .map(|row| (row.function.as_str(), row.calls))
            .collect();
        assert_eq!(names, [("add", 3), ("echo", 1)]);
        assert_eq!(sum.rows[0].errors, [("JavaScript".to_owned(), 2)]);
        let latency = sum.rows[0].latency();
        assert_eq!(latency.count(), 3);
        assert!((198..=202).contains(&latency.quantile_us(0.5)));
    }

    #[test]
    fn the_difference_of_two_snapshots_is_what_came_between() {
        let mut counters = counters();
        let add = counters.number("add");
        counters.record(add, 0, 10, None);
        counters.record(add, 0, 10, Some(ErrorKind::Cancelled));
        let earlier = counters.rows();
        counters.record(add, 0, 10, None);
        counters.record(add, 0, 9000, Some(ErrorKind::JavaScript));
        let between = counters.rows()[0].since(&earlier[0]);
        assert_eq!(between.calls, 2);
        assert_eq!(between.errors, [("JavaScript".to_owned(), 1)]);
        assert_eq!(between.latency().count(), 2);
        assert_eq!(between.latency().quantile_us(0.5), 10);
    }

    #[test]
    fn invented_names_share_one_row() {
        let mut counters = counters();
        for number in 0..FUNCTIONS_MAX + 50 {
            let row = counters.number(&format!("name {number}"));
            counters.record(row, 0, 1, None);
        }
        let rows = counters.rows();
        assert_eq!(rows.len(), FUNCTIONS_MAX + 1);
        let other = rows
            .iter()
            .find(|row| row.function == OTHER_FUNCTIONS)
            .unwrap();
        assert_eq!(other.calls, 50);
    }
}
