//! The sessions of an endpoint: found by connection ID, timed, read in turns, and reported once when they end.
//!
//! What costs something per session costs it only for sessions in which something has happened: those are *dirty*, and
//! each is in the list of them once, in the order in which they are read ([`reading`]). Nothing here sends; the endpoint does,
//! and then has each [`settle`]d.
//!
//! [`reading`]: super::reading
//! [`settle`]: Sessions::settle

use super::acks::Acks;
use super::bodies::Bodies;
use super::certificates::Certificates;
use super::entry::{ConnectionKey, Ended, Entry, NewSession, Phase, SessionKey};
use super::origin::{Counts, Origin, Refused};
use super::parking::Parking;
use super::peers::PeerIndex;
use super::postponed::Postponed;
use super::reading::Reading;
use super::reset::is_like_ours;
use crate::net::budget::{Budget, Held};
use crate::net::log_limit::LogLimit;
use crate::net::shares::Shares;
use crate::net::socket::Datagram;
use bytes::Bytes;
use madrpc_core::call::frame::Header;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::identity::Revoked;
use madrpc_core::limits::{
    BODY_MAX_BYTES, HANDSHAKE_MIN, HANDSHAKE_TIMEOUT, SESSION_COST_BYTES, SESSION_WINDOW_BYTES,
};
use madrpc_core::session::{Goodbye, Session};
use madrpc_core::wheel::Wheel;
use slab::Slab;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// Why a session is not let in that there is no room for.
pub(super) const NO_ROOM: &str = "it has as many sessions as its memory has room for";

/// The sessions of an endpoint.
pub(super) struct Sessions {
    pub(super) entries: Slab<Entry>,
    pub(super) last_generation: u64,
    pub(super) by_id: HashMap<ConnectionKey, usize>,
    pub(super) timers: Wheel<usize>,
    /// Handshakes that peers have begun, the oldest first; some of them may be over.
    begun: VecDeque<SessionKey>,
    /// Those with something to read or to send, each once.
    pub(super) dirty: Vec<usize>,
    pub(super) reading: Reading,
    pub(super) ended: VecDeque<Ended>,
    /// How many are in each phase.
    pub(super) counts: Counts,
    /// How many have frames that QUIC has not taken.
    pub(super) waiting: usize,
    /// Changes of clients' addresses.
    pub(super) migrations: u64,
    pub(super) origin: Origin,
    /// Those that we have opened.
    pub(super) peers: PeerIndex,
    pub(super) budget: Rc<Budget>,
    pub(super) bodies: Bodies,
    pub(super) certificates: Certificates,
    /// What callers have had of the core.
    pub(super) shares: Shares,
    /// Where datagrams wait of sessions that are sent much.
    pub(super) parked: Parking,
    /// When a caller last said something who is not ahead of the others.
    pub(super) heard: Instant,
    /// What each that a peer has opened is told once it is open.
    pub(super) announcement: Option<(u64, Bytes)>,
    /// Whether it is told that no new calls are taken.
    pub(super) is_draining: bool,
    /// Certificates whose owners are not let in any more.
    pub(super) revoked: Arc<Revoked>,
}

/// Getters.
impl Sessions {
    pub(super) fn get(&self, key: SessionKey) -> Option<&Entry> {
        let entry = self.entries.get(key.index)?;
        (entry.generation == key.generation && entry.phase != Phase::Closing).then_some(entry)
    }

    pub(super) fn at(&mut self, index: usize) -> Option<&mut Entry> {
        self.entries.get_mut(index)
    }

    pub(super) fn with_id(&self, id: &ConnectionKey) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.timers.next()
    }

    pub(super) fn has_work(&self) -> bool {
        !self.dirty.is_empty() || !self.parked.is_empty() || !self.ended.is_empty()
    }

    /// Whether QUIC has taken all that there is to say.
    pub(super) fn is_quiet(&self) -> bool {
        self.dirty.is_empty() && self.waiting == 0
    }

    pub(super) fn phase(&self, index: usize) -> Option<Phase> {
        self.entries.get(index).map(|entry| entry.phase)
    }

    /// The sessions that we have opened to this peer.
    pub(super) fn to(&self, peer: SocketAddr) -> Vec<usize> {
        self.peers.to(peer)
    }

    /// Whether there is room for the windows of one more session. Handshakes have a bound of their own: strangers who begin
    /// some and say no more must not take the room of those who come in. Nor must those who hold much, so there is some beyond
    /// what they share: a session itself takes little.
    pub(super) fn has_room(&self) -> bool {
        let limit = self.budget.limit();
        self.counts.open < self.sessions_max() && self.budget.used() < limit + limit / 8
    }

    pub(super) fn sessions_max(&self) -> usize {
        self.budget.limit() / SESSION_WINDOW_BYTES as usize
    }

    pub(super) fn budget(&self) -> &Rc<Budget> {
        &self.budget
    }

    pub(super) fn is_server(&self) -> bool {
        matches!(self.origin, Origin::Accepted { .. })
    }

    /// The places of all sessions, for what happens once in a server's life.
    pub(super) fn places(&self) -> std::ops::Range<usize> {
        0..self.entries.capacity()
    }
}

/// Handlers.
impl Sessions {
    /// None yet; peers will open them.
    pub(super) fn accepted(budget: Rc<Budget>, now: Instant) -> Self {
        let origin = Origin::Accepted {
            refusals: LogLimit::default(),
            failed_handshakes: 0,
            refused: Refused::default(),
        };
        Self::new(origin, budget, now)
    }

    /// None yet; we shall open them.
    pub(super) fn opened(budget: Rc<Budget>, now: Instant) -> Self {
        let origin = Origin::Opened {
            opened: VecDeque::new(),
        };
        Self::new(origin, budget, now)
    }

    fn new(origin: Origin, budget: Rc<Budget>, now: Instant) -> Self {
        Self {
            entries: Slab::new(),
            last_generation: 0,
            by_id: HashMap::new(),
            timers: Wheel::new(now),
            begun: VecDeque::new(),
            dirty: Vec::new(),
            reading: Reading::NEW,
            ended: VecDeque::new(),
            counts: Counts::default(),
            waiting: 0,
            migrations: 0,
            origin,
            peers: PeerIndex::default(),
            budget,
            bodies: Bodies::new(now),
            certificates: Certificates::default(),
            shares: Shares::default(),
            parked: Parking::new(),
            heard: now,
            announcement: None,
            is_draining: false,
            revoked: Arc::default(),
        }
    }

    /// Adds a session that a peer opens, and tells it how many shards there are.
    pub(super) fn accept(
        &mut self,
        new: NewSession,
        shards: u16,
        instance: u64,
        now: Instant,
    ) -> usize {
        let key = self.insert(new, now);
        self.forget_ended();
        self.begun.push_back(key);
        let index = key.index;
        if let Some(entry) = self.entries.get_mut(index) {
            let welcome = Header::Welcome { shards, instance };
            entry.session.outbox().send(&welcome, &[]);
        }
        index
    }

    /// Drops handshakes that are over from the front of those that were begun.
    fn forget_ended(&mut self) {
        while let Some(&key) = self.begun.front()
            && self
                .get(key)
                .is_none_or(|entry| entry.phase != Phase::Handshaking)
        {
            self.begun.pop_front();
        }
    }

    /// Gives up the oldest handshake that a peer has begun, if it had time enough; says whether there was one. (What a SYN
    /// cache does: whoever goes on with his handshake is through before he is the oldest.)
    pub(super) fn give_up_oldest(&mut self, now: Instant) -> bool {
        self.forget_ended();
        let oldest = self.begun.front().copied();
        let Some(oldest) = oldest.filter(|&key| {
            let entry = self.get(key);
            entry.is_some_and(|entry| now >= entry.opened + HANDSHAKE_MIN)
        }) else {
            return false;
        };
        let error = "another has taken its place, as many handshakes are open";
        let error = CallError::not_run(ErrorKind::Overloaded, error);
        self.abandon(oldest.index, error);
        true
    }

    /// Adds a session.
    pub(super) fn insert(&mut self, new: NewSession, now: Instant) -> SessionKey {
        self.last_generation += 1;
        let generation = self.last_generation;
        let is_ours = !new.quic.is_server();
        let index = self.entries.insert(Entry {
            session: Session::new(new.quic, BODY_MAX_BYTES),
            generation,
            peer: new.peer,
            local_ip: new.local_ip,
            opened: now,
            ids: new.ids,
            timer: None,
            acks: Acks::new(now),
            dirty: false,
            waits: false,
            phase: Phase::Handshaking,
            unreachable: 0,
            handshake_bytes: 0,
            held: Held::new(&self.budget, SESSION_COST_BYTES),
            expected: 0,
            waits_since: None,
            is_let_through: false,
            is_passed_over: false,
            untold_frames: 0,
            load_told: 0,
            parked: Postponed::default(),
            in_turn: (0, 0),
            is_held_up: false,
            progress: (0, now),
            received_at: now,
            certificate: None,
            is_ours,
        });
        self.counts.handshaking += 1;
        for id in new.ids.into_iter().flatten() {
            self.by_id.insert(id, index);
        }
        if is_ours {
            self.peers.opened(index, new.peer);
        }
        self.mark(index);
        SessionKey { index, generation }
    }

    /// Something has happened in this session, of which its peer may have to hear.
    pub(super) fn mark(&mut self, index: usize) {
        if let Some(entry) = self.entries.get_mut(index) {
            entry.acks.hurry();
        }
        self.mark_read(index);
    }

    /// This session may have something to read.
    pub(super) fn mark_read(&mut self, index: usize) {
        if let Some(entry) = self.entries.get_mut(index)
            && !entry.dirty
        {
            entry.dirty = true;
            self.dirty.push(index);
        }
    }

    /// A datagram for this session has come, to this address of ours; gives the bytes received before its handshake is
    /// over.
    pub(super) fn receive(
        &mut self,
        index: usize,
        datagram: &mut Datagram<'_>,
        local: SocketAddr,
        now: Instant,
    ) -> usize {
        let Some(entry) = self.entries.get_mut(index) else {
            return 0;
        };
        entry.unreachable = 0;
        entry.received_at = now;
        // A long header: packets of the session itself may come early, and quiche keeps only a few of them.
        let is_handshake = datagram
            .bytes
            .first()
            .is_some_and(|first| first & 0x80 != 0);
        if entry.phase == Phase::Handshaking && is_handshake {
            entry.handshake_bytes += datagram.bytes.len();
            self.counts.handshake_bytes += datagram.bytes.len();
        }
        entry.acks.on_datagram(datagram.bytes);
        entry.session.receive(datagram.bytes, datagram.from, local);
        entry.end_if_scattered();
        let received = entry.handshake_bytes;
        self.mark_read(index);
        match self.enter_if_open(index, now) {
            true => 0,
            false => received,
        }
    }

    /// Ends a handshake; `reason` is shown to the peer.
    pub(super) fn refuse(&mut self, index: usize, reason: &str) {
        if let Some(entry) = self.entries.get_mut(index)
            && !entry.session.is_established()
        {
            entry.session.refuse(reason);
        }
    }

    /// Whether a datagram that belongs to no session here comes from a server that we have sessions to, and may be a reset of one.
    pub(super) fn may_be_reset(&self, datagram: &Datagram<'_>) -> bool {
        is_like_ours(datagram.bytes) && self.peers.has(datagram.from)
    }

    /// Ends the session whose server does not know it any more, if that is what a datagram says that belongs to none; says whether
    /// there was one.
    pub(super) fn heed_reset(&mut self, datagram: &Datagram<'_>) -> bool {
        let Some(index) = self.peers.reset_by(datagram) else {
            return false;
        };
        if let Some(entry) = self.entries.get_mut(index)
            && entry.peer == datagram.from
        {
            entry.session.close(Goodbye::Done, "nobody is there");
            let error = "the server does not know the session any more: it was started anew";
            let error = CallError::may_have_run(ErrorKind::Unavailable, error);
            self.abandon(index, error);
            return true;
        }
        false
    }

    /// Does what was set for a time that has come.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some(index) = self.timers.expire(now) {
            let Some(entry) = self.entries.get_mut(index) else {
                continue;
            };
            entry.timer = None;
            entry.session.on_timeout();
            while entry.session.drop_late(now) {}
            entry.judge(now);
            let since_opened = now.saturating_duration_since(entry.opened);
            if entry.phase == Phase::Handshaking && since_opened >= HANDSHAKE_TIMEOUT {
                let seconds = HANDSHAKE_TIMEOUT.as_secs();
                let error = format!("no complete handshake within {seconds} s");
                self.abandon(index, CallError::not_run(ErrorKind::Unavailable, error));
                continue;
            }
            self.mark(index);
        }
    }

    /// Handshakes that have failed since this was last asked.
    pub(super) fn take_failed_handshakes(&mut self) -> usize {
        match &mut self.origin {
            Origin::Accepted {
                failed_handshakes, ..
            } => std::mem::take(failed_handshakes),
            Origin::Opened { .. } => 0,
        }
    }
}

/// Pollers.
impl Sessions {
    /// A session that we have opened and whose handshake is over; each is told once.
    pub(super) fn next_opened(&mut self) -> Option<SessionKey> {
        match &mut self.origin {
            Origin::Opened { opened, .. } => opened.pop_front(),
            Origin::Accepted { .. } => None,
        }
    }

    /// A session that has ended, and why; each is told once.
    pub(super) fn next_ended(&mut self) -> Option<Ended> {
        self.ended.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use madrpc_core::identity::{Authority, Role};
    use std::time::Duration;

    /// A handshake that a peer has begun.
    fn begin(sessions: &mut Sessions, config: &mut quiche::Config, now: Instant) -> usize {
        let (here, there) = (([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into());
        let id = quiche::ConnectionId::from_ref(&[7; 16]);
        let quic = quiche::accept(&id, None, here, there, config).unwrap();
        let new = NewSession {
            quic,
            peer: there,
            local_ip: None,
            ids: [None; 2],
        };
        sessions.accept(new, 1, 1, now)
    }

    #[test]
    fn the_oldest_handshake_gives_way_once_it_had_its_time() {
        let node = Authority::create("test").unwrap().issue(Role::Node);
        let mut config = node.unwrap().server_config().unwrap();
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut sessions = Sessions::accepted(Budget::new(1 << 30), start);
        let begun: Vec<_> = [0, 100, 120]
            .map(|ms| begin(&mut sessions, &mut config, at(ms)))
            .into();
        assert!(!sessions.give_up_oldest(at(249)), "it may be on its way");
        assert!(sessions.give_up_oldest(at(250)));
        assert_eq!(sessions.phase(begun[0]), None);
        assert!(!sessions.give_up_oldest(at(300)), "the next is younger");
        // One that has ended otherwise is not in the way.
        let error = CallError::not_run(ErrorKind::Unavailable, "gone");
        sessions.abandon(begun[1], error);
        assert!(!sessions.give_up_oldest(at(360)));
        assert!(sessions.give_up_oldest(at(370)));
        assert!(!sessions.give_up_oldest(at(9999)), "there is none");
        assert_eq!((sessions.counts.handshaking, sessions.begun.len()), (0, 0));
    }
}
