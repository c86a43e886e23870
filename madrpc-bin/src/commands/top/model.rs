//! What the table shows: lines made of snapshots. No clock, no terminal, no network.

use super::failures::Failures;
use super::shares::Shares;
use madrpc_core::call::CallError;
use madrpc_core::stats::{Core, Latency, Row, Snapshot};
use std::borrow::Borrow;
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

/// Rates and percentiles are over this time at least: over a single interval they would jump.
pub(super) const WINDOW_MS: u64 = 1000;

/// Looks whose rate of calls is kept: more than a terminal is wide.
const HISTORY_MAX: usize = 600;

/// The recent snapshots, and how the server is to be reached.
#[derive(Clone)]
pub(super) struct Model {
    /// The oldest first: at least [`WINDOW_MS`] old where the server has been watched for so long.
    snapshots: VecDeque<Snapshot>,
    /// Calls a second between two looks, the latest last.
    history: VecDeque<u64>,
    failures: Failures,
    outage: Option<Outage>,
}

/// The server does not answer.
#[derive(Debug, Clone)]
pub(super) struct Outage {
    pub(super) since: Instant,
    pub(super) message: String,
}

/// Calls of one function at one node, or of several together.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Line {
    pub(super) node: String,
    pub(super) function: String,
    /// Since the server's start.
    pub(super) calls: u64,
    /// Since the server's start.
    pub(super) errors: u64,
    /// Over the window; none before there are two snapshots.
    pub(super) rates: Option<Rates>,
    /// Time on the core since the server's start, in microseconds; 0 where it is not known.
    pub(super) cpu_us: u64,
    /// None where no call ended.
    pub(super) latency: Option<Percentiles>,
}

/// What happened in a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) calls: f64,
    pub(super) errors: f64,
    /// Cores that were busy with it.
    pub(super) cores: f64,
}

/// Latency in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Percentiles {
    pub(super) p50_us: u64,
    pub(super) p90_us: u64,
    pub(super) p99_us: u64,
    pub(super) max_us: u64,
}

/// Getters.
impl Model {
    /// What the server said last.
    pub(super) fn latest(&self) -> Option<&Snapshot> {
        self.snapshots.back()
    }

    /// The oldest snapshot of the window; the same as the latest where there is but one.
    pub(super) fn earlier(&self) -> Option<&Snapshot> {
        self.snapshots.front()
    }

    /// The time from the oldest snapshot of the window to the latest.
    pub(super) fn window_ms(&self) -> u64 {
        match (self.latest(), self.earlier()) {
            (Some(latest), Some(earlier)) => latest.uptime_ms.saturating_sub(earlier.uptime_ms),
            _ => 0,
        }
    }

    /// Something that was counted so often in the window, for each second; none before there are two snapshots.
    pub(super) fn rate(&self, count: impl Fn(&Snapshot) -> u64) -> Option<f64> {
        let (latest, earlier) = (self.latest()?, self.earlier()?);
        let elapsed_ms = self.window_ms();
        (elapsed_ms > 0)
            .then(|| each_second(count(latest).saturating_sub(count(earlier)), elapsed_ms))
    }

    /// What each row of the latest snapshot has counted in the window.
    fn recent(&self) -> Vec<Row> {
        let (Some(latest), Some(earlier)) = (self.latest(), self.earlier()) else {
            return Vec::new();
        };
        let before = earlier.rows.iter();
        let before = before.map(|row| ((&row.node, &row.function), row));
        let before: HashMap<_, _> = before.collect();
        let rows = latest.rows.iter();
        rows.map(|row| match before.get(&(&row.node, &row.function)) {
            Some(earlier) => row.since(earlier),
            None => row.clone(),
        })
        .collect()
    }

    /// The latency of each node in the window, all functions together; none before there are two snapshots.
    pub(super) fn latency_by_node(&self) -> HashMap<String, Percentiles> {
        if self.window_ms() == 0 {
            return HashMap::new();
        }
        let recent = self.recent();
        let mut nodes: HashMap<&String, Vec<&Row>> = HashMap::new();
        for row in &recent {
            nodes.entry(&row.node).or_default().push(row);
        }
        let nodes = nodes.into_iter();
        nodes
            .filter_map(|(node, rows)| Some((node.clone(), Percentiles::of(rows)?)))
            .collect()
    }

    /// The server's shards, and where their time went in the window.
    pub(super) fn cores(&self) -> Vec<(Core, Option<Shares>)> {
        let (Some(latest), Some(earlier)) = (self.latest(), self.earlier()) else {
            return Vec::new();
        };
        let before: HashMap<u16, Core> = earlier
            .cores
            .iter()
            .map(|core| (core.shard, *core))
            .collect();
        let elapsed_us = self.window_ms().saturating_mul(1000);
        let shares = |core: &Core| {
            let before = before.get(&core.shard)?;
            (elapsed_us > 0).then(|| Shares::of(core.since(*before), elapsed_us))
        };
        let cores = latest.cores.iter();
        cores.map(|core| (*core, shares(core))).collect()
    }

    /// Calls a second between two looks, the latest last.
    pub(super) fn history(&self) -> impl DoubleEndedIterator<Item = u64> + '_ {
        self.history.iter().copied()
    }

    pub(super) fn failures(&self) -> &Failures {
        &self.failures
    }

    /// Since when the server does not answer, and why.
    pub(super) fn outage(&self) -> Option<&Outage> {
        self.outage.as_ref()
    }

    /// A line for each node and function, in their order, with rates and latency over the window; and all together.
    pub(super) fn lines(&self) -> (Vec<Line>, Line) {
        let Some(latest) = self.latest() else {
            return Default::default();
        };
        let (elapsed_ms, recent) = (self.window_ms(), self.recent());
        let lines = latest.rows.iter().zip(&recent);
        let lines = lines.map(|(total, recent)| match elapsed_ms {
            // What a first snapshot holds may be long ago.
            0 => Line::new(total, None),
            _ => Line {
                rates: Some(Rates::of(recent, elapsed_ms)),
                ..Line::new(total, Percentiles::of([recent]))
            },
        });
        let lines: Vec<Line> = lines.collect();
        let mut all = sum(&lines);
        if elapsed_ms > 0 {
            all.latency = Percentiles::of(&recent);
        }
        (lines, all)
    }
}

/// Handlers.
impl Model {
    pub(super) fn new() -> Self {
        Self {
            snapshots: VecDeque::new(),
            history: VecDeque::new(),
            failures: Failures::default(),
            outage: None,
        }
    }

    /// The server answered.
    pub(super) fn succeeded(&mut self, snapshot: Snapshot) {
        self.outage = None;
        let restarted = self.latest().is_some_and(|latest| {
            latest.name != snapshot.name || latest.uptime_ms > snapshot.uptime_ms
        });
        if restarted {
            self.snapshots.clear();
            self.history.clear();
            self.failures = Failures::default();
        }
        if let Some(latest) = self.snapshots.back() {
            let calls = calls(&snapshot).saturating_sub(calls(latest));
            let elapsed_ms = snapshot.uptime_ms.saturating_sub(latest.uptime_ms).max(1);
            self.history
                .push_back(each_second(calls, elapsed_ms).round() as u64);
            if self.history.len() > HISTORY_MAX {
                self.history.pop_front();
            }
        }
        self.failures.look(self.snapshots.back(), &snapshot);
        let start = snapshot.uptime_ms.saturating_sub(WINDOW_MS);
        self.snapshots.push_back(snapshot);
        while self
            .snapshots
            .get(1)
            .is_some_and(|second| second.uptime_ms <= start)
        {
            self.snapshots.pop_front();
        }
    }

    /// The server did not answer.
    pub(super) fn failed(&mut self, error: &CallError, now: Instant) {
        self.outage = Some(Outage {
            since: self.outage.as_ref().map_or(now, |outage| outage.since),
            message: error.to_string(),
        });
    }
}

fn calls(snapshot: &Snapshot) -> u64 {
    let calls = snapshot.rows.iter().map(|row| row.calls);
    calls.fold(0, u64::saturating_add)
}

#[expect(clippy::cast_precision_loss, reason = "no count comes near 2^53")]
fn each_second(count: u64, elapsed_ms: u64) -> f64 {
    count as f64 * 1000.0 / elapsed_ms as f64
}

/// The lines of a single snapshot, with latency since the server's start; and all together.
pub(super) fn totals(snapshot: &Snapshot) -> (Vec<Line>, Line) {
    let lines = snapshot
        .rows
        .iter()
        .map(|row| Line::new(row, Percentiles::of([row])));
    let lines: Vec<Line> = lines.collect();
    let mut all = sum(&lines);
    all.latency = Percentiles::of(&snapshot.rows);
    (lines, all)
}

/// Counts and rates together; percentiles cannot be added up.
pub(super) fn sum<L: Borrow<Line>>(lines: &[L]) -> Line {
    let lines = || lines.iter().map(Borrow::borrow);
    let rates: Option<Vec<Rates>> = lines().map(|line| line.rates).collect();
    let rates = rates.filter(|rates| !rates.is_empty()).map(|rates| Rates {
        calls: rates.iter().map(|rates| rates.calls).sum(),
        errors: rates.iter().map(|rates| rates.errors).sum(),
        cores: rates.iter().map(|rates| rates.cores).sum(),
    });
    Line {
        calls: lines().fold(0, |sum, line| sum.saturating_add(line.calls)),
        errors: lines().fold(0, |sum, line| sum.saturating_add(line.errors)),
        cpu_us: lines().fold(0, |sum, line| sum.saturating_add(line.cpu_us)),
        rates,
        ..Line::default()
    }
}

impl Line {
    fn new(row: &Row, latency: Option<Percentiles>) -> Self {
        Self {
            node: row.node.clone(),
            function: row.function.clone(),
            calls: row.calls,
            errors: row.error_count(),
            rates: None,
            cpu_us: row.cpu_us,
            latency,
        }
    }
}

impl Rates {
    fn of(recent: &Row, elapsed_ms: u64) -> Self {
        Self {
            calls: each_second(recent.calls, elapsed_ms),
            errors: each_second(recent.error_count(), elapsed_ms),
            cores: each_second(recent.cpu_us, elapsed_ms) / 1e6,
        }
    }
}

impl Percentiles {
    fn of<'a>(rows: impl IntoIterator<Item = &'a Row>) -> Option<Self> {
        let mut latency = Latency::default();
        for row in rows {
            latency.add_buckets(&row.latency_us);
        }
        (latency.count() > 0).then(|| Self {
            p50_us: latency.quantile_us(0.5),
            p90_us: latency.quantile_us(0.9),
            p99_us: latency.quantile_us(0.99),
            max_us: latency.max_us(),
        })
    }
}

#[cfg(test)]
pub(super) mod tests;
