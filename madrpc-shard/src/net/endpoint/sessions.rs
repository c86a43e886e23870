//! The sessions of an endpoint: found by connection ID, timed, read in turns, and reported once when they end.
//!
//! What costs something per session costs it only for sessions in which something has happened: those are *dirty*, and
//! each is in the list of them once. Nothing here sends; the endpoint does, and then has each [`settle`]d.
//!
//! [`settle`]: Sessions::settle

use super::entry::{self, ConnectionKey, NewSession, Phase, SessionKey};
use super::peers::PeerIndex;
use crate::net::budget::{Budget, Held};
use crate::net::log_limit::LogLimit;
use crate::net::socket::Datagram;
use madrpc_core::call::frame::Header;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::identity::PeerCertificate;
use madrpc_core::limits::{
    BODY_MAX_BYTES, CALLER_SILENCE_MAX, CLOSING_MAX, HANDSHAKE_TIMEOUT, HELD_UP_RETRY, KEEP_ALIVE,
    SESSION_COST_BYTES, SESSION_WINDOW_BYTES,
};
use madrpc_core::session::{Event, FrameBuffer, Goodbye, Session};
use madrpc_core::wheel::Wheel;
use slab::Slab;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;
use tracing::{debug, info, warn};

/// The sessions of an endpoint.
pub(super) struct Sessions {
    entries: Slab<entry::Entry>,
    last_generation: u64,
    by_id: HashMap<ConnectionKey, usize>,
    timers: Wheel<usize>,
    /// Those with something to read or to send, each once.
    dirty: Vec<usize>,
    reading: Reading,
    ended: VecDeque<(SessionKey, CallError)>,
    /// How many are in each phase.
    pub(super) counts: Counts,
    /// How many have frames that QUIC has not taken.
    waiting: usize,
    /// Changes of clients' addresses.
    pub(super) migrations: u64,
    origin: Origin,
    budget: Rc<Budget>,
    /// Open sessions by the certificates of their peers.
    by_certificate: HashMap<[u8; 32], usize>,
}

/// Which side has opened the sessions.
enum Origin {
    /// The peers, whose failures are logged, and counted until they are asked for.
    Accepted {
        refusals: LogLimit,
        failed_handshakes: usize,
    },
    /// We; whoever wants to know of failures is told.
    Opened {
        peers: PeerIndex,
        /// Those whose handshake is over, until they are asked for.
        opened: VecDeque<SessionKey>,
    },
}

/// Sessions by phase.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) handshaking: usize,
    pub(super) open: usize,
    pub(super) closing: usize,
    /// Bytes received for handshakes that are not over.
    pub(super) handshake_bytes: usize,
}

impl Counts {
    fn of(&mut self, phase: Phase) -> &mut usize {
        match phase {
            Phase::Handshaking => &mut self.handshaking,
            Phase::Open => &mut self.open,
            Phase::Closing => &mut self.closing,
        }
    }
}

/// Where a turn's reading is in the list of dirty sessions.
struct Reading {
    at: usize,
    /// Sessions that become dirty while frames are read have their turn in the next; `None` before the first frame.
    end: Option<usize>,
    /// Whether the session at hand has begun its turn.
    has_begun: bool,
}

impl Reading {
    const NEW: Self = Self {
        at: 0,
        end: None,
        has_begun: false,
    };
}

/// Getters.
impl Sessions {
    pub(super) fn get(&self, key: SessionKey) -> Option<&entry::Entry> {
        let entry = self.entries.get(key.index)?;
        (entry.generation == key.generation && entry.phase != Phase::Closing).then_some(entry)
    }

    pub(super) fn at(&mut self, index: usize) -> Option<&mut entry::Entry> {
        self.entries.get_mut(index)
    }

    pub(super) fn with_id(&self, id: &ConnectionKey) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    pub(super) fn next_timer(&self) -> Option<Instant> {
        self.timers.next()
    }

    pub(super) fn has_work(&self) -> bool {
        !self.dirty.is_empty()
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
        match &self.origin {
            Origin::Opened { peers, .. } => peers.to(peer),
            Origin::Accepted { .. } => Vec::new(),
        }
    }

    /// Whether there is room for the windows of one more session.
    pub(super) fn has_room(&self) -> bool {
        let sessions = self.counts.handshaking + self.counts.open;
        sessions < self.sessions_max() && self.budget.used() < self.budget.limit()
    }

    fn sessions_max(&self) -> usize {
        self.budget.limit() / SESSION_WINDOW_BYTES as usize
    }

    pub(super) fn budget(&self) -> &Budget {
        &self.budget
    }

    fn is_server(&self) -> bool {
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
        };
        Self::new(origin, budget, now)
    }

    /// None yet; we shall open them.
    pub(super) fn opened(budget: Rc<Budget>, now: Instant) -> Self {
        let origin = Origin::Opened {
            peers: PeerIndex::default(),
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
            dirty: Vec::new(),
            reading: Reading::NEW,
            ended: VecDeque::new(),
            counts: Counts::default(),
            waiting: 0,
            migrations: 0,
            origin,
            budget,
            by_certificate: HashMap::new(),
        }
    }

    /// Adds a session that a peer opens, and tells it how many shards there are.
    pub(super) fn accept(&mut self, new: NewSession, shards: u16, now: Instant) -> usize {
        let SessionKey { index, .. } = self.insert(new, now);
        if let Some(entry) = self.entries.get_mut(index) {
            let welcome = Header::Welcome { shards };
            entry.session.outbox().send(&welcome, &[]);
        }
        index
    }

    /// Adds a session.
    pub(super) fn insert(&mut self, new: NewSession, now: Instant) -> SessionKey {
        self.last_generation += 1;
        let generation = self.last_generation;
        let index = self.entries.insert(entry::Entry {
            session: Session::new(new.quic, BODY_MAX_BYTES),
            generation,
            peer: new.peer,
            local_ip: new.local_ip,
            opened: now,
            ids: new.ids,
            timer: None,
            dirty: false,
            waits: false,
            phase: Phase::Handshaking,
            unreachable: 0,
            handshake_bytes: 0,
            held: Held::new(&self.budget, SESSION_COST_BYTES),
            is_held_up: false,
            progress: (0, now),
            received_at: now,
            certificate: None,
        });
        self.counts.handshaking += 1;
        for id in new.ids.into_iter().flatten() {
            self.by_id.insert(id, index);
        }
        if let Origin::Opened { peers, .. } = &mut self.origin {
            peers.opened(index, new.peer);
        }
        self.mark(index);
        SessionKey { index, generation }
    }

    /// Something has happened in this session.
    pub(super) fn mark(&mut self, index: usize) {
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
        entry.session.receive(datagram.bytes, datagram.from, local);
        let received = entry.handshake_bytes;
        self.mark(index);
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

    /// Ends the session whose server does not know it any more, if that is what a datagram says that belongs to none.
    pub(super) fn heed_reset(&mut self, datagram: &Datagram<'_>) {
        let Origin::Opened { peers, .. } = &self.origin else {
            return;
        };
        let Some(index) = peers.reset_by(datagram) else {
            return;
        };
        if let Some(entry) = self.entries.get_mut(index)
            && entry.peer == datagram.from
        {
            entry.session.close(Goodbye::Done, "nobody is there");
            let error = "the server does not know the session any more: it was started anew";
            let error = CallError::may_have_run(ErrorKind::Unavailable, error);
            self.abandon(index, error);
        }
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

    /// Notes what has become of a session that has sent all it has to say, and sets its timer.
    pub(super) fn settle(&mut self, index: usize, now: Instant) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        while let Some(peer) = entry.session.moved() {
            debug!("session with {} goes on with {peer}", entry.peer);
            entry.peer = peer;
            self.migrations += 1;
        }
        let waits = entry.session.waiting_bytes() > 0 && entry.phase != Phase::Closing;
        if waits != entry.waits {
            entry.waits = waits;
            self.waiting = match waits {
                true => self.waiting + 1,
                false => self.waiting - 1,
            };
        }
        let was_open = entry.phase != Phase::Handshaking;
        entry.note_progress(now);
        entry
            .held
            .set(SESSION_COST_BYTES + entry.session.held_bytes());
        let is_closed = entry.session.quic().is_closed();
        // A peer that has said goodbye waits for nothing.
        let is_answered = entry.session.quic().is_draining();
        if let Some(error) = entry.session.ended() {
            self.report(index, error);
            // A handshake that failed leaves nothing: a stranger could have any number of them. What he sends once more is a
            // new one.
            if is_closed || is_answered || !was_open || self.counts.closing > CLOSING_MAX {
                return self.remove(index);
            }
        }
        self.set_timer(index, now);
    }

    /// Notes that a handshake is over, where it is; says whether it is by now.
    fn enter_if_open(&mut self, index: usize, now: Instant) -> bool {
        let Some(entry) = self.entries.get_mut(index) else {
            return false;
        };
        if entry.phase != Phase::Handshaking || !entry.session.is_established() {
            return entry.phase == Phase::Open;
        }
        debug!("session with {} is open", entry.peer);
        if let Origin::Opened { peers, opened } = &mut self.origin {
            peers.established(index, &entry.session);
            let generation = entry.generation;
            opened.push_back(SessionKey { index, generation });
        }
        self.enter(index, Phase::Open);
        if let Err((goodbye, reason)) = self.identify(index, now) {
            self.close(index, goodbye, &reason);
        }
        true
    }

    /// Looks at the certificate that the peer has shown. It is of our authority, or the handshake had not come to its end.
    ///
    /// # Errors
    /// Why the peer may not stay.
    fn identify(&mut self, index: usize, now: Instant) -> Result<(), (Goodbye, String)> {
        let (is_server, most) = (self.is_server(), self.sessions_max() / 2);
        let Some(entry) = self.entries.get_mut(index) else {
            return Ok(());
        };
        let shown = entry.session.quic().peer_cert();
        let shown = shown.and_then(|der| PeerCertificate::read(der, now));
        let Some(shown) = shown.filter(|shown| shown.role.is_some()) else {
            let reason = "the certificate names no role of madrpc: issue it by `madrpc tls issue`";
            return Err((Goodbye::Unauthorized, reason.to_owned()));
        };
        let sessions = self.by_certificate.entry(shown.fingerprint).or_default();
        *sessions += 1;
        let count = *sessions;
        entry.certificate = Some(shown);
        if is_server && count > most {
            let reason = format!("{most} sessions of this certificate are open already");
            return Err((Goodbye::Overloaded, reason));
        }
        Ok(())
    }

    /// Ends a session; `reason` is shown to the peer.
    pub(super) fn close(&mut self, index: usize, goodbye: Goodbye, reason: &str) {
        if let Some(entry) = self.entries.get_mut(index) {
            entry.session.close(goodbye, reason);
            self.mark(index);
        }
    }

    /// Finds out whether the peer of a session is there, which has something under way; one that has been silent for too
    /// long, pings unanswered, is given up.
    pub(super) fn probe(&mut self, index: usize, now: Instant) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        let silence = now.saturating_duration_since(entry.received_at);
        if silence >= CALLER_SILENCE_MAX {
            let seconds = silence.as_secs();
            let error = format!("the caller has been silent for {seconds} s, with calls under way");
            self.abandon(
                index,
                CallError::may_have_run(ErrorKind::Unavailable, error),
            );
        } else if silence >= KEEP_ALIVE / 2 {
            entry.session.ping();
            self.mark(index);
        }
    }

    fn set_timer(&mut self, index: usize, now: Instant) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        let handshake = entry.opened + HANDSHAKE_TIMEOUT;
        let handshake = (entry.phase == Phase::Handshaking).then_some(handshake);
        // What it waits for may be somebody else's to give.
        let retry = entry.is_held_up.then_some(now + HELD_UP_RETRY);
        let expiry = entry.certificate.as_ref().map(|shown| shown.valid_until);
        let late = entry.session.next_late();
        let times = [entry.session.timeout(), handshake, retry, expiry, late];
        let due = times.into_iter().flatten();
        let due = due.min().map(|due| due.max(now));
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

    fn enter(&mut self, index: usize, phase: Phase) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        *self.counts.of(entry.phase) -= 1;
        *self.counts.of(phase) += 1;
        self.counts.handshake_bytes -= std::mem::take(&mut entry.handshake_bytes);
        entry.phase = phase;
    }

    /// Notes that a session is over, and why; what is noted first counts.
    fn report(&mut self, index: usize, error: CallError) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        if entry.phase == Phase::Closing {
            return;
        }
        if let Origin::Accepted {
            refusals,
            failed_handshakes,
        } = &mut self.origin
        {
            let is_open = entry.phase == Phase::Open;
            // One that has run out of time has been counted for as long as any.
            let is_early = entry.opened.elapsed() < HANDSHAKE_TIMEOUT;
            *failed_handshakes += usize::from(!is_open && is_early);
            log_end(refusals, entry.peer, &error, is_open);
        }
        if std::mem::take(&mut entry.waits) {
            self.waiting -= 1;
        }
        let generation = entry.generation;
        self.enter(index, Phase::Closing);
        self.ended
            .push_back((SessionKey { index, generation }, error));
    }

    /// Ends a session at once, without a word to its peer.
    pub(super) fn abandon(&mut self, index: usize, error: CallError) {
        self.report(index, error);
        self.remove(index);
    }

    fn remove(&mut self, index: usize) {
        let Some(entry) = self.entries.try_remove(index) else {
            return;
        };
        *self.counts.of(entry.phase) -= 1;
        self.counts.handshake_bytes -= entry.handshake_bytes;
        for id in entry.ids.into_iter().flatten() {
            self.by_id.remove(&id);
        }
        if let Some((_, timer)) = entry.timer {
            self.timers.remove(timer);
        }
        if let Origin::Opened { peers, .. } = &mut self.origin {
            peers.gone(index, entry.peer, &entry.session);
        }
        if let Some(shown) = entry.certificate
            && let Entry::Occupied(mut sessions) = self.by_certificate.entry(shown.fingerprint)
        {
            *sessions.get_mut() -= 1;
            if *sessions.get() == 0 {
                sessions.remove();
            }
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
    /// The next frame that has come, a bounded number for each session in a turn. A session that holds too much is not
    /// read.
    pub(super) fn next_frame<'b>(
        &mut self,
        buffer: &'b mut FrameBuffer,
        now: Instant,
    ) -> Option<(SessionKey, Event<'b>)> {
        let is_server = self.is_server();
        let end = *self.reading.end.get_or_insert(self.dirty.len());
        while self.reading.at < end {
            let index = self.dirty[self.reading.at];
            if let Some(entry) = self.entries.get_mut(index) {
                if !self.reading.has_begun {
                    self.reading.has_begun = entry.begin_turn(buffer, is_server, now);
                }
                if self.reading.has_begun {
                    if entry.session.advance(buffer) {
                        break;
                    }
                    // At once, and not when it is settled: the sessions after it are to see what it holds.
                    entry
                        .held
                        .set(SESSION_COST_BYTES + entry.session.held_bytes());
                }
            }
            self.reading.at += 1;
            self.reading.has_begun = false;
        }
        let index = *self
            .dirty
            .get(self.reading.at)
            .filter(|_| self.reading.at < end)?;
        let entry = self.entries.get_mut(index)?;
        let generation = entry.generation;
        let event = entry.session.frame(buffer);
        Some((SessionKey { index, generation }, event))
    }

    /// The dirty sessions, lent out while they are sent and settled; give it back by [`Sessions::keep_dirty`].
    pub(super) fn take_dirty(&mut self) -> Vec<usize> {
        self.reading = Reading::NEW;
        std::mem::take(&mut self.dirty)
    }

    /// Those that have more to read or to send remain dirty.
    pub(super) fn keep_dirty(&mut self, mut dirty: Vec<usize>, is_wire_full: bool) {
        let is_server = self.is_server();
        dirty.retain(|&index| {
            let entry = self.entries.get_mut(index);
            entry.is_some_and(|entry| {
                let is_read = entry.session.has_unread() && !entry.holds_too_much(is_server);
                entry.dirty = is_wire_full || is_read;
                entry.dirty
            })
        });
        // Marked while the list was lent out: none so far, and they must not be lost.
        dirty.append(&mut self.dirty);
        self.dirty = dirty;
    }

    /// A session that we have opened and whose handshake is over; each is told once.
    pub(super) fn next_opened(&mut self) -> Option<SessionKey> {
        match &mut self.origin {
            Origin::Opened { opened, .. } => opened.pop_front(),
            Origin::Accepted { .. } => None,
        }
    }

    /// A session that has ended, and why; each is told once.
    pub(super) fn next_ended(&mut self) -> Option<(SessionKey, CallError)> {
        self.ended.pop_front()
    }
}

fn log_end(refusals: &mut LogLimit, peer: SocketAddr, error: &CallError, was_open: bool) {
    let why = &error.message;
    let is_refused = matches!(error.kind, ErrorKind::Unauthorized | ErrorKind::Protocol);
    if was_open && !is_refused {
        debug!("session with {peer} is over: {why}");
    } else if let Some(count) = refusals.tell(Instant::now()) {
        match is_refused {
            true => warn!("session with {peer} refused: {why} ({count} since the last such line)"),
            false => info!(
                "session with {peer} did not come about: {why} ({count} since the last such line)"
            ),
        }
    }
}
