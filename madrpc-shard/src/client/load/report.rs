//! What a load generator has seen.
//!
//! Latency is told twice. *Service* is from when a call was really sent to its reply. *Latency* is from when it should
//! have been sent, so that calls which a slow server held back count with all the time that a user would have waited
//! (coordinated omission):
//!
//! - An open loop knows when each call was due: latency is from that time. This is what wrk2 does.
//! - A closed loop has no times at which calls are due; there a stall is one slow call for each in flight, and not the
//!   many that would have come meanwhile. Latency is service time, corrected by HdrHistogram's rule for an expected
//!   interval: a value above the interval also stands for the calls that it kept from being made, each an interval
//!   shorter than the one before. The interval is the mean time between two calls of one place in flight, as in wrk.
//!   It is an estimate: for a rate that matters, use an open loop.
//!
//! A call that passed its deadline counts in both with the time until then, as leaving it out would hide the slowest.
//! Other errors are quick and say nothing of the latency; they are counted only.

use super::schedule::Schedule;
use super::{Pace, Plan};
use hdrhistogram::Histogram;
use madrpc_core::call::Bill;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::limits::TIMEOUT_MAX;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What a load generator has seen. Histograms are of microseconds, to three significant digits.
#[derive(Debug, Clone)]
pub struct Report {
    /// Calls that were due after the warm-up and were sent.
    pub sent: u64,
    /// Those of them that returned.
    pub results: u64,
    /// Results that came within the counted time, those of calls sent in the warm-up among them.
    pub results_in_time: u64,
    /// The counted time.
    pub elapsed: Duration,
    /// Calls without a result.
    pub errors: BTreeMap<ErrorKind, Failures>,
    /// Calls that an open loop had no time to send.
    pub not_sent: u64,
    /// Calls whose replies were no longer waited for, after an early stop.
    pub cut_off: u64,
    /// Whether it was stopped early.
    pub stopped: bool,
    /// Whether that was because the server could no longer be reached.
    pub unreachable: bool,
    /// The most calls that were in flight.
    pub in_flight_max: usize,
    /// The longest time that a call was sent after it was due.
    pub late_max: Duration,
    /// The core that the generator was pinned to.
    pub core: usize,
    /// From when a call should have been sent to its reply.
    pub latency_us: Histogram<u64>,
    /// From when it was sent to its reply.
    pub service_us: Histogram<u64>,
    /// The part of the service time that the call waited at the node, by its bill.
    pub queue_us: Histogram<u64>,
    /// The part that it held the node's core, by its bill.
    pub cpu_us: Histogram<u64>,
    /// The rest: both ways, the orchestrator, and waiting for timers or other calls.
    pub network_us: Histogram<u64>,
    /// Where results came from.
    pub places: Vec<Place>,
}

/// Calls without a result, of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failures {
    /// How many.
    pub calls: u64,
    /// What the first of them said.
    pub example: String,
}

/// A shard that ran calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The node's name.
    pub node: String,
    /// The number of its shard.
    pub shard: u16,
    /// Results that it gave.
    pub calls: u64,
}

impl Report {
    /// Results in a second of the counted time; 0 where none was counted.
    #[must_use]
    pub fn calls_per_s(&self) -> f64 {
        match self.elapsed.is_zero() {
            true => 0.0,
            false => self.results_in_time as f64 / self.elapsed.as_secs_f64(),
        }
    }

    /// Calls without a result, of all kinds.
    #[must_use]
    pub fn error_count(&self) -> u64 {
        self.errors.values().map(|failures| failures.calls).sum()
    }
}

/// A call in flight.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    pub(super) due: Instant,
    pub(super) at: Instant,
    pub(super) counts: bool,
}

/// A report that is being made.
#[derive(Debug)]
pub(super) struct Tally {
    report: Report,
    last: Instant,
    /// Results since the last progress, whether they count or not.
    pub(super) fresh: u64,
}

impl Tally {
    pub(super) fn new(core: usize, now: Instant) -> Self {
        let report = Report {
            sent: 0,
            results: 0,
            results_in_time: 0,
            elapsed: Duration::ZERO,
            errors: BTreeMap::new(),
            not_sent: 0,
            cut_off: 0,
            stopped: false,
            unreachable: false,
            in_flight_max: 0,
            late_max: Duration::ZERO,
            core,
            latency_us: histogram(),
            service_us: histogram(),
            queue_us: histogram(),
            cpu_us: histogram(),
            network_us: histogram(),
            places: Vec::new(),
        };
        Self {
            report,
            last: now,
            fresh: 0,
        }
    }

    /// Calls that have ended and count, and those of them without a result.
    pub(super) fn ended(&self) -> (u64, u64) {
        let errors = self.report.error_count();
        (self.report.results + errors, errors)
    }

    /// A call is sent; with it so many are in flight.
    pub(super) fn sent(&mut self, sent: &Sent, in_flight: usize) {
        self.report.in_flight_max = self.report.in_flight_max.max(in_flight);
        if sent.counts {
            self.report.sent += 1;
            let late = sent.at.saturating_duration_since(sent.due);
            self.report.late_max = self.report.late_max.max(late);
        }
    }

    /// A result came.
    pub(super) fn result(&mut self, sent: &Sent, now: Instant, in_time: bool, bill: &Bill<&str>) {
        self.fresh += 1;
        self.report.results_in_time += u64::from(in_time);
        if !sent.counts {
            return;
        }
        self.last = now;
        self.report.results += 1;
        let service = self.latency(sent, now);
        let report = &mut self.report;
        let network = service
            .saturating_sub(bill.queue_us)
            .saturating_sub(bill.cpu_us);
        report.queue_us.saturating_record(bill.queue_us);
        report.cpu_us.saturating_record(bill.cpu_us);
        report.network_us.saturating_record(network);
        let mut places = report.places.iter_mut();
        match places.find(|place| place.shard == bill.shard && place.node == bill.node) {
            Some(place) => place.calls += 1,
            None => report.places.push(Place {
                node: bill.node.to_owned(),
                shard: bill.shard,
                calls: 1,
            }),
        }
    }

    /// A call has no result, of a kind and for a reason that is asked for only once.
    pub(super) fn failure(
        &mut self,
        sent: &Sent,
        now: Instant,
        kind: ErrorKind,
        reason: impl FnOnce() -> CallError,
    ) {
        if !sent.counts {
            return;
        }
        self.last = now;
        let failures = self.report.errors.entry(kind);
        let failures = failures.or_insert_with(|| Failures {
            calls: 0,
            example: reason().message,
        });
        failures.calls += 1;
        if kind == ErrorKind::DeadlineExceeded {
            self.latency(sent, now);
        }
    }

    fn latency(&mut self, sent: &Sent, now: Instant) -> u64 {
        let us = |since: Instant| now.saturating_duration_since(since).as_micros() as u64;
        let service = us(sent.at);
        self.report.service_us.saturating_record(service);
        self.report.latency_us.saturating_record(us(sent.due));
        service
    }

    /// The report, once all is over.
    pub(super) fn finish(mut self, plan: &Plan, schedule: &Schedule, cut_off: u64) -> Report {
        let end = schedule.end.unwrap_or(self.last);
        let report = &mut self.report;
        report.elapsed = end.saturating_duration_since(schedule.begun);
        report.not_sent = schedule.not_sent();
        report.cut_off = cut_off;
        report
            .places
            .sort_by(|a, b| (&a.node, a.shard).cmp(&(&b.node, b.shard)));
        if let Pace::Closed { concurrency } = plan.pace {
            report.latency_us = corrected(&report.latency_us, concurrency, report.elapsed);
        }
        self.report
    }

    /// It is stopped early, perhaps because the server is out of reach.
    pub(super) fn stopped(&mut self, unreachable: bool) {
        self.report.stopped = true;
        self.report.unreachable = unreachable;
    }
}

/// The latencies of a closed loop with those that it left out.
fn corrected(latency: &Histogram<u64>, concurrency: usize, elapsed: Duration) -> Histogram<u64> {
    let calls = u128::from(latency.len().max(1));
    let interval = elapsed.as_micros() * concurrency as u128 / calls;
    latency.clone_correct(u64::try_from(interval).unwrap_or(u64::MAX))
}

fn histogram() -> Histogram<u64> {
    // A call may wait here before it is sent, so its latency can pass the longest deadline.
    let max = 2 * TIMEOUT_MAX.as_micros() as u64;
    Histogram::new_with_bounds(1, max, 3)
        .unwrap_or_else(|_| unreachable!("the bounds are constants that hdrhistogram accepts"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_of_a_closed_loop_stands_for_the_calls_that_it_kept_back() {
        let mut latency = histogram();
        // One place in flight: 500 calls of 1 ms, then one of half a second.
        latency.record_n(1_000, 500).unwrap();
        latency.record(500_000).unwrap();
        assert!(latency.value_at_quantile(0.99) < 1_100);
        let corrected = corrected(&latency, 1, Duration::from_secs(1));
        // At its pace of a call each 2 ms, 250 calls fell into the stall.
        let added = corrected.len() - latency.len();
        assert!((245..=255).contains(&added), "{added}");
        let p90 = corrected.value_at_quantile(0.9);
        assert!((330_000..370_000).contains(&p90), "{p90}");
        assert_eq!(corrected.max(), latency.max());
    }

    #[test]
    fn steady_calls_stay_as_they_are() {
        let mut latency = histogram();
        latency.record_n(1_000, 900).unwrap();
        latency.record_n(1_500, 100).unwrap();
        let corrected = corrected(&latency, 64, Duration::from_millis(17));
        assert_eq!(corrected.len(), 1_000);
    }

    #[test]
    fn a_latency_is_from_when_it_was_due_and_its_parts_add_up() {
        let start = Instant::now();
        let us = |us| start + Duration::from_micros(us);
        let mut tally = Tally::new(0, start);
        let sent = Sent {
            due: us(100),
            at: us(400),
            counts: true,
        };
        tally.sent(&sent, 1);
        let bill = Bill {
            queue_us: 30,
            cpu_us: 50,
            node: "n",
            ..Bill::default()
        };
        tally.result(&sent, us(600), true, &bill);
        let late = Sent { due: us(0), ..sent };
        let error = || CallError::not_run(ErrorKind::DeadlineExceeded, "too late");
        tally.failure(&late, us(900), ErrorKind::DeadlineExceeded, error);
        let report = tally.report;
        assert_eq!(
            (report.latency_us.min(), report.latency_us.max()),
            (500, 900)
        );
        assert_eq!(
            (report.service_us.min(), report.service_us.max()),
            (200, 500)
        );
        assert_eq!(report.network_us.max(), 120);
        assert_eq!((report.results, report.error_count()), (1, 1));
        assert_eq!(report.late_max, Duration::from_micros(300));
        assert_eq!(
            report.errors[&ErrorKind::DeadlineExceeded].example,
            "too late"
        );
    }
}
