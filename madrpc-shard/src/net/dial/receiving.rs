//! What the servers say: outcomes of calls, and what is known of the servers by it.

use super::request::{Outcome, answered};
use super::{Pending, Place, Upstreams};
use crate::net::endpoint::SessionKey;
use madrpc_core::call::frame::{Frame, Header};
use madrpc_core::call::{ErrorKind, Load};
use madrpc_core::fleet::Copied;
use madrpc_core::lists::ItemKey;
use madrpc_core::session::Event;
use std::time::Instant;

impl<T> Upstreams<T> {
    /// A frame of [`Upstreams::next_frame`]; gives the outcome of a call, and the number of its target, where it is that.
    #[inline]
    pub(crate) fn on_frame<'b>(
        &mut self,
        session: SessionKey,
        event: &Event<'b>,
        now: Instant,
    ) -> Option<(T, usize, Outcome<'b>)> {
        // Nearly none says more than its header.
        let told = match event {
            Event::Frame(frame) if !frame.fields.is_empty() => self.load_told(session, frame),
            _ => None,
        };
        let outcome = self.outcome_of(session, event, now);
        // What it answers is not under way there any more.
        if let Some((place, load)) = told {
            self.learn_load(place, load, now);
        }
        outcome
    }

    /// What the shard at the other end of a link has to do, where it says so with the outcome of a call that is on it, or with
    /// what it has taken in.
    #[cold]
    fn load_told(&self, session: SessionKey, frame: &Frame<'_>) -> Option<(Place, Load)> {
        let place = self.wires.place(session)?;
        let load = frame.fields.of_reply().load?;
        let is_said = match (frame.header, answered(&frame.header)) {
            (Header::Taken { .. }, _) => true,
            (_, Some(call)) => self.is_on(ItemKey::from_number(call), place)?,
            (_, None) => false,
        };
        is_said.then_some((place, load))
    }

    #[cold]
    fn learn_load(&mut self, place: Place, load: Load, now: Instant) {
        let target = &mut self.targets[place.target()];
        target.links[place.link()].load = Some((load, now));
        let shards = target.open.len();
        self.router.set_load(place.target(), shards, load, now);
    }

    /// Whether a call is on this link, as the first of those that were asked or as the second; `None` where it is over.
    fn is_on(&self, key: ItemKey, place: Place) -> Option<bool> {
        let pending = self.calls.get(key)?;
        let epoch = self.targets.link(place).epoch;
        let is_first = (pending.place, pending.epoch) == (place, epoch);
        Some(is_first || self.is_on_second(key, place, epoch))
    }

    fn outcome_of<'b>(
        &mut self,
        session: SessionKey,
        event: &Event<'b>,
        now: Instant,
    ) -> Option<(T, usize, Outcome<'b>)> {
        let (id, mut outcome) = match *event {
            Event::Frame(Frame {
                header,
                fields,
                body,
            }) => match header {
                Header::Reply { id, bill } => (id, Outcome::Reply { bill, body }),
                Header::Failure { id, kind, bill } => {
                    let failure = Outcome::Failure {
                        kind,
                        bill,
                        fields,
                        body,
                    };
                    (id, failure)
                }
                Header::GoAway { taken } => {
                    self.leave(session, taken);
                    return None;
                }
                Header::Welcome { shards, instance } => {
                    self.learn(session, shards, now);
                    if let Some(place) = self.wires.place(session) {
                        self.targets[place.target()].instance = Some(instance);
                        self.identify(place.target(), session);
                    }
                    return None;
                }
                Header::Functions { script } => {
                    self.learn_functions(session, script, &body, now);
                    return None;
                }
                Header::Draining { is_draining } => {
                    if let Some(place) = self.wires.place(session) {
                        self.targets[place.target()].set_draining(place.link(), is_draining);
                        self.note(place.target());
                    }
                    return None;
                }
                Header::Taken { frames } => {
                    if let Some(place) = self.wires.place(session) {
                        let link = self.targets.link_mut(place);
                        self.crowding.on_taken(&mut link.on_their_way, frames, now);
                    }
                    return None;
                }
                Header::Item { id, .. } => {
                    self.on_item(session, id, now);
                    return None;
                }
                // Those are a caller's, and we are the caller here.
                Header::Call { .. }
                | Header::Cancel { .. }
                | Header::Credit { .. }
                | Header::Unknown => return None,
            },
            Event::TooLarge { header, bytes } => (answered(&header)?, Outcome::too_large(bytes)),
            Event::NoRoom { header, bytes } => (answered(&header)?, Outcome::no_room(bytes)),
            Event::Stalled { header } => (answered(&header)?, Outcome::stalled()),
            Event::Broken(_) => return None,
        };
        let key = ItemKey::from_number(id);
        // A peer may answer what it was asked, and nobody else's calls.
        let place = self.wires.place(session)?;
        let target = &self.targets[place.target()];
        let epoch = target.links[place.link()].epoch;
        if target.is_node {
            outcome.is_of_node();
        }
        let is_its = |pending: &Pending<T>| (pending.place, pending.epoch) == (place, epoch);
        if !is_its(self.calls.get(key)?) {
            if !self.is_on_second(key, place, epoch) {
                return None;
            }
            // What one of two cannot take, the other has.
            if outcome.passing_error().is_some() {
                self.end_second(key, outcome.ending(), now);
                return None;
            }
            self.second_was_first(key, now);
        }
        let pending = self.calls.get(key)?;
        if pending.copy != Copied::NONE
            && let Some(error) = outcome.passing_error()
            && !error.of_caller
        {
            if let Some(after) = error.retry_after {
                let attempt = pending.attempt;
                self.router.set_busy(&attempt, place.target(), after, now);
            }
            if self.try_again(key, &error, outcome.ending(), now) {
                return None;
            }
        }
        let attempt = self.calls.get(key)?.attempt;
        if attempt.may_have_run() {
            let nodes_lost = self.nodes_lost(key, &attempt);
            let pending = self.take(key, outcome.ending(), outcome.took(), now)?;
            let outcome = outcome.of_one_that_may_have_run(nodes_lost);
            return Some((pending.tag, pending.place.target(), outcome));
        }
        let pending = self.take(key, outcome.ending(), outcome.took(), now)?;
        let target = pending.place.target();
        let is_missing = outcome.error_kind() == Some(ErrorKind::NoSuchFunction);
        if is_missing && self.router.others_have(&pending.attempt, target) {
            let address = self.targets[target].address();
            return Some((pending.tag, target, Outcome::not_there_any_more(address)));
        }
        Some((pending.tag, target, outcome))
    }
}
