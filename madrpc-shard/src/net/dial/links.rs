//! Links: the sessions to each upstream, how many there are, and which of them a call takes.
//!
//! A server tells on every session how many shards it has, and the first two bytes of a session's first connection ID
//! choose the shard that it lands on. So a caller has a session to each shard of a server, however few calls it makes;
//! where the callers are the shards of one process, they share the server's shards among them instead.

use super::crowding::OnTheirWay;
use super::doubles::ServerId;
use super::report::Condition;
use crate::net::address::Addresses;
use crate::net::endpoint::SessionKey;
use madrpc_core::balance::{Backoff, FewestInFlight, Members};
use madrpc_core::call::{CallError, ErrorKind, Load};
use madrpc_core::fleet::Watch;
use madrpc_core::limits::{BACKLOG_MAX_BYTES, FORWARD_BACKLOG_MAX_BYTES};
use madrpc_core::lists::{ItemKey, ListKey};
use madrpc_core::wheel::TimerKey;
use std::net::SocketAddr;
use std::time::Instant;

/// Sessions of one caller to one server, at the most, where their number follows from the server's shards.
pub const SESSIONS_MAX: usize = 16;

/// Links to one server, with those to shards that it had before: a server may say anything, any number of times.
const LINKS_MAX: usize = 2 * SESSIONS_MAX;

/// More calls than any session has.
const SILENT: usize = 1 << 40;

/// How many sessions to open to each server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sessions {
    /// So many, to shards that follow each other.
    Fixed(usize),
    /// One to each shard of the server that is ours among so many callers who share them, and at least one.
    PerShard {
        /// The callers; each begins with a shard of its own.
        callers: u16,
    },
}

/// Whether sessions are held while nobody calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keep {
    /// Opened at once, opened again when lost, pinged for ever.
    Always,
    /// Opened by the first call, pinged while calls wait, left to end when idle.
    WhileCalling,
}

impl Keep {
    /// What may wait on one session, above which no further call is put on it.
    pub(super) fn backlog_max_bytes(self) -> usize {
        match self {
            Self::Always => FORWARD_BACKLOG_MAX_BYTES,
            Self::WhileCalling => BACKLOG_MAX_BYTES,
        }
    }
}

/// A server and the sessions to it.
pub(super) struct Target {
    addresses: Addresses,
    /// The digest of its name.
    pub(super) digest: u64,
    /// Which of them is used, or tried.
    at: usize,
    /// How many have failed since one has answered.
    failed: usize,
    pub(super) links: Vec<Link>,
    balance: FewestInFlight,
    /// Links that calls can take, with the handshake over, or going on.
    pub(super) open: Members,
    pub(super) connecting: Members,
    /// Links without a session.
    down: Members,
    /// Those of them whose certificate was refused.
    refused: usize,
    /// Links whose servers say nothing.
    silent: Members,
    /// Those whose servers have said that they take no new calls.
    draining: Members,
    /// How it is, and since when.
    pub(super) seen: (Condition, Instant),
    /// It has announced itself: the sessions are its to open.
    pub(super) is_registered: bool,
    /// It is no target any more.
    pub(super) is_gone: bool,
    /// The number that it last told of itself.
    pub(super) instance: Option<u64>,
    /// It is there for no call, but to say what it has.
    pub(super) is_asked: bool,
    /// It is a node, and no orchestrator.
    pub(super) is_node: bool,
    /// Who it is, while a session to it is open.
    pub(super) server: Option<ServerId>,
    /// Why it was last said that it cannot be reached, since a session to it was open.
    told: Option<String>,
}

/// A session, or the place of one.
pub(super) struct Link {
    /// What the first connection ID begins with.
    pub(super) prefix: u16,
    /// Whether the server still has the shard that it was for.
    pub(super) wanted: bool,
    pub(super) state: State,
    /// Where its session goes, or went.
    pub(super) address: SocketAddr,
    /// Counts the sessions that calls were lost with: an answer counts only for the calls of the present one.
    pub(super) epoch: u32,
    pub(super) backoff: Backoff,
    /// The calls on it without an outcome.
    pub(super) calls: ListKey,
    /// Small frames that were sent and of which the server has not said that it has taken them in.
    pub(super) on_their_way: OnTheirWay,
    /// When it is pinged next, where it is.
    pub(super) ping: Option<TimerKey>,
    /// When it is looked whether it is idle, where it ends then.
    pub(super) idle: Option<TimerKey>,
    /// Small calls sent on its session.
    pub(super) sent: u32,
    /// How many of them its server has taken, where it takes no more.
    pub(super) taken: Option<u64>,
    /// Whether its server says nothing.
    pub(super) watch: Watch,
    /// The next of its calls to be put on another link, while its server says nothing.
    pub(super) rescued: Option<ItemKey>,
    /// What the shard at its other end has last said that it has to do.
    pub(super) load: Option<(Load, Instant)>,
}

pub(crate) enum State {
    /// There is none, and why; it is dialled once it is due.
    Down {
        why: CallError,
    },
    /// The handshake is going on; calls may be put on it.
    Connecting(SessionKey),
    Open(SessionKey),
    /// The server takes no new calls on it, or its shard is another's; the calls on it may end.
    Leaving(SessionKey),
}

/// Where a link is: its target's number, and its own among the target's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    target: u32,
    link: u32,
}

impl Place {
    pub(crate) const fn new(target: usize, link: usize) -> Self {
        Self {
            target: target as u32,
            link: link as u32,
        }
    }

    pub(crate) const fn target(self) -> usize {
        self.target as usize
    }

    pub(crate) const fn link(self) -> usize {
        self.link as usize
    }
}

impl Link {
    pub(super) fn new(address: SocketAddr, prefix: u16, calls: ListKey) -> Self {
        let why = format!("{address}: no session yet");
        Self {
            prefix,
            wanted: true,
            address,
            epoch: 0,
            state: State::Down {
                why: CallError::not_run(ErrorKind::Unavailable, why),
            },
            backoff: Backoff::default(),
            calls,
            on_their_way: OnTheirWay::default(),
            ping: None,
            idle: None,
            sent: 0,
            taken: None,
            watch: Watch::default(),
            rescued: None,
            load: None,
        }
    }

    /// Its session.
    pub(super) fn session(&self) -> Option<SessionKey> {
        match self.state {
            State::Down { .. } => None,
            State::Connecting(key) | State::Open(key) | State::Leaving(key) => Some(key),
        }
    }
}

impl Target {
    /// A server without links.
    pub(super) fn new(addresses: Addresses, digest: u64) -> Self {
        Self {
            addresses,
            digest,
            at: 0,
            failed: 0,
            links: Vec::new(),
            balance: FewestInFlight::default(),
            open: Members::default(),
            connecting: Members::default(),
            down: Members::default(),
            refused: 0,
            silent: Members::default(),
            draining: Members::default(),
            seen: (Condition::Down, Instant::now()),
            instance: None,
            is_asked: false,
            is_node: false,
            is_registered: false,
            is_gone: false,
            server: None,
            told: None,
        }
    }

    /// Whether it has not been said yet that it cannot be reached for this reason.
    pub(super) fn is_news(&mut self, why: &str) -> bool {
        let is_news = self.told.as_deref() != Some(why);
        if is_news {
            self.told = Some(why.to_owned());
        }
        is_news
    }

    /// Adds a link, which is down.
    pub(super) fn add(&mut self, link: Link) {
        self.down.set(self.links.len(), true);
        self.links.push(link);
    }

    /// Whether a link is down.
    pub(super) fn is_down(&self) -> bool {
        !self.down.is_empty()
    }

    /// Whether a link is down for a reason that may pass. A refused certificate is the caller's to mend.
    pub(super) fn may_come_back(&self) -> bool {
        self.down.len() > self.refused
    }

    /// Why links are down.
    pub(super) fn reasons(&self) -> impl Iterator<Item = &str> {
        let down = self.down.all();
        down.filter_map(|link| match &self.links[link].state {
            State::Down { why } => Some(why.message.as_str()),
            _ => None,
        })
    }

    /// The address that is used, or tried.
    pub(super) fn address(&self) -> SocketAddr {
        self.addresses.all()[self.at]
    }

    /// A session to the address is open; says whether it was said that it cannot be reached.
    pub(super) fn has_answered(&mut self) -> bool {
        self.failed = 0;
        self.told.take().is_some()
    }

    /// No session to `address` came about; says whether there is another to be tried at once.
    pub(super) fn has_failed(&mut self, address: SocketAddr) -> bool {
        let count = self.addresses.all().len();
        if address == self.address() {
            self.at = (self.at + 1) % count;
            self.failed += 1;
        }
        // Of several links to one address only the first one's failure counts; the others go where it goes.
        let is_left = !self.failed.is_multiple_of(count);
        count > 1 && (is_left || address != self.address() && self.failed == 0)
    }

    /// The name to be resolved again, where all of its addresses have failed.
    pub(super) fn lost_name(&self) -> Option<&str> {
        let have_failed = self.failed > 0 && self.failed.is_multiple_of(self.addresses.all().len());
        self.addresses.name().filter(|_| have_failed)
    }

    /// Its name has these addresses; gives whether there is another among them.
    pub(super) fn resolved(&mut self, addresses: Addresses) -> bool {
        let known = self.addresses.all();
        let is_known = |address: &SocketAddr| known.contains(address);
        if known.len() == addresses.all().len() && addresses.all().iter().all(is_known) {
            return false;
        }
        let current = self.address();
        let at = addresses
            .all()
            .iter()
            .position(|address| *address == current);
        self.at = at.unwrap_or_default();
        self.failed = 0;
        self.addresses = addresses;
        true
    }

    /// Notes whether a link's server says nothing; says whether that is new.
    pub(super) fn set_silent(&mut self, link: usize, is_silent: bool) -> bool {
        let was_silent = self.silent.contains(link);
        self.silent.set(link, is_silent);
        was_silent != is_silent
    }

    /// Whether the servers of all links say nothing that calls can take.
    pub(super) fn is_silent(&self) -> bool {
        !self.silent.is_empty() && self.open.all().all(|link| self.silent.contains(link))
    }

    /// Notes whether the server of a link takes no new calls.
    pub(super) fn set_draining(&mut self, link: usize, is_draining: bool) {
        self.draining.set(link, is_draining);
    }

    /// Notes how it is, where that has changed.
    pub(super) fn note_condition(&mut self) {
        let condition = self.condition();
        if self.seen.0 != condition {
            self.seen = (condition, Instant::now());
        }
    }

    /// Whether the server takes no new calls.
    pub(super) fn is_draining(&self) -> bool {
        !self.draining.is_empty()
    }

    /// What it is called.
    pub(super) fn name(&self) -> String {
        self.addresses.to_string()
    }

    /// A link enters another state.
    pub(super) fn enter(&mut self, link: usize, state: State) {
        let mut note = |state: &State, is_in: bool| match state {
            State::Open(_) => self.open.set(link, is_in),
            State::Connecting(_) => self.connecting.set(link, is_in),
            State::Down { why } => {
                self.down.set(link, is_in);
                if why.kind == ErrorKind::Unauthorized {
                    self.refused = self.refused.wrapping_add_signed(if is_in { 1 } else { -1 });
                }
            }
            State::Leaving(_) => {}
        };
        note(&self.links[link].state, false);
        note(&state, true);
        self.silent.set(link, false);
        self.draining.set(link, false);
        self.links[link].state = state;
    }

    /// The prefixes of the links that there should be, beside the first one, where the server has so many shards.
    pub(super) fn wanted(&self, shards: u16, callers: u16) -> Vec<u16> {
        let (Some(first), true) = (self.links.first(), shards > 0) else {
            return Vec::new();
        };
        let own = first.prefix % shards;
        // By steps: a server may say that it has very many, any number of times.
        let ours = (own % callers..shards).step_by(usize::from(callers));
        let others = ours.filter(|shard| *shard != own);
        others.take(SESSIONS_MAX - 1).collect()
    }

    /// Whether a further link may be added.
    pub(super) fn has_room(&self) -> bool {
        self.links.len() < LINKS_MAX
    }

    /// The link that the next call takes: the one with the fewest, among those whose handshake is over, or not. `calls`
    /// gives the number of calls on a session, or `None` where it takes no more.
    #[inline]
    pub(super) fn pick(
        &mut self,
        is_open: bool,
        mut calls: impl FnMut(SessionKey, ListKey) -> Option<usize>,
    ) -> Option<(usize, SessionKey)> {
        let usable = match is_open {
            true => &self.open,
            false => &self.connecting,
        };
        let links = &self.links;
        if usable.len() == 1 {
            let place = usable.at(0)?;
            let link = links.get(place)?;
            let session = link.session()?;
            calls(session, link.calls)?;
            return Some((place, session));
        }
        let at = self.balance.pick(usable.len(), |at| {
            let place = usable.at(at)?;
            let link = links.get(place)?;
            let calls = calls(link.session()?, link.calls)?;
            // Those that say nothing come after all others.
            let is_silent = !self.silent.is_empty() && self.silent.contains(place);
            Some(calls + usize::from(is_silent) * SILENT)
        })?;
        let place = usable.at(at)?;
        Some((place, links[place].session()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use madrpc_core::lists::Lists;

    /// Where the sessions of a caller land.
    fn shards(first: u16, callers: u16, shards: u16) -> Vec<u16> {
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut lists = Lists::<()>::default();
        let mut target = Target::new(address.into(), 0);
        target
            .links
            .push(Link::new(address, first, lists.add_list()));
        let mut all = vec![first];
        all.extend(target.wanted(shards, callers));
        all.iter().map(|prefix| prefix % shards.max(1)).collect()
    }

    #[test]
    fn a_lone_caller_has_a_session_to_each_shard() {
        for first in [0, 1, 7, u16::MAX] {
            let mut all = shards(first, 1, 4);
            assert_eq!(all[0], first % 4);
            all.sort_unstable();
            assert_eq!(all, [0, 1, 2, 3]);
        }
        assert_eq!(shards(5, 1, 1), [0]);
        assert_eq!(shards(0, 1, 1000).len(), SESSIONS_MAX);
        // Not a number of shards.
        assert_eq!(shards(5, 1, 0).len(), 1);
    }

    #[test]
    fn callers_of_one_process_share_the_shards() {
        for (callers, count) in [(2, 4), (3, 8), (4, 2), (5, 5), (1, 3)] {
            let mut met = vec![0; usize::from(count)];
            for caller in 0..callers {
                for shard in shards(caller, callers, count) {
                    met[usize::from(shard)] += 1;
                }
            }
            let sessions: u16 = met.iter().sum();
            let expected = callers.max(count);
            assert_eq!(sessions, expected, "{callers} to {count}: {met:?}");
            assert!(met.iter().max() <= met.iter().min().map(|least| least + 1).as_ref());
        }
    }
}
