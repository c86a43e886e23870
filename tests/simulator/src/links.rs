//! The sessions of a shard: opened, watched, left and lost.

use crate::agenda::{Event, Request, Session, Time};
use crate::scenario::Flaw;
use crate::shard::{Error, Link, Shard, State};
use crate::world::{Io, PROCESS_SHARDS};
use madrpc_core::balance::Backoff;
use madrpc_core::call::ErrorKind;
use madrpc_core::fleet::{Ending, LOOK_INTERVAL, Look, Standing, Watch, was_sent_after};
use madrpc_core::limits::{ENDINGS_PER_TURN, HANDSHAKE_TIMEOUT, SILENCE};
use std::collections::{BTreeMap, BTreeSet};

impl Shard {
    /// A node is a member from now on.
    pub(crate) fn add(&mut self, node: u32, io: &mut Io) {
        let new = Link {
            node,
            state: State::Down,
            epoch: 0,
            known_since: Vec::new(),
            calls: BTreeSet::new(),
            sent: 0,
            taken: None,
            unread: 0,
            unsent: Vec::new(),
            watch: Watch::default(),
            received_at: 0,
            is_silent: false,
            backoff: Backoff::default(),
            is_gone: false,
        };
        let is_free = |(number, link): (usize, &Link)| {
            let is_empty = link.calls.is_empty() && !self.early.has_second_on(number);
            (link.is_gone && link.state == State::Down && is_empty).then_some(number)
        };
        let number = match self.links.iter().enumerate().find_map(is_free) {
            Some(number) => {
                let epoch = self.links[number].epoch;
                self.links[number] = Link { epoch, ..new };
                number
            }
            None => {
                self.links.push(new);
                self.links.len() - 1
            }
        };
        self.there += 1;
        self.router.add(number);
        self.choice.add(number);
        self.enter(number, State::Down);
        self.dial(number, io);
    }

    /// Sees which nodes are to be members, and when it is to be seen next.
    pub(crate) fn choose_again(&mut self, io: &mut Io) {
        self.choose(io);
        let shard = self.number;
        let interval = LOOK_INTERVAL.as_nanos() as Time;
        io.agenda.after(interval, Event::Subset { shard });
    }

    /// Sees which nodes are to be members.
    pub(crate) fn choose(&mut self, io: &mut Io) {
        if self.flaw == Flaw::KeepsSubset && self.there > 0 {
            return;
        }
        let Some(mut neighbours) = self.neighbours.take() else {
            return;
        };
        let there = self.links.iter().enumerate();
        let there = there.filter(|(_, link)| !link.is_gone);
        let numbers: BTreeMap<u32, usize> =
            there.map(|(number, link)| (link.node, number)).collect();
        let known = &io.known[self.number as usize / PROCESS_SHARDS];
        let standing = |node: usize| match numbers.get(&(node as u32)) {
            Some(&number) => Standing {
                is_well: self.router.is_well(number),
                has_said: self.router.has(number).is_some(),
            },
            None => Standing::default(),
        };
        let chosen = neighbours.look(io.agenda.instant(), known, standing);
        let chosen: Vec<u32> = chosen.iter().map(|node| *node as u32).collect();
        for node in numbers.keys().filter(|node| !chosen.contains(node)) {
            self.remove(*node);
        }
        for node in chosen.iter().filter(|node| !numbers.contains_key(node)) {
            self.add(*node, io);
        }
        self.neighbours = Some(neighbours);
    }

    /// A node is no member any more; the calls on it may end.
    pub(crate) fn remove(&mut self, node: u32) {
        let is_it = |link: &Link| link.node == node && !link.is_gone;
        let Some(number) = self.links.iter().position(is_it) else {
            return;
        };
        self.there -= 1;
        self.links[number].is_gone = true;
        if self.links[number].state != State::Down {
            self.enter(number, State::Leaving);
        }
        self.router.remove(number);
    }

    pub(crate) fn session(&self, number: usize) -> Session {
        Session {
            shard: self.number,
            link: number as u32,
            epoch: self.links[number].epoch,
            node: self.links[number].node,
        }
    }

    pub(crate) fn is_current(&self, session: Session) -> bool {
        let link = self.links.get(session.link as usize);
        link.is_some_and(|link| link.epoch == session.epoch && link.state != State::Down)
    }

    pub(crate) fn enter(&mut self, number: usize, state: State) {
        let link = &mut self.links[number];
        link.state = state;
        link.is_silent = false;
        let (is_open, is_connecting) = (state == State::Open, state == State::Connecting);
        self.router.set_reachable(number, is_open, is_connecting);
        self.router.set_silent(number, false);
    }

    pub(crate) fn dial(&mut self, number: usize, io: &mut Io) {
        let link = &self.links[number];
        if link.is_gone || link.state != State::Down {
            return;
        }
        self.enter(number, State::Connecting);
        let session = self.session(number);
        io.shake(session);
        let timeout = HANDSHAKE_TIMEOUT.as_nanos() as Time;
        io.agenda.after(timeout, Event::NotShaken(session));
    }

    /// A session is open; says whether it is still wanted.
    pub(crate) fn shaken(&mut self, session: Session, io: &mut Io) -> bool {
        let number = session.link as usize;
        let is_wanted = self.is_current(session) && self.links[number].state == State::Connecting;
        if is_wanted {
            self.links[number].received_at = io.agenda.now;
            self.enter(number, State::Open);
            for request in std::mem::take(&mut self.links[number].unsent) {
                io.send_to_node(session, request);
            }
        }
        is_wanted
    }

    pub(crate) fn not_shaken(&mut self, session: Session, io: &mut Io) {
        let number = session.link as usize;
        if self.is_current(session) && self.links[number].state == State::Connecting {
            self.lose(number, false, io);
        }
    }

    /// Nothing has come on a session for too long.
    pub(crate) fn idle(&mut self, session: Session, io: &mut Io) {
        if self.is_current(session) {
            self.lose(session.link as usize, true, io);
        }
    }

    /// A session is over, and with it the calls on it.
    pub(crate) fn lose(&mut self, number: usize, was_open: bool, io: &mut Io) {
        self.enter(number, State::Down);
        let link = &mut self.links[number];
        link.epoch += 1;
        link.sent = 0;
        link.unread = 0;
        link.unsent.clear();
        link.known_since.fill(Time::MAX);
        link.watch.lose();
        let taken = link.taken.take();
        let lost = std::mem::take(&mut link.calls);
        let wait = link.backoff.failed(io.random.f64()).as_nanos() as Time;
        let event = Event::Dial {
            shard: self.number,
            link: number as u32,
        };
        io.agenda.after(wait, event);
        for (sequence, call) in lost {
            if !was_open && let Some(pending) = &mut io.ledger.calls[call as usize].pending {
                pending.attempt.was_not_sent(number);
            }
            let was_taken = taken.is_none_or(|taken| !was_sent_after(sequence, taken));
            self.lost(call, was_open && was_taken, io);
        }
    }

    pub(crate) fn look_later(&self, number: usize, io: &mut Io) {
        let event = Event::Look {
            shard: self.number,
            link: number as u32,
            epoch: self.links[number].epoch,
        };
        let interval = Watch::interval(SILENCE).as_nanos() as Time;
        io.agenda.after(interval, event);
    }

    pub(crate) fn look(&mut self, number: usize, epoch: u32, io: &mut Io) {
        let link = &mut self.links[number];
        let has_session = matches!(link.state, State::Open | State::Leaving);
        if !has_session || link.epoch != epoch {
            // The watch goes on with the session that is there, if any.
            if link.state == State::Down || link.state == State::Connecting || has_session {
                link.watch.stop();
            }
            return;
        }
        let owes = !link.calls.is_empty();
        let received_at = io.agenda.instant_of(link.received_at);
        let look = link
            .watch
            .look(io.agenda.instant(), received_at, owes, SILENCE);
        if look == Look::Ask {
            let session = self.session(number);
            self.links[number].unread += 1;
            io.send_to_node(session, Request::Ping);
        }
        if look != Look::Over {
            self.look_later(number, io);
        }
        let is_silent = look == Look::Silent;
        if self.links[number].is_silent != is_silent {
            self.links[number].is_silent = is_silent;
            self.router.set_silent(number, is_silent);
        }
        if is_silent {
            self.rescue(number, io);
        }
    }

    /// Puts calls of a silent link on others, those that may run twice.
    pub(crate) fn rescue(&mut self, number: usize, io: &mut Io) {
        let calls: Vec<u32> = self.links[number]
            .calls
            .iter()
            .map(|(_, call)| *call)
            .collect();
        let error = Error {
            kind: ErrorKind::Unavailable,
            may_have_run: true,
        };
        for call in calls.into_iter().take(ENDINGS_PER_TURN) {
            if self.try_again(call, error, Ending::Neutral, io) {
                let (link, epoch) = (number as u32, self.links[number].epoch);
                io.ledger.over_at(call, link, epoch);
                self.say(number, Request::Cancel(call), io);
            }
        }
    }

    pub(crate) fn leave(&mut self, number: usize, taken: u64, io: &mut Io) {
        self.enter(number, State::Leaving);
        if self.links[number].taken.replace(taken).is_some() {
            return;
        }
        let calls = &self.links[number].calls;
        let late = calls.iter().rev().copied();
        let late: Vec<_> = late
            .take_while(|(sequence, _)| was_sent_after(*sequence, taken))
            .collect();
        for (_, call) in late.into_iter().rev() {
            self.lost(call, false, io);
        }
    }
}
