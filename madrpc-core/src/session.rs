//! A session: one QUIC connection that carries many calls.
//!
//! Small frames share one long-lived bidirectional stream, the *channel*, because quiche puts a single STREAM frame in
//! a packet: a stream per call would be a packet per call. A frame with a large body has a unidirectional stream of its
//! own, which it ends. Where a frame came from makes no difference to what it means.
//!
//! A session has no socket and sets no timer. Its driver calls, in each turn and in this order:
//! [`receive`](Session::receive) for each datagram, [`on_timeout`](Session::on_timeout) where
//! [`timeout`](Session::timeout) has passed, [`frames`](Session::frames), [`outbox`](Session::outbox) for what it has to
//! say, [`transmit`](Session::transmit) until there is nothing left, and [`ended`](Session::ended).

use crate::error::{CallError, ErrorKind};
use crate::frame::{self, Bill, Frame, FrameError, Header};
use crate::identity;
use crate::limits::{
    BODY_STREAMS_MAX, BODY_WINDOW_BYTES, CHANNEL_WINDOW_BYTES, DATAGRAM_MAX_BYTES, HEADER_MAX_BYTES,
    INLINE_BODY_MAX_BYTES, INLINE_FRAME_MAX_BYTES, READ_PER_TURN_BYTES, SESSION_WINDOW_BYTES,
};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// The application protocol both sides must speak (ALPN, RFC 7301).
pub const PROTOCOL: &[u8] = b"madrpc/1";

/// The stream that carries the small frames: the first that a client opens (RFC 9000, section 2.1).
const CHANNEL: u64 = 0;
const FIRST_UNI_OF_CLIENT: u64 = 2;
const FIRST_UNI_OF_SERVER: u64 = 3;
const STREAM_ID_STEP: u64 = 4;

/// Bytes that the buffer given to [`Session::frames`] must hold.
pub const READ_BUFFER_BYTES: usize = READ_PER_TURN_BYTES;

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
}

/// What a session hands to its driver.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A frame, whole.
    Frame(Frame<'a>),
    /// A frame whose body is larger than we take; the rest of it will not be read.
    TooLarge {
        /// What the frame would have been.
        header: Header<'a>,
        /// Bytes it announces.
        bytes: usize,
    },
}

/// One QUIC connection and the frames on it.
pub struct Session {
    quic: quiche::Connection,
    body_max_bytes: usize,
    /// The beginning of a frame on the channel whose rest has not come.
    partial: Vec<u8>,
    /// Bodies that are coming in, by stream.
    arriving: HashMap<u64, Vec<u8>>,
    /// The stream to go on reading, where a turn ended before it was empty.
    unread: Option<u64>,
    /// Whether the client has opened the channel; before that a server cannot write on it.
    channel_open: bool,
    next_uni: u64,
    outbox: Outbox,
}

/// Frames on their way out that QUIC has not taken yet.
#[derive(Debug, Default)]
pub struct Outbox {
    channel: Vec<u8>,
    channel_taken: usize,
    bodies: VecDeque<Departing>,
    body_bytes: usize,
}

/// A frame on a stream of its own.
#[derive(Debug)]
struct Departing {
    bytes: Vec<u8>,
    taken: usize,
    stream: Option<u64>,
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
    config.set_initial_max_data(SESSION_WINDOW_BYTES);
    config.set_max_connection_window(SESSION_WINDOW_BYTES * 2);
    config.set_initial_max_stream_data_bidi_local(CHANNEL_WINDOW_BYTES);
    config.set_initial_max_stream_data_bidi_remote(CHANNEL_WINDOW_BYTES);
    config.set_initial_max_stream_data_uni(BODY_WINDOW_BYTES);
    config.set_max_stream_window(BODY_WINDOW_BYTES * 4);
    config.set_initial_max_streams_bidi(1);
    config.set_initial_max_streams_uni(BODY_STREAMS_MAX);
    config.set_disable_active_migration(true);
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

    /// When to call [`Session::on_timeout`].
    #[must_use]
    pub fn timeout(&self) -> Option<Instant> {
        self.quic.timeout_instant()
    }

    /// Whether reading ended for this turn with more to read.
    #[must_use]
    pub fn has_unread(&self) -> bool {
        self.unread.is_some()
    }

    /// Bytes of frames that QUIC has not taken yet.
    #[must_use]
    pub fn waiting_bytes(&self) -> usize {
        self.outbox.waiting_bytes()
    }

    /// Why the session is over, or `None` while it is not.
    #[must_use]
    pub fn ended(&self) -> Option<CallError> {
        if !self.quic.is_closed() && !self.quic.is_draining() {
            return None;
        }
        Some(self.reason())
    }

    fn reason(&self) -> CallError {
        if let Some(error) = self.quic.peer_error() {
            if let Some(words) = identity::refusal_by_peer(error) {
                return CallError::not_run(ErrorKind::Unauthorized, words);
            }
            if !error.is_app {
                let code = error.error_code;
                return CallError::may_have_run(
                    ErrorKind::Unavailable,
                    format!("the peer ended the session with QUIC error {code:#x}"),
                );
            }
            let reason = String::from_utf8_lossy(&error.reason);
            let kind = if error.error_code == Goodbye::Protocol as u64 {
                ErrorKind::Protocol
            } else {
                ErrorKind::Unavailable
            };
            return CallError::may_have_run(kind, format!("the peer ended the session: {reason}"));
        }
        if let Some(error) = self.quic.local_error() {
            if let Some(words) = identity::refusal_by_us(error) {
                return CallError::not_run(ErrorKind::Unauthorized, words);
            }
            let reason = String::from_utf8_lossy(&error.reason);
            let kind = if error.is_app && error.error_code == Goodbye::Protocol as u64 {
                ErrorKind::Protocol
            } else {
                ErrorKind::Unavailable
            };
            let code = error.error_code;
            return CallError::may_have_run(kind, format!("we ended the session: {reason} (code {code:#x})"));
        }
        CallError::may_have_run(ErrorKind::Unavailable, "the peer went silent")
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
            quic,
            body_max_bytes,
            partial: Vec::new(),
            arriving: HashMap::new(),
            unread: None,
            channel_open: !is_server,
            next_uni: if is_server {
                FIRST_UNI_OF_SERVER
            } else {
                FIRST_UNI_OF_CLIENT
            },
            outbox: Outbox::default(),
        }
    }

    /// A datagram of this connection has come; it is decrypted in place.
    ///
    /// What cannot be read is dropped, or ends the session: see [`Session::ended`].
    pub fn receive(&mut self, datagram: &mut [u8], from: SocketAddr, to: SocketAddr) {
        // quiche closes the connection itself where the error is the peer's, and reports it there.
        let _ = self.quic.recv(datagram, quiche::RecvInfo { from, to });
    }

    /// The time given by [`Session::timeout`] has come.
    pub fn on_timeout(&mut self) {
        self.quic.on_timeout();
    }

    /// Lets the peer know that we are still here, and learn whether it is.
    pub fn ping(&mut self) {
        // It fails only where the connection is closed, which `ended` reports.
        let _ = self.quic.send_ack_eliciting();
    }

    /// Ends the session; `reason` is shown to the peer.
    pub fn close(&mut self, goodbye: Goodbye, reason: &str) {
        // It fails only where the connection is closed already.
        let _ = self.quic.close(true, goodbye as u64, reason.as_bytes());
    }

    /// Where frames for the peer are put. Nothing is lost if the handshake is not over yet.
    pub fn outbox(&mut self) -> &mut Outbox {
        &mut self.outbox
    }
}

/// Pollers: what the driver asks for.
impl Session {
    /// Hands out what has arrived, at most about [`READ_PER_TURN_BYTES`] of it; see [`Session::has_unread`].
    ///
    /// `buffer` holds [`READ_BUFFER_BYTES`] and may be shared by all sessions of a thread. A peer that breaks the
    /// protocol has its session ended.
    pub fn frames(&mut self, buffer: &mut [u8], mut on_event: impl FnMut(&mut Outbox, Event<'_>)) {
        let mut budget = READ_PER_TURN_BYTES;
        while budget > 0 {
            let Some(stream) = self.unread.take().or_else(|| self.quic.stream_readable_next()) else {
                return;
            };
            let read = if stream == CHANNEL {
                self.read_channel(buffer, &mut budget, &mut on_event)
            } else {
                self.read_body(stream, buffer, &mut budget, &mut on_event)
            };
            match read {
                Ok(true) => {}
                Ok(false) => self.unread = Some(stream),
                Err(error) => {
                    self.close(Goodbye::Protocol, &error.to_string());
                    return;
                }
            }
        }
    }

    /// The next datagram to send, written to `out`: its length and where it goes. `None` when there is no more.
    pub fn transmit(&mut self, out: &mut [u8]) -> Option<(usize, SocketAddr)> {
        self.offer();
        let (length, info) = self.quic.send(out).ok()?;
        Some((length, info.to))
    }

    /// Reads the channel; `false` where the budget ended before the bytes did.
    fn read_channel(
        &mut self,
        buffer: &mut [u8],
        budget: &mut usize,
        on_event: &mut impl FnMut(&mut Outbox, Event<'_>),
    ) -> Result<bool, FrameError> {
        self.channel_open = true;
        while *budget > 0 {
            let kept = self.partial.len();
            buffer[..kept].copy_from_slice(&self.partial);
            let Ok((read, _)) = self.quic.stream_recv(CHANNEL, &mut buffer[kept..]) else {
                return Ok(true);
            };
            *budget = budget.saturating_sub(read);
            let mut rest = &buffer[..kept + read];
            while let Some((frame, used)) = frame::read(rest, INLINE_FRAME_MAX_BYTES)? {
                on_event(&mut self.outbox, Event::Frame(frame));
                rest = &rest[used..];
            }
            self.partial.clear();
            self.partial.extend_from_slice(rest);
        }
        Ok(false)
    }

    /// Reads a body's stream; `false` where the budget ended before the bytes did.
    fn read_body(
        &mut self,
        stream: u64,
        buffer: &mut [u8],
        budget: &mut usize,
        on_event: &mut impl FnMut(&mut Outbox, Event<'_>),
    ) -> Result<bool, FrameError> {
        let limit = HEADER_MAX_BYTES + self.body_max_bytes;
        let mut received = self.arriving.remove(&stream).unwrap_or_default();
        while *budget > 0 {
            let (read, fin) = match self.quic.stream_recv(stream, buffer) {
                Ok(read) => read,
                Err(quiche::Error::Done) => {
                    self.arriving.insert(stream, received);
                    return Ok(true);
                }
                // Reset by the peer: it no longer wants the call.
                Err(_) => return Ok(true),
            };
            *budget = budget.saturating_sub(read);
            received.extend_from_slice(&buffer[..read]);
            if let Some(bytes) = frame::announced(&received)
                && bytes > limit
                && (fin || received.len() >= HEADER_MAX_BYTES)
            {
                let header = frame::read_header(&received)?;
                on_event(&mut self.outbox, Event::TooLarge { header, bytes });
                // It fails only where the stream is gone already.
                let _ = self.quic.stream_shutdown(stream, quiche::Shutdown::Read, 0);
                return Ok(true);
            }
            if fin {
                return match frame::read(&received, limit)? {
                    Some((frame, used)) if used == received.len() => {
                        on_event(&mut self.outbox, Event::Frame(frame));
                        Ok(true)
                    }
                    _ => Err(FrameError::BadHeader),
                };
            }
        }
        self.arriving.insert(stream, received);
        Ok(false)
    }

    /// Gives QUIC as much of the outbox as it takes.
    fn offer(&mut self) {
        if !self.quic.is_established() {
            return;
        }
        if self.channel_open {
            self.outbox.offer_channel(&mut self.quic);
        }
        self.outbox.offer_bodies(&mut self.quic, &mut self.next_uni);
    }
}

impl Outbox {
    /// Puts a frame on its way: on the channel, or on a stream of its own where the body is large.
    pub fn send(&mut self, header: &Header<'_>, body: &[u8]) {
        if body.len() <= INLINE_BODY_MAX_BYTES {
            frame::write(&mut self.channel, header, body);
            return;
        }
        let mut bytes = Vec::with_capacity(body.len() + HEADER_MAX_BYTES);
        frame::write(&mut bytes, header, body);
        self.body_bytes += bytes.len();
        self.bodies.push_back(Departing {
            bytes,
            taken: 0,
            stream: None,
        });
    }

    /// Tells the caller why its call has no result.
    pub fn fail(&mut self, id: u64, bill: Bill<&str>, error: &CallError) {
        let kind = error.kind;
        // Strings and numbers: postcard refuses none of them.
        let body = postcard::to_stdvec(error).unwrap_or_default();
        self.send(&Header::Failure { id, kind, bill }, &body);
    }

    fn waiting_bytes(&self) -> usize {
        self.channel.len() - self.channel_taken + self.body_bytes
    }

    fn offer_channel(&mut self, quic: &mut quiche::Connection) {
        while self.channel_taken < self.channel.len() {
            match quic.stream_send(CHANNEL, &self.channel[self.channel_taken..], false) {
                Ok(0) | Err(_) => break,
                Ok(taken) => self.channel_taken += taken,
            }
        }
        if self.channel_taken == self.channel.len() {
            self.channel.clear();
            self.channel_taken = 0;
        } else if self.channel_taken > self.channel.len() / 2 {
            self.channel.drain(..self.channel_taken);
            self.channel_taken = 0;
        }
    }

    fn offer_bodies(&mut self, quic: &mut quiche::Connection, next_uni: &mut u64) {
        let mut index = 0;
        while let Some(body) = self.bodies.get_mut(index) {
            let stream = match body.stream {
                Some(stream) => stream,
                None if quic.peer_streams_left_uni() == 0 => return,
                None => {
                    let stream = *next_uni;
                    *next_uni += STREAM_ID_STEP;
                    body.stream = Some(stream);
                    stream
                }
            };
            let rest = &body.bytes[body.taken..];
            let taken = match quic.stream_send(stream, rest, true) {
                Ok(taken) => taken,
                Err(quiche::Error::Done) => 0,
                // Stopped by the peer, which says why in a frame: the rest is of no use to it.
                Err(_) => rest.len(),
            };
            body.taken += taken;
            self.body_bytes -= taken;
            if body.taken == body.bytes.len() {
                self.bodies.remove(index);
            } else {
                index += 1;
            }
        }
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
