//! Which sessions are to be opened, how many in a turn, and to whom.

use super::links::{Place, Sessions, State};
use super::{Due, Upstreams};
use crate::net::resolver::Resolver;
use madrpc_core::numbers::later;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Sessions that are begun in one turn: the first packet of each takes some 0.1 ms to make.
const DIALS_PER_TURN: usize = 4;

pub(super) struct Dialing {
    /// Whom the targets' certificates must be for.
    pub(super) server_name: &'static str,
    sessions: Sessions,
    /// Where the first session to each target lands, modulo its shards.
    first: u16,
    /// Links that are down and may be dialled.
    due: VecDeque<Place>,
    /// How many of them in this turn.
    left: usize,
    resolver: Resolver,
}

impl Dialing {
    pub(super) fn new(server_name: &'static str, sessions: Sessions, first: u16) -> Self {
        Self {
            server_name,
            sessions,
            first,
            due: VecDeque::new(),
            left: DIALS_PER_TURN,
            resolver: Resolver::new(),
        }
    }

    /// What the first connection IDs of the first links to a target begin with.
    pub(super) fn first_prefixes(&self) -> impl Iterator<Item = u16> + use<> {
        let count = match self.sessions {
            Sessions::Fixed(count) => count.max(1),
            Sessions::PerShard { .. } => 1,
        };
        let first = self.first;
        (0..count).map(move |link| first.wrapping_add(link as u16))
    }

    /// Who shares the shards of each server, where there are to be sessions to all of them.
    pub(super) fn callers(&self) -> Option<u16> {
        match self.sessions {
            Sessions::PerShard { callers } => Some(callers),
            Sessions::Fixed(_) => None,
        }
    }

    pub(super) fn begin_turn(&mut self) {
        self.left = DIALS_PER_TURN;
    }

    pub(super) fn has_due(&self) -> bool {
        !self.due.is_empty()
    }

    /// This link may be dialled.
    pub(super) fn add(&mut self, place: Place) {
        self.due.push_back(place);
    }

    /// The next link that may be dialled, whatever was in this turn.
    pub(super) fn next(&mut self) -> Option<Place> {
        self.due.pop_front()
    }

    /// The next one that may be in this turn.
    fn next_of_turn(&mut self) -> Option<Place> {
        if self.left == 0 {
            return None;
        }
        let place = self.due.pop_front()?;
        self.left -= 1;
        Some(place)
    }
}

impl<T> Upstreams<T> {
    /// Dials links that are down and due, a bounded number in each turn.
    pub(super) fn dial(&mut self, now: Instant) {
        self.look_up(now);
        while let Some((target, addresses)) = self.dialing.resolver.next() {
            self.targets.resolved(target, addresses, now);
        }
        while let Some(place) = self.dialing.next_of_turn() {
            self.dial_link(place, now);
        }
    }

    pub(super) fn dial_link(&mut self, place: Place, now: Instant) {
        if !self.targets.has(place) {
            return;
        }
        let target = &mut self.targets[place.target()];
        let address = target.address();
        let link = &mut target.links[place.link()];
        if !link.wanted || !matches!(link.state, State::Down { .. }) {
            return;
        }
        link.address = address;
        let (to, server_name) = ((address, link.prefix), self.dialing.server_name);
        match self.wires.connect(to, server_name, place, now) {
            Ok(session) => self.enter(place, State::Connecting(session)),
            Err(why) => {
                let wait = match target.has_failed(address) {
                    true => Duration::ZERO,
                    false => target.links[place.link()].backoff.failed(fastrand::f64()),
                };
                self.timers.insert(later(now, wait), Due::Dial(place));
                self.enter(place, State::Down { why });
                self.membership.lose_one();
                self.resolve_lost(place.target());
            }
        }
    }

    /// Has the name of a target resolved again, where none of its addresses has answered.
    pub(super) fn resolve_lost(&mut self, target: usize) {
        let target_of = &self.targets[target];
        if let Some(name) = target_of.lost_name().filter(|_| !target_of.is_gone) {
            self.dialing.resolver.ask(target, name);
        }
    }
}
