//! What the table shows: lines made of snapshots. No clock, no terminal, no network.

use madrpc_core::call::CallError;
use madrpc_core::stats::{Latency, Row, Snapshot};
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

/// Rates and percentiles are over this time at least: over a single interval they would jump.
pub(super) const WINDOW_MS: u64 = 1000;

/// The recent snapshots, and how the server is to be reached.
pub(super) struct Model {
    /// The oldest first: at least [`WINDOW_MS`] old where the server has been watched for so long.
    snapshots: VecDeque<Snapshot>,
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
    /// None where no call ended.
    pub(super) latency: Option<Percentiles>,
}

/// What happened in a second.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Rates {
    pub(super) calls: f64,
    pub(super) errors: f64,
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

    /// Since when the server does not answer, and why.
    pub(super) fn outage(&self) -> Option<&Outage> {
        self.outage.as_ref()
    }

    /// A line for each node and function, in their order, with rates and latency over the window; and all together.
    pub(super) fn lines(&self) -> (Vec<Line>, Line) {
        let (Some(latest), Some(earlier)) = (self.snapshots.back(), self.snapshots.front()) else {
            return Default::default();
        };
        let elapsed_ms = latest.uptime_ms - earlier.uptime_ms;
        let before: HashMap<_, _> = earlier
            .rows
            .iter()
            .map(|row| ((&row.node, &row.function), row))
            .collect();
        let recent: Vec<Row> = latest
            .rows
            .iter()
            .map(|row| match before.get(&(&row.node, &row.function)) {
                Some(earlier) => row.since(earlier),
                None => row.clone(),
            })
            .collect();
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
        }
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
fn sum(lines: &[Line]) -> Line {
    let rates: Option<Vec<Rates>> = lines.iter().map(|line| line.rates).collect();
    let rates = rates.filter(|rates| !rates.is_empty()).map(|rates| Rates {
        calls: rates.iter().map(|rates| rates.calls).sum(),
        errors: rates.iter().map(|rates| rates.errors).sum(),
    });
    Line {
        calls: lines.iter().map(|line| line.calls).sum(),
        errors: lines.iter().map(|line| line.errors).sum(),
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
            latency,
        }
    }
}

impl Rates {
    #[expect(clippy::cast_precision_loss, reason = "no count comes near 2^53")]
    fn of(recent: &Row, elapsed_ms: u64) -> Self {
        let each_second = |count: u64| count as f64 * 1000.0 / elapsed_ms as f64;
        Self {
            calls: each_second(recent.calls),
            errors: each_second(recent.error_count()),
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
                errors: 23.0
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
                errors: 0.5
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
