//! What the table shows: lines made of snapshots. No clock, no terminal, no network.

use super::failures::Failures;
use madrpc_core::call::CallError;
use madrpc_core::stats::{Core, Latency, Row, Snapshot};
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

/// Where a core's time went, as shares of the window; together 1.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Shares {
    pub(super) calls: f64,
    /// Sessions and datagrams, and all else that a shard does.
    pub(super) network: f64,
    pub(super) spinning: f64,
    pub(super) idle: f64,
}

impl Shares {
    /// What calls had and what was spun is measured by the clock: another thread may have had the core meanwhile.
    fn of(core: Core, elapsed_us: u64) -> Self {
        let total = elapsed_us.max(core.calls_us).max(core.cpu_us);
        let calls = core.calls_us;
        let spinning = core.spinning_us.min(total - calls);
        let network = core.cpu_us.saturating_sub(calls.saturating_add(spinning));
        let idle = total - calls - spinning - network;
        #[expect(
            clippy::cast_precision_loss,
            reason = "a share is shown to a hundredth"
        )]
        let share = |us: u64| us as f64 / total.max(1) as f64;
        Self {
            calls: share(calls),
            network: share(network),
            spinning: share(spinning),
            idle: share(idle),
        }
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
pub(super) fn sum<'a>(lines: impl IntoIterator<Item = &'a Line> + Clone) -> Line {
    let lines = || lines.clone().into_iter();
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
pub(super) mod tests {
    use super::*;
    use madrpc_core::call::ErrorKind;
    use madrpc_core::stats::Upstream;

    pub(in super::super) fn row(
        node: &str,
        function: &str,
        latency_us: &[(u64, u64)],
        errors: u64,
    ) -> Row {
        Row {
            node: node.into(),
            function: function.into(),
            calls: latency_us.iter().map(|(_, calls)| calls).sum(),
            errors: (errors > 0)
                .then(|| ("JavaScript".to_owned(), errors))
                .into_iter()
                .collect(),
            latency_us: latency_us.to_vec(),
            latency_sum_us: 0,
            cpu_us: 0,
        }
    }

    pub(in super::super) fn snapshot(uptime_ms: u64, rows: Vec<Row>) -> Snapshot {
        Snapshot {
            role: "orchestrator".into(),
            name: "here:8080".into(),
            shards: 2,
            silent_shards: 0,
            uptime_ms,
            sessions: 3,
            steering: "kernel".into(),
            upstreams: [("a:1", 2), ("b:1", 0)]
                .map(|(node, connected_shards)| Upstream {
                    node: node.into(),
                    connected_shards,
                    ..Upstream::default()
                })
                .into(),
            rows,
            ..Snapshot::default()
        }
    }

    #[test]
    fn rates_are_over_the_window_and_counts_over_all_time() {
        let mut model = Model::new();
        for (at, slow) in [
            (0, 0),
            (250, 10),
            (500, 20),
            (750, 30),
            (1000, 40),
            (1250, 240),
        ] {
            let rows = vec![row("a:1", "add", &[(10, 1000), (500, slow)], slow / 10)];
            model.succeeded(snapshot(5000 + at, rows));
        }
        let (lines, all) = model.lines();
        assert_eq!(lines[0].calls, 1240);
        assert_eq!(lines[0].errors, 24);
        // From 250 to 1250: 230 calls, and 23 errors.
        assert_eq!(
            lines[0].rates,
            Some(Rates {
                calls: 230.0,
                errors: 23.0,
                cores: 0.0
            })
        );
        let latency = lines[0].latency.unwrap();
        assert!((500..=531).contains(&latency.p50_us), "{latency:?}");
        assert_eq!(all.rates, lines[0].rates);
        assert_eq!(all.latency, lines[0].latency);
    }

    #[test]
    fn a_first_snapshot_has_counts_only_and_a_new_row_counts_from_its_start() {
        let mut model = Model::new();
        model.succeeded(snapshot(1000, vec![row("a:1", "add", &[(10, 5)], 0)]));
        let (lines, all) = model.lines();
        assert_eq!(
            (lines[0].calls, lines[0].rates, lines[0].latency),
            (5, None, None)
        );
        assert_eq!((all.calls, all.rates), (5, None));
        let rows = vec![
            row("a:1", "add", &[(10, 5)], 0),
            row("b:1", "add", &[(30, 4)], 1),
        ];
        model.succeeded(snapshot(3000, rows));
        let (lines, all) = model.lines();
        assert_eq!(lines[0].rates, Some(Rates::default()));
        assert_eq!(lines[0].latency, None);
        assert_eq!(
            lines[1].rates,
            Some(Rates {
                calls: 2.0,
                errors: 0.5,
                cores: 0.0
            })
        );
        assert_eq!(all.calls, 9);
        assert_eq!(all.latency, lines[1].latency);
    }

    #[test]
    fn a_restarted_server_is_a_new_one() {
        let mut model = Model::new();
        model.succeeded(snapshot(9000, vec![row("a:1", "add", &[(10, 500)], 0)]));
        model.succeeded(snapshot(100, vec![row("a:1", "add", &[(10, 1)], 0)]));
        let (lines, _) = model.lines();
        assert_eq!((lines[0].calls, lines[0].rates), (1, None));
    }

    #[test]
    fn an_outage_lasts_from_its_first_failure_to_the_next_answer() {
        let mut model = Model::new();
        let first = Instant::now();
        let error = CallError::not_run(ErrorKind::Unavailable, "gone");
        model.failed(&error, first);
        model.failed(&error, first + std::time::Duration::from_secs(1));
        let outage = model.outage().unwrap();
        assert_eq!(
            (outage.since, outage.message.as_str()),
            (first, "Unavailable: gone")
        );
        model.succeeded(snapshot(1, vec![]));
        assert!(model.outage().is_none());
    }

    #[test]
    fn a_core_was_busy_with_calls_and_its_sessions_spun_or_was_idle() {
        let mut model = Model::new();
        for (at, [cpu_us, calls_us, spinning_us]) in
            [(1000, [5, 3, 1]), (2000, [600_005, 250_003, 100_001])]
        {
            let core = Core {
                shard: 3,
                cpu_us,
                calls_us,
                spinning_us,
                queued: at,
                ..Core::default()
            };
            let cores = vec![core];
            model.succeeded(Snapshot {
                cores,
                ..snapshot(at, vec![])
            });
        }
        let (core, shares) = model.cores()[0];
        let expected = Shares {
            calls: 0.25,
            network: 0.25,
            spinning: 0.1,
            idle: 0.4,
        };
        assert_eq!((core.shard, core.queued, shares), (3, 2000, Some(expected)));
        // Whatever a server says, they are no more than all of it.
        for odd in [
            [0, u64::MAX, u64::MAX],
            [u64::MAX, 0, 9],
            [0, 7, u64::MAX],
            [0, 0, 0],
        ] {
            let [cpu_us, calls_us, spinning_us] = odd;
            let core = Core {
                cpu_us,
                calls_us,
                spinning_us,
                ..Core::default()
            };
            let Shares {
                calls,
                network,
                spinning,
                idle,
            } = Shares::of(core, 1000);
            assert!(
                (calls + network + spinning + idle - 1.0).abs() < 1e-9,
                "{odd:?}"
            );
        }
    }

    #[test]
    fn the_history_is_of_each_look_and_bounded() {
        let mut model = Model::new();
        for at in 1..1000 {
            model.succeeded(snapshot(
                250 * at,
                vec![row("a:1", "add", &[(10, 5 * at)], 0)],
            ));
        }
        assert_eq!(model.history().count(), HISTORY_MAX);
        assert!(model.history().all(|rate| rate == 20));
        model.succeeded(snapshot(1, vec![]));
        assert_eq!(model.history().count(), 0);
    }

    #[test]
    fn totals_are_over_all_time() {
        let rows = vec![
            row("a:1", "add", &[(10, 90), (1000, 10)], 3),
            row("b:1", "add", &[(20, 100)], 0),
        ];
        let (lines, all) = totals(&snapshot(1000, rows));
        assert_eq!(lines[0].latency.unwrap().p50_us, 10);
        assert!(lines[0].latency.unwrap().p99_us >= 990);
        assert_eq!((all.calls, all.errors), (200, 3));
        assert_eq!(all.latency.unwrap().p50_us, 20);
    }
}
