//! Servers that say nothing: a process that is stopped, a machine that is gone, a network that loses everything.
//!
//! From one that acknowledges nothing ([`Watch`]) no call gets an answer before its session is given up, seconds later: no
//! further calls are put on it while there are others, and those that may run twice are put on another.

use super::links::{Place, State};
use super::{Due, Upstreams};
use crate::net::endpoint::SessionKey;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::fleet::{Look, Watch};
use madrpc_core::limits::{ENDINGS_PER_TURN, SILENCE, SILENCE_ROUND_TRIPS};
use madrpc_core::lists::ItemKey;
use madrpc_core::numbers::later;
use std::time::{Duration, Instant};

/// How long calls wait for a handshake while another server could take them: the first packets of three round trips around the
/// earth, of which one was lost.
const HANDSHAKE_PATIENCE: Duration = Duration::from_millis(750);

impl<T> Upstreams<T> {
    /// Something was sent on a link.
    #[inline]
    pub(super) fn on_sent(&mut self, place: Place, now: Instant) {
        let link = self.targets.link_mut(place);
        if link.watch.sent(now) {
            let interval = Watch::interval(self.patience(place));
            self.timers
                .insert(later(now, interval), Due::Silence(place));
        }
    }

    /// How long a link's server may say nothing.
    fn patience(&self, place: Place) -> Duration {
        let session = self.targets.link(place).session();
        let round_trip = session.and_then(|session| self.wires.round_trip(session));
        SILENCE + round_trip.unwrap_or_default() * SILENCE_ROUND_TRIPS
    }

    /// Sees whether a link's server has said something since it was last sent something.
    pub(super) fn look_for_silence(&mut self, place: Place, now: Instant) {
        let patience = self.patience(place);
        let link = self.targets.link_mut(place);
        let session = match link.state {
            State::Open(session) | State::Leaving(session) => Some(session),
            State::Connecting(session) => return self.look_at_handshake(place, session, now),
            State::Down { .. } => None,
        };
        let received_at = session.and_then(|session| self.wires.received_at(session));
        let (Some(session), Some(received_at)) = (session, received_at) else {
            link.watch.stop();
            return;
        };
        let owes = self.calls.length(link.calls) > 0;
        let look = link.watch.look(now, received_at, owes, patience);
        if look == Look::Ask {
            self.wires.ping(session);
        }
        if look != Look::Over {
            let interval = Watch::interval(patience);
            self.timers
                .insert(later(now, interval), Due::Silence(place));
        }
        let is_silent = look == Look::Silent;
        self.set_silent(place, is_silent, now);
        if is_silent {
            self.rescue(place, now);
        }
    }

    /// Puts the calls that wait for a handshake on others, where it takes too long and there are any.
    fn look_at_handshake(&mut self, place: Place, session: SessionKey, now: Instant) {
        let link = self.targets.link_mut(place);
        let owes = self.calls.length(link.calls) > 0;
        let Some(waited) = link.watch.look_at_handshake(now, owes) else {
            return;
        };
        let next = now + Watch::interval(HANDSHAKE_PATIENCE);
        self.timers.insert(next, Due::Silence(place));
        if waited < HANDSHAKE_PATIENCE || self.router.open() == 0 {
            return;
        }
        // What waits for the handshake has not been sent, and is not: that is what makes it certain that nothing has run.
        if let Some(outbox) = self.wires.outbox(session) {
            drop(std::mem::take(outbox));
        }
        let error = format!("{}: the handshake takes too long", link.address);
        self.lose_waiting(place, CallError::not_run(ErrorKind::Unavailable, error));
    }

    fn set_silent(&mut self, place: Place, is_silent: bool, now: Instant) {
        if !self.targets.set_silent(place, is_silent, now) {
            return;
        }
        let target = &self.targets[place.target()];
        self.router.set_silent(place.target(), target.is_silent());
        if is_silent {
            self.ask_others(place, now);
        }
    }

    /// A link's server says nothing: the other links of a node are asked, as its process may be gone, or one shard of it busy.
    fn ask_others(&mut self, place: Place, now: Instant) {
        if self.targets[place.target()].is_node {
            self.ask(place.target(), Some(place.link()), now);
        }
    }

    /// Finds out whether the server of a target is there, by its links but one.
    pub(super) fn ask(&mut self, number: usize, but: Option<usize>, now: Instant) {
        let open = self.targets[number].open.all();
        let asked: Vec<usize> = open.filter(|link| Some(*link) != but).collect();
        for link in asked {
            if let Some(session) = self.targets[number].links[link].session() {
                self.wires.ping(session);
                self.on_sent(Place::new(number, link), now);
            }
        }
    }

    /// Whether it is not known yet if a silent link's node says anything on any other.
    fn is_unclear(&self, place: Place) -> bool {
        let target = &self.targets[place.target()];
        if !target.is_node || target.is_silent() {
            return false;
        }
        let Some(asked_at) = target.links[place.link()].watch.asked_at() else {
            return false;
        };
        // What came sooner may be from before it was gone.
        let since = later(asked_at, self.patience(place) / 2);
        let others = target.open.all().filter(|at| *at != place.link());
        let mut sessions = others.filter_map(|at| target.links[at].session());
        !sessions.any(|session| {
            let received_at = self.wires.received_at(session);
            received_at.is_some_and(|received_at| received_at > since)
        })
    }

    /// Puts calls of a silent link on others, a bounded number of those that may run twice, once it is known whether the whole node
    /// is silent: then those stay that a call on the same node has made, as that is put on another.
    fn rescue(&mut self, place: Place, now: Instant) {
        if self.is_unclear(place) {
            return;
        }
        let link = self.targets.link(place);
        let error = format!("{} says nothing", link.address);
        let error = CallError::may_have_run(ErrorKind::Unavailable, error);
        // It may be on another by now.
        let epoch = link.epoch;
        let is_here = |key: &ItemKey| {
            let call = self.calls.get(*key);
            call.is_some_and(|call| (call.place, call.epoch) == (place, epoch))
        };
        let mut next = link.rescued.filter(is_here);
        if next.is_none() {
            next = self.calls.front(link.calls).map(|(key, _)| key);
        }
        for _ in 0..ENDINGS_PER_TURN {
            let Some(key) = next else { break };
            next = self.calls.after(key);
            if !self.is_gone_with_its_caller(key) {
                self.try_instead(key, (place, epoch), &error, now);
            }
        }
        self.targets.link_mut(place).rescued = next;
    }
}
