//! Servers that say nothing: a process that is stopped, a machine that is gone, a network that loses everything.
//!
//! Whoever is sent something acknowledges it at once, whatever it has to do. From one that has not for a while no call gets an
//! answer before its session is given up, seconds later: no further calls are put on it while there are others, and those that
//! may run twice are put on another.

use super::links::{Place, State};
use super::{Due, Upstreams};
use crate::net::endpoint::SessionKey;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::limits::{ENDINGS_PER_TURN, SILENCE, SILENCE_ROUND_TRIPS};
use std::time::{Duration, Instant};
use tracing::{debug, info, warn};

/// Looks in the time that a server may say nothing.
const LOOKS: u32 = 4;

/// How long calls wait for a handshake while another server could take them: the first packets of three round trips around the
/// earth, of which one was lost.
const HANDSHAKE_PATIENCE: Duration = Duration::from_millis(750);

/// How often that time passes before a server is asked which owes nothing but results: with the time itself, half a second.
const PINGED_AFTER: u32 = 4;

impl<T> Upstreams<T> {
    /// Something was sent on a link.
    #[inline]
    pub(super) fn on_sent(&mut self, place: Place, now: Instant) {
        let link = &mut self.targets[place.target()].links[place.link()];
        link.sent_at = Some(now);
        if !link.is_watched {
            link.is_watched = true;
            let patience = self.patience(place);
            self.timers
                .insert(now + patience / LOOKS, Due::Silence(place));
        }
    }

    /// How long a link's server may say nothing.
    fn patience(&self, place: Place) -> Duration {
        let session = self.targets[place.target()].links[place.link()].session();
        let round_trip = session.and_then(|session| self.wires.round_trip(session));
        SILENCE + round_trip.unwrap_or_default() * SILENCE_ROUND_TRIPS
    }

    /// Sees whether a link's server has said something since it was last sent something.
    pub(super) fn look_for_silence(&mut self, place: Place, now: Instant) {
        let patience = self.patience(place);
        let link = &mut self.targets[place.target()].links[place.link()];
        let session = match link.state {
            State::Open(session) | State::Leaving(session) => Some(session),
            State::Connecting(session) => return self.look_at_handshake(place, session, now),
            State::Down { .. } => None,
        };
        let received_at = session.and_then(|session| self.wires.received_at(session));
        let (Some(session), Some(received_at)) = (session, received_at) else {
            link.is_watched = false;
            return;
        };
        let since = |at: Instant| now.saturating_duration_since(at);
        let mut is_silent = false;
        if link.sent_at.is_some_and(|sent_at| sent_at > received_at) {
            // The first that it has not answered was sent between the last look and this one, or before.
            let asked_at = link.asked_at.filter(|asked_at| *asked_at > received_at);
            let asked_at = *link.asked_at.insert(asked_at.unwrap_or(now));
            is_silent = since(asked_at) >= patience;
        } else if self.calls.length(link.calls) == 0 {
            link.is_watched = false;
        } else if since(received_at) >= patience * PINGED_AFTER {
            // It owes nothing but results, which may take as long as they like: it is asked whether it is there.
            self.wires.ping(session);
            link.sent_at = Some(now);
        }
        if link.is_watched {
            self.timers
                .insert(now + patience / LOOKS, Due::Silence(place));
        }
        self.set_silent(place, is_silent);
        if is_silent {
            self.rescue(place, now);
        }
    }

    /// Puts the calls that wait for a handshake on others, where it takes too long and there are any.
    fn look_at_handshake(&mut self, place: Place, session: SessionKey, now: Instant) {
        let link = &mut self.targets[place.target()].links[place.link()];
        let asked_at = *link.asked_at.get_or_insert(now);
        link.is_watched = self.calls.length(link.calls) > 0;
        if !link.is_watched {
            link.asked_at = None;
            return;
        }
        self.timers
            .insert(now + HANDSHAKE_PATIENCE / LOOKS, Due::Silence(place));
        let is_late = now.saturating_duration_since(asked_at) >= HANDSHAKE_PATIENCE;
        if !is_late || self.router.open() == 0 {
            return;
        }
        // What waits for the handshake has not been sent, and is not: that is what makes it certain that nothing has run.
        if let Some(outbox) = self.wires.outbox(session) {
            drop(std::mem::take(outbox));
        }
        let error = format!("{}: the handshake takes too long", link.address);
        self.lose_waiting(place, CallError::not_run(ErrorKind::Unavailable, error));
    }

    fn set_silent(&mut self, place: Place, is_silent: bool) {
        let target = &mut self.targets[place.target()];
        if !target.set_silent(place.link(), is_silent) {
            return;
        }
        let address = target.links[place.link()].address;
        match is_silent {
            // Whoever has only one hears it from his calls.
            _ if self.there == 1 => debug!("{address}: says nothing: {is_silent}"),
            true => warn!("{address} says nothing; calls go to others meanwhile"),
            false => info!("{address} answers again"),
        }
        target.note_condition();
        self.router.set_silent(place.target(), target.is_silent());
    }

    /// Puts calls of a silent link on others, a bounded number of those that may run twice.
    fn rescue(&mut self, place: Place, now: Instant) {
        let link = &self.targets[place.target()].links[place.link()];
        let error = format!("{} says nothing", link.address);
        let error = CallError::may_have_run(ErrorKind::Unavailable, error);
        let mut next = link.rescued.filter(|key| self.calls.get(*key).is_some());
        if next.is_none() {
            next = self.calls.front(link.calls).map(|(key, _)| key);
        }
        for _ in 0..ENDINGS_PER_TURN {
            let Some(key) = next else { break };
            next = self.calls.after(key);
            let epoch = self.targets[place.target()].links[place.link()].epoch;
            if self.try_again(key, &error, now) {
                self.tell_gone(place, epoch, key);
            }
        }
        self.targets[place.target()].links[place.link()].rescued = next;
    }
}
