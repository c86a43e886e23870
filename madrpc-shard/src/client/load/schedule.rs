//! When calls are due, and which of them count. It takes the time and touches nothing.

use super::{Pace, Plan, Until};
use madrpc_core::numbers::{later, seconds};
use std::time::{Duration, Instant};

/// How long after the end an open loop may still send calls that were due before it.
const CATCH_UP: Duration = Duration::from_secs(1);

/// A call that is to be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Due {
    /// When it should have been sent.
    pub(super) at: Instant,
    /// Whether it was due after the warm-up.
    pub(super) counts: bool,
}

/// The calls of a load, one after the other.
#[derive(Debug)]
pub(super) struct Schedule {
    pace: Pace,
    started: Instant,
    /// When counting begins.
    pub(super) begun: Instant,
    /// When it ends; `None` while that depends on the number of calls.
    pub(super) end: Option<Instant>,
    calls_max: u64,
    taken: u64,
    counted: u64,
}

impl Schedule {
    pub(super) fn new(plan: &Plan, now: Instant) -> Self {
        let begun = later(now, plan.warm_up);
        let (end, calls_max) = match plan.until {
            Until::Elapsed(duration) => (Some(later(begun, duration)), u64::MAX),
            Until::Calls(calls) => (None, calls),
        };
        Self {
            pace: plan.pace,
            started: now,
            begun,
            end,
            calls_max,
            taken: 0,
            counted: 0,
        }
    }

    /// The next call, where one is due and may be sent.
    pub(super) fn take(&mut self, now: Instant, in_flight: usize) -> Option<Due> {
        let due = self.next_due(in_flight)?;
        if due > now || self.is_over(now) {
            return None;
        }
        let (at, counts) = match self.pace {
            Pace::Closed { .. } => (now, now >= self.begun),
            Pace::Open { .. } => (due, self.taken >= self.due_before(self.begun)),
        };
        self.taken += 1;
        self.counted += u64::from(counts);
        Some(Due { at, counts })
    }

    /// When the next call is due, in a closed loop at once; `None` while too many are in flight, and after the last.
    pub(super) fn next_due(&self, in_flight: usize) -> Option<Instant> {
        let (max, at) = match self.pace {
            Pace::Closed { concurrency } => (concurrency, self.started),
            Pace::Open {
                rate,
                in_flight_max,
            } => {
                // A rate near 0 puts the second call beyond all times.
                let since = seconds(self.taken as f64 / rate);
                (in_flight_max, later(self.started, since))
            }
        };
        (in_flight < max && !self.all_taken()).then_some(at)
    }

    /// Ends now, where it would end later.
    pub(super) fn stop(&mut self, now: Instant) {
        self.begun = self.begun.min(now);
        self.end = Some(self.end.map_or(now, |end| end.min(now)));
        self.calls_max = self.counted;
    }

    /// Whether no further call will be sent.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let late = match self.pace {
            Pace::Closed { .. } => Duration::ZERO,
            Pace::Open { .. } => CATCH_UP,
        };
        self.all_taken() || self.end.is_some_and(|end| now >= later(end, late))
    }

    fn all_taken(&self) -> bool {
        let due = match (self.pace, self.end) {
            (Pace::Open { .. }, Some(end)) => self.due_before(end),
            _ => u64::MAX,
        };
        self.counted >= self.calls_max || self.taken >= due
    }

    /// Calls that were due after the warm-up and have not been sent. Only an open loop has such.
    pub(super) fn not_sent(&self) -> u64 {
        match (self.pace, self.end) {
            (Pace::Open { .. }, Some(end)) => {
                let first = self.taken.max(self.due_before(self.begun));
                self.due_before(end).saturating_sub(first)
            }
            _ => 0,
        }
    }

    /// Whether what happens at this time is within the time that is counted.
    pub(super) fn is_counting(&self, now: Instant) -> bool {
        now >= self.begun && self.end.is_none_or(|end| now < end)
    }

    /// Calls of an open loop that are due before this time.
    fn due_before(&self, at: Instant) -> u64 {
        let Pace::Open { rate, .. } = self.pace else {
            return u64::MAX;
        };
        let seconds = at.saturating_duration_since(self.started).as_secs_f64();
        (seconds * rate).ceil() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use madrpc_core::identity::{Authority, Role};
    use madrpc_core::value::Value;

    const MS: Duration = Duration::from_millis(1);

    fn schedule(pace: Pace, until: Until) -> (Schedule, Instant) {
        let authority = Authority::create("test").unwrap();
        let plan = Plan {
            address: String::new(),
            identity: authority.issue(Role::Client).unwrap(),
            function: String::new(),
            args: Value::Undefined,
            pace,
            connections: 1,
            warm_up: 100 * MS,
            until,
            timeout: MS,
            idempotent: false,
            core: None,
        };
        let now = Instant::now();
        (Schedule::new(&plan, now), now)
    }

    fn open(until: Until, in_flight_max: usize) -> (Schedule, Instant) {
        let rate = 1000.0;
        schedule(
            Pace::Open {
                rate,
                in_flight_max,
            },
            until,
        )
    }

    #[test]
    fn an_open_loop_is_due_by_the_clock_whatever_comes_back() {
        let (mut schedule, start) = open(Until::Elapsed(50 * MS), 1000);
        assert_eq!(schedule.take(start, 0).map(|due| due.at), Some(start));
        assert_eq!(schedule.take(start, 0), None);
        // A generator that was away for 99 ms has 99 calls to send, each with the time it was due.
        let late: Vec<_> = std::iter::from_fn(|| schedule.take(start + 99 * MS, 0)).collect();
        assert_eq!(late.len(), 99);
        assert_eq!(late[41].at, start + 42 * MS);
        assert!(late.iter().all(|due| !due.counts), "the warm-up counts");
        // Late again: those due before the end are sent all the same, and no others.
        let end = start + 150 * MS;
        let rest: Vec<_> = std::iter::from_fn(|| schedule.take(end + 10 * MS, 0)).collect();
        assert_eq!((rest.len(), rest[49].at), (50, start + 149 * MS));
        assert!(rest.iter().all(|due| due.counts));
        assert!(schedule.is_over(end));
        assert_eq!(schedule.not_sent(), 0);
    }

    #[test]
    fn calls_beyond_the_cap_wait_and_are_told_when_they_were_never_sent() {
        let (mut schedule, start) = open(Until::Elapsed(50 * MS), 10);
        let end = start + 150 * MS;
        let mut in_flight = 0;
        while schedule.take(end, in_flight).is_some() {
            in_flight += 1;
        }
        assert_eq!(in_flight, 10);
        assert!(!schedule.is_over(end));
        // Somebody came back: the next was due long ago.
        assert_eq!(
            schedule.take(end, 9).map(|due| due.at),
            Some(start + 10 * MS)
        );
        assert!(schedule.is_over(end + CATCH_UP));
        assert_eq!(schedule.take(end + CATCH_UP, 0), None);
        assert_eq!(schedule.not_sent(), 50);
    }

    #[test]
    fn a_closed_loop_is_due_whenever_there_is_room() {
        let pace = Pace::Closed { concurrency: 2 };
        let (mut schedule, start) = schedule(pace, Until::Calls(3));
        let early = start + MS;
        for in_flight in [0, 1] {
            let due = schedule.take(early, in_flight).unwrap();
            assert_eq!((due.at, due.counts), (early, false));
        }
        assert_eq!(schedule.take(early, 2), None);
        let late = start + 200 * MS;
        for _ in 0..3 {
            let due = schedule.take(late, 1).unwrap();
            assert_eq!((due.at, due.counts), (late, true));
        }
        assert_eq!(schedule.take(late, 1), None);
        assert!(schedule.is_over(late));
    }

    #[test]
    fn a_rate_that_is_hardly_one_and_a_time_without_end_are_kept() {
        for rate in [1e-300, f64::MIN_POSITIVE, f64::NAN, 0.0] {
            for until in [Until::Elapsed(Duration::MAX), Until::Calls(5)] {
                let pace = Pace::Open {
                    rate,
                    in_flight_max: 10,
                };
                let (mut schedule, start) = schedule(pace, until);
                // The first call is due at once, and the second never.
                let day = Duration::from_secs(24 * 3600);
                assert_eq!(schedule.take(start, 0).is_some(), rate > 0.0, "{rate}");
                assert_eq!(schedule.take(start + day, 0), None, "{rate}");
                assert!(schedule.next_due(0).is_none_or(|due| due > start + day));
            }
        }
    }

    #[test]
    fn it_can_be_stopped_early() {
        let (mut schedule, start) = open(Until::Calls(1000), 1000);
        let now = start + 110 * MS;
        while schedule.take(now, 0).is_some() {}
        schedule.stop(now);
        assert!(schedule.is_over(now));
        assert_eq!(schedule.not_sent(), 0);
        assert_eq!(schedule.end, Some(now));
    }
}
