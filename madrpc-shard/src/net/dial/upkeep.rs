//! The upkeep of sessions: which there are to be, how they are opened and kept, and what becomes of the calls of those that
//! are lost.

use super::links::{Keep, Place, State};
use super::{Due, Lost, Upstreams};
use crate::net::endpoint::{Ended, SessionKey};
use madrpc_core::call::{Announcement, CallError, ErrorKind};
use madrpc_core::fleet::was_sent_after;
use madrpc_core::limits::{CLIENT_IDLE_MAX, KEEP_ALIVE};
use madrpc_core::lists::ListKey;
use madrpc_core::numbers::later;
use std::time::{Duration, Instant};

/// Calls that are taken back at once from a server that is stopping: more than are on their way to one.
const LATE_MAX: usize = 4096;

impl<T> Upstreams<T> {
    /// The server of this session takes no new calls, and has taken so many of the small ones: those after that will not be run
    /// there, and are put on others.
    pub(super) fn leave(&mut self, session: SessionKey, taken: u64) {
        let Some(place) = self.wires.place(session) else {
            return;
        };
        self.enter(place, State::Leaving(session));
        let link = self.targets.link_mut(place);
        if link.taken.replace(taken).is_some() {
            return;
        }
        let (calls, address) = (link.calls, link.address);
        let late = self.calls.add_list();
        // In the order in which they were sent, the last first. Those beyond so many are refused by the server.
        let mut next = self.calls.back(calls);
        for _ in 0..LATE_MAX {
            let Some((key, pending)) =
                next.filter(|(_, call)| was_sent_after(call.sequence, taken))
            else {
                break;
            };
            debug_assert!(pending.place == place);
            self.calls.move_to(key, late);
            next = self.calls.back(calls);
        }
        self.lost.push_back(Lost {
            calls: late,
            target: place.target(),
            why: CallError::not_run(ErrorKind::Unavailable, format!("{address} is stopping")),
            taken: None,
            is_unsent: false,
        });
    }

    /// The server of this session has so many shards: sees to it that there is a link to each that is ours.
    pub(super) fn learn(&mut self, session: SessionKey, shards: u16, now: Instant) {
        let Some(callers) = self.dialing.callers() else {
            return;
        };
        let Some(place) = self.wires.place(session) else {
            return;
        };
        let target = place.target();
        let wanted = self.targets[target].wanted(shards, callers);
        for link in 1..self.targets[target].links.len() {
            let place = Place::new(target, link);
            let link = &mut self.targets[target].links[link];
            let was_wanted = std::mem::replace(&mut link.wanted, wanted.contains(&link.prefix));
            match (was_wanted, link.wanted, link.session()) {
                (_, false, Some(session)) => self.enter(place, State::Leaving(session)),
                (false, true, None) => self.dialing.add(place),
                _ => {}
            }
        }
        for prefix in wanted {
            let links = &self.targets[target].links;
            let is_there = links[1..].iter().any(|link| link.prefix == prefix);
            if !is_there && self.targets[target].has_room() {
                self.add_link(target, prefix);
            }
        }
        if self.keep == Keep::Always {
            self.dial(now);
        }
    }

    /// The server of this session has these functions.
    pub(super) fn learn_functions(
        &mut self,
        session: SessionKey,
        script: u64,
        body: &[u8],
        now: Instant,
    ) {
        // Each session to a server says the same.
        if let Some(place) = self.wires.place(session)
            && !self.router.knows(place.target(), script)
            && let Some(announcement) = Announcement::decode(body)
        {
            self.router.announce(place.target(), script, &announcement);
            let target = &self.targets[place.target()];
            if let Some(chooser) = &mut self.membership.chooser
                && !target.is_registered
                && chooser.has(target.digest)
            {
                chooser.note(target.digest, script, announcement);
                // What it has no more another is to have before the next call.
                self.look_at_subset(now);
            }
        }
    }

    pub(super) fn on_session_ended(&mut self, ended: Ended, now: Instant) {
        let Ended {
            session,
            why: error,
            unsent,
        } = ended;
        let Some(place) = self.wires.place(session) else {
            return;
        };
        self.wires.forget(session);
        let target = &mut self.targets[place.target()];
        let address = target.links[place.link()].address;
        // Nothing of a handshake that failed has arrived: the calls go to the server's next address, if it has one.
        if let Some(unsent) = unsent
            && target.has_failed(address)
        {
            let why = CallError {
                message: format!("{address}: {}", error.message),
                ..error
            };
            self.enter(place, State::Down { why });
            self.dial_link(place, now);
            if let Some(session) = self.targets.link(place).session() {
                return self.wires.endpoint.set_outbox(session, unsent);
            }
            // The last resort: they are lost with the reason of that.
            return self.lose_calls(place, now, Duration::ZERO);
        }
        self.resolve_lost(place.target());
        let link = self.targets.link_mut(place);
        let was_open = error.may_have_run;
        let was_leaving = matches!(link.state, State::Leaving(_));
        let is_idle = self.calls.length(link.calls) == 0;
        let wait = match self.keep == Keep::WhileCalling && is_idle && was_open {
            true => Duration::ZERO,
            false => link.backoff.failed(fastrand::f64()),
        };
        let why = CallError {
            message: format!("{address}: {}", error.message),
            ..error
        };
        // One that was there to be asked what it has, or is none any more, is no reason to look who there is.
        let target = &self.targets[place.target()];
        if !target.is_gone && !target.is_asked {
            self.membership.lose_one();
        }
        if self.keep == Keep::Always {
            let again = (wait, self.dialing.server_name);
            self.targets
                .tell_ended(place, &why, was_leaving, again, now);
        }
        self.enter(place, State::Down { why });
        self.lose_calls(place, now, wait);
    }

    /// The calls of a link that is down will have no answer, for the reason for which it is; it is dialled again after a
    /// while.
    pub(super) fn lose_calls(&mut self, place: Place, now: Instant, wait: Duration) {
        let calls = self.forget_calls(place);
        let link = self.targets.link_mut(place);
        for timer in [link.ping.take(), link.idle.take()].into_iter().flatten() {
            self.timers.remove(timer);
        }
        if let State::Down { why } = &mut link.state {
            self.lost.push_back(Lost {
                calls,
                target: place.target(),
                why: why.clone(),
                taken: link.taken,
                is_unsent: !why.may_have_run,
            });
            // Those that come now are not sent at all.
            why.may_have_run = false;
        }
        self.targets.link_mut(place).taken = None;
        match wait.is_zero() {
            true => self.dialing.add(place),
            false => {
                self.timers.insert(later(now, wait), Due::Dial(place));
            }
        }
    }

    /// The calls that wait for a link's handshake are not sent on it, for this reason.
    pub(super) fn lose_waiting(&mut self, place: Place, why: CallError) {
        let calls = self.forget_calls(place);
        self.lost.push_back(Lost {
            calls,
            target: place.target(),
            why,
            taken: None,
            is_unsent: true,
        });
    }

    /// Takes the calls of a link off it.
    fn forget_calls(&mut self, place: Place) -> ListKey {
        let link = self.targets.link_mut(place);
        link.epoch = link.epoch.wrapping_add(1);
        self.crowding.on_lost(&mut link.on_their_way);
        link.sent = 0;
        link.watch.lose();
        link.rescued = None;
        std::mem::replace(&mut link.calls, self.calls.add_list())
    }

    /// A session is open.
    pub(super) fn watch_over(&mut self, place: Place, now: Instant) {
        let link = self.targets.link_mut(place);
        if self.keep == Keep::Always && link.ping.is_none() {
            link.ping = Some(self.timers.insert(now + KEEP_ALIVE, Due::Ping(place)));
        }
        if self.keep == Keep::WhileCalling && link.idle.is_none() {
            link.idle = Some(self.timers.insert(now + CLIENT_IDLE_MAX, Due::Idle(place)));
        }
    }

    /// Ends a session that is not kept and has been idle for long; the next call opens another.
    pub(super) fn end_idle(&mut self, place: Place, now: Instant) {
        let link = self.targets.link_mut(place);
        link.idle = None;
        let Some(session) = link.session() else {
            return;
        };
        let idle_at = self.wires.received_at(session).unwrap_or(now) + CLIENT_IDLE_MAX;
        if idle_at > now || self.calls.length(link.calls) > 0 {
            let again = idle_at.max(now + KEEP_ALIVE);
            link.idle = Some(self.timers.insert(again, Due::Idle(place)));
            return;
        }
        self.wires.endpoint.end(session, "idle");
        let ended = Ended {
            session,
            why: CallError::may_have_run(ErrorKind::Unavailable, "the session was idle"),
            unsent: None,
        };
        // Before the next call takes it.
        self.on_session_ended(ended, now);
    }

    /// Pings a session that must be known to live; one that has lived for so long has recovered.
    pub(super) fn ping(&mut self, place: Place, now: Instant) {
        let link = self.targets.link_mut(place);
        self.crowding.look(&mut link.on_their_way, now);
        link.ping = None;
        let Some(session) = link.session() else {
            return;
        };
        let is_kept = self.keep == Keep::Always && link.wanted;
        if is_kept || self.calls.length(link.calls) > 0 {
            link.ping = Some(self.timers.insert(now + KEEP_ALIVE, Due::Ping(place)));
        }
        if !matches!(link.state, State::Connecting(_)) {
            link.backoff.succeeded();
            if link.ping.is_some() {
                self.wires.ping(session);
            }
        }
    }
}
