//! The targets by their numbers: which are there, which cannot be called and why, and what the log says of them.

use super::doubles::{Doubles, ServerId};
use super::links::{Link, Place, Target};
use super::unreachable::why_none;
use crate::net::address::Addresses;
use crate::net::log_limit::LineBudget;
use madrpc_core::balance::Members;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::fleet::{Outlier, SWEEP_INTERVAL};
use madrpc_core::identity::SERVER_NAME_ANY;
use std::collections::VecDeque;
use std::ops::{Index, IndexMut};
use std::time::{Duration, Instant};
use tracing::{debug, info, warn};

/// Lines of the log about targets between two sweeps: a fleet of thousands may come or go at once.
const LINES_MAX: u32 = 20;

pub(super) struct Targets {
    /// By their numbers, those that are gone and not free yet among them.
    all: Vec<Target>,
    /// The numbers of those that are gone, in that order; another may have one meanwhile.
    gone: VecDeque<usize>,
    /// How many are not gone.
    there: usize,
    doubles: Doubles,
    /// Those with a link that is down, and those with one that is so for a reason that may pass.
    down: Members,
    passing: Members,
    /// Why none can be called, where that was asked since the last change.
    unreachable: Option<CallError>,
    /// What is said of them.
    lines: LineBudget,
    /// How often one got no calls for a while.
    pub(super) ejections: u64,
}

impl Index<usize> for Targets {
    type Output = Target;

    #[inline]
    fn index(&self, number: usize) -> &Target {
        &self.all[number]
    }
}

impl IndexMut<usize> for Targets {
    #[inline]
    fn index_mut(&mut self, number: usize) -> &mut Target {
        &mut self.all[number]
    }
}

impl Targets {
    pub(super) fn new() -> Self {
        Self {
            all: Vec::new(),
            gone: VecDeque::new(),
            there: 0,
            doubles: Doubles::default(),
            down: Members::default(),
            passing: Members::default(),
            unreachable: None,
            lines: LineBudget::new(LINES_MAX, SWEEP_INTERVAL),
            ejections: 0,
        }
    }

    /// How many are not gone.
    #[inline]
    pub(super) fn there(&self) -> usize {
        self.there
    }

    /// How many numbers there are.
    pub(super) fn numbers(&self) -> usize {
        self.all.len()
    }

    pub(super) fn get(&self, number: usize) -> Option<&Target> {
        self.all.get(number)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, number: usize) -> Option<&mut Target> {
        self.all.get_mut(number)
    }

    #[inline]
    pub(super) fn link(&self, place: Place) -> &Link {
        &self.all[place.target()].links[place.link()]
    }

    #[inline]
    pub(super) fn link_mut(&mut self, place: Place) -> &mut Link {
        &mut self.all[place.target()].links[place.link()]
    }

    /// Whether a link is there. What is noted for later may be of a target that is gone, whose number another has.
    pub(super) fn has(&self, place: Place) -> bool {
        let target = self.all.get(place.target());
        target.is_some_and(|target| place.link() < target.links.len())
    }

    /// With their numbers, those that are gone among them.
    pub(super) fn all(&self) -> impl Iterator<Item = (usize, &Target)> {
        self.all.iter().enumerate()
    }

    /// Those that somebody looks for, with their numbers: not those that are gone, or have announced themselves.
    pub(super) fn looked_for(&self) -> impl Iterator<Item = (usize, &Target)> {
        let all = self.all.iter().enumerate();
        all.filter(|(_, target)| !target.is_gone && !target.is_registered)
    }

    /// One more, under a number that is free, or the next.
    pub(super) fn add(&mut self, number: usize, target: Target) {
        match self.all.get_mut(number) {
            Some(free) => *free = target,
            None => self.all.push(target),
        }
        self.there += 1;
    }

    /// One is none any more, and its number another's once nothing of it is left.
    pub(super) fn remove(&mut self, number: usize) {
        self.all[number].is_gone = true;
        self.gone.push_back(number);
        self.there -= 1;
    }

    /// The number of one that is gone, which another may have already; see [`Targets::look_again_at`].
    pub(super) fn next_gone(&mut self) -> Option<usize> {
        self.gone.pop_front()
    }

    /// Something is left of one that is gone.
    pub(super) fn look_again_at(&mut self, number: usize) {
        self.gone.push_back(number);
    }

    /// Notes that the links of one have changed.
    pub(super) fn note(&mut self, number: usize) {
        let target = &mut self.all[number];
        target.note_condition();
        self.down.set(number, target.is_down() && !target.is_gone);
        self.passing
            .set(number, target.may_come_back() && !target.is_gone);
        self.unreachable = None;
    }

    /// Why none can be called, where there are any.
    #[cold]
    pub(super) fn why_none(&mut self) -> CallError {
        let down = self.down.all().map(|number| &self.all[number]);
        let is_passing = !self.passing.is_empty();
        let unreachable = &mut self.unreachable;
        let unreachable = unreachable.get_or_insert_with(|| why_none(down, is_passing));
        unreachable.clone()
    }
}

/// Who they are.
impl Targets {
    /// Whether one is a server that another one stands for.
    pub(super) fn is_double(&self, number: usize) -> bool {
        self.doubles.contains(number)
    }

    /// Whether one is a double of one that has the same name: it has announced itself, and is known by its address.
    pub(super) fn has_name_of_first(&self, number: usize) -> bool {
        let target = &self.all[number];
        let first = target.server.and_then(|server| self.doubles.first(server));
        self.doubles.contains(number)
            && first.is_some_and(|first| self.all[first].name() == target.name())
    }

    /// The name of the one with this number, unless it is gone or there by another.
    pub(super) fn name_of(&self, number: usize) -> Option<String> {
        let target = self.all.get(number)?;
        let is_there = !target.is_gone && !self.doubles.contains(number);
        is_there.then(|| target.name())
    }

    /// It is known which server one is, of which that was not.
    pub(super) fn identify(&mut self, number: usize, server: ServerId) {
        self.all[number].server = Some(server);
        let first = self.doubles.add(server, number);
        // It may have been another one again before.
        if first == number {
            return;
        }
        let (again, known) = (&self.all[number], &self.all[first]);
        match again.is_registered || known.is_registered {
            true => debug!("{} has announced itself and is known besides", again.name()),
            false if !self.lines.take(Instant::now()) => {}
            false => warn!(
                "{} is {} by another address, and counts once",
                again.name(),
                known.name()
            ),
        }
    }

    /// Nobody knows any more which server one is; gives the one that stands for that server now, in its place.
    pub(super) fn forget_server(&mut self, number: usize) -> Option<usize> {
        let server = self.all[number].server.take()?;
        let is_same = |other: usize| self.all[other].server == Some(server);
        self.doubles.remove(server, number, is_same)
    }
}

/// What is said of them.
impl Targets {
    /// Whether there may be a line about one.
    pub(super) fn may_tell(&mut self, now: Instant) -> bool {
        self.lines.take(now)
    }

    /// One gets no calls for a while.
    pub(super) fn tell_left_out(
        &mut self,
        number: usize,
        why: Outlier,
        time: Duration,
        now: Instant,
    ) {
        self.ejections += 1;
        if !self.lines.take(now) {
            return;
        }
        warn!(
            "{} {}; it gets none for {} s",
            self.all[number].name(),
            why.what(),
            time.as_secs()
        );
    }

    /// How many lines there were too many.
    pub(super) fn tell_untold(&mut self, now: Instant) {
        if let Some(count) = self.lines.take_untold(now) {
            warn!("{count} more such lines about other servers (`madrpc nodes` tells how each is)");
        }
    }

    /// A session to one is open.
    pub(super) fn has_answered(&mut self, number: usize, is_kept: bool, now: Instant) {
        let target = &mut self.all[number];
        if target.has_answered() && is_kept && self.lines.take(now) {
            info!("{} answers again", target.name());
        }
    }

    /// The name of one has these addresses. Its number may be another's by now.
    pub(super) fn resolved(&mut self, number: usize, addresses: Addresses, now: Instant) {
        if let Some(target) = self.all.get_mut(number)
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

    /// Notes whether the server of a link says nothing; says whether that is new.
    pub(super) fn set_silent(&mut self, place: Place, is_silent: bool, now: Instant) -> bool {
        let target = &mut self.all[place.target()];
        if !target.set_silent(place.link(), is_silent) {
            return false;
        }
        let address = target.links[place.link()].address;
        match is_silent {
            // Whoever has only one hears it from his calls.
            _ if self.there == 1 => debug!("{address}: says nothing: {is_silent}"),
            _ if !self.lines.take(now) => {}
            true => warn!("{address} says nothing; calls go to others meanwhile"),
            false => info!("{address} answers again"),
        }
        target.note_condition();
        true
    }

    /// The session of a link that is kept has ended, is dialled again after a while, and has to be one to this kind of server.
    /// One line is enough for all sessions to a server, and all tries that fail alike.
    pub(super) fn tell_ended(
        &mut self,
        place: Place,
        why: &CallError,
        was_leaving: bool,
        (wait, server_name): (Duration, &str),
        now: Instant,
    ) {
        let target = &mut self.all[place.target()];
        if place.link() != 0 || target.is_gone {
            return;
        }
        let address = target.links[place.link()].address;
        let again = wait.as_millis();
        let is_no_such = why.kind == ErrorKind::Unauthorized;
        let is_news = was_leaving || target.is_news(&why.message);
        match was_leaving {
            _ if is_news && !self.lines.take(now) => {}
            true => info!("{address} has stopped; trying again in {again} ms"),
            false if !is_news => {
                debug!("{}; trying again in {again} ms", why.message);
            }
            false if is_no_such && server_name != SERVER_NAME_ANY => warn!(
                "{}; it has to be a `{server_name}` of our authority; trying again, and not saying so each time",
                why.message
            ),
            false => warn!("{}; trying again, and not saying so each time", why.message),
        }
    }
}
