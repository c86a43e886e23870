//! The upkeep of sessions: which there are to be, how they are opened and kept, and what becomes of the calls of those that
//! are lost.

use super::links::{Keep, Place, Sessions, State};
use super::{Due, Lost, Upstreams};
use crate::net::endpoint::{Ended, SessionKey};
use madrpc_core::call::{Announcement, CallError, ErrorKind};
use madrpc_core::fleet::was_sent_after;
use madrpc_core::identity::SERVER_NAME_ANY;
use madrpc_core::limits::{CLIENT_IDLE_MAX, KEEP_ALIVE};
use madrpc_core::lists::ListKey;
use madrpc_core::numbers::later;
use std::time::{Duration, Instant};
use tracing::{debug, info, warn};

/// Calls that are taken back at once from a server that is stopping: more than are on their way to one.
const LATE_MAX: usize = 4096;

impl<T> Upstreams<T> {
    /// The server of this session takes no new calls, and has taken so many of the small ones: those after that will not be run
    /// there, and are put on others.
    pub(super) fn leave(&mut self, session: SessionKey, taken: u64) {
        let Some(place) = self.place_of(session) else {
            return;
        };
        self.enter(place, State::Leaving(session));
        let link = &mut self.targets[place.target()].links[place.link()];
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
        let Sessions::PerShard { callers } = self.sessions else {
            return;
        };
        let Some(place) = self.place_of(session) else {
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
                (false, true, None) => self.due.push_back(place),
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
        if let Some(place) = self.place_of(session)
            && !self.router.knows(place.target(), script)
            && let Some(announcement) = Announcement::decode(body)
        {
            self.router.announce(place.target(), script, &announcement);
            let target = &self.targets[place.target()];
            if let Some(chooser) = &mut self.chooser
                && !target.is_registered
                && chooser.has(target.digest)
            {
                chooser.note(target.digest, script, announcement);
                // What it has no more another is to have before the next call.
                self.look_at_subset(now);
            }
        }
    }

    /// Dials links that are down and due, a bounded number in each turn.
    pub(super) fn dial(&mut self, now: Instant) {
        self.look_up(now);
        while let Some((target, addresses)) = self.resolver.next() {
            // Its number may be another's by now.
            if let Some(target) = self.targets.get_mut(target)
                && target.name() == addresses.to_string()
                && target.resolved(addresses)
                && self.lines.take(now)
            {
                info!(
                    "{} has other addresses now; the next to be tried is {}",
                    target.name(),
                    target.address()
                );
            }
        }
        while self.dials_left > 0
            && let Some(place) = self.due.pop_front()
        {
            self.dials_left -= 1;
            self.dial_link(place, now);
        }
    }

    pub(super) fn dial_link(&mut self, place: Place, now: Instant) {
        if !self.is_there(place) {
            return;
        }
        let target = &mut self.targets[place.target()];
        let address = target.address();
        let link = &mut target.links[place.link()];
        if !link.wanted || !matches!(link.state, State::Down { .. }) {
            return;
        }
        link.address = address;
        match self
            .wires
            .endpoint
            .connect(address, self.server_name, link.prefix, now)
        {
            Ok(session) => {
                let at = session.place();
                if at >= self.places.len() {
                    self.places.resize(at + 1, None);
                }
                self.places[at] = Some((session, place));
                self.enter(place, State::Connecting(session));
            }
            Err(why) => {
                let wait = match target.has_failed(address) {
                    true => Duration::ZERO,
                    false => target.links[place.link()].backoff.failed(fastrand::f64()),
                };
                self.timers.insert(later(now, wait), Due::Dial(place));
                self.enter(place, State::Down { why });
                self.has_lost = true;
                self.resolve_lost(place.target());
            }
        }
    }

    /// Has the name of a target resolved again, where none of its addresses has answered.
    fn resolve_lost(&mut self, target: usize) {
        let target_of = &self.targets[target];
        if let Some(name) = target_of.lost_name().filter(|_| !target_of.is_gone) {
            self.resolver.ask(target, name);
        }
    }

    pub(super) fn on_session_ended(&mut self, ended: Ended, now: Instant) {
        let Ended {
            session,
            why: error,
            unsent,
        } = ended;
        let Some(place) = self.place_of(session) else {
            return;
        };
        self.places[session.place()] = None;
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
            if let Some(session) = self.targets[place.target()].links[place.link()].session() {
                return self.wires.endpoint.set_outbox(session, unsent);
            }
            // The last resort: they are lost with the reason of that.
            return self.lose_calls(place, now, Duration::ZERO);
        }
        self.resolve_lost(place.target());
        let link = &mut self.targets[place.target()].links[place.link()];
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
        self.has_lost |= !target.is_gone && !target.is_asked;
        // One line is enough for all sessions to a server, and all tries that fail alike.
        let target = &mut self.targets[place.target()];
        if self.keep == Keep::Always && place.link() == 0 && !target.is_gone {
            let again = wait.as_millis();
            let is_no_such = why.kind == ErrorKind::Unauthorized;
            let is_news = was_leaving || target.is_news(&why.message);
            match was_leaving {
                _ if is_news && !self.lines.take(now) => {}
                true => info!("{address} has stopped; trying again in {again} ms"),
                false if !is_news => {
                    debug!("{}; trying again in {again} ms", why.message);
                }
                false if is_no_such && self.server_name != SERVER_NAME_ANY => warn!(
                    "{}; it has to be a `{}` of our authority; trying again, and not saying so each time",
                    why.message, self.server_name
                ),
                false => warn!("{}; trying again, and not saying so each time", why.message),
            }
        }
        self.enter(place, State::Down { why });
        self.lose_calls(place, now, wait);
    }

    /// The calls of a link that is down will have no answer, for the reason for which it is; it is dialled again after a
    /// while.
    pub(super) fn lose_calls(&mut self, place: Place, now: Instant, wait: Duration) {
        let calls = self.forget_calls(place);
        let link = &mut self.targets[place.target()].links[place.link()];
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
        self.targets[place.target()].links[place.link()].taken = None;
        match wait.is_zero() {
            true => self.due.push_back(place),
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
        let link = &mut self.targets[place.target()].links[place.link()];
        link.epoch = link.epoch.wrapping_add(1);
        self.crowding.on_lost(&mut link.on_their_way);
        link.sent = 0;
        link.watch.lose();
        link.rescued = None;
        std::mem::replace(&mut link.calls, self.calls.add_list())
    }

    /// A session is open.
    pub(super) fn watch_over(&mut self, place: Place, now: Instant) {
        let link = &mut self.targets[place.target()].links[place.link()];
        if self.keep == Keep::Always && link.ping.is_none() {
            link.ping = Some(self.timers.insert(now + KEEP_ALIVE, Due::Ping(place)));
        }
        if self.keep == Keep::WhileCalling && link.idle.is_none() {
            link.idle = Some(self.timers.insert(now + CLIENT_IDLE_MAX, Due::Idle(place)));
        }
    }

    /// Ends a session that is not kept and has been idle for long; the next call opens another.
    pub(super) fn end_idle(&mut self, place: Place, now: Instant) {
        let link = &mut self.targets[place.target()].links[place.link()];
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
        let link = &mut self.targets[place.target()].links[place.link()];
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
