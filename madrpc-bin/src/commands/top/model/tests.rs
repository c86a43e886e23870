//! Lines, rates and times of snapshots that were made up.

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
