//! Which of the members that have a function gets a call.

use super::{Attempt, Balance, NoMember, Router, SAMPLE_STEP};
use crate::fleet::health::Worth;
use crate::fleet::load::{MemberLoad, Took};
use crate::fleet::outliers::SLOW;
use crate::fleet::rendezvous::weight;
use crate::numbers::later;
use std::time::{Duration, Instant};

/// How soon another look is made for a member to be tried, where none was found.
pub(super) const PROBE_INTERVAL: Duration = Duration::from_millis(100);

/// Members that may refuse a call of a key, before it goes to whose turn it is.
const REFUSALS_MAX: usize = 8;

impl Router {
    /// The member that a call is put on, and what `usable` makes of it; it is told whether the member's sessions are open, and
    /// gives `None` for one that cannot take the call. Those that the call was put on before are left out. `key` is asked for the
    /// digest of the call's key, where the balance goes by it.
    ///
    /// # Errors
    /// Where there is none.
    #[inline(always)]
    #[expect(
        clippy::inline_always,
        reason = "it is the way of every call, and its caller has the only closure for it"
    )]
    pub fn pick<P>(
        &mut self,
        attempt: &mut Attempt,
        now: Instant,
        key: impl FnOnce() -> Option<u64>,
        mut usable: impl FnMut(usize, bool) -> Option<P>,
    ) -> Result<(usize, P), NoMember> {
        if (self.probe_at.is_some() || self.balance != Balance::RoundRobin)
            && let Some(picked) = self.pick_before_turns(attempt, now, key, &mut usable)
        {
            return Ok(picked);
        }
        let well = &self.well;
        let function = self.functions.get_mut(attempt.function());
        let backlogs = self.backlogs.is_any().then_some(&self.backlogs);
        let mut busy = None;
        let turns = match function {
            Some(function) => {
                busy = function.busy.is_any(now).then_some(&function.busy);
                &mut function.members
            }
            // The only one there is says itself that it does not have it, and knows more.
            None if self.count == 1 || attempt.asks_any() => &mut self.open,
            None => &mut self.wild,
        };
        // Nearly always it is the next one.
        let picked = turns.pick(|number| {
            let is_well = well.get(number).copied().unwrap_or_default();
            let is_busy = busy.is_some_and(|busy| busy.contains(number, now))
                || backlogs.is_some_and(|backlogs| !backlogs.takes(number, now));
            match is_well && !is_busy && !attempt.was_put_on(number) {
                true => usable(number, true),
                false => None,
            }
        });
        match picked {
            Some((number, picked)) => {
                attempt.put_on(number, false);
                if self.backlogs.is_any() {
                    self.backlogs.put_on(number, now);
                }
                Ok((number, picked))
            }
            None => self.pick_other(attempt, now, &mut usable),
        }
    }

    /// The member that gets the call whosever turn it is, if there is one.
    #[inline(never)]
    fn pick_before_turns<P>(
        &mut self,
        attempt: &mut Attempt,
        now: Instant,
        key: impl FnOnce() -> Option<u64>,
        usable: &mut dyn FnMut(usize, bool) -> Option<P>,
    ) -> Option<(usize, P)> {
        if self.probe_at.is_some_and(|at| now >= at)
            && let Some(probed) = self.pick_probe(attempt, now, usable)
        {
            return Some(probed);
        }
        match self.balance {
            Balance::LeastLoaded => self.pick_least_loaded(attempt, now, usable),
            Balance::Hash => self.pick_by_key(attempt, key()?, now, usable),
            Balance::RoundRobin => None,
        }
    }

    /// The member with the greatest weight for this key; where it cannot take the call, the next.
    fn pick_by_key<P>(
        &mut self,
        attempt: &mut Attempt,
        key: u64,
        now: Instant,
        usable: &mut dyn FnMut(usize, bool) -> Option<P>,
    ) -> Option<(usize, P)> {
        let function = self.functions.get(attempt.function())?;
        let mut refused = None;
        for _ in 0..REFUSALS_MAX {
            let all = function.members.all().filter_map(|number| {
                let member = self.members.get(number)?.as_ref()?;
                let is_well = self.well.get(number).copied().unwrap_or_default();
                let is_busy = function.busy.contains(number, now);
                let is_candidate = is_well && !is_busy && !attempt.was_put_on(number);
                is_candidate.then(|| (weight(key, member.digest), number))
            });
            let left = all.filter(|member| refused.is_none_or(|refused| *member < refused));
            let (weight, number) = left.max()?;
            if let Some(picked) = usable(number, true) {
                attempt.put_on(number, false);
                return Some((number, picked));
            }
            refused = Some((weight, number));
        }
        None
    }

    /// The member that is expected to be through with the call first.
    fn pick_least_loaded<P>(
        &mut self,
        attempt: &mut Attempt,
        now: Instant,
        usable: &mut dyn FnMut(usize, bool) -> Option<P>,
    ) -> Option<(usize, P)> {
        let function = self.functions.get_mut(attempt.function())?;
        let (units, others) = (function.cost.units(), self.others_us);
        let number = function.members.least(|number| {
            let member = self.members.get(number)?.as_ref()?;
            let is_well = self.well.get(number).copied().unwrap_or_default();
            let is_busy = function.busy.contains(number, now);
            let is_candidate = is_well && !is_busy && !attempt.was_put_on(number);
            is_candidate.then(|| {
                member.load.score(units, others, now) * function.errors.factor(number, now)
            })
        })?;
        let picked = usable(number, true)?;
        attempt.put_on(number, false);
        Some((number, picked))
    }

    /// A call was put on the member that was picked for it.
    #[inline]
    pub fn begun(&mut self, attempt: &mut Attempt, number: usize) {
        let function = self.functions.get(attempt.function());
        let is_idempotent = function.is_some_and(|function| function.is_idempotent(number));
        attempt.set_idempotent(is_idempotent);
        self.sample = self.sample.wrapping_add(SAMPLE_STEP);
        attempt.is_counted = false;
        if self.sample <= self.sample_max
            && let Some(function) = function
            && let Some(Some(member)) = self.members.get_mut(number)
        {
            attempt.units = function.cost.units();
            attempt.is_counted = true;
            member.load.begin(attempt.units);
        }
    }

    /// A call that has begun on a member is not there any more. `took` is what it took there by its bill, where it has one.
    #[inline]
    pub fn left(&mut self, attempt: &Attempt, number: usize, took: Option<Took>, now: Instant) {
        if !attempt.is_counted {
            return;
        }
        if attempt.is_probe {
            self.judge_pace(attempt, number, took);
        }
        let Some(Some(member)) = self.members.get_mut(number) else {
            return;
        };
        member.load.end(attempt.units);
        if let Some(took) = took
            && let Some(function) = self.functions.get_mut(attempt.function())
        {
            member.load.took(took, function.cost, now);
            function.cost.note(took);
            function.errors.note(number, false, now);
        }
    }

    /// A call that tries a member has taken so long there: whether that is far more than it takes the others now. What it takes in
    /// the fleet is no measure: the slow member's calls are part of that for a while.
    #[cold]
    fn judge_pace(&mut self, attempt: &Attempt, number: usize, took: Option<Took>) {
        let function = self.functions.get(attempt.function());
        let (Some(function), Some(took)) = (function, took) else {
            return;
        };
        let usual = self.middle_of_others(number, MemberLoad::pace);
        let is_slow = function.cost.pace(took) >= usual.unwrap_or(1.0) * SLOW / 2.0;
        if let Some(Some(member)) = self.members.get_mut(number)
            && !is_slow
        {
            member.health.is_not_slow();
        }
    }

    /// A member that was left out, and whose time for that is over: one call sees whether it works.
    #[cold]
    fn pick_probe<P>(
        &mut self,
        attempt: &mut Attempt,
        now: Instant,
        usable: &mut dyn FnMut(usize, bool) -> Option<P>,
    ) -> Option<(usize, P)> {
        // Not at each call, where it is not to be had.
        self.probe_at = (!self.ejected.is_empty()).then(|| later(now, PROBE_INTERVAL));
        let (members, functions) = (&self.members, &self.functions);
        let function = functions.get(attempt.function());
        let picked = self.ejected.pick(|number| {
            let member = members.get(number)?.as_ref()?;
            let has = match function {
                Some(function) => function.members.contains(number),
                None => member.functions.is_none(),
            };
            let is_due = member.is_open && member.health.worth(now) == Worth::Probe;
            match has && is_due && !attempt.was_put_on(number) {
                true => usable(number, true),
                false => None,
            }
        });
        let (number, _) = picked.as_ref()?;
        attempt.put_on(*number, true);
        // It is looked at in any case.
        self.sample = 0_u32.wrapping_sub(SAMPLE_STEP);
        if let Some(Some(member)) = self.members.get_mut(*number) {
            member.health.probe(now);
        }
        picked
    }

    /// The same, where none of those that are well can take it.
    #[cold]
    fn pick_other<P>(
        &mut self,
        attempt: &mut Attempt,
        now: Instant,
        usable: &mut dyn FnMut(usize, bool) -> Option<P>,
    ) -> Result<(usize, P), NoMember> {
        let Self {
            members,
            functions,
            open,
            connecting,
            wild,
            ..
        } = self;
        // Whom else could be asked has no say in it.
        let is_only = self.count == 1 || attempt.asks_any();
        let (mut is_probe, mut is_any_well) = (false, false);
        let function = functions.get_mut(attempt.function());
        let is_known = function.is_some();
        // Where all are, one of them may have less to do than it thought; but who was refused is not to ask again.
        let mut busy = None;
        let turns = match function {
            Some(function) => {
                let is_retry = attempt.number() > 0;
                busy = (is_retry && function.busy.is_any(now)).then_some(&function.busy);
                &mut function.members
            }
            None if is_only => &mut *open,
            None => &mut *wild,
        };
        // Those that work come first; where there is none, one that does not seem to is better than none.
        for asks_health in [true, false] {
            if !asks_health && is_any_well {
                break;
            }
            let picked = turns.pick(|number| {
                let member = members.get(number)?.as_ref()?;
                let is_busy = busy.is_some_and(|busy| busy.contains(number, now));
                if !member.is_open || is_busy || attempt.was_put_on(number) {
                    return None;
                }
                let worth = member.health.worth(now);
                if asks_health && worth == Worth::None {
                    return None;
                }
                is_any_well = true;
                let picked = usable(number, true)?;
                // Where there is no other left, what becomes of it counts.
                let is_forced = !asks_health && member.health.is_ejected();
                is_probe = worth == Worth::Probe || is_forced;
                Some(picked)
            });
            if let Some((number, picked)) = picked {
                attempt.put_on(number, is_probe);
                if is_probe && let Some(Some(member)) = self.members.get_mut(number) {
                    member.health.probe(now);
                    self.sample = 0_u32.wrapping_sub(SAMPLE_STEP);
                }
                return Ok((number, picked));
            }
        }
        // Nobody knows yet whether they will get through, nor what they have by now.
        let picked = connecting.pick(|number| {
            let member = members.get(number)?.as_ref()?;
            let may_have = member.functions.is_none() || is_known || is_only;
            match may_have && !attempt.was_put_on(number) {
                true => usable(number, false),
                false => None,
            }
        });
        if let Some((number, picked)) = picked {
            attempt.put_on(number, false);
            return Ok((number, picked));
        }
        let may_be_there = is_known || is_only || open.is_empty();
        Err(
            match may_be_there || !wild.is_empty() || !connecting.is_empty() {
                true => NoMember::Unavailable,
                false => NoMember::NoSuchFunction,
            },
        )
    }
}
