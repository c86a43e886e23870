//! Who is left out for a while, and who never is.

use super::Router;
use crate::fleet::outliers::{self, CALLS_MIN, SAMPLES_MIN};
use crate::numbers::later;
use std::time::{Duration, Instant};

/// Why a member is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outlier {
    /// It fails or refuses far more of its calls than the others.
    Failing,
    /// It takes far longer than the others for the same.
    Slow,
}

impl Router {
    /// Members that are left out now.
    #[must_use]
    pub fn ejected(&self) -> usize {
        self.ejected.len()
    }

    /// Compares the members with each other, see [`SWEEP_INTERVAL`]; gives those that are left out from now on, why, and for
    /// how long.
    ///
    /// [`SWEEP_INTERVAL`]: crate::fleet::SWEEP_INTERVAL
    pub fn sweep(&mut self, now: Instant) -> Vec<(usize, Outlier, Duration)> {
        let (mut rates, mut paces) = (Vec::new(), Vec::new());
        for (number, member) in self.members.iter_mut().enumerate() {
            let Some(member) = member else {
                continue;
            };
            let rate = member.health.take_rate(CALLS_MIN);
            let pace = member.load.take_pace(SAMPLES_MIN);
            if member.health.is_well() {
                rates.extend(rate.map(|rate| (number, rate)));
                paces.extend(pace.map(|pace| (number, pace)));
            }
        }
        let failing = outliers::failing(&rates).into_iter();
        // By their keys members do not get the same calls, and what those cost says nothing of them.
        if self.balance == super::Balance::Hash {
            paces.clear();
        }
        let slow = outliers::slow(paces).into_iter();
        let found = failing.map(|number| (number, Outlier::Failing));
        let found = found.chain(slow.map(|number| (number, Outlier::Slow)));
        let mut left_out = Vec::new();
        for (number, why) in found {
            if self.ejected.contains(number) {
                continue;
            }
            if let Some(time) = self.eject(number, now) {
                if let Some(Some(member)) = self.members.get_mut(number) {
                    member.health.is_slow = why == Outlier::Slow;
                }
                left_out.push((number, why, time));
            }
        }
        left_out
    }

    /// How many may be left out.
    fn most_ejected(&self) -> usize {
        let share = self.count * usize::from(self.max_ejected_percent) / 100;
        share.min(self.count.saturating_sub(1))
    }

    /// There are fewer members than before: one that is left out comes back, where those are too many now.
    pub(super) fn readmit(&mut self) {
        if self.ejected.len() <= self.most_ejected() {
            return;
        }
        let Some(number) = self.ejected.first() else {
            return;
        };
        self.ejected.set(number, false);
        if self.ejected.is_empty() {
            self.probe_at = None;
        }
        if let Some(Some(member)) = self.members.get_mut(number) {
            member.health.readmit();
        }
        self.note(number);
    }

    /// A member gets no calls for a while, unless too many get none already; gives for how long.
    pub(super) fn eject(&mut self, number: usize, now: Instant) -> Option<Duration> {
        let most = self.most_ejected();
        let Some(Some(member)) = self.members.get_mut(number) else {
            return None;
        };
        if self.ejected.len() >= most && !member.health.is_ejected() {
            return None;
        }
        self.ejected.set(number, true);
        let time = member.health.eject(now);
        let at = later(now, time);
        self.probe_at = Some(self.probe_at.map_or(at, |before| before.min(at)));
        self.note(number);
        Some(time)
    }
}
