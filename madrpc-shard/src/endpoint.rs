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

use crate::socket::{Datagram, Inbound, Socket};
use crate::throttle::Throttle;
use madrpc_core::cid;
use madrpc_core::error::{CallError, ErrorKind};
use madrpc_core::limits::{
    BODY_MAX_BYTES, DATAGRAM_MAX_BYTES, HANDSHAKE_TIMEOUT, HANDSHAKES_MAX, INITIAL_MIN_BYTES, OUTBOX_HIGH_BYTES,
};
use madrpc_core::session::{Event, Goodbye, Outbox, READ_BUFFER_BYTES, Session};
use madrpc_core::wheel::{TimerKey, Wheel};
use slab::Slab;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;
use tracing::{debug, info, warn};

/// Datagrams sent by one system call; with full ones this is near the 64 KiB that the kernel takes.
const SEND_SEGMENTS: usize = 44;

/// Batches received in one turn, so that a flood does not keep the shard from its calls.
const BATCHES_PER_TURN: usize = 8;

/// Reports of an unreachable port, with no datagram in between, after which an open session is given up. Such reports
/// carry no authentication, so one alone ends nothing.
const UNREACHABLE_MAX: u32 = 3;

/// Names a session of an endpoint; it never names a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SessionKey {
    index: usize,
    generation: u64,
}

/// What an endpoint needs to accept sessions.
pub(crate) struct Accepting {
    pub(crate) config: quiche::Config,
    pub(crate) shard: u16,
    pub(crate) shards: u16,
}

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
    misrouted: u64,
    garbage: Throttle,
    refusals: Throttle,
}

/// Whether sessions are accepted.
struct Accepts {
    /// The shard's number and the number of shards; an endpoint that only dials is shard 0 of 1.
    shard: u16,
    shards: u16,
    server: bool,
    /// Accepted sessions whose handshake is not over.
    handshaking: usize,
    closed: bool,
}

struct Entry {
    session: Session,
    generation: u64,
    peer: SocketAddr,
    /// The address of ours that the peer uses, which must be the source of what we answer.
    local_ip: Option<IpAddr>,
    opened: Instant,
    ids: [Option<ConnectionKey>; 2],
    timer: Option<(Instant, TimerKey)>,
    dirty: bool,
    established: bool,
    reported: bool,
    unreachable: u32,
}

/// A connection ID of any length (RFC 9000, section 17.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct ConnectionKey {
    length: u8,
    bytes: [u8; quiche::MAX_CONN_ID_LEN],
}

impl ConnectionKey {
    fn new(id: &[u8]) -> Option<Self> {
        let mut bytes = [0; quiche::MAX_CONN_ID_LEN];
        bytes.get_mut(..id.len())?.copy_from_slice(id);
        Some(Self {
            length: id.len() as u8,
            bytes,
        })
    }
}

/// Datagrams of one session on their way to the kernel.
struct Batch {
    buffer: Box<[u8]>,
    /// What the kernel had no room for, to be sent before anything else.
    unsent: Option<Unsent>,
}

struct Unsent {
    bytes: usize,
    segment: usize,
    to: SocketAddr,
    from: Option<IpAddr>,
}

/// Getters.
impl Endpoint {
    /// Open sessions.
    pub(crate) fn session_count(&self) -> usize {
        self.sessions.iter().filter(|(_, entry)| entry.established && !entry.reported).count()
    }

    /// Datagrams that came here and belong to another shard.
    pub(crate) fn misrouted(&self) -> u64 {
        self.misrouted
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
        self.entry(key).is_some_and(|entry| entry.established && !entry.reported)
    }

    /// Bytes of this session's frames that the network has not taken yet.
    pub(crate) fn waiting_bytes(&self, key: SessionKey) -> usize {
        self.entry(key).map_or(0, |entry| entry.session.waiting_bytes())
    }

    /// Whether every session has given the network all it had to say.
    pub(crate) fn is_quiet(&self) -> bool {
        let mut entries = self.sessions.iter().map(|(_, entry)| entry);
        self.batch.unsent.is_none() && entries.all(|entry| entry.reported || entry.session.waiting_bytes() == 0)
    }

    /// Waits until a datagram comes.
    pub(crate) async fn readable(&self) {
        self.socket.readable().await;
    }

    fn entry(&self, key: SessionKey) -> Option<&Entry> {
        self.sessions.get(key.index).filter(|entry| entry.generation == key.generation)
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
        };
        Self::new(socket, accepting.config, accepts, now)
    }

    /// An endpoint that only opens sessions.
    ///
    /// # Errors
    /// Where the system does not report unreachable peers.
    pub(crate) fn dialing(socket: Socket, config: quiche::Config, now: Instant) -> io::Result<Self> {
        socket.report_unreachable()?;
        let accepts = Accepts {
            shard: 0,
            shards: 1,
            server: false,
            handshaking: 0,
            closed: true,
        };
        Ok(Self::new(socket, config, accepts, now))
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
            batch: Batch {
                buffer: vec![0; SEND_SEGMENTS * DATAGRAM_MAX_BYTES].into_boxed_slice(),
                unsent: None,
            },
            misrouted: 0,
            garbage: Throttle::default(),
            refusals: Throttle::default(),
        }
    }

    /// Opens a session to `peer`, which must show a certificate for `server_name`.
    ///
    /// The session can be used at once; if it never gets through, [`Endpoint::ended`] says why.
    pub(crate) fn connect(&mut self, peer: SocketAddr, server_name: &str, now: Instant) -> Result<SessionKey, CallError> {
        let id = self.issue_id()?;
        let source = quiche::ConnectionId::from_ref(&id);
        let local = self.socket.local();
        let quic = quiche::connect(Some(server_name), &source, local, peer, &mut self.config)
            .map_err(|error| CallError::not_run(ErrorKind::Internal, format!("session to {peer}: {error}")))?;
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

    fn issue_id(&self) -> Result<[u8; cid::ID_BYTES], CallError> {
        let mut random = [0; cid::ID_BYTES];
        boring::rand::rand_bytes(&mut random)
            .map_err(|error| CallError::not_run(ErrorKind::Internal, format!("random numbers: {error}")))?;
        Ok(cid::issue(random, self.accepts.shard, self.accepts.shards))
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
        if !self.accepts.server {
            while let Some(peer) = self.socket.unreachable() {
                self.on_unreachable(peer);
            }
        }
        count
    }

    fn on_datagram(&mut self, mut datagram: Datagram<'_>, now: Instant) {
        let id = cid::destination_of(datagram.bytes).and_then(ConnectionKey::new);
        let known = id.and_then(|id| self.by_id.get(&id).copied());
        let Some(index) = known.or_else(|| self.accept(&mut datagram, now)) else {
            return;
        };
        if let Some(entry) = self.sessions.get_mut(index) {
            entry.unreachable = 0;
            let local = self.socket.local();
            entry.session.receive(datagram.bytes, datagram.from, local);
            self.mark(index);
        }
    }

    /// Opens a session for a client's first datagram; `None` for any other that belongs to no session.
    fn accept(&mut self, datagram: &mut Datagram<'_>, now: Instant) -> Option<usize> {
        let from = datagram.from;
        let Ok(header) = quiche::Header::from_slice(datagram.bytes, cid::ID_BYTES) else {
            if let Some(count) = self.garbage.tell(now) {
                warn!("dropped a datagram from {from} that is no QUIC packet ({count} since the last such line)");
            }
            return None;
        };
        if header.ty == quiche::Type::Short {
            // A session that is over, or one of another shard.
            if cid::shard_of(&header.dcid, self.accepts.shards) != Some(self.accepts.shard) {
                self.misrouted += 1;
            }
            return None;
        }
        if self.accepts.closed || header.ty != quiche::Type::Initial || datagram.bytes.len() < INITIAL_MIN_BYTES {
            return None;
        }
        if !quiche::version_is_supported(header.version) {
            let mut out = [0; 128];
            if let Ok(length) = quiche::negotiate_version(&header.scid, &header.dcid, &mut out) {
                self.socket.send(&out[..length], length, from, datagram.to);
            }
            return None;
        }
        if self.accepts.handshaking >= HANDSHAKES_MAX {
            if let Some(count) = self.refusals.tell(now) {
                warn!("{HANDSHAKES_MAX} handshakes are open on this shard: dropped one from {from} ({count} since the last such line)");
            }
            return None;
        }
        let id = self.issue_id().ok()?;
        let source = quiche::ConnectionId::from_ref(&id);
        let quic = quiche::accept(&source, None, self.socket.local(), from, &mut self.config).ok()?;
        self.accepts.handshaking += 1;
        let ids = [ConnectionKey::new(&id), ConnectionKey::new(&header.dcid)];
        Some(self.insert(quic, from, datagram.to, ids, now))
    }

    /// The network says that nothing listens at `peer`.
    fn on_unreachable(&mut self, peer: SocketAddr) {
        for index in 0..self.sessions.capacity() {
            let Some(entry) = self.sessions.get_mut(index).filter(|entry| entry.peer == peer && !entry.reported) else {
                continue;
            };
            entry.unreachable += 1;
            if entry.established && entry.unreachable < UNREACHABLE_MAX {
                entry.session.ping();
                self.mark(index);
                continue;
            }
            let error = CallError {
                may_have_run: entry.established,
                ..CallError::not_run(ErrorKind::Unavailable, format!("{peer} refuses: no process listens there"))
            };
            entry.session.close(Goodbye::Done, "unreachable");
            self.report(index, error);
            self.remove(index);
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
            if !entry.established && !entry.reported && now.duration_since(entry.opened) >= HANDSHAKE_TIMEOUT {
                let peer = entry.peer;
                let seconds = HANDSHAKE_TIMEOUT.as_secs();
                let error = format!("{peer} did not complete the handshake within {seconds} s");
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
            if entry.session.waiting_bytes() > OUTBOX_HIGH_BYTES {
                continue;
            }
            let key = SessionKey {
                index,
                generation: entry.generation,
            };
            entry
                .session
                .frames(&mut self.read_buffer, |outbox, event| on_event(key, outbox, event));
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
                let full = entry.session.waiting_bytes() > OUTBOX_HIGH_BYTES;
                entry.dirty = self.batch.unsent.is_some() || entry.session.has_unread() && !full;
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

    /// Sends all that one session has to say; `false` where the kernel has no room.
    fn send(&mut self, index: usize) -> bool {
        if let Some(unsent) = self.batch.unsent.take()
            && !self.socket.send(&self.batch.buffer[..unsent.bytes], unsent.segment, unsent.to, unsent.from)
        {
            self.batch.unsent = Some(unsent);
            return false;
        }
        let Some(entry) = self.sessions.get_mut(index) else {
            return true;
        };
        let segments = self.socket.send_segments().min(SEND_SEGMENTS);
        let from = entry.local_ip;
        // The packet that opened the next batch because it is longer than those of the last.
        let mut first: Option<(usize, SocketAddr)> = None;
        loop {
            let Some((segment, to)) = first
                .take()
                .or_else(|| entry.session.transmit(&mut self.batch.buffer[..DATAGRAM_MAX_BYTES]))
            else {
                return true;
            };
            let mut filled = segment;
            let mut count = 1;
            // All but the last of a batch must be of one size: a longer one begins the next batch.
            while count < segments && first.is_none() {
                let room = &mut self.batch.buffer[filled..filled + DATAGRAM_MAX_BYTES];
                match entry.session.transmit(room) {
                    Some((length, next)) if length <= segment && next == to => {
                        filled += length;
                        count += 1;
                        if length < segment {
                            break;
                        }
                    }
                    Some(longer) => first = Some(longer),
                    None => break,
                }
            }
            if !self.socket.send(&self.batch.buffer[..filled], segment, to, from) {
                self.batch.unsent = Some(Unsent {
                    bytes: filled,
                    segment,
                    to,
                    from,
                });
                // The packet after it is lost, which QUIC mends; keeping it would need a second buffer.
                return false;
            }
            if let Some((length, _)) = first {
                self.batch.buffer.copy_within(filled..filled + length, 0);
            }
        }
    }

    /// Notes what has become of a session in this turn, and sets its timer.
    fn settle(&mut self, index: usize, now: Instant) {
        let Some(entry) = self.sessions.get_mut(index) else {
            return;
        };
        if !entry.established && entry.session.is_established() {
            entry.established = true;
            if self.accepts.server {
                self.accepts.handshaking -= 1;
            }
            debug!("session with {} is open", entry.peer);
        }
        let ended = entry.session.ended();
        let closed = entry.session.quic().is_closed();
        if let Some(error) = ended
            && !entry.reported
        {
            self.report(index, error);
        }
        if closed {
            self.remove(index);
            return;
        }
        let Some(entry) = self.sessions.get_mut(index) else {
            return;
        };
        let handshake = (!entry.established).then_some(entry.opened + HANDSHAKE_TIMEOUT);
        let due = [entry.session.timeout(), handshake].into_iter().flatten().min();
        let due = due.map(|due| due.max(now));
        if let Some((at, timer)) = entry.timer {
            // A timer that fires too early only looks again; one that would fire too late must move.
            if due.is_some_and(|due| at <= due) {
                return;
            }
            self.timers.remove(timer);
            entry.timer = None;
        }
        if let Some(due) = due {
            entry.timer = Some((due, self.timers.insert(due, index)));
        }
    }

    /// Tells the shard, once, that a session is over.
    fn report(&mut self, index: usize, error: CallError) {
        let Some(entry) = self.sessions.get_mut(index).filter(|entry| !entry.reported) else {
            return;
        };
        entry.reported = true;
        if self.accepts.server {
            if !entry.established {
                self.accepts.handshaking -= 1;
            }
            let peer = entry.peer;
            match error.kind {
                ErrorKind::Unauthorized | ErrorKind::Protocol => {
                    if let Some(count) = self.refusals.tell(Instant::now()) {
                        warn!("session with {peer} refused: {} ({count} since the last such line)", error.message);
                    }
                }
                _ if entry.established => debug!("session with {peer} is over: {}", error.message),
                _ => info!("session with {peer} did not come about: {}", error.message),
            }
        }
        let key = SessionKey {
            index,
            generation: entry.generation,
        };
        self.ended.push_back((key, error));
    }

    fn remove(&mut self, index: usize) {
        if let Some(entry) = self.sessions.try_remove(index) {
            for id in entry.ids.into_iter().flatten() {
                self.by_id.remove(&id);
            }
            if let Some((_, timer)) = entry.timer {
                self.timers.remove(timer);
            }
        }
    }
}
