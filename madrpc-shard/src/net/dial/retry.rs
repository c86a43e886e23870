//! Calls that are put on another target, as the one that they were put on has not ended them.
//!
//! A call keeps its number, its deadline and its place among those who wait; only the session it is on changes. What a session
//! that it is not on any more says of it counts for nothing.

use super::large::LargeBodies;
use super::left::Left;
use super::links::Place;
use super::request::Request;
use super::{Due, Pending, Upstreams};
use crate::net::budget::Budget;
use madrpc_core::call::frame::{self, Frame, Header};
use madrpc_core::call::{Body, CallError, CallFields, Fields};
use madrpc_core::fleet::{Attempt, Copied, Copies, Ending, RUNS_MAX, SWEEP_INTERVAL, Took};
use madrpc_core::limits::{COPIES_MAX_BYTES, FIELDS_MAX_BYTES};
use madrpc_core::lists::ItemKey;
use madrpc_core::numbers::later;
use std::time::{Duration, Instant};

/// Bytes of the deadline that a copy of a call begins with.
const TIME_BYTES: usize = size_of::<u64>();

/// What it takes to send calls again.
pub(super) struct Retries {
    /// Of small calls whole, of large ones without their arguments.
    copies: Copies,
    large: LargeBodies,
    pub(super) left: Left,
    /// The copy that is sent again.
    copy: Vec<u8>,
    /// What the times in copies count from.
    pub(super) started: Instant,
    /// How often a call was put on another target.
    pub(super) count: u64,
}

impl Retries {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            copies: Copies::default(),
            large: LargeBodies::default(),
            left: Left::default(),
            copy: Vec::new(),
            started: now,
            count: 0,
        }
    }

    /// Whether there is room for a further copy; calls beyond it are sent once.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.copies.held_bytes() <= COPIES_MAX_BYTES
    }

    /// Copies the frame of a small call.
    #[inline]
    pub(super) fn copy_small(&mut self, deadline: Instant, frame: &[u8]) -> Copied {
        self.copies.add(self.time(deadline), frame)
    }

    /// Keeps the arguments of a large call, where there is room for them, and its frame without them.
    pub(super) fn copy_large(
        &mut self,
        key: ItemKey,
        header: &Header<'_>,
        request: &Request<'_>,
        budget: &Budget,
    ) -> Copied {
        if !self.large.keep(key, request.body, budget) {
            return Copied::NONE;
        }
        let mut head = Vec::new();
        frame::write_head(&mut head, header, request.fields, 0);
        self.copies.add(self.time(request.deadline), &head)
    }

    #[inline]
    fn time(&self, deadline: Instant) -> [u8; TIME_BYTES] {
        let until = deadline.saturating_duration_since(self.started);
        (until.as_micros() as u64).to_le_bytes()
    }

    /// The deadline and the frame of a copy.
    fn read<'a>(&self, copy: &'a [u8]) -> Option<(Instant, Frame<'a>)> {
        let (_, frame) = copy.split_first_chunk::<TIME_BYTES>()?;
        match frame::read(frame, usize::MAX) {
            Ok(Some((frame, _))) => Some((self.time_in(copy)?, frame)),
            _ => None,
        }
    }

    fn time_in(&self, copy: &[u8]) -> Option<Instant> {
        let us = u64::from_le_bytes(*copy.first_chunk::<TIME_BYTES>()?);
        Some(later(self.started, Duration::from_micros(us)))
    }

    /// The deadline that a copied call was sent with.
    pub(super) fn deadline(&self, copied: Copied) -> Option<Instant> {
        self.time_in(self.copies.get(copied))
    }

    /// Takes a copy out of its block, as the session is written to while it is sent; to be put back then.
    pub(super) fn copy_out(&mut self, copied: Copied) -> Vec<u8> {
        let mut copy = std::mem::take(&mut self.copy);
        copy.clear();
        copy.extend_from_slice(self.copies.get(copied));
        copy
    }

    /// Keeps the memory for the next.
    pub(super) fn put_back(&mut self, copy: Vec<u8>) {
        self.copy = copy;
    }

    /// A call stays where it is from now on.
    pub(super) fn drop_copy(&mut self, copied: Copied) {
        self.copies.drop(copied);
    }

    /// A call is over.
    #[inline]
    pub(super) fn forget(&mut self, key: ItemKey, copied: Copied) {
        self.copies.drop(copied);
        self.large.drop(key);
        self.left.drop(key);
    }

    /// Each turn: gives large arguments up, where the budget needs the room.
    #[inline]
    pub(super) fn make_room(&mut self, budget: &Budget) {
        self.large.make_room(budget);
    }
}

impl<T> Upstreams<T> {
    pub(super) fn note_ending(
        &mut self,
        target: usize,
        attempt: &Attempt,
        ending: Ending,
        now: Instant,
    ) {
        if let Some((why, time)) = self.router.ended(attempt, target, ending, now) {
            self.targets.tell_left_out(target, why, time, now);
        }
    }

    /// A call has ended so on its target, and is not tried again.
    pub(super) fn forget(
        &mut self,
        key: ItemKey,
        pending: &Pending<T>,
        ending: Ending,
        took: Option<Took>,
        now: Instant,
    ) {
        self.retries.forget(key, pending.copy);
        let target = pending.place.target();
        self.router.left(&pending.attempt, target, took, now);
        self.note_ending(target, &pending.attempt, ending, now);
    }

    /// Compares the targets with each other: those far from the others get no calls for a while.
    pub(super) fn sweep(&mut self, now: Instant) {
        for (target, why, time) in self.router.sweep(now) {
            self.targets.tell_left_out(target, why, time, now);
        }
        self.targets.tell_untold(now);
        self.timers.insert(now + SWEEP_INTERVAL, Due::Sweep);
    }

    /// Whether a call was on a node that is gone, and that a call above it was on as well: whoever has made it is gone with that
    /// node, and is made again in its place. A node is not gone while another of its shards has a session and says something.
    pub(super) fn is_gone_with_its_caller(&self, key: ItemKey) -> bool {
        let Some(pending) = self.calls.get(key).filter(|one| one.copy != Copied::NONE) else {
            return false;
        };
        let target = &self.targets[pending.place.target()];
        let is_gone = target.open.is_empty() || target.is_silent();
        let Some(instance) = target.instance.filter(|_| is_gone) else {
            return false;
        };
        let copy = self.retries.copies.get(pending.copy);
        let read = self.retries.read(copy);
        read.is_some_and(|(_, frame)| frame.fields.above().contains(instance))
    }

    /// Puts a call on another target, where it has failed for this reason, which tells so much of the target that it was on, and
    /// may have another try; says whether it was. One that was lost together with its caller has none.
    pub(super) fn try_again(
        &mut self,
        key: ItemKey,
        error: &CallError,
        ending: Ending,
        now: Instant,
    ) -> bool {
        let is_orphan = error.may_have_run && self.is_gone_with_its_caller(key);
        !is_orphan && self.try_another(key, error, ending, now)
    }

    /// The same, where its target may be well for all that is known.
    pub(super) fn try_another(
        &mut self,
        key: ItemKey,
        error: &CallError,
        ending: Ending,
        now: Instant,
    ) -> bool {
        let Some(&Pending {
            attempt,
            copy,
            place,
            ..
        }) = self.calls.get(key)
        else {
            return false;
        };
        if let Some(tried) = self.tries_of(key) {
            tried.ended(place.target(), Some(error.kind), now);
        }
        // It is on another already.
        if self.go_over(key, ending, now) {
            return true;
        }
        let has_not_run = !error.may_have_run;
        let mut next = attempt;
        next.has_lost(error.nodes_lost);
        if copy == Copied::NONE
            || error.nodes_lost >= RUNS_MAX
            || !self.router.may_retry(&mut next, has_not_run, now)
        {
            return false;
        }
        let copy = self.retries.copy_out(copy);
        let is_sent = self.send_copy(key, &copy, &mut next, ending, now);
        self.retries.put_back(copy);
        match is_sent {
            true => self.retries.count += 1,
            false => self.router.was_not_retried(&attempt),
        }
        is_sent
    }

    /// Puts a copy of a call on the next target, under the same number; gives where it is, and which of the small calls there.
    pub(super) fn put_copy(
        &mut self,
        key: ItemKey,
        copy: &[u8],
        attempt: &mut Attempt,
        now: Instant,
    ) -> Option<(Place, u32)> {
        let (deadline, frame) = self.retries.read(copy)?;
        let Header::Call {
            function,
            depth,
            account,
            ..
        } = frame.header
        else {
            return None;
        };
        if now >= deadline {
            return None;
        }
        let large = self.retries.large.get(key);
        // Its arguments have been given up: this is only their head.
        if large.is_none() && self.calls.get(key)?.sequence == 0 {
            return None;
        }
        attempt.set_function(self.router.find(function));
        // Of a field that is there twice the first counts.
        let mut fields = Vec::new();
        let number = CallFields {
            attempt: attempt.number(),
            nodes_lost: self.nodes_lost(key, attempt),
            ..CallFields::default()
        };
        number.write(&mut fields);
        fields.extend_from_slice(frame.fields.0);
        if let Some(tried) = self.tries_of(key)
            && let Some(said) = tried.say(Fields(&fields))
        {
            fields = said;
        }
        let mut fields = Fields(&fields);
        if fields.0.len() > FIELDS_MAX_BYTES {
            fields = frame.fields;
        }
        let request = Request {
            function,
            body: large.as_ref().map_or(frame.body, Body::from),
            deadline,
            depth,
            account,
            fields,
        };
        let left = self.calls.get(key)?.place.target();
        let left = self.targets[left].instance;
        let to = self.pick(attempt, now, &request, left).ok()?;
        let (place, _) = to;
        let Ok((sequence, _)) = self.put_on_session(now, to, key, &request, false) else {
            self.note_ending(place.target(), attempt, Ending::Neutral, now);
            return None;
        };
        self.trace_try(key, place.target(), now);
        Some((place, sequence))
    }

    fn send_copy(
        &mut self,
        key: ItemKey,
        copy: &[u8],
        attempt: &mut Attempt,
        ending: Ending,
        now: Instant,
    ) -> bool {
        let Some((place, sequence)) = self.put_copy(key, copy, attempt, now) else {
            return false;
        };
        let link = self.targets.link(place);
        self.calls.move_to(key, link.calls);
        if let Some(pending) = self.calls.get_mut(key) {
            let (from, tried) = (pending.place, pending.attempt);
            pending.place = place;
            pending.epoch = link.epoch;
            pending.sequence = sequence;
            self.router.left(&tried, from.target(), None, now);
            self.router.begun(attempt, place.target());
            pending.attempt = *attempt;
            self.note_ending(from.target(), &tried, ending, now);
        }
        true
    }
}
