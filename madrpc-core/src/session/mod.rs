//! A session: one QUIC connection that carries many calls.
//!
//! Small frames share one long-lived bidirectional stream, the *channel*, because quiche puts a single STREAM frame in
//! a packet: a stream per call would be a packet per call. A frame with a large body has a unidirectional stream of its
//! own, which it ends. Where a frame came from makes no difference to what it means.
//!
//! A session has no socket and sets no timer. Its driver calls, in each turn and in this order:
//! [`receive`](Session::receive) for each datagram, [`on_timeout`](Session::on_timeout) where
//! [`timeout`](Session::timeout) has passed, [`begin_turn`](Session::begin_turn), [`advance`](Session::advance) and
//! [`frame`](Session::frame) until there is none, [`outbox`](Session::outbox) for what it has to say, [`transmit`](Session::transmit) until there
//! is nothing left, and [`ended`](Session::ended).

mod arriving;
pub mod cid;

mod ending;
mod moving;
mod outbox;
mod quic;
mod reader;

pub use outbox::Outbox;
pub use quic::Excess;
pub use reader::FrameBuffer;

use moving::Whereabouts;
use quic::Quic;
use reader::Reader;

use crate::call::CallError;
use crate::call::frame::{Frame, FrameError, Header};
use crate::limits::{
    BODY_STREAMS_MAX, BODY_WINDOW_BYTES, CHANNEL_WINDOW_BYTES, DATAGRAM_MAX_BYTES,
    INITIAL_MIN_BYTES, PEER_PATHS_MAX, SESSION_COST_BYTES, SESSION_WINDOW_BYTES,
    SESSION_WINDOW_MAX_BYTES,
};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The application protocol both sides must speak (ALPN, RFC 7301).
pub const PROTOCOL: &[u8] = b"madrpc/2";

/// The stream that carries the small frames: the first that a client opens (RFC 9000, section 2.1).
const CHANNEL: u64 = 0;
const FIRST_UNI_OF_CLIENT: u64 = 2;
const FIRST_UNI_OF_SERVER: u64 = 3;

/// Probes at a time, two in each space that a handshake has (RFC 9002, section 6.2.4), and what comes after them.
const HANDSHAKE_PROBES_MAX: usize = 5;

/// What a peer is shown of a reason: quiche never sends a close that does not fit into one datagram.
pub const REASON_MAX_BYTES: usize = 512;

/// Why we end a session, told to the peer in the CONNECTION_CLOSE frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Goodbye {
    /// Nothing is left to say.
    Done = 0,
    /// The process stops.
    Draining = 1,
    /// The peer broke the protocol.
    Protocol = 2,
    /// The peer's certificate does not let it be here, or not any longer.
    Unauthorized = 3,
    /// The peer has more than its part, or does not take what it has asked for.
    Overloaded = 4,
}

/// What a session hands to its driver.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A frame, whole.
    Frame(Frame<'a>),
    /// A frame whose body is larger than we take; what is still to come of it will be thrown away.
    TooLarge {
        /// What the frame would have been.
        header: Header<'a>,
        /// Bytes it announces, of header and body together.
        bytes: usize,
    },
    /// A frame for whose body there was no room when it began; what is still to come of it will be thrown away.
    NoRoom {
        /// What the frame would have been.
        header: Header<'a>,
        /// Bytes it announces, of header and body together.
        bytes: usize,
    },
    /// A frame whose body has begun to come, and does not go on; what is still to come of it will be thrown away.
    Stalled {
        /// What the frame would have been.
        header: Header<'a>,
    },
    /// What cannot be read. The session is over.
    Broken(FrameError),
}

/// Room for large bodies that begin in a turn, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Room {
    /// For one, where no other is coming in: so that none is too large for ever.
    pub first: usize,
    /// For all others together.
    pub more: usize,
}

impl Room {
    /// No bound.
    pub const ANY: Self = Self {
        first: usize::MAX,
        more: usize::MAX,
    };
}

/// How much of what has arrived is handed out in a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Portion {
    /// [`READ_PER_TURN_BYTES`] and [`FRAMES_PER_TURN`], which pay for a turn.
    ///
    /// [`READ_PER_TURN_BYTES`]: crate::limits::READ_PER_TURN_BYTES
    /// [`FRAMES_PER_TURN`]: crate::limits::FRAMES_PER_TURN
    Whole,
    /// An eighth of that: others have something to say too.
    Small,
}

/// One QUIC connection and the frames on it.
pub struct Session {
    quic: Quic,
    whereabouts: Whereabouts,
    reader: Reader,
    /// While its driver does not read it: what had been received when that began.
    unread_since: Option<u64>,
    /// Whether we, as the client, have opened the channel.
    channel_opened: bool,
    next_uni: u64,
    outbox: Outbox,
    /// What goes before the close, see [`Session::close`].
    probes: VecDeque<(Vec<u8>, SocketAddr)>,
}

/// Sets what both sides of a session agree on, apart from who they are.
///
/// # Errors
/// Only where quiche refuses our own protocol name.
pub fn set_transport(config: &mut quiche::Config, idle: Duration) -> quiche::Result<()> {
    config.set_application_protos(&[PROTOCOL])?;
    config.set_max_idle_timeout(idle.as_millis() as u64);
    config.set_max_recv_udp_payload_size(DATAGRAM_MAX_BYTES);
    config.set_max_send_udp_payload_size(DATAGRAM_MAX_BYTES);
    config.discover_pmtu(true);
    config.set_initial_max_data(SESSION_WINDOW_BYTES);
    config.set_max_connection_window(SESSION_WINDOW_MAX_BYTES);
    config.set_initial_max_stream_data_bidi_local(CHANNEL_WINDOW_BYTES);
    config.set_initial_max_stream_data_bidi_remote(CHANNEL_WINDOW_BYTES);
    config.set_initial_max_stream_data_uni(BODY_WINDOW_BYTES);
    config.set_max_stream_window(SESSION_WINDOW_MAX_BYTES);
    config.set_initial_max_streams_bidi(1);
    config.set_initial_max_streams_uni(BODY_STREAMS_MAX);
    // A peer whose address changes is followed, see `moving`; nobody has to use several at the same time.
    config.set_disable_active_migration(true);
    config.set_active_connection_id_limit(PEER_PATHS_MAX);
    // Pacing needs timers finer than a data centre's round trip; a large first window saves slow start there.
    config.enable_pacing(false);
    config.set_initial_congestion_window_packets(64);
    Ok(())
}

/// Getters.
impl Session {
    /// The connection, for its identifiers and statistics.
    #[must_use]
    pub fn quic(&self) -> &quiche::Connection {
        &self.quic
    }

    /// Whether the handshake is over, with both sides known to each other.
    #[must_use]
    pub fn is_established(&self) -> bool {
        self.quic.is_established()
    }

    /// What a datagram of a peer ends with that knows this session no more (RFC 9000, section 10.3); `None` where the
    /// peer has told no such token: before the handshake is over, and where the peer is the client.
    #[must_use]
    pub fn reset_token(&self) -> Option<u128> {
        self.quic.peer_transport_params()?.stateless_reset_token
    }

    /// When to call [`Session::on_timeout`].
    #[must_use]
    pub fn timeout(&self) -> Option<Instant> {
        match self.has_goodbye_to_send() {
            true => None,
            false => self.quic.timeout_instant(),
        }
    }

    /// Whether a client has closed the connection, and the packet that says so is still to be written. No timer of quiche's
    /// may run out now: it would have a probe of the handshake sent before, see [`Session::send_probes`].
    fn has_goodbye_to_send(&self) -> bool {
        let has_closed = !self.quic.is_server() && self.quic.local_error().is_some();
        has_closed && !self.quic.is_draining() && !self.quic.is_closed()
    }

    /// Whether reading ended for this turn with more to read.
    #[must_use]
    pub fn has_unread(&self) -> bool {
        self.reader.has_unread()
    }

    /// Bytes of frames that QUIC has not taken yet.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.outbox.waiting_bytes()
    }

    /// Of small frames, which wait for no large ones.
    #[must_use]
    pub fn waiting_small_bytes(&self) -> usize {
        self.outbox.waiting_small_bytes()
    }

    /// Bytes that this session holds: frames that have not arrived whole, those that the network has not taken, and about
    /// as much as QUIC keeps of both; more, where the process' allocator counts and finds more.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        let waiting = self.outbox.waiting_bytes();
        let mut quic = 0;
        if waiting > 0 {
            // QUIC takes no more than it may send, and keeps that until it is acknowledged. Of a peer that has not opened the
            // channel it has taken nothing yet.
            let path = self.quic.path_stats().find(|path| path.active);
            let taken = usize::try_from(self.outbox.taken_bytes()).unwrap_or(usize::MAX);
            quic += path.map_or(0, |path| path.cwnd).min(taken);
        }
        if self.reader.has_unread() || self.unread_since.is_some() {
            let since = self.unread_since.unwrap_or_default();
            let received = self.quic.stats().recv_bytes.saturating_sub(since);
            quic += received.min(SESSION_WINDOW_MAX_BYTES) as usize;
        }
        let kept = self.quic.kept_bytes().saturating_sub(SESSION_COST_BYTES);
        self.reader.held_bytes() + waiting + quic.max(kept)
    }

    /// What QUIC keeps for this session beyond what is on its way to the peer, where the process' allocator counts. Less than a window
    /// is none.
    #[must_use]
    pub fn excess(&mut self) -> Option<Excess> {
        self.quic.excess()
    }

    /// Counts what the session has read and what QUIC has taken of it: it goes up for as long as there is progress.
    #[must_use]
    pub fn progress(&self) -> u64 {
        self.reader
            .read_bytes
            .wrapping_add(self.outbox.taken_bytes())
    }

    /// Why the session is over, or `None` while it is not.
    #[must_use]
    pub fn ended(&self) -> Option<CallError> {
        if !self.quic.is_closed() && !self.quic.is_draining() {
            return None;
        }
        Some(ending::reason(&self.quic))
    }
}

/// Handlers: what the driver tells.
impl Session {
    /// A session over a connection made by [`quiche::connect`] or [`quiche::accept`] with a configuration that
    /// [`set_transport`] has seen. `body_max_bytes` bounds what is taken in.
    #[must_use]
    pub fn new(quic: quiche::Connection, body_max_bytes: usize) -> Self {
        let is_server = quic.is_server();
        Self {
            whereabouts: Whereabouts::of(&quic),
            quic: Quic::new(quic),
            reader: Reader::new(body_max_bytes),
            unread_since: None,
            channel_opened: false,
            next_uni: if is_server {
                FIRST_UNI_OF_SERVER
            } else {
                FIRST_UNI_OF_CLIENT
            },
            outbox: Outbox::default(),
            probes: VecDeque::new(),
        }
    }

    /// A datagram of this connection has come; it is decrypted in place.
    ///
    /// What cannot be read is dropped, or ends the session: see [`Session::ended`].
    pub fn receive(&mut self, datagram: &mut [u8], from: SocketAddr, to: SocketAddr) {
        self.whereabouts.receive(&mut self.quic, datagram, from, to);
    }

    /// The time given by [`Session::timeout`] has come.
    pub fn on_timeout(&mut self) {
        if self.has_goodbye_to_send() {
            return;
        }
        self.whereabouts.on_timeout(&mut self.quic);
    }

    /// The time that it takes there and back, as QUIC has measured it.
    #[must_use]
    pub fn round_trip(&self) -> Duration {
        let path = self.quic.path_stats().find(|path| path.active);
        path.map_or(Duration::ZERO, |path| path.rtt)
    }

    /// Calls on the channel that were handed out in its life.
    #[must_use]
    pub fn calls_taken(&self) -> u64 {
        self.reader.calls_taken
    }

    /// Lets the peer know that we are still here, and learn whether it is.
    pub fn ping(&mut self) {
        // It fails only where the connection is closed, which `ended` reports.
        let _ = self.quic.send_ack_eliciting();
    }

    /// Ends the session; `reason` is shown to the peer, up to [`REASON_MAX_BYTES`] of it.
    pub fn close(&mut self, goodbye: Goodbye, reason: &str) {
        let reason = &reason[..reason.floor_char_boundary(REASON_MAX_BYTES)];
        self.send_probes();
        // It fails only where the connection is closed already.
        let _ = self.quic.close(true, goodbye as u64, reason.as_bytes());
    }

    /// Makes the probes of the handshake that are due. A client whose server has not confirmed the handshake may have some,
    /// and quiche 0.30 sends no close before them: it sends packets of no use instead, without end.
    fn send_probes(&mut self) {
        if self.quic.is_server() || self.quic.local_error().is_some() {
            return;
        }
        while self.probes.len() < HANDSHAKE_PROBES_MAX {
            let mut datagram = vec![0; INITIAL_MIN_BYTES];
            let Ok((length, to)) = self.whereabouts.send(&mut self.quic, &mut datagram) else {
                return;
            };
            datagram.truncate(length);
            let is_of_handshake = datagram.first().is_some_and(|first| first & 0x80 != 0);
            self.probes.push_back((datagram, to));
            if !is_of_handshake {
                return;
            }
        }
    }

    /// Ends a handshake before it is over; `reason` is shown to the peer.
    pub fn refuse(&mut self, reason: &str) {
        let reason = &reason[..reason.floor_char_boundary(REASON_MAX_BYTES)];
        // It fails only where the connection is closed already.
        let _ = self
            .quic
            .close(false, ending::CONNECTION_REFUSED, reason.as_bytes());
    }

    /// The driver does not read the session for a while, or does again.
    pub fn set_held_up(&mut self, is_held_up: bool) {
        let received = || self.quic.stats().recv_bytes;
        self.unread_since = is_held_up.then(|| self.unread_since.unwrap_or_else(received));
        // What has not come meanwhile may not have been let.
        self.reader.moved = self.reader.moved.max(Instant::now());
    }

    /// Where frames for the peer are put. Nothing is lost if the handshake is not over yet.
    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }
}

/// Pollers: what the driver asks for.
impl Session {
    /// Begins a turn: a portion of what has arrived is handed out in it, see [`Session::has_unread`]. Large bodies that
    /// begin in it have this `room`.
    pub fn begin_turn(
        &mut self,
        buffer: &mut FrameBuffer,
        portion: Portion,
        room: Room,
        now: Instant,
    ) {
        self.reader.begin_turn(buffer, portion, room, now);
    }

    /// Looks for the next frame that has arrived, until there is none for this turn. Where there is one,
    /// [`Session::frame`] gives it, before anything else is asked of the session.
    ///
    /// The buffer may be shared by all sessions of a thread, of which one is read to its end before the next.
    #[inline]
    pub fn advance(&mut self, buffer: &mut FrameBuffer) -> bool {
        // What follows a broken frame cannot be told apart from frames.
        if self.quic.local_error().is_some() {
            self.reader.stop();
            return false;
        }
        let advanced = self.reader.advance(&mut self.quic, buffer);
        advanced.unwrap_or_else(|error| {
            self.break_off(&error);
            false
        })
    }

    /// The frame that [`Session::advance`] has found. A peer that breaks the protocol has its session ended.
    #[inline]
    pub fn frame<'b>(&mut self, buffer: &'b mut FrameBuffer) -> Event<'b> {
        let event = self.reader.frame(buffer);
        if let Event::Broken(error) = &event {
            self.break_off(error);
        }
        event
    }

    /// Ends a turn early: frames that [`Session::advance`] would find are found in a later one.
    pub fn set_aside(&mut self, buffer: &mut FrameBuffer) {
        self.reader.set_aside(buffer);
    }

    fn break_off(&mut self, error: &FrameError) {
        self.reader.stop();
        self.close(Goodbye::Protocol, &error.to_string());
    }

    /// The next datagram to send, written to `out`: its length and where it goes. `None` when there is no more.
    pub fn transmit(&mut self, out: &mut [u8]) -> Option<(usize, SocketAddr)> {
        if let Some((datagram, to)) = self.probes.pop_front() {
            out.get_mut(..datagram.len())?.copy_from_slice(&datagram);
            return Some((datagram.len(), to));
        }
        self.offer();
        self.whereabouts.send(&mut self.quic, out).ok()
    }

    /// Where the client is now, told once after it has moved and has shown that it is there (RFC 9000, section 9).
    pub fn moved(&mut self) -> Option<SocketAddr> {
        self.whereabouts.moved()
    }

    /// Gives QUIC as much of the outbox as it takes.
    fn offer(&mut self) {
        if !self.quic.is_established() {
            return;
        }
        if !self.channel_opened && !self.quic.is_server() {
            self.channel_opened = true;
            self.outbox.open_channel(&mut self.quic);
        }
        // Before the client has opened the channel its server cannot write on it.
        let is_open = self.channel_opened || self.reader.channel_seen;
        if is_open && !self.outbox.offer_channel(&mut self.quic) {
            self.close(Goodbye::Protocol, "the channel was stopped");
        }
        self.outbox.offer_bodies(&mut self.quic, &mut self.next_uni);
    }
}

#[cfg(test)]
mod tests;
