//! An endpoint: one socket and the sessions on it.
//!
//! It finds the session of a datagram by connection ID, opens and accepts sessions, keeps their timers, and sends what
//! they have to say. It never looks into a frame. A shard drives it, each turn in this order: [`receive`],
//! [`expire`], [`frames`], then [`outbox`] for what there is to say, [`flush`], and [`ended`] until it is `None`.
//!
//! [`receive`]: Endpoint::receive
//! [`expire`]: Endpoint::expire
//! [`frames`]: Endpoint::frames
//! [`outbox`]: Endpoint::outbox
//! [`flush`]: Endpoint::flush
//! [`ended`]: Endpoint::ended

mod accept;
mod entry;
mod lifecycle;
mod reset;
mod retry;
mod transmit;

pub(crate) use accept::Accepting;
pub(crate) use entry::SessionKey;
pub(crate) use reset::Resets;
pub(crate) use retry::Tokens;

use crate::relay::Relay;
use crate::socket::{Datagram, Inbound, Socket};
use crate::throttle::Throttle;
use accept::Accepts;
use entry::{ConnectionKey, Entry};
use futures_lite::FutureExt;
use madrpc_core::cid;
use madrpc_core::error::{CallError, ErrorKind};
use madrpc_core::limits::{BODY_MAX_BYTES, HANDSHAKE_TIMEOUT, RELAYED_PER_TURN};
use madrpc_core::session::{Event, Goodbye, Outbox, READ_BUFFER_BYTES, Session};
use madrpc_core::stats::Snapshot;
use madrpc_core::wheel::Wheel;
use slab::Slab;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;
use transmit::Batch;

/// Batches received in one turn, so that a flood does not keep the shard from its calls.
const BATCHES_PER_TURN: usize = 8;

/// Sessions and their socket.
pub(crate) struct Endpoint {
    socket: Socket,
    config: quiche::Config,
    accepts: Accepts,
    sessions: Slab<Entry>,
    generation: u64,
    by_id: HashMap<ConnectionKey, usize>,
    timers: Wheel<usize>,
    /// Sessions with something to read or to send, each once.
    dirty: Vec<usize>,
    ended: VecDeque<(SessionKey, CallError)>,
    inbound: Option<Inbound>,
    read_buffer: Box<[u8]>,
    batch: Batch,
    relay: Relay,
    misrouted: u64,
    migrations: u64,
    retries: u64,
    garbage: Throttle,
    refusals: Throttle,
    /// Handshakes that came to nothing.
    failures: Throttle,
}

/// Getters.
impl Endpoint {
    /// Open sessions.
    pub(crate) fn session_count(&self) -> usize {
        self.sessions
            .iter()
            .filter(|(_, entry)| entry.established && !entry.reported)
            .count()
    }

    /// Adds what was counted of datagrams and handshakes.
    pub(crate) fn count(&self, snapshot: &mut Snapshot) {
        snapshot.handshakes += self.accepts.handshaking as u64;
        snapshot.misrouted += self.misrouted;
        snapshot.migrations += self.migrations;
        snapshot.retries += self.retries;
        snapshot.resets += self.accepts.resets.as_ref().map_or(0, Resets::sent);
        snapshot.relayed += self.relay.relayed();
        snapshot.relay_dropped += self.relay.dropped();
    }

    /// Whether the next turn has something to do without anything new from outside.
    pub(crate) fn has_work(&self) -> bool {
        !self.dirty.is_empty() || self.batch.unsent.is_some()
    }

    /// When to take the next turn at the latest.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Whether this session's handshake is over and it has not ended.
    pub(crate) fn is_established(&self, key: SessionKey) -> bool {
        self.entry(key)
            .is_some_and(|entry| entry.established && !entry.reported)
    }

    /// Bytes of this session's frames that the network has not taken yet.
    pub(crate) fn waiting_bytes(&self, key: SessionKey) -> usize {
        self.entry(key)
            .map_or(0, |entry| entry.session.waiting_bytes())
    }

    /// Whether every session has given the network all it had to say.
    pub(crate) fn is_quiet(&self) -> bool {
        let mut entries = self.sessions.iter().map(|(_, entry)| entry);
        self.batch.unsent.is_none()
            && entries.all(|entry| entry.reported || entry.session.waiting_bytes() == 0)
    }

    /// Waits until a datagram comes, by the socket or from another shard.
    pub(crate) async fn readable(&self) {
        self.relay.readable().or(self.socket.readable()).await;
    }

    fn entry(&self, key: SessionKey) -> Option<&Entry> {
        self.sessions
            .get(key.index)
            .filter(|entry| entry.generation == key.generation)
    }

    fn entry_mut(&mut self, key: SessionKey) -> Option<&mut Entry> {
        let entry = self.sessions.get_mut(key.index)?;
        (entry.generation == key.generation).then_some(entry)
    }
}

/// Handlers: what the shard tells.
impl Endpoint {
    /// An endpoint that accepts sessions.
    pub(crate) fn accepting(socket: Socket, accepting: Accepting, now: Instant) -> Self {
        let accepts = Accepts {
            shard: accepting.shard,
            shards: accepting.shards,
            server: true,
            handshaking: 0,
            closed: false,
            validating: false,
            floods: Throttle::default(),
            tokens: Some(accepting.tokens),
            resets: Some(accepting.resets),
        };
        Self {
            relay: accepting.relay,
            ..Self::new(socket, accepting.config, accepts, now)
        }
    }

    /// An endpoint that only opens sessions.
    ///
    /// # Errors
    /// Where the system does not report unreachable peers.
    pub(crate) fn dialing(
        socket: Socket,
        config: quiche::Config,
        now: Instant,
    ) -> io::Result<Self> {
        socket.report_unreachable()?;
        let accepts = Accepts {
            shard: 0,
            shards: 1,
            server: false,
            handshaking: 0,
            closed: false,
            validating: false,
            floods: Throttle::default(),
            tokens: None,
            resets: None,
        };
        Ok(Self::new(socket, config, accepts, now))
    }

    /// Opens and accepts sessions with this from now on.
    pub(crate) fn set_config(&mut self, config: quiche::Config) {
        self.config = config;
    }

    /// Gives sessions that are accepted from now on tokens that follow from this key; a process that is started later with
    /// the same identity has it too.
    pub(crate) fn set_reset_key(&mut self, key: [u8; 32]) {
        if let Some(resets) = &mut self.accepts.resets {
            resets.set_key(key);
        }
    }

    fn new(socket: Socket, config: quiche::Config, accepts: Accepts, now: Instant) -> Self {
        Self {
            socket,
            config,
            accepts,
            sessions: Slab::new(),
            generation: 0,
            by_id: HashMap::new(),
            timers: Wheel::new(now),
            dirty: Vec::new(),
            ended: VecDeque::new(),
            inbound: Some(Inbound::new()),
            read_buffer: vec![0; READ_BUFFER_BYTES].into_boxed_slice(),
            batch: Batch::new(),
            relay: Relay::default(),
            misrouted: 0,
            migrations: 0,
            retries: 0,
            garbage: Throttle::default(),
            refusals: Throttle::default(),
            failures: Throttle::default(),
        }
    }

    /// Opens a session to `peer`, which must show a certificate for `server_name`, and to that shard of it, modulo its
    /// shards.
    ///
    /// The session can be used at once; if it never gets through, [`Endpoint::ended`] says why.
    pub(crate) fn connect(
        &mut self,
        peer: SocketAddr,
        server_name: &str,
        shard: u16,
        now: Instant,
    ) -> Result<SessionKey, CallError> {
        let id = self.issue_id()?;
        let source = quiche::ConnectionId::from_ref(&id);
        // The first ID of the server's is the client's to choose, and its first two bytes choose the server's shard.
        let mut first = self.issue_id()?;
        first[..2].copy_from_slice(&shard.to_be_bytes());
        let first = quiche::ConnectionId::from_ref(&first);
        let local = self.socket.local();
        let config = &mut self.config;
        let quic =
            quiche::connect_with_dcid(Some(server_name), &source, &first, local, peer, config)
                .map_err(|error| {
                    CallError::not_run(ErrorKind::Internal, format!("session to {peer}: {error}"))
                })?;
        let index = self.insert(quic, peer, None, [ConnectionKey::new(&id), None], now);
        Ok(SessionKey {
            index,
            generation: self.generation,
        })
    }

    /// Takes no further sessions; those there are go on.
    pub(crate) fn stop_accepting(&mut self) {
        self.accepts.closed = true;
    }

    /// Ends all sessions; `reason` is shown to the peers.
    pub(crate) fn close_all(&mut self, reason: &str) {
        for index in 0..self.sessions.capacity() {
            if let Some(entry) = self.sessions.get_mut(index) {
                entry.session.close(Goodbye::Draining, reason);
                self.mark(index);
            }
        }
    }

    /// Where frames for this session's peer are put; `None` once it has ended.
    pub(crate) fn outbox(&mut self, key: SessionKey) -> Option<&mut Outbox> {
        self.entry(key).filter(|entry| !entry.reported)?;
        self.mark(key.index);
        self.entry_mut(key).map(|entry| entry.session.outbox())
    }

    /// Where frames for every open session's peer are put.
    pub(crate) fn each_outbox(&mut self, mut tell: impl FnMut(&mut Outbox)) {
        for index in 0..self.sessions.capacity() {
            if let Some(entry) = self.sessions.get_mut(index)
                && entry.established
                && !entry.reported
            {
                tell(entry.session.outbox());
                self.mark(index);
            }
        }
    }

    /// Finds out whether this session's peer is still there.
    pub(crate) fn ping(&mut self, key: SessionKey) {
        if let Some(entry) = self.entry_mut(key) {
            entry.session.ping();
            self.mark(key.index);
        }
    }

    fn mark(&mut self, index: usize) {
        if let Some(entry) = self.sessions.get_mut(index)
            && !entry.dirty
        {
            entry.dirty = true;
            self.dirty.push(index);
        }
    }

    fn insert(
        &mut self,
        quic: quiche::Connection,
        peer: SocketAddr,
        local_ip: Option<IpAddr>,
        ids: [Option<ConnectionKey>; 2],
        now: Instant,
    ) -> usize {
        self.generation += 1;
        let index = self.sessions.insert(Entry {
            session: Session::new(quic, BODY_MAX_BYTES),
            generation: self.generation,
            peer,
            local_ip,
            opened: now,
            ids,
            timer: None,
            dirty: false,
            established: false,
            reported: false,
            unreachable: 0,
        });
        for id in ids.into_iter().flatten() {
            self.by_id.insert(id, index);
        }
        self.mark(index);
        index
    }
}

/// Pollers: what the shard asks for.
impl Endpoint {
    /// Takes in what has come, a bounded amount; gives the number of datagrams.
    pub(crate) fn receive(&mut self, now: Instant) -> usize {
        // Lent out of `self` for the loop, whose body needs the rest of it.
        let Some(mut inbound) = self.inbound.take() else {
            return 0;
        };
        let mut count = 0;
        for _ in 0..BATCHES_PER_TURN {
            let (filled, more) = self.socket.receive(&mut inbound);
            for datagram in inbound.datagrams(filled) {
                count += 1;
                self.on_datagram(datagram, now);
            }
            if !more {
                break;
            }
        }
        self.inbound = Some(inbound);
        self.relay.announce();
        for _ in 0..RELAYED_PER_TURN {
            let Some((way, mut parcel)) = self.relay.receive() else {
                break;
            };
            count += 1;
            self.on_datagram(parcel.datagram(), now);
            self.relay.give_back(way, parcel);
        }
        if !self.accepts.server {
            while let Some(peer) = self.socket.unreachable() {
                self.on_unreachable(peer);
            }
        }
        count
    }

    fn on_datagram(&mut self, mut datagram: Datagram<'_>, now: Instant) {
        let id = cid::destination_of(datagram.bytes);
        let key = id.and_then(ConnectionKey::new);
        let known = key.and_then(|key| self.by_id.get(&key).copied());
        if known.is_none()
            && let Some(shard) = id.and_then(|id| self.accepts.elsewhere(id))
        {
            self.misrouted += 1;
            self.relay.send(shard, &datagram);
            return;
        }
        let Some(index) = known.or_else(|| self.accept(&mut datagram, now)) else {
            return;
        };
        if let Some(entry) = self.sessions.get_mut(index) {
            entry.unreachable = 0;
            let local = self.socket.local();
            entry.session.receive(datagram.bytes, datagram.from, local);
            if self.accepts.closed && !entry.session.is_established() {
                entry.session.refuse("it is stopping");
            }
            self.mark(index);
        }
    }

    /// Does what was set for a time that has come.
    pub(crate) fn expire(&mut self, now: Instant) {
        while let Some(index) = self.timers.expire(now) {
            let Some(entry) = self.sessions.get_mut(index) else {
                continue;
            };
            entry.timer = None;
            entry.session.on_timeout();
            if !entry.established
                && !entry.reported
                && now.duration_since(entry.opened) >= HANDSHAKE_TIMEOUT
            {
                let seconds = HANDSHAKE_TIMEOUT.as_secs();
                let error = format!("no complete handshake within {seconds} s");
                self.report(index, CallError::not_run(ErrorKind::Unavailable, error));
                self.remove(index);
                continue;
            }
            self.mark(index);
        }
    }

    /// Hands out the frames that have come, a bounded amount for each session.
    ///
    /// A session whose peer does not take its replies is not read further.
    pub(crate) fn frames(&mut self, mut on_event: impl FnMut(SessionKey, &mut Outbox, Event<'_>)) {
        for at in 0..self.dirty.len() {
            let index = self.dirty[at];
            let Some(entry) = self.sessions.get_mut(index) else {
                continue;
            };
            if self.accepts.holds_up(&entry.session) {
                continue;
            }
            let key = SessionKey {
                index,
                generation: entry.generation,
            };
            entry
                .session
                .frames(&mut self.read_buffer, |outbox, event| {
                    on_event(key, outbox, event);
                });
        }
    }

    /// Sends what the sessions have to say.
    pub(crate) fn flush(&mut self, now: Instant) {
        let mut dirty = std::mem::take(&mut self.dirty);
        let mut kept = 0;
        for at in 0..dirty.len() {
            let index = dirty[at];
            if self.send(index) {
                self.settle(index, now);
            }
            let again = self.sessions.get_mut(index).is_some_and(|entry| {
                let unread = entry.session.has_unread() && !self.accepts.holds_up(&entry.session);
                entry.dirty = self.batch.unsent.is_some() || unread;
                entry.dirty
            });
            if again {
                dirty[kept] = index;
                kept += 1;
            }
        }
        dirty.truncate(kept);
        // Nothing is marked while flushing, so the list can take its place again.
        self.dirty = dirty;
    }

    /// A session that has ended, and why; each is told once.
    pub(crate) fn ended(&mut self) -> Option<(SessionKey, CallError)> {
        self.ended.pop_front()
    }
}
