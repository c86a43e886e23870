//! Calls that are put on another target, as the one that they were put on has not ended them.
//!
//! A call keeps its number, its deadline and its place among those who wait; only the session it is on changes. What a session
//! that it is not on any more says of it counts for nothing.

use super::links::Place;
use super::request::Request;
use super::{Due, Pending, TIME_BYTES, Upstreams};
use madrpc_core::call::frame::{self, Header};
use madrpc_core::call::{Body, CallError, CallFields, Fields};
use madrpc_core::fleet::{Attempt, Copied, Ending, Outlier, RUNS_MAX, SWEEP_INTERVAL, Took};
use madrpc_core::limits::FIELDS_MAX_BYTES;
use madrpc_core::lists::ItemKey;
use madrpc_core::numbers::later;
use std::time::{Duration, Instant};
use tracing::warn;

impl<T> Upstreams<T> {
    pub(super) fn note_ending(
        &mut self,
        target: usize,
        attempt: &Attempt,
        ending: Ending,
        now: Instant,
    ) {
        if let Some((why, time)) = self.router.ended(attempt, target, ending, now) {
            self.tell_left_out(target, why, time, now);
        }
    }

    fn tell_left_out(&mut self, target: usize, why: Outlier, time: Duration, now: Instant) {
        self.tries.ejections += 1;
        if !self.lines.take(now) {
            return;
        }
        warn!(
            "{} {}; it gets none for {} s",
            self.targets[target].name(),
            why.what(),
            time.as_secs()
        );
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
        self.copies.drop(pending.copy);
        self.large.drop(key);
        self.left.drop(key);
        let target = pending.place.target();
        self.router.left(&pending.attempt, target, took, now);
        self.note_ending(target, &pending.attempt, ending, now);
    }

    /// Compares the targets with each other: those far from the others get no calls for a while.
    pub(super) fn sweep(&mut self, now: Instant) {
        for (target, why, time) in self.router.sweep(now) {
            self.tell_left_out(target, why, time, now);
        }
        if let Some(count) = self.lines.take_untold(now) {
            warn!("{count} more such lines about other servers (`madrpc nodes` tells how each is)");
        }
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
        let copied = self.copies.get(pending.copy);
        let copied = copied.split_first_chunk::<TIME_BYTES>();
        let frame = copied.map(|(_, frame)| frame::read(frame, usize::MAX));
        match frame {
            Some(Ok(Some((frame, _)))) => frame.fields.above().contains(instance),
            _ => false,
        }
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
        // Out of the block of copies, as the session is written to meanwhile.
        let mut bytes = std::mem::take(&mut self.retried);
        bytes.clear();
        bytes.extend_from_slice(self.copies.get(copy));
        let is_sent = self.send_copy(key, &bytes, &mut next, ending, now);
        self.retried = bytes;
        match is_sent {
            true => self.tries.retries += 1,
            false => self.router.was_not_retried(&attempt),
        }
        is_sent
    }

    /// Puts a copy of a call on the next target, under the same number; gives where it is, and which of the small calls there.
    pub(super) fn put_copy(
        &mut self,
        key: ItemKey,
        bytes: &[u8],
        attempt: &mut Attempt,
        now: Instant,
    ) -> Option<(Place, u32)> {
        let (deadline_us, frame) = bytes.split_first_chunk::<TIME_BYTES>()?;
        let deadline_us = u64::from_le_bytes(*deadline_us);
        let deadline = later(self.started, Duration::from_micros(deadline_us));
        let Ok(Some((frame, _))) = frame::read(frame, usize::MAX) else {
            return None;
        };
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
        let large = self.large.get(key);
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
        bytes: &[u8],
        attempt: &mut Attempt,
        ending: Ending,
        now: Instant,
    ) -> bool {
        let Some((place, sequence)) = self.put_copy(key, bytes, attempt, now) else {
            return false;
        };
        let link = &self.targets[place.target()].links[place.link()];
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
