//! Who is left out for a while, who never is, and how a member is compared with others.

use super::Router;
use crate::call::Load;
use crate::fleet::load::{MemberLoad, REPORT_MAX_US};
use crate::fleet::outliers::{self, CALLS_MIN, Outlier, SAMPLES_MIN};
use crate::numbers::later;
use std::time::{Duration, Instant};

/// The members that one is compared with, and those looked at for them.
const OTHERS: usize = 8;
const LOOKS_MAX: usize = 32;

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
        let found = failing.map(|number| (number, Outlier::Rate));
        let found = found.chain(slow.map(|number| (number, Outlier::Slow)));
        let mut left_out = Vec::new();
        for (number, why) in found {
            if self.ejected.contains(number) {
                continue;
            }
            let time = self.eject(number, why, now);
            left_out.extend(time.map(|time| (number, why, time)));
        }
        left_out
    }

    /// The same as `eject`, where there is a reason; gives it as well.
    pub(super) fn eject_for(
        &mut self,
        why: Option<Outlier>,
        number: usize,
        now: Instant,
    ) -> Option<(Outlier, Duration)> {
        let why = why?;
        Some((why, self.eject(number, why, now)?))
    }

    /// How many may be left out.
    fn most_ejected(&self) -> usize {
        let share = self.count * usize::from(self.max_ejected_percent) / 100;
        share.min(self.count.saturating_sub(1))
    }

    /// One of so many shards of a member has said what it has to do: whether that is far more than the others have.
    pub(super) fn compare(&mut self, number: usize, load: Load, shards: usize, now: Instant) {
        let mut backlogs = std::mem::take(&mut self.backlogs);
        let calls = load.running.saturating_add(load.queued);
        // What comes goes to its shards in turn.
        let calls = calls.saturating_mul(u32::try_from(shards).unwrap_or(u32::MAX).max(1));
        let us = load.expected_us.min(REPORT_MAX_US) as f32;
        let others_us = || self.middle_of_others(number, |load| load.said_us(now));
        backlogs.says(number, calls, us, now, others_us);
        self.backlogs = backlogs;
    }

    /// The middle one of what `of` gives of some of the others, the lower of two; nothing where there are none that are well.
    pub(super) fn middle_of_others(
        &self,
        number: usize,
        of: impl Fn(&MemberLoad) -> f32,
    ) -> Option<f32> {
        let count = self.members.len();
        let others = (1..count.min(LOOKS_MAX)).map(|step| (number + step) % count);
        let well = others.filter(|other| self.well[*other]);
        let loads = well.filter_map(|other| self.members[other].as_ref());
        let (mut figures, mut found) = ([0.0; OTHERS], 0);
        for (figure, member) in figures.iter_mut().zip(loads) {
            *figure = of(&member.load);
            found += 1;
        }
        let figures = &mut figures[..found];
        figures.sort_unstable_by(f32::total_cmp);
        figures.get(found.saturating_sub(1) / 2).copied()
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
    pub(super) fn eject(&mut self, number: usize, why: Outlier, now: Instant) -> Option<Duration> {
        let most = self.most_ejected();
        let Some(Some(member)) = self.members.get_mut(number) else {
            return None;
        };
        if self.ejected.len() >= most && !member.health.is_ejected() {
            return None;
        }
        self.ejected.set(number, true);
        let time = member.health.eject(why, now);
        let at = later(now, time);
        self.probe_at = Some(self.probe_at.map_or(at, |before| before.min(at)));
        self.note(number);
        Some(time)
    }
}
