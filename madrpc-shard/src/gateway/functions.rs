//! What has been counted of functions, wherever their calls were.

use madrpc_core::stats::{Row, Snapshot};
use std::collections::BTreeMap;

/// The calls of a function, at all nodes.
#[derive(Default)]
pub(super) struct Calls<'a> {
    pub(super) calls: u64,
    pub(super) latencies: BTreeMap<u64, u64>,
    pub(super) latency_sum_us: u64,
    pub(super) cpu_us: u64,
    pub(super) errors: BTreeMap<&'a str, u64>,
}

impl<'a> Calls<'a> {
    pub(super) fn add(&mut self, row: &'a Row) {
        self.calls = self.calls.saturating_add(row.calls);
        self.latency_sum_us = self.latency_sum_us.saturating_add(row.latency_sum_us);
        self.cpu_us = self.cpu_us.saturating_add(row.cpu_us);
        for (us, count) in &row.latency_us {
            let sum = self.latencies.entry(*us).or_default();
            *sum = sum.saturating_add(*count);
        }
        for (kind, count) in &row.errors {
            let sum = self.errors.entry(kind).or_default();
            *sum = sum.saturating_add(*count);
        }
    }

    pub(super) fn results(&self) -> u64 {
        let errors = self.errors.values().copied().fold(0, u64::saturating_add);
        self.calls.saturating_sub(errors)
    }
}

/// The calls of each function.
pub(super) fn by_function(rows: &[Row]) -> BTreeMap<&str, Calls<'_>> {
    let mut functions: BTreeMap<&str, Calls<'_>> = BTreeMap::new();
    for row in rows {
        functions.entry(&row.function).or_default().add(row);
    }
    functions
}

/// About how many bytes it takes to tell a snapshot.
pub(super) fn snapshot_bytes(snapshot: &Snapshot) -> usize {
    const EACH: usize = 1024;
    let entries = snapshot.rows.len().saturating_add(snapshot.upstreams.len());
    entries.saturating_mul(EACH)
}
