//! Whether the fleet stayed as it was: every check with what was measured, and its bound.
//!
//! Cycles after the warm-up are compared, as each has the same load. Of memory that is of no file, the least of a cycle
//! counts: what is left once that cycle's bodies are gone; so it does of descriptors and threads. Latency is the 99th
//! percentile of all of a cycle's probes. Cycles in which the machine stood still, and the next ones, are left out:
//! sessions are silent then, and servers drop them as they should.

use crate::clock::CYCLE_S;
use crate::load::Load;
use crate::record::{Outcomes, ProbeSecond, Record};
use crate::sample::Sample;
use crate::trend::{Trend, ends, quantile};

/// What memory may grow by after the warm-up, in percent.
const GROWTH_MAX: f64 = 1.0;

/// What a drift of the 99th percentile has to exceed at least, in percent: less is nothing that a caller would notice.
const DRIFT_MIN: f64 = 25.0;

/// What it has to exceed in standard errors: a run without a drift fails once in some ten thousand.
const DRIFT_ERRORS: f64 = 4.0;

/// What other programs may take of the machine's cores in a cycle whose latency is to count, in percent.
const OTHERS_MAX: f64 = 10.0;

/// Fewer cycles than these show no trend.
pub(crate) const CYCLES_MIN: usize = 6;

/// Something that has to hold.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Check {
    pub(crate) what: String,
    pub(crate) measured: String,
    pub(crate) bound: String,
    pub(crate) verdict: Verdict,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Holds,
    Fails,
    /// Too few cycles to say.
    Open,
}

impl Check {
    fn new(what: String, measured: String, bound: &str, holds: bool) -> Self {
        Self {
            what,
            measured,
            bound: bound.into(),
            verdict: if holds {
                Verdict::Holds
            } else {
                Verdict::Fails
            },
        }
    }

    /// One that needs more cycles than there are.
    fn or_open(mut self, cycles: usize) -> Self {
        if cycles < CYCLES_MIN {
            self.verdict = Verdict::Open;
        }
        self
    }
}

/// All checks of a run in which these loads were wanted.
pub(crate) fn checks(record: &Record, wanted: &[Load]) -> Vec<Check> {
    let mut checks: Vec<_> = record
        .wrongs
        .iter()
        .map(|wrong| Check::new("the run".into(), wrong.clone(), "", false))
        .collect();
    for (name, samples) in &record.samples {
        let at = |sample: &Sample| sample.at_s;
        let cycles = by_cycle(record, samples, at);
        checks.push(memory(name, &cycles));
        checks.push(count(name, "descriptors", &cycles, |sample| {
            sample.descriptors as f64
        }));
        checks.push(count(name, "threads", &cycles, |sample| {
            sample.threads as f64
        }));
    }
    checks.push(latency(record));
    let mut probe = Outcomes::default();
    for (at_s, second) in &record.probe {
        if !stood_still(record, *at_s) {
            probe.add(&second.outcomes);
        }
    }
    checks.push(right("the probe", &probe, true));
    for (load, outcomes) in &record.calls {
        checks.push(right(&load.name(), outcomes, false));
    }
    // A run that ended early may not have come to all of them.
    if record.wrongs.is_empty() {
        checks.extend(idle(record, wanted));
    }
    checks
}

/// The items of each whole cycle after the warm-up in which the machine ran.
pub(crate) fn by_cycle<'a, T>(
    record: &Record,
    items: &'a [T],
    at_s: impl Fn(&T) -> f64,
) -> Vec<Vec<&'a T>> {
    let cycle_s = CYCLE_S as f64;
    let first = (record.warm_up.as_secs_f64() / cycle_s).ceil() as usize;
    let end = (record.elapsed.as_secs_f64() / cycle_s).floor() as usize;
    let mut cycles = vec![Vec::new(); end.saturating_sub(first)];
    for item in items.iter().filter(|item| !stood_still(record, at_s(item))) {
        let cycle = (at_s(item) / cycle_s).floor() as usize;
        if let Some(cycle) = cycle.checked_sub(first).and_then(|at| cycles.get_mut(at)) {
            cycle.push(item);
        }
    }
    cycles.retain(|cycle| !cycle.is_empty());
    cycles
}

/// Whether the machine stood still in that moment's cycle, or in the one before.
fn stood_still(record: &Record, at_s: f64) -> bool {
    let cycle = |at_s: f64| (at_s / CYCLE_S as f64).floor();
    let mut stalls = record.stalls.iter();
    stalls.any(|&(from, to)| (cycle(from)..=cycle(to) + 1.0).contains(&cycle(at_s)))
}

fn values<T>(cycle: &[&T], value: impl Fn(&T) -> f64) -> Vec<f64> {
    cycle.iter().map(|item| value(item)).collect()
}

/// Growth by two measures that fail in different ways, a robust line and the ends: both have to be over the bound.
fn memory(name: &str, cycles: &[Vec<&Sample>]) -> Check {
    let series: Vec<_> = cycles
        .iter()
        .map(|cycle| quantile(&values(cycle, |sample| sample.own_mib), 0.0))
        .collect();
    let trend = Trend::of(&series);
    let (first, last) = ends(&series);
    let line = 100.0 * trend.rise() / trend.from.max(1.0);
    let ends = 100.0 * (last - first) / first.max(1.0);
    let growth = line.min(ends);
    Check::new(
        format!("memory of {name}"),
        format!(
            "{growth:+.2} % (line {line:+.2} %, ends {ends:+.2} %: {first:.2} → {last:.2} MiB)"
        ),
        "≤ +1 %",
        growth <= GROWTH_MAX,
    )
    .or_open(cycles.len())
}

fn count(
    name: &str,
    what: &str,
    cycles: &[Vec<&Sample>],
    value: impl Fn(&Sample) -> f64 + Copy,
) -> Check {
    let series: Vec<_> = cycles
        .iter()
        .map(|cycle| quantile(&values(cycle, value), 0.0))
        .collect();
    let (first, last) = ends(&series);
    Check::new(
        format!("{what} of {name}"),
        format!("{first:.0} → {last:.0}"),
        "no more",
        last <= first,
    )
    .or_open(cycles.len())
}

/// The share of the machine's cores that others took in the cycle of a moment, in percent.
pub(crate) fn others_share(record: &Record, at_s: f64) -> f64 {
    let cycle = |at_s: f64| (at_s / CYCLE_S as f64).floor();
    let mut seconds = record
        .others
        .iter()
        .filter(|second| cycle(second.0) == cycle(at_s));
    match (seconds.next(), seconds.next_back()) {
        (Some(first), Some(last)) => {
            let cores = std::thread::available_parallelism().map_or(1, usize::from);
            100.0 * (last.1 - first.1) / (last.0 - first.0) / cores as f64
        }
        _ => 0.0,
    }
}

/// The drift of the probe's latency, beyond what chance and the machine explain.
fn latency(record: &Record) -> Check {
    let mut cycles = by_cycle(record, &record.probe, |second| second.0);
    let all = cycles.len();
    let is_calm = |second: &&(f64, ProbeSecond)| others_share(record, second.0) <= OTHERS_MAX;
    cycles.retain(|cycle| cycle.first().is_some_and(is_calm));
    let p99 = |of: fn(&ProbeSecond) -> &Vec<u32>| {
        let cycle = |cycle: &Vec<&(f64, ProbeSecond)>| {
            let all = cycle.iter().flat_map(|(_, second)| of(second));
            // In logarithms: latency is off by factors.
            quantile(&all.map(|&us| f64::from(us)).collect::<Vec<_>>(), 0.99)
                .max(1.0)
                .ln()
        };
        Trend::of(&cycles.iter().map(cycle).collect::<Vec<_>>())
    };
    let (probe, wakes) = (
        p99(|second| &second.latencies_us),
        p99(|second| &second.wakes_us),
    );
    let (from, to) = (probe.from.exp(), probe.to.exp());
    let later = wakes.to.exp() - wakes.from.exp();
    let chance = from * (DRIFT_ERRORS * probe.error).exp_m1();
    let bound = chance.max(DRIFT_MIN / 100.0 * from) + later.max(0.0);
    Check::new(
        "p99 of the probe".into(),
        format!(
            "{from:.0} → {to:.0} µs; {chance:.0} µs are within chance, threads woke {later:+.0} µs later; {} of {all} cycles \
             without others on the cores",
            cycles.len()
        ),
        &format!("≤ {bound:+.0} µs"),
        to - from <= bound,
    )
    .or_open(cycles.len())
}

fn right(name: &str, outcomes: &Outcomes, has_to_succeed: bool) -> Check {
    let holds = outcomes.wrong == 0 && !(has_to_succeed && outcomes.failures() > 0);
    let mut measured = format!("{} right, {} wrong", outcomes.right, outcomes.wrong);
    for (kind, count) in &outcomes.failed {
        measured += &format!(", {count} {kind}");
    }
    if let Some(first) = &outcomes.first {
        measured += &format!("; the first: {first}");
    }
    let bound = if has_to_succeed {
        "all right"
    } else {
        "none wrong"
    };
    Check::new(format!("results of {name}"), measured, bound, holds)
}

/// Loads that did nothing: a run proves nothing about them.
fn idle(record: &Record, wanted: &[Load]) -> Vec<Check> {
    let done = |load: &Load| match load {
        Load::Reloads => record.reloads,
        Load::Killed => record.killed.iter().sum(),
        Load::Handshakes | Load::Junk => record.sent.get(load).copied().unwrap_or(0),
        load => record.calls.get(load).map_or(0, |calls| calls.right),
    };
    let idle = wanted.iter().filter(|load| done(load) == 0);
    idle.map(|load| {
        Check::new(
            format!("load {}", load.name()),
            "it did nothing".into(),
            "something",
            false,
        )
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// A run of 30 cycles, ten of them warm-up, whose figures at a second are these.
    fn record(own_mib: impl Fn(u64) -> f64, p99_us: impl Fn(u64) -> u32, wake_us: u32) -> Record {
        let seconds = 30 * CYCLE_S;
        let mut random = fastrand::Rng::with_seed(3);
        let mut record = Record {
            elapsed: Duration::from_secs(seconds),
            warm_up: Duration::from_secs(seconds / 3),
            ..Record::default()
        };
        for second in 0..seconds {
            // Bursts of load within a cycle, and noise.
            let burst = if second % CYCLE_S < 5 { 20.0 } else { 0.0 };
            let sample = Sample {
                at_s: second as f64,
                rss_mib: 0.0,
                own_mib: own_mib(second) + burst + 0.2 * random.f64(),
                descriptors: 20 + random.usize(..3),
                threads: 5,
                cpu_s: 0.0,
            };
            record.samples.entry("node").or_default().push(sample);
            let probe = ProbeSecond {
                latencies_us: (0..100)
                    .map(|_| p99_us(second) * random.u32(80..100) / 100)
                    .collect(),
                wakes_us: vec![wake_us; 100],
                outcomes: Outcomes {
                    right: 100,
                    ..Outcomes::default()
                },
            };
            record.probe.push((second as f64, probe));
        }
        record
    }

    fn fails(record: &Record) -> Vec<String> {
        let checks = checks(record, &[]);
        let failed = checks
            .iter()
            .filter(|check| check.verdict == Verdict::Fails);
        failed.map(|check| check.what.clone()).collect()
    }

    #[test]
    fn a_fleet_that_stays_as_it_was_fails_nothing() {
        let steady = record(|_| 40.0, |_| 500, 100);
        assert_eq!(fails(&steady), Vec::<String>::new());
        // What is taken during the warm-up, or once for a while, is no growth.
        let early = |second| if second < 200 { second as f64 } else { 240.0 };
        let bump = |second| {
            if (300..400).contains(&second) {
                60.0
            } else {
                40.0
            }
        };
        assert_eq!(fails(&record(early, |_| 500, 100)), Vec::<String>::new());
        assert_eq!(fails(&record(bump, |_| 500, 100)), Vec::<String>::new());
    }

    #[test]
    fn memory_that_grows_by_a_hundredth_and_a_half_fails() {
        let grows = record(
            |second| 40.0 + 0.6 * (second as f64 - 200.0) / 400.0,
            |_| 500,
            100,
        );
        assert_eq!(fails(&grows), ["memory of node"]);
    }

    #[test]
    fn a_descriptor_that_stays_open_fails() {
        let mut leaks = record(|_| 40.0, |_| 500, 100);
        for sample in leaks.samples.get_mut("node").unwrap() {
            sample.descriptors += (sample.at_s / 400.0) as usize;
        }
        assert_eq!(fails(&leaks), ["descriptors of node"]);
    }

    #[test]
    fn a_latency_that_drifts_fails_and_one_that_follows_the_machine_does_not() {
        let drifts = |second| 500 + second as u32;
        assert_eq!(fails(&record(|_| 40.0, drifts, 100)), ["p99 of the probe"]);
        let mut others = record(|_| 40.0, drifts, 100);
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let busy = |at: u64| (at as f64, at as f64 * cores as f64 * 0.3);
        others.others = (0..30 * CYCLE_S).map(busy).collect();
        assert_eq!(fails(&others), Vec::<String>::new());
        let mut follows = record(|_| 40.0, drifts, 0);
        for (at, second) in &mut follows.probe {
            second.wakes_us = vec![100 + *at as u32; 100];
        }
        assert_eq!(fails(&follows), Vec::<String>::new());
        let noise = |second: u64| {
            if (second / CYCLE_S).is_multiple_of(3) {
                900
            } else {
                500
            }
        };
        assert_eq!(fails(&record(|_| 40.0, noise, 100)), Vec::<String>::new());
    }

    #[test]
    fn a_wrong_result_an_error_of_the_probe_and_an_idle_load_fail() {
        let mut wrong = record(|_| 40.0, |_| 500, 100);
        wrong.probe[0]
            .1
            .outcomes
            .failed
            .insert("Overloaded".into(), 1);
        let outcomes = Outcomes {
            wrong: 1,
            right: 9,
            ..Outcomes::default()
        };
        wrong.calls.insert(Load::Nested, outcomes);
        assert_eq!(fails(&wrong), ["results of the probe", "results of nested"]);
        let idle = checks(&wrong, &[Load::Nested, Load::Reloads]);
        assert_eq!(idle.last().unwrap().what, "load reloads");
    }

    #[test]
    fn what_a_machine_that_stood_still_does_to_callers_is_not_judged() {
        let late = |second| {
            if (300..340).contains(&second) {
                9_000_000
            } else {
                500
            }
        };
        let mut stalled = record(|_| 40.0, late, 100);
        let error = ("Unavailable".into(), 1);
        stalled.probe[310].1.outcomes.failed.extend([error]);
        assert_eq!(fails(&stalled), ["results of the probe"]);
        stalled.stalls.push((301.0, 309.0));
        assert_eq!(fails(&stalled), Vec::<String>::new());
    }

    #[test]
    fn a_short_run_judges_no_trend() {
        let mut short = record(|second| second as f64, |_| 500, 100);
        short.elapsed = short.warm_up + Duration::from_secs(5 * CYCLE_S);
        let open = checks(&short, &[]);
        let open = open.iter().filter(|check| check.verdict == Verdict::Open);
        assert_eq!(open.count(), 4);
        assert_eq!(fails(&short), Vec::<String>::new());
    }
}
