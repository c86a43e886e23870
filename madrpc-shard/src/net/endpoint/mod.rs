//! An endpoint: one socket and the sessions on it.
//!
//! It finds the session of a datagram by connection ID, opens or accepts sessions, keeps their timers, and sends what
//! they have to say. It never looks into a frame. Its driver asks, each turn in this order: [`receive`], [`next_frame`]
//! until it is `None`, then [`outbox`] for what there is to say, [`next_ended`] until it is `None`, and [`flush`].
//!
//! | | |
//! |---|---|
//! | [`wire`] | datagrams in and out |
//! | [`sessions`] | those that are open, about to be, or about to be gone |
//! | [`parking`] | which datagrams are decrypted at once |
//! | [`callers`] | whose calls come, and whose turn it is |
//! | [`reading`] | the order in which their frames are taken |
//! | [`acceptor`] | what a server does with a datagram of no session: [`admission`], [`retry`], [`reset`] |
//! | [`acks`] | when they acknowledge what has come |
//! | [`peers`] | what a client needs beside |
//!
//! [`receive`]: Endpoint::receive
//! [`next_frame`]: Endpoint::next_frame
//! [`outbox`]: Endpoint::outbox
//! [`flush`]: Endpoint::flush
//! [`next_ended`]: Endpoint::next_ended

mod acceptor;
mod acks;
mod admission;
mod arrivals;
mod bodies;
mod callers;
mod certificates;
mod dialing;
mod entry;
mod origin;
mod parking;
pub(crate) mod peers;
mod phases;
mod postponed;
mod reading;
mod reset;
mod retry;
mod sessions;
mod wire;

pub(crate) use acceptor::Accepting;
pub(crate) use entry::{Ended, SessionKey};
#[cfg(target_os = "linux")]
pub(crate) use {reset::Resets, retry::Tokens};

use super::budget::Budget;
use super::relay::Relay;
use super::socket::{Inbound, Socket};
use acceptor::Acceptor;
use arrivals::{empty_socket, on_datagram, on_unreachable};
use madrpc_core::limits::{INLINE_BODY_MAX_BYTES, RELAYED_PER_TURN};
use madrpc_core::session::{Event, FrameBuffer, Goodbye, Outbox};
use madrpc_core::stats::Snapshot;
use sessions::Sessions;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::rc::Rc;
use std::time::{Duration, Instant};
use wire::{Sent, Wire};

/// Reports of an unreachable port, with no datagram in between, after which an open session is given up. Such reports
/// carry no authentication, so one alone ends nothing.
const UNREACHABLE_MAX: u32 = 3;

/// Sessions and their socket.
pub(crate) struct Endpoint {
    wire: Wire,
    inbound: Inbound,
    sessions: Sessions,
    side: Side,
}

/// Which side of its sessions an endpoint is.
enum Side {
    Server(Box<Acceptor>),
    /// With what it opens sessions.
    Client(Box<quiche::Config>),
}

/// Getters.
impl Endpoint {
    /// It can be read when there is something to receive.
    pub(crate) fn socket(&self) -> &UdpSocket {
        self.wire.socket.inner()
    }

    /// Open sessions.
    pub(crate) fn session_count(&self) -> usize {
        self.sessions.counts.open
    }

    /// What everything of its shard counts against.
    pub(crate) fn budget(&self) -> &Rc<Budget> {
        self.sessions.budget()
    }

    /// Adds what was counted of datagrams and handshakes.
    pub(crate) fn count(&self, snapshot: &mut Snapshot) {
        snapshot.handshakes += self.sessions.counts.handshaking as u64;
        snapshot.misrouted += self.wire.misrouted;
        snapshot.migrations += self.sessions.migrations;
        snapshot.received.add(self.wire.socket.received.get());
        snapshot.sent.add(self.wire.socket.sent.get());
        if let Side::Server(acceptor) = &self.side {
            let budget = self.sessions.budget();
            snapshot.memory_used_bytes += budget.used() as u64;
            snapshot.memory_max_bytes += budget.limit() as u64;
            snapshot.retries += acceptor.retries;
            snapshot.resets += acceptor.resets.sent();
            snapshot.refused = self.sessions.refused(acceptor.dropped);
        }
        snapshot.relayed += self.wire.relay.relayed();
        snapshot.relay_dropped += self.wire.relay.dropped();
    }

    /// Whether the next turn has something to do without anything new from outside.
    pub(crate) fn has_work(&self) -> bool {
        let has_waiting = match &self.side {
            Side::Server(acceptor) => !acceptor.postponed.is_empty(),
            Side::Client(_) => false,
        };
        self.sessions.has_work() || self.wire.has_work() || has_waiting
    }

    /// When to take the next turn at the latest.
    pub(crate) fn next_timer(&self) -> Option<Instant> {
        self.sessions.next_timer()
    }

    /// Whether so many bytes of small frames wait for the network already, for which a further small one would wait. A large one
    /// is put beside others up to a quarter of the session's part of the memory: results that come in on it need room, too.
    pub(crate) fn has_backlog(&self, key: SessionKey, is_large: bool, bytes: usize) -> bool {
        let entry = self.sessions.get(key);
        entry.is_some_and(|entry| match is_large {
            true => {
                let waiting = entry.session.waiting_bytes();
                waiting > bytes && entry.held.is_over(4 * waiting)
            }
            false => entry.session.waiting_small_bytes() > bytes,
        })
    }

    /// Whether this session may be given a reply with a body of so many bytes: one whose peer does not take what it has
    /// gets only small ones.
    pub(crate) fn has_room(&self, key: SessionKey, bytes: usize) -> bool {
        let has_room = || {
            let entry = self.sessions.get(key);
            entry.is_some_and(|entry| !entry.held.is_over(entry.own_bytes() + bytes))
        };
        bytes <= INLINE_BODY_MAX_BYTES || has_room()
    }

    /// Whether this session's peer takes so little of its replies that its further calls are not started: those with large
    /// results, or any.
    pub(crate) fn is_behind(&self, key: SessionKey, is_large: bool) -> bool {
        let entry = self.sessions.get(key);
        entry.is_some_and(|entry| match is_large {
            true => entry.does_not_read() || entry.is_over(),
            false => entry.is_over(),
        })
    }

    /// Whether every session has given the network all it had to say.
    pub(crate) fn is_quiet(&self) -> bool {
        !self.wire.is_full() && self.sessions.is_quiet()
    }
}

/// Handlers: what the driver tells.
impl Endpoint {
    /// An endpoint that accepts sessions.
    pub(crate) fn accepting(
        socket: Socket,
        relay: Relay,
        accepting: Accepting,
        budget: Rc<Budget>,
        now: Instant,
    ) -> Self {
        Self {
            wire: Wire::new(socket, relay),
            inbound: Inbound::new(),
            sessions: Sessions::accepted(budget, now),
            side: Side::Server(Box::new(Acceptor::new(accepting, now))),
        }
    }

    /// An endpoint that only opens sessions.
    ///
    /// # Errors
    /// Where the system does not report unreachable peers.
    pub(crate) fn dialing(
        socket: Socket,
        config: quiche::Config,
        budget: Rc<Budget>,
        now: Instant,
    ) -> io::Result<Self> {
        socket.report_unreachable()?;
        Ok(Self {
            wire: Wire::new(socket, Relay::default()),
            inbound: Inbound::new(),
            sessions: Sessions::opened(budget, now),
            side: Side::Client(Box::new(config)),
        })
    }

    /// Accepts sessions with this from now on, and gives them tokens by this key.
    pub(crate) fn set_accepting(&mut self, config: quiche::Config, reset_key: [u8; 32]) {
        if let Side::Server(acceptor) = &mut self.side {
            acceptor.set_identity(config, reset_key);
        }
    }

    /// Takes no further sessions; those there are go on.
    pub(crate) fn stop_accepting(&mut self) {
        if let Side::Server(acceptor) = &mut self.side {
            acceptor.is_closed = true;
        }
    }

    /// Ends all sessions; `reason` is shown to the peers.
    pub(crate) fn close_all(&mut self, reason: &str) {
        for index in self.sessions.places() {
            if let Some(entry) = self.sessions.at(index) {
                entry.session.close(Goodbye::Draining, reason);
                self.sessions.mark(index);
            }
        }
    }

    /// Ends a session that has nothing left to do; `reason` is shown to its peer.
    pub(crate) fn end(&mut self, key: SessionKey, reason: &str) {
        if self.sessions.get(key).is_some() {
            self.sessions.close(key.index, Goodbye::Done, reason);
        }
    }

    /// Ends a session whose peer does not keep to the protocol; `reason` is shown to it.
    pub(crate) fn break_off(&mut self, key: SessionKey, reason: &str) {
        if self.sessions.get(key).is_some() {
            self.sessions.close(key.index, Goodbye::Protocol, reason);
        }
    }

    /// Ends a session whose peer may not do here what it is for; `reason` is shown to it.
    pub(crate) fn turn_away(&mut self, key: SessionKey, reason: &str) {
        if self.sessions.get(key).is_some() {
            self.sessions
                .close(key.index, Goodbye::Unauthorized, reason);
        }
    }

    /// Finds out whether a caller with calls under way is still there.
    pub(crate) fn probe(&mut self, key: SessionKey, now: Instant) {
        if self.sessions.get(key).is_some() {
            self.sessions.probe(key.index, now);
        }
    }

    /// A call of this session is under way, whose result is expected to have so many bytes: where such results would take
    /// its part of the memory, it is not read further before [`Endpoint::forget_result`].
    pub(crate) fn expect_result(&mut self, key: SessionKey, bytes: usize) {
        if bytes > 0
            && self.sessions.get(key).is_some()
            && let Some(entry) = self.sessions.at(key.index)
        {
            entry.expected += bytes;
        }
    }

    /// The result has come, or never will.
    pub(crate) fn forget_result(&mut self, key: SessionKey, bytes: usize) {
        if bytes > 0
            && self.sessions.get(key).is_some()
            && let Some(entry) = self.sessions.at(key.index)
        {
            entry.expected = entry.expected.saturating_sub(bytes);
            entry.waits_since = None;
            self.sessions.mark_read(key.index);
        }
    }

    /// Nobody waits any more for the answer to a call that was sent on this session.
    pub(crate) fn drop_answer(&mut self, key: SessionKey, call: u64) {
        if self.sessions.get(key).is_some()
            && let Some(entry) = self.sessions.at(key.index)
        {
            entry.session.drop_answer(call);
        }
    }

    /// Where frames for this session's peer are put; `None` once it has ended.
    pub(crate) fn outbox(&mut self, key: SessionKey) -> Option<&mut Outbox> {
        self.sessions.get(key)?;
        self.sessions.mark(key.index);
        let entry = self.sessions.at(key.index);
        entry.map(|entry| entry.session.outbox())
    }

    /// That of the certificate which a session's peer has shown.
    pub(crate) fn fingerprint(&self, key: SessionKey) -> Option<[u8; 32]> {
        let shown = self.sessions.get(key)?.certificate.as_ref()?;
        Some(shown.fingerprint)
    }

    /// When a datagram of a session last came.
    pub(crate) fn received_at(&self, key: SessionKey) -> Option<Instant> {
        self.sessions.get(key).map(|entry| entry.received_at)
    }

    /// Where a session's peer is.
    pub(crate) fn address_of(&self, key: SessionKey) -> Option<SocketAddr> {
        self.sessions.get(key).map(|entry| entry.peer)
    }

    /// Bytes that wait for the network: of small frames, and of all.
    pub(crate) fn waiting_bytes(&self, key: SessionKey) -> (usize, usize) {
        let waiting = self.sessions.get(key).map(|entry| {
            let session = &entry.session;
            (session.waiting_small_bytes(), session.waiting_bytes())
        });
        waiting.unwrap_or_default()
    }

    /// The time that it takes to a session's peer and back.
    pub(crate) fn round_trip(&self, key: SessionKey) -> Option<Duration> {
        self.sessions
            .get(key)
            .map(|entry| entry.session.round_trip())
    }

    /// Gives a session that has just been opened the frames of another that came to nothing.
    pub(crate) fn set_outbox(&mut self, key: SessionKey, outbox: Outbox) {
        if self.sessions.get(key).is_some()
            && let Some(entry) = self.sessions.at(key.index)
        {
            *entry.session.outbox() = outbox;
        }
    }

    /// The shard's bell was rung: another shard may have handed something over.
    pub(crate) fn on_bell(&mut self) {
        self.wire.relay.on_bell();
    }

    /// Finds out whether this session's peer is still there.
    pub(crate) fn ping(&mut self, key: SessionKey) {
        if self.sessions.get(key).is_some()
            && let Some(entry) = self.sessions.at(key.index)
        {
            entry.session.ping();
            self.sessions.mark(key.index);
        }
    }
}

/// Pollers: what the driver asks for.
impl Endpoint {
    /// Takes in what has come, a bounded amount, and does what was set for a time that has come; gives the number of
    /// datagrams.
    pub(crate) fn receive(&mut self, now: Instant) -> usize {
        let Self {
            wire,
            inbound,
            sessions,
            side,
        } = self;
        if let Side::Server(acceptor) = side {
            acceptor.admission.begin_turn();
        }
        while let Side::Server(acceptor) = side
            && let Some(mut kept) = acceptor.next_postponed()
        {
            on_datagram(wire, sessions, side, (kept.datagram(), false), now);
        }
        sessions.receive_parked(wire.socket.local(), now);
        let mut count = empty_socket(wire, inbound, sessions, side, now);
        wire.relay.announce();
        for _ in 0..RELAYED_PER_TURN {
            let Some((way, mut parcel)) = wire.relay.receive() else {
                break;
            };
            count += 1;
            on_datagram(wire, sessions, side, (parcel.datagram(), true), now);
            wire.relay.give_back(way, parcel);
        }
        if matches!(side, Side::Client(_)) {
            while let Some(peer) = wire.socket.next_unreachable() {
                on_unreachable(sessions, peer);
            }
        }
        sessions.shares.rest();
        sessions.expire(now);
        sessions.shares.look(now);
        count
    }

    /// The next frame that has come, in any session: a bounded number from each in a turn.
    ///
    /// A session that holds more than its part of the budget is not read.
    #[inline]
    pub(crate) fn next_frame<'b>(
        &mut self,
        buffer: &'b mut FrameBuffer,
        now: Instant,
    ) -> Option<(SessionKey, Event<'b>)> {
        self.sessions.next_frame(buffer, now)
    }

    /// Sends what the sessions have to say.
    pub(crate) fn flush(&mut self, now: Instant) {
        let Self {
            wire,
            sessions,
            side,
            ..
        } = self;
        let mut dirty = sessions.take_dirty();
        let mut unfinished = Vec::new();
        let mut blocked = None;
        for (at, &index) in dirty.iter().enumerate() {
            sessions.shares.work_for(index);
            let is_orchestrator = sessions.shares.is_orchestrator(index);
            let Some(entry) = sessions.at(index) else {
                continue;
            };
            if is_orchestrator {
                entry.tell_taken();
            }
            if entry.can_wait(now) {
                sessions.settle(index, now);
                continue;
            }
            let from = entry.local_ip;
            match wire.send(&mut entry.session, from) {
                Sent::All { largest } => entry.acks.on_sent(largest, now),
                Sent::Part => unfinished.push(index),
                Sent::Blocked => {
                    blocked = Some(at);
                    break;
                }
            }
            sessions.settle(index, now);
        }
        sessions.shares.rest();
        // It goes on with this one when there is room again.
        dirty.rotate_left(blocked.unwrap_or_default());
        sessions.keep_dirty(dirty, wire.is_full());
        for index in unfinished {
            sessions.mark(index);
        }
        if let Side::Server(acceptor) = side {
            acceptor
                .admission
                .failed(sessions.take_failed_handshakes(), now);
        }
    }

    /// A session that we have opened and whose handshake is over; each is told once.
    pub(crate) fn next_opened(&mut self) -> Option<SessionKey> {
        self.sessions.next_opened()
    }

    /// A session that has ended, and why, with the frames of one whose handshake never came to its end; each is told once.
    pub(crate) fn next_ended(&mut self) -> Option<Ended> {
        self.sessions.next_ended()
    }
}
