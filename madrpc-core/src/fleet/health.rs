//! Whether a member is worth a call: it is left out while it says nothing, and for a while after it has failed again and again.

use crate::fleet::outliers::Outlier;
use crate::numbers::later;
use std::time::{Duration, Instant};

/// Failures one after the other that are the member's own, after which it is left out (Envoy's `consecutive_5xx`).
const FAILURES_MAX: u32 = 5;

/// For how long, the first time; twice as long each time after, until it has worked for as long.
const EJECTION: Duration = Duration::from_secs(5);

/// The longest.
const EJECTION_MAX: Duration = Duration::from_secs(300);

/// The health of one member.
#[derive(Debug, Default)]
pub(super) struct Health {
    failures: u32,
    /// Times that it was left out since it last worked for long.
    ejections: u32,
    state: State,
    /// When it was last left out, and why.
    ejected: Option<(Instant, Outlier)>,
    /// Nothing has come from it for too long.
    pub(super) is_silent: bool,
    /// It takes no new calls, and says so.
    pub(super) is_draining: bool,
    /// It was left out as it is slow; a probe that is not clears it.
    is_slow: bool,
    /// Calls since the last sweep that it has ended as it should, and those that it has failed or refused.
    worked: u32,
    faults: u32,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    #[default]
    Well,
    /// Left out until then.
    Ejected(Instant),
    /// One call tries it; until that has ended, nothing else does, or until then, as it may take for ever.
    Probed(Instant),
    /// It works again, since then.
    Back(Instant),
}

/// What a member is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Worth {
    /// Any call.
    Any,
    /// One call, to see whether it works.
    Probe,
    /// None.
    None,
}

impl Health {
    pub(super) fn worth(&self, now: Instant) -> Worth {
        match self.state {
            _ if self.is_well() => Worth::Any,
            _ if self.is_silent || self.is_draining => Worth::None,
            State::Ejected(until) | State::Probed(until) if now >= until => Worth::Probe,
            _ => Worth::None,
        }
    }

    /// Whether it can have any call, at any time.
    pub(super) const fn is_well(&self) -> bool {
        let is_there = !self.is_silent && !self.is_draining;
        is_there && matches!(self.state, State::Well | State::Back(_))
    }

    pub(super) const fn is_ejected(&self) -> bool {
        matches!(self.state, State::Ejected(_) | State::Probed(_))
    }

    /// Since when it is left out, and why, where it is.
    pub(super) fn ejected(&self) -> Option<(Instant, Outlier)> {
        self.ejected.filter(|_| self.is_ejected())
    }

    /// A probe has not been slow.
    pub(super) fn is_not_slow(&mut self) {
        self.is_slow = false;
    }

    /// A call was put on it that is to show whether it works.
    pub(super) fn probe(&mut self, now: Instant) {
        self.state = State::Probed(later(now, EJECTION));
    }

    /// A call has ended as it should, or by a fault of its own; says whether the member ought to be left out all the same, as it
    /// is still slow.
    #[inline]
    pub(super) fn worked(&mut self, is_probe: bool, now: Instant) -> bool {
        self.failures = 0;
        self.worked = self.worked.wrapping_add(1);
        if self.state == State::Well {
            return false;
        }
        self.state = match self.state {
            // Only the call that tries it tells anything: those of before say nothing of now.
            State::Ejected(_) | State::Probed(_) if !is_probe => return false,
            State::Probed(_) if self.is_slow => return true,
            State::Back(since) if now.saturating_duration_since(since) >= self.ejection() => {
                self.ejections = 0;
                State::Well
            }
            State::Back(since) => State::Back(since),
            _ => State::Back(now),
        };
        false
    }

    /// The member could not take a call.
    pub(super) fn refused(&mut self) {
        self.faults = self.faults.saturating_add(1);
    }

    /// The share of calls that have worked since this was asked last, where there were so many.
    pub(super) fn take_rate(&mut self, calls_min: u32) -> Option<f32> {
        let (worked, faults) = (self.worked, std::mem::take(&mut self.faults));
        self.worked = 0;
        let calls = worked.saturating_add(faults);
        (calls >= calls_min).then(|| worked as f32 / calls as f32)
    }

    /// The member has failed a call; says why it ought to be left out for that, where it ought, see [`Health::eject`].
    pub(super) fn failed(&mut self, is_probe: bool) -> Option<Outlier> {
        self.failures = self.failures.saturating_add(1);
        self.faults = self.faults.saturating_add(1);
        match self.state {
            State::Probed(_) => is_probe.then_some(Outlier::Probe),
            State::Well | State::Back(_) => {
                (self.failures >= FAILURES_MAX).then_some(Outlier::Failures)
            }
            State::Ejected(_) => None,
        }
    }

    /// A call that was to show whether it works has ended without saying so.
    pub(super) fn probe_again(&mut self, now: Instant) {
        if matches!(self.state, State::Probed(_)) {
            self.state = State::Ejected(now);
        }
    }

    /// It gets no calls for a while; gives how long.
    pub(super) fn eject(&mut self, why: Outlier, now: Instant) -> Duration {
        let time = self.ejection();
        self.ejections = self.ejections.saturating_add(1);
        self.failures = 0;
        self.state = State::Ejected(later(now, time));
        self.ejected = Some((now, why));
        // What fails a probe has not been seen to be quick.
        self.is_slow |= why == Outlier::Slow;
        time
    }

    /// It gets calls again, though its time is not over.
    pub(super) fn readmit(&mut self) {
        self.state = State::Well;
        self.is_slow = false;
    }

    fn ejection(&self) -> Duration {
        (EJECTION * (1 << self.ejections.min(10))).min(EJECTION_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_in_a_row_eject_and_the_time_grows_until_it_works_for_long() {
        let start = Instant::now();
        let mut health = Health::default();
        for _ in 0..FAILURES_MAX - 1 {
            assert!(health.failed(true).is_none());
        }
        health.worked(true, start);
        for _ in 0..FAILURES_MAX - 1 {
            assert!(health.failed(true).is_none());
        }
        assert!(health.failed(true).is_some());
        assert_eq!(health.eject(Outlier::Failures, start), EJECTION);
        assert_eq!(health.worth(start), Worth::None);
        let back = start + EJECTION;
        assert_eq!(health.worth(back), Worth::Probe);
        health.probe(back);
        assert_eq!(health.worth(back), Worth::None);
        assert_eq!(health.worth(back + EJECTION), Worth::Probe);
        // The probe fails: twice as long.
        assert_eq!(health.failed(true), Some(Outlier::Probe));
        assert_eq!(health.eject(Outlier::Failures, back), EJECTION * 2);
        let again = back + EJECTION * 2;
        health.probe(again);
        health.worked(true, again);
        assert_eq!(health.worth(again), Worth::Any);
        // As long as it was away, and what was is forgotten.
        health.worked(true, again + EJECTION * 4);
        assert_eq!(health.eject(Outlier::Failures, again), EJECTION);
    }

    #[test]
    fn one_that_is_slow_stays_so_where_its_probe_fails() {
        let start = Instant::now();
        let mut health = Health::default();
        health.eject(Outlier::Slow, start);
        let back = start + EJECTION;
        health.probe(back);
        assert_eq!(health.failed(true), Some(Outlier::Probe));
        let again = back + health.eject(Outlier::Probe, back);
        health.probe(again);
        assert!(health.worked(true, again), "nobody has seen it be quick");
        health.is_not_slow();
        assert!(!health.worked(true, again));
    }

    #[test]
    fn a_probe_that_says_nothing_is_made_again() {
        let now = Instant::now();
        let mut health = Health::default();
        health.eject(Outlier::Failures, now);
        health.probe(now);
        health.probe_again(now);
        assert_eq!(health.worth(now), Worth::Probe);
    }

    #[test]
    fn calls_of_before_it_was_left_out_do_not_bring_it_back_nor_keep_it_out() {
        let start = Instant::now();
        let mut health = Health::default();
        health.eject(Outlier::Failures, start);
        for _ in 0..10 {
            assert!(!health.worked(false, start) && health.failed(false).is_none());
            assert!(health.is_ejected());
        }
        let back = start + EJECTION;
        health.probe(back);
        assert!(!health.worked(false, back) && health.failed(false).is_none());
        assert!(health.is_ejected());
        health.worked(true, back);
        assert_eq!(health.worth(back), Worth::Any);
    }
}
