//! A session as its endpoint keeps it, and the names by which it is found.

use super::acks::Acks;
use super::bodies::Standing;
use super::postponed::Postponed;
use crate::net::budget::{EVERYBODYS_BYTES, Held};
use madrpc_core::call::CallError;
use madrpc_core::call::frame::Header;
use madrpc_core::identity::{PeerCertificate, Role};
use madrpc_core::limits::{OUTBOX_HIGH_BYTES, RESULTS_PATIENCE, SESSION_COST_BYTES, STUCK_TIMEOUT};
use madrpc_core::session::{FrameBuffer, Goodbye, Outbox, Portion, Room, Session};
use madrpc_core::wheel::TimerKey;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

/// Small frames after which an orchestrator is told that they were taken in, where there is nothing else to say.
const TOLD_AFTER_FRAMES: u32 = 32;

/// Names a session of an endpoint; it never names a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SessionKey {
    pub(crate) index: usize,
    pub(crate) generation: u64,
}

impl SessionKey {
    /// A small number that no two open sessions of an endpoint have; a later session may have it.
    pub(crate) fn place(self) -> usize {
        self.index
    }
}

/// A connection ID of any length (RFC 9000, section 17.2).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct ConnectionKey {
    length: u8,
    bytes: [u8; quiche::MAX_CONN_ID_LEN],
}

impl ConnectionKey {
    pub(super) fn new(id: &[u8]) -> Option<Self> {
        let mut bytes = [0; quiche::MAX_CONN_ID_LEN];
        bytes.get_mut(..id.len())?.copy_from_slice(id);
        Some(Self {
            length: id.len() as u8,
            bytes,
        })
    }
}

/// A session that has ended.
pub(crate) struct Ended {
    pub(crate) session: SessionKey,
    pub(crate) why: CallError,
    /// What it had to say, of which nothing was sent; `None` where the handshake had come to its end.
    pub(crate) unsent: Option<Outbox>,
}

/// How far a session has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its handshake is going on.
    Handshaking,
    /// It carries frames.
    Open,
    /// It has ended, and its last packet may have to be sent again, where it was lost.
    Closing,
}

/// A new session, and how its endpoint came by it.
pub(super) struct NewSession {
    pub(super) quic: quiche::Connection,
    pub(super) peer: SocketAddr,
    /// The address of ours that the peer uses, which must be the source of what we answer.
    pub(super) local_ip: Option<IpAddr>,
    pub(super) ids: [Option<ConnectionKey>; 2],
}

/// A session and its driver's notes.
pub(super) struct Entry {
    pub(super) session: Session,
    pub(super) generation: u64,
    /// Where it is now; a client's may change.
    pub(super) peer: SocketAddr,
    pub(super) local_ip: Option<IpAddr>,
    pub(super) opened: Instant,
    pub(super) ids: [Option<ConnectionKey>; 2],
    pub(super) timer: Option<(Instant, TimerKey)>,
    pub(super) acks: Acks,
    /// Whether it is in the list of those with something to read or to send.
    pub(super) dirty: bool,
    /// Whether it has frames that QUIC has not taken.
    pub(super) waits: bool,
    pub(super) phase: Phase,
    /// Reports of the network that nothing listens at the peer's address, with no datagram in between.
    pub(super) unreachable: u32,
    /// Bytes received before the handshake is over.
    pub(super) handshake_bytes: usize,
    /// What it holds, counted in the shard's budget.
    pub(super) held: Held,
    /// Bytes of results that its calls under way are expected to have.
    pub(super) expected: usize,
    /// Since when it is not read for those, and none of them has come.
    pub(super) waits_since: Option<Instant>,
    /// It is read in this turn all the same.
    pub(super) is_let_through: bool,
    /// It was not read in this turn, as others come before it.
    pub(super) is_passed_over: bool,
    /// Small frames that were taken in and of which its peer has not been told.
    pub(super) untold_frames: u32,
    /// Which of the shard's loads its peer has been told.
    pub(super) load_told: u32,
    /// Datagrams for which there was no time in their turn.
    pub(super) parked: Postponed,
    /// Bytes of datagrams taken in, and in which turn.
    pub(super) in_turn: (u64, usize),
    /// Whether it is not read for now, as it holds too much.
    pub(super) is_held_up: bool,
    /// How far it had come, and when it last went on, where it holds too much.
    pub(super) progress: (u64, Instant),
    /// When a datagram of its peer last came.
    pub(super) received_at: Instant,
    /// What its peer has shown; there once the handshake is over.
    pub(super) certificate: Option<PeerCertificate>,
    /// We have opened it.
    pub(super) is_ours: bool,
}

impl Entry {
    /// Bytes that it holds beside what every session costs.
    pub(super) fn own_bytes(&self) -> usize {
        self.held.bytes().saturating_sub(SESSION_COST_BYTES)
    }

    /// Whether it holds more than its part of the memory.
    pub(super) fn is_over(&self) -> bool {
        self.held.is_over(self.own_bytes())
    }

    /// Whether the peer has much to take of its replies before it can be given a large one.
    pub(super) fn does_not_read(&self) -> bool {
        self.session.waiting_bytes() > OUTBOX_HIGH_BYTES
    }

    /// Whether it does not take its small replies, which wait for no large ones.
    fn does_not_read_small(&self) -> bool {
        self.session.waiting_small_bytes() > OUTBOX_HIGH_BYTES
    }

    /// Whether it is not read further: its peer does not take its replies, or it has more than its part of the memory.
    ///
    /// Only a caller is held up. On a session that we have opened come the replies to all our callers, and those that have
    /// come in part would wait for each other. An orchestrator calls for many, too, of whom one may have asked for much.
    pub(super) fn holds_too_much(&self, is_caller: bool, standing: Standing) -> bool {
        let is_over = || match standing {
            Standing::First => self.is_over() && self.held.is_full(),
            Standing::Equal => self.is_over(),
            Standing::Last => self.own_bytes() > EVERYBODYS_BYTES,
        };
        is_caller && (is_over() || self.does_not_read_small() && !self.is_orchestrator())
    }

    fn is_orchestrator(&self) -> bool {
        let role = self.certificate.as_ref().and_then(|shown| shown.role);
        role == Some(Role::Orchestrator)
    }

    /// Whether its peer is to be told this load, the number of which changes with it: orchestrators are, once.
    #[inline]
    pub(super) fn is_to_hear(&mut self, load: u32) -> bool {
        load != std::mem::replace(&mut self.load_told, load) && self.is_orchestrator()
    }

    /// Whether the results of the calls that it has made will take its part of the memory: further calls wait for those. Each
    /// counts twice, as all may come in at once, for which there is room of a third of what is free, see [`Held::room`].
    pub(super) fn expects_enough(&self) -> bool {
        self.expected > 0 && self.held.is_over(self.own_bytes() + 2 * self.expected)
    }

    /// Whether it is not read in this turn, as it waits for results. Now and then it is: it may want to give calls up.
    fn waits_for_results(&mut self, now: Instant) -> bool {
        self.is_let_through = false;
        if !self.expects_enough() {
            self.waits_since = None;
            return false;
        }
        let since = *self.waits_since.get_or_insert(now);
        self.is_let_through = now >= since + RESULTS_PATIENCE;
        if self.is_let_through {
            self.waits_since = Some(now);
        }
        !self.is_let_through
    }

    /// Whether a turn that has begun is to end for that.
    pub(super) fn has_asked_enough(&self) -> bool {
        !self.is_let_through && self.expects_enough()
    }

    /// Whether there can be nothing to send but acknowledgements that may wait.
    pub(super) fn can_wait(&mut self, now: Instant) -> bool {
        self.phase == Phase::Open
            && self.session.waiting_bytes() == 0
            && self.session.quic().local_error().is_none()
            && self.acks.can_wait(now)
    }

    /// Begins a turn of reading, unless it holds too much; says which.
    pub(super) fn begin_turn(
        &mut self,
        buffer: &mut FrameBuffer,
        portion: Portion,
        (is_caller, standing): (bool, Standing),
        now: Instant,
    ) -> bool {
        let is_held_up = self.holds_too_much(is_caller, standing);
        if is_held_up != self.is_held_up {
            self.is_held_up = is_held_up;
            self.session.set_held_up(is_held_up);
            self.progress = (self.session.progress(), now);
        }
        if !is_held_up && !self.waits_for_results(now) {
            let room = match is_caller {
                true => Room::ANY,
                false => self.held.room(self.own_bytes()),
            };
            self.session.begin_turn(buffer, portion, room, now);
            return true;
        }
        false
    }

    /// Tells an orchestrator what was taken in of what it has sent, with something else or when it is enough for a datagram.
    pub(super) fn tell_taken(&mut self) {
        let frames = self.untold_frames;
        let is_due = frames >= TOLD_AFTER_FRAMES || self.session.waiting_bytes() > 0;
        if frames > 0 && is_due {
            let taken = self.take_untold();
            self.session.outbox().send(&taken, &[]);
        }
    }

    /// What tells it of all that it has not been told of.
    pub(super) fn take_untold(&mut self) -> Header<'static> {
        let frames = std::mem::take(&mut self.untold_frames);
        Header::Taken { frames }
    }

    /// Ends a session that has sent far too much of which nothing can be read, where that is so. As much as a window is there as well
    /// where a session is not read because it holds too much.
    pub(super) fn end_if_scattered(&mut self) {
        let Some(excess) = self.session.excess().filter(|excess| excess.is_scattered()) else {
            return;
        };
        let reason = format!(
            "{} bytes of this server's memory, in {} blocks, are taken by what the session has sent in pieces with gaps between them",
            excess.bytes, excess.blocks
        );
        self.session.close(Goodbye::Overloaded, &reason);
    }

    /// Notes whether a session that is held up has gone on.
    pub(super) fn note_progress(&mut self, now: Instant) {
        let progress = self.session.progress();
        if progress != self.progress.0 {
            self.progress = (progress, now);
        }
    }

    /// Ends a session whose time is over.
    pub(super) fn judge(&mut self, now: Instant) {
        let stuck = now.saturating_duration_since(self.progress.1);
        if self.is_held_up && stuck >= STUCK_TIMEOUT && !self.session.give_up_body() {
            let reason = format!(
                "the session holds {} bytes of this server's memory, and for {} s nothing of it was taken",
                self.own_bytes(),
                stuck.as_secs()
            );
            self.session.close(Goodbye::Overloaded, &reason);
        }
        if let Some(shown) = &self.certificate
            && shown.valid_until <= now
        {
            let reason = "the certificate has expired";
            self.session.close(Goodbye::Unauthorized, reason);
        }
    }
}
