//! What is done before a call's deadline, where its target has not answered: a second target is asked as well (`--hedge`), or in
//! the place of the first (`--try-timeout`). Only calls that may run twice, and within the budget of retries.
//!
//! A call's one timer is set to the first of these, and then to the next: most calls end before, and none needs a second timer.

use super::links::Place;
use super::{Due, Pending, Upstreams};
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::fleet::{Attempt, Copied, Ending, Routing};
use madrpc_core::limits::DEADLINE_GRACE;
use madrpc_core::lists::ItemKey;
use madrpc_core::numbers::later;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What is to be done before deadlines.
#[derive(Default)]
pub(super) struct Early {
    /// How long a target may take that has not answered.
    try_timeout: Option<Duration>,
    hedges: bool,
    /// The second targets of calls that two were asked for.
    seconds: HashMap<ItemKey, Second>,
    /// A call of which it is seen how long it takes, and since when it is under way.
    sample: Option<(ItemKey, Instant)>,
    /// How often a second target was asked as well.
    pub(super) hedged: u64,
}

/// Where a call is as well.
#[derive(Clone, Copy)]
struct Second {
    place: Place,
    epoch: u32,
    sequence: u32,
    attempt: Attempt,
}

impl Early {
    pub(super) fn set_routing(&mut self, routing: &Routing) {
        self.hedges = routing.hedge_percent.is_some();
        self.try_timeout = routing.try_timeout;
    }

    /// Whether a call has this target as its second: the number may be given to no other meanwhile.
    pub(super) fn has_second_on(&self, target: usize) -> bool {
        let mut seconds = self.seconds.values();
        seconds.any(|second| second.place.target() == target)
    }

    fn is_off(&self) -> bool {
        self.try_timeout.is_none() && !self.hedges
    }
}

impl<T> Upstreams<T> {
    /// When the timer of a call that was just put on a target is to come first.
    #[inline]
    pub(super) fn first_timer(
        &self,
        attempt: &mut Attempt,
        copy: Copied,
        deadline: Instant,
        now: Instant,
    ) -> Instant {
        match self.early.is_off() || copy == Copied::NONE || !attempt.may_run_twice() {
            true => deadline,
            false => self.next_early(attempt, deadline, now),
        }
    }

    fn next_early(&self, attempt: &mut Attempt, deadline: Instant, now: Instant) -> Instant {
        let hedge = match self.early.hedges {
            true => self.router.hedge_delay(attempt),
            false => None,
        };
        let hedge = hedge.filter(|hedge| self.early.try_timeout.is_none_or(|most| *hedge < most));
        if hedge.is_some() {
            attempt.will_be_hedged();
        }
        let first = hedge.or(self.early.try_timeout);
        first.map_or(deadline, |first| later(now, first).min(deadline))
    }

    /// A call's timer has come; says whether that was before its deadline.
    pub(super) fn is_early(&mut self, key: ItemKey, now: Instant) -> bool {
        if self.early.is_off() {
            return false;
        }
        let Some(pending) = self.calls.get(key).filter(|one| one.copy != Copied::NONE) else {
            return false;
        };
        let (attempt, place, epoch) = (pending.attempt, pending.place, pending.epoch);
        let Some(deadline) = self.retries.deadline(pending.copy) else {
            return false;
        };
        let deadline = later(deadline, DEADLINE_GRACE);
        if now >= deadline {
            return false;
        }
        let mut next = deadline;
        if self.early.hedges && attempt.awaits_hedge() {
            if let Some(pending) = self.calls.get_mut(key) {
                pending.attempt.hedge_is_over();
            }
            if attempt.is_first() {
                self.hedge(key, now);
            }
            // A little late, as it counts from now on: when it was put there is not known any more.
            next = self
                .early
                .try_timeout
                .map_or(deadline, |most| later(now, most));
        } else if let Some(most) = self.early.try_timeout {
            let address = self.targets[place.target()].address();
            let error = format!("{address} did not answer within {} ms", most.as_millis());
            let error = CallError::may_have_run(ErrorKind::Unavailable, error);
            if self.try_instead(key, (place, epoch), &error, now) {
                next = later(now, most);
            }
        }
        let timer = self.timers.insert(next.min(deadline), Due::Deadline(key));
        if let Some(pending) = self.calls.get_mut(key) {
            pending.deadline = timer;
        }
        true
    }

    /// Puts a call on a second target, and leaves it on the first.
    fn hedge(&mut self, key: ItemKey, now: Instant) {
        let Some(&Pending { attempt, copy, .. }) = self.calls.get(key) else {
            return;
        };
        let mut second = attempt;
        if !self.router.may_retry(&mut second, false, now) {
            return;
        }
        let copy = self.retries.copy_out(copy);
        let sent = self.put_copy(key, &copy, &mut second, now);
        self.retries.put_back(copy);
        let Some((place, sequence)) = sent else {
            return self.router.was_not_retried(&attempt);
        };
        self.early.hedged += 1;
        let epoch = self.targets.link(place).epoch;
        self.router.begun(&mut second, place.target());
        if let Some(pending) = self.calls.get_mut(key) {
            pending.attempt.has_second(&second);
        }
        let second = Second {
            place,
            epoch,
            sequence,
            attempt: second,
        };
        self.early.seconds.insert(key, second);
    }

    /// Whether a call is on this link as well.
    pub(super) fn is_on_second(&self, key: ItemKey, place: Place, epoch: u32) -> bool {
        let second = self.early.seconds.get(&key);
        second.is_some_and(|second| (second.place, second.epoch) == (place, epoch))
    }

    /// The second target that a call is on stands for it alone from now on; says whether there was one.
    pub(super) fn go_over(&mut self, key: ItemKey, ending: Ending, now: Instant) -> bool {
        if self.early.seconds.is_empty() {
            return false;
        }
        let Some(second) = self.early.seconds.remove(&key) else {
            return false;
        };
        let link = self.targets.link(second.place);
        let is_there = link.epoch == second.epoch && link.session().is_some();
        let (target, list) = (second.place.target(), link.calls);
        if !is_there {
            self.router.left(&second.attempt, target, None, now);
            self.note_ending(target, &second.attempt, Ending::Neutral, now);
            self.note_lost_node(key, target);
            return false;
        }
        self.calls.move_to(key, list);
        if let Some(pending) = self.calls.get_mut(key) {
            let (from, tried) = (pending.place, pending.attempt);
            pending.place = second.place;
            pending.epoch = second.epoch;
            pending.sequence = second.sequence;
            pending.attempt = second.attempt;
            pending.attempt.stands_for(&tried);
            self.router.left(&tried, from.target(), None, now);
            self.note_ending(from.target(), &tried, ending, now);
        }
        true
    }

    /// The second target of a call has answered first: the first one need not any more.
    pub(super) fn second_was_first(&mut self, key: ItemKey, now: Instant) {
        let first = self.calls.get(key).map(|one| (one.place, one.epoch));
        if self.go_over(key, Ending::Neutral, now)
            && let Some((place, epoch)) = first
        {
            self.tell_gone(place, epoch, key);
        }
    }

    /// A call is over: its second target need not answer any more.
    #[inline]
    pub(super) fn drop_second(&mut self, key: ItemKey, now: Instant) {
        if !self.early.seconds.is_empty() {
            self.end_second(key, Ending::Neutral, now);
        }
    }

    /// The second target of a call will not answer it.
    pub(super) fn end_second(&mut self, key: ItemKey, ending: Ending, now: Instant) {
        if let Some(second) = self.early.seconds.remove(&key) {
            let target = second.place.target();
            self.router.left(&second.attempt, target, None, now);
            self.note_ending(target, &second.attempt, ending, now);
            self.tell_gone(second.place, second.epoch, key);
        }
    }

    /// A call was put on its first target: it may be the next of which it is seen how long it takes.
    #[inline]
    pub(super) fn sample_begun(&mut self, key: ItemKey, attempt: &Attempt, now: Instant) {
        if self.early.hedges && self.early.sample.is_none() && attempt.may_run_twice() {
            self.early.sample = Some((key, now));
        }
    }

    /// A call is over: with a result, or without, where how long it has taken says nothing.
    #[inline]
    pub(super) fn sample_ended(
        &mut self,
        key: ItemKey,
        attempt: &Attempt,
        has_result: bool,
        now: Instant,
    ) {
        if let Some((sampled, since)) = self.early.sample
            && sampled == key
        {
            self.early.sample = None;
            if has_result {
                let took = now.saturating_duration_since(since);
                self.router.note_latency(attempt, took);
            }
        }
    }
}
