//! Links: the sessions to each upstream, how many there are, and which of them a call takes.
//!
//! A server tells on every session how many shards it has, and the first two bytes of a session's first connection ID
//! choose the shard that it lands on. So a caller has a session to each shard of a server, however few calls it makes;
//! where the callers are the shards of one process, they share the server's shards among them instead.

use super::Keep;
use crate::endpoint::{Endpoint, SessionKey};
use madrpc_core::balance::{Backoff, FewestInFlight};
use madrpc_core::error::{CallError, ErrorKind};
use madrpc_core::limits::BACKLOG_MAX_BYTES;
use std::net::SocketAddr;
use std::time::Instant;

/// Sessions of one caller to one server, at the most, where their number follows from the server's shards.
pub const SESSIONS_MAX: usize = 16;

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

/// A server and the sessions to it.
pub(super) struct Target {
    pub(super) address: SocketAddr,
    pub(super) links: Vec<Link>,
    balance: FewestInFlight,
}

/// A session, or the place of one.
pub(super) struct Link {
    /// What the first connection ID begins with.
    prefix: u16,
    /// Whether the server still has the shard that it was for.
    wanted: bool,
    pub(super) state: State,
    pub(super) backoff: Backoff,
    /// Calls on it without an outcome.
    pub(super) waiting: usize,
}

pub(super) enum State {
    Down { retry_at: Instant, why: CallError },
    Up { key: SessionKey, leaving: bool },
}

/// Where a link is: its target's number, and its own among the target's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) target: usize,
    pub(super) link: usize,
}

impl Link {
    fn new(address: SocketAddr, prefix: u16, now: Instant) -> Self {
        let why = format!("{address}: no session yet");
        Self {
            prefix,
            wanted: true,
            state: State::Down {
                retry_at: now,
                why: CallError::not_run(ErrorKind::Unavailable, why),
            },
            backoff: Backoff::default(),
            waiting: 0,
        }
    }

    /// When it is to be opened again.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        match self.state {
            State::Down { retry_at, .. } if self.wanted => Some(retry_at),
            _ => None,
        }
    }

    pub(super) fn is_session(&self, session: SessionKey) -> bool {
        matches!(self.state, State::Up { key, .. } if key == session)
    }
}

impl Target {
    pub(super) fn new(address: SocketAddr, sessions: Sessions, first: u16, now: Instant) -> Self {
        let count = match sessions {
            Sessions::Fixed(count) => count.max(1),
            Sessions::PerShard { .. } => 1,
        };
        let prefixes = (0..count).map(|number| first.wrapping_add(number as u16));
        let links = prefixes.map(|prefix| Link::new(address, prefix, now));
        Self {
            address,
            links: links.collect(),
            balance: FewestInFlight::default(),
        }
    }

    /// The server has so many shards: sees to it that there is a link to each that is ours.
    pub(super) fn learn(&mut self, shards: u16, callers: u16, now: Instant) {
        let (Some(first), true) = (self.links.first(), shards > 0) else {
            return;
        };
        let own = first.prefix % shards;
        let ours = (0..shards).filter(|shard| *shard != own && shard % callers == own % callers);
        let ours: Vec<u16> = ours.take(SESSIONS_MAX - 1).collect();
        for link in &mut self.links[1..] {
            link.wanted = ours.contains(&link.prefix);
            if let State::Up { leaving, .. } = &mut link.state {
                *leaving |= !link.wanted;
            }
        }
        for shard in ours {
            if !self.links[1..].iter().any(|link| link.prefix == shard) {
                self.links.push(Link::new(self.address, shard, now));
            }
        }
    }

    /// The session with the fewest calls, among those whose handshake is over, or not. Those that are open and too far
    /// behind are counted.
    pub(super) fn pick(
        &mut self,
        endpoint: &Endpoint,
        established: bool,
        behind: &mut usize,
    ) -> Option<(usize, SessionKey)> {
        let links = &self.links;
        let session = |link: &Link| match link.state {
            State::Up {
                key,
                leaving: false,
            } if endpoint.is_established(key) == established => Some(key),
            _ => None,
        };
        let index = self.balance.pick(links.len(), |index| {
            let key = session(&links[index])?;
            if endpoint.waiting_bytes(key) > BACKLOG_MAX_BYTES {
                *behind += 1;
                return None;
            }
            Some(links[index].waiting)
        })?;
        Some((index, session(&links[index])?))
    }

    /// Opens the sessions that are down and due.
    pub(super) fn dial(&mut self, endpoint: &mut Endpoint, server_name: &str, now: Instant) {
        for link in &mut self.links {
            if link.retry_at().is_none_or(|retry_at| retry_at > now) {
                continue;
            }
            link.state = match endpoint.connect(self.address, server_name, link.prefix, now) {
                Ok(key) => State::Up {
                    key,
                    leaving: false,
                },
                Err(why) => State::Down {
                    retry_at: now + link.backoff.failed(fastrand::f64()),
                    why,
                },
            };
        }
    }

    /// Pings the sessions that must be known to live; a session that answers has recovered.
    pub(super) fn ping(&mut self, endpoint: &mut Endpoint, keep: Keep) {
        for link in &mut self.links {
            if let State::Up { key, .. } = link.state
                && endpoint.is_established(key)
            {
                link.backoff.succeeded();
                if keep == Keep::Always || link.waiting > 0 {
                    endpoint.ping(key);
                }
            }
        }
    }
}

/// Why none of these can be called.
pub(super) fn why_none(targets: &[Target]) -> CallError {
    let links = targets.iter().flat_map(|target| &target.links);
    let downs = links.filter_map(|link| match &link.state {
        State::Down { why, .. } => Some(why),
        State::Up { .. } => None,
    });
    let mut reasons: Vec<&str> = downs.clone().map(|why| why.message.as_str()).collect();
    reasons.dedup();
    // A refused certificate is the caller's to mend; anything else may pass.
    let unauthorized =
        downs.clone().count() > 0 && downs.clone().all(|why| why.kind == ErrorKind::Unauthorized);
    let kind = if unauthorized {
        ErrorKind::Unauthorized
    } else {
        ErrorKind::Unavailable
    };
    if reasons.is_empty() {
        reasons.push("all upstreams are stopping");
    }
    CallError::not_run(kind, reasons.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shards(first: u16, callers: u16, shards: u16) -> Vec<u16> {
        let now = Instant::now();
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut target = Target::new(address, Sessions::PerShard { callers }, first, now);
        target.learn(shards, callers, now);
        let wanted = target.links.iter().filter(|link| link.wanted);
        wanted.map(|link| link.prefix % shards).collect()
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
            assert_eq!(
                sessions,
                callers.max(count),
                "{callers} to {count}: {met:?}"
            );
            assert!(met.iter().max() <= met.iter().min().map(|least| least + 1).as_ref());
        }
    }

    #[test]
    fn a_server_that_comes_back_with_fewer_shards_loses_links_and_regains_them() {
        let now = Instant::now();
        let address = SocketAddr::from(([127, 0, 0, 1], 1));
        let mut target = Target::new(address, Sessions::PerShard { callers: 1 }, 0, now);
        let wanted = |target: &Target| target.links.iter().filter(|link| link.wanted).count();
        target.learn(4, 1, now);
        assert_eq!(wanted(&target), 4);
        target.learn(2, 1, now);
        assert_eq!(wanted(&target), 2);
        target.learn(4, 1, now);
        assert_eq!((wanted(&target), target.links.len()), (4, 4));
        // Not a number of shards.
        target.learn(0, 1, now);
        assert_eq!(wanted(&target), 4);
    }
}
