//! A QUIC connection with a valid certificate, and nothing of the project's session on it: what it sends, reads and
//! acknowledges is the attack's affair.

use super::keys::Keys;
use super::socket::{DATAGRAM_BYTES, Socket};
use super::wire;
use crate::error::AbuseError;
use madrpc_core::call::ErrorKind;
use madrpc_core::call::frame::{self, Frame, Header};
use madrpc_core::identity::SERVER_NAME_ANY;
use madrpc_core::limits::INLINE_BODY_MAX_BYTES;
use madrpc_core::stats::Snapshot;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// The stream of the small frames.
pub const CHANNEL: u64 = 0;

/// The first stream of a client's large frames; each further one is four more.
pub const FIRST_BODY: u64 = 2;

/// How long a handshake may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Datagrams taken in before some are sent again.
const RECEIVES_PER_TURN: usize = 256;

/// Datagrams sent at once, at the most.
const SENDS_MAX: u64 = 20_000;

/// What came for a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Came {
    /// Its result, encoded.
    Reply(Vec<u8>),
    /// It has none.
    Failure(ErrorKind),
}

/// Bytes on their way out on a stream of their own.
struct Body {
    bytes: Rc<[u8]>,
    taken: usize,
    stream: Option<u64>,
    ends: bool,
}

/// One end of a connection.
pub struct Peer {
    socket: Socket,
    /// The connection, to do with it what a session would not.
    pub quic: quiche::Connection,
    server: SocketAddr,
    secrets: Receiver<Vec<u8>>,
    channel: Vec<u8>,
    bodies: VecDeque<Body>,
    /// Streams whose bodies do not end.
    unended: Vec<u64>,
    next_body: u64,
    arriving: HashMap<u64, Vec<u8>>,
    buffer: Vec<u8>,
}

impl Peer {
    /// Connects to a server, with what `config` says of certificates.
    ///
    /// # Errors
    /// [`AbuseError::NotMade`] with the server's words where it lets nobody in.
    pub fn connect(server: SocketAddr, config: &mut quiche::Config) -> Result<Self, AbuseError> {
        let mut peer = Self::begin(server, config)?;
        let end = Instant::now() + PATIENCE;
        while !peer.quic.is_established() {
            if peer.quic.is_closed() || peer.quic.is_draining() || Instant::now() > end {
                return Err(AbuseError::not_made(format!("no session: {}", peer.said())));
            }
            peer.turn(Duration::from_millis(5))?;
        }
        Ok(peer)
    }

    /// Begins to connect; [`Self::turn`] goes on with it.
    pub fn begin(server: SocketAddr, config: &mut quiche::Config) -> Result<Self, AbuseError> {
        let socket = Socket::new()?;
        let id: [u8; 16] = std::array::from_fn(|_| fastrand::u8(..));
        let id = quiche::ConnectionId::from_ref(&id);
        config.log_keys();
        let name = Some(SERVER_NAME_ANY);
        let quic = quiche::connect(name, &id, socket.local(), server, config)?;
        Ok(Self::over(socket, quic, server, FIRST_BODY))
    }

    /// One end of a connection that was begun elsewhere; the first stream it opens for bodies is `next_body`.
    pub fn over(
        socket: Socket,
        mut quic: quiche::Connection,
        server: SocketAddr,
        next_body: u64,
    ) -> Self {
        let (sender, secrets) = channel();
        quic.set_keylog(Box::new(KeyLog(sender)));
        Self {
            socket,
            quic,
            server,
            secrets,
            channel: Vec::new(),
            bodies: VecDeque::new(),
            unended: Vec::new(),
            next_body,
            arriving: HashMap::new(),
            buffer: vec![0; DATAGRAM_BYTES],
        }
    }

    /// Sends what there is and takes in what has come; waits for so long where nothing has. What came is acknowledged,
    /// and not read.
    pub fn turn(&mut self, wait: Duration) -> Result<(), AbuseError> {
        self.offer();
        self.flush();
        let mut received = self.take_in();
        if received == 0 && !wait.is_zero() {
            self.pause(wait)?;
            received = self.take_in();
        }
        if received > 0 {
            self.flush();
        }
        Ok(())
    }

    /// Turns until `done`, for at most this long; whether it came about.
    pub fn turn_until(
        &mut self,
        patience: Duration,
        mut done: impl FnMut(&mut Self) -> bool,
    ) -> Result<bool, AbuseError> {
        let end = Instant::now() + patience;
        while !done(self) {
            if Instant::now() > end || self.is_over() {
                return Ok(done(self));
            }
            self.turn(Duration::from_millis(2))?;
        }
        Ok(true)
    }

    /// Whether the connection is no more.
    pub fn is_over(&self) -> bool {
        self.quic.is_closed() || self.quic.is_draining()
    }

    /// Bytes that have not been given to QUIC.
    pub fn waiting_bytes(&self) -> usize {
        let bodies = self.bodies.iter();
        let bodies: usize = bodies.map(|body| body.bytes.len() - body.taken).sum();
        self.channel.len() + bodies
    }

    /// A call, on the channel or with a large body on a stream of its own.
    pub fn call(&mut self, id: u64, function: &str, body: &[u8], timeout: Duration) {
        if body.len() <= INLINE_BODY_MAX_BYTES {
            wire::call(&mut self.channel, id, function, body, timeout);
            return;
        }
        let mut bytes = Vec::with_capacity(body.len() + 1024);
        wire::call(&mut bytes, id, function, body, timeout);
        self.send_body(bytes.into(), true);
    }

    /// Gives a call up.
    pub fn cancel(&mut self, id: u64) {
        wire::cancel(&mut self.channel, id);
    }

    /// Any bytes on the channel.
    pub fn send_channel(&mut self, bytes: &[u8]) {
        self.channel.extend_from_slice(bytes);
    }

    /// Any bytes on a stream of their own, which ends after them or stays open.
    pub fn send_body(&mut self, bytes: Rc<[u8]>, ends: bool) {
        self.bodies.push_back(Body {
            bytes,
            taken: 0,
            stream: None,
            ends,
        });
    }

    /// Gives up bodies that do not end, and resets their streams.
    pub fn reset_unended(&mut self) {
        self.bodies.retain(|body| body.ends);
        for stream in self.unended.drain(..) {
            // It fails only where the server has stopped it, or all is over.
            let _ = self
                .quic
                .stream_shutdown(stream, quiche::Shutdown::Write, 0);
        }
    }

    /// Reads what has come: what it is for each call.
    pub fn read(&mut self) -> Vec<(u64, Came)> {
        let mut came = Vec::new();
        self.read_frames(|frame| match frame.header {
            Header::Reply { id, .. } => came.push((id, Came::Reply(frame.body.to_vec()))),
            Header::Failure { id, kind, .. } => came.push((id, Came::Failure(kind))),
            _ => {}
        });
        came
    }

    /// Reads what has come, frame by frame.
    pub fn read_frames(&mut self, mut on_frame: impl FnMut(Frame<'_>)) {
        while let Some(stream) = self.quic.stream_readable_next() {
            let mut bytes = self.arriving.remove(&stream).unwrap_or_default();
            while let Ok((length, _)) = self.quic.stream_recv(stream, &mut self.buffer) {
                bytes.extend_from_slice(&self.buffer[..length]);
            }
            let mut rest = frame::skip_nothing(&bytes);
            while let Ok(Some((frame, used))) = frame::read(rest, usize::MAX) {
                on_frame(frame);
                rest = frame::skip_nothing(&rest[used..]);
            }
            let rest = rest.to_vec();
            if !rest.is_empty() || stream == CHANNEL {
                self.arriving.insert(stream, rest);
            }
        }
    }

    /// Calls, and waits for the answer, reading everything else away; `None` where none comes.
    pub fn ask(
        &mut self,
        id: u64,
        function: &str,
        body: &[u8],
        patience: Duration,
    ) -> Result<Option<Came>, AbuseError> {
        self.call(id, function, body, patience);
        let mut answer = None;
        self.turn_until(patience, |peer| {
            let came = peer.read().into_iter().find(|(of, _)| *of == id);
            answer = answer.take().or(came.map(|(_, came)| came));
            answer.is_some()
        })?;
        Ok(answer)
    }

    /// The server's statistics, where it answers.
    pub fn statistics(&mut self) -> Result<Option<Snapshot>, AbuseError> {
        let answer = self.ask(u64::MAX, wire::STATISTICS, &[], Duration::from_secs(5))?;
        Ok(answer.and_then(|came| match came {
            Came::Reply(body) => wire::snapshot(&body),
            Came::Failure(_) => None,
        }))
    }

    /// How many calls of a function have ended there, by its statistics.
    ///
    /// # Errors
    /// See [`Peer::ask`].
    pub fn ended_calls(&mut self, function: &str) -> Result<u64, AbuseError> {
        let statistics = self.statistics()?.unwrap_or_default();
        let rows = statistics.rows.iter();
        let of_function = rows.filter(|row| row.function == function);
        Ok(of_function.map(|row| row.calls).sum())
    }

    /// Says goodbye.
    pub fn close(mut self) {
        // quiche 0.30 sends no close before the probes of a handshake that are due.
        self.flush();
        // It fails only where the connection is closed already.
        let _ = self.quic.close(true, 0, b"");
        self.flush();
    }

    /// Keeps the connection with as little as it needs.
    pub fn hold(self) -> Held {
        Held {
            socket: self.socket,
            quic: self.quic,
        }
    }

    /// Why the connection is over, in the server's words or ours.
    pub fn said(&self) -> String {
        match self.quic.peer_error().or(self.quic.local_error()) {
            Some(error) => format!(
                "{:#x} {}",
                error.error_code,
                String::from_utf8_lossy(&error.reason)
            ),
            None => "no answer".to_owned(),
        }
    }

    /// What a client protects its packets with after the handshake, and the socket they go through: from here on quiche
    /// is out of it.
    ///
    /// # Errors
    /// Where the handshake is not over, or was made with another cipher than AES-128-GCM.
    pub fn into_parts(self) -> Result<(Socket, SocketAddr, Vec<u8>, Keys), AbuseError> {
        let lines: Vec<u8> = self.secrets.try_iter().flatten().collect();
        let lines = String::from_utf8_lossy(&lines);
        let secret = lines.lines().find_map(|line| {
            let rest = line.strip_prefix("CLIENT_TRAFFIC_SECRET_0 ")?;
            unhex(rest.split(' ').nth(1)?)
        });
        let Some(secret) = secret.filter(|secret| secret.len() == 32) else {
            return Err(AbuseError::not_made("no secret of AES-128-GCM was logged"));
        };
        let keys = Keys::from_secret(&secret)?;
        let id = self.quic.destination_id().to_vec();
        Ok((self.socket, self.server, id, keys))
    }

    fn offer(&mut self) {
        let taken = give(&mut self.quic, CHANNEL, &self.channel, false);
        self.channel.drain(..taken);
        let mut at = 0;
        while let Some(body) = self.bodies.get_mut(at) {
            let stream = match body.stream {
                Some(stream) => stream,
                None if self.quic.peer_streams_left_uni() == 0 => return,
                None => {
                    let stream = self.next_body;
                    self.next_body += 4;
                    body.stream = Some(stream);
                    if !body.ends {
                        self.unended.push(stream);
                    }
                    // A stream has to be known before its room can be asked for.
                    let _ = self.quic.stream_send(stream, b"", false);
                    stream
                }
            };
            let rest = &body.bytes[body.taken..];
            body.taken += give(&mut self.quic, stream, rest, body.ends);
            if body.taken == body.bytes.len() {
                self.bodies.remove(at);
            } else {
                at += 1;
            }
        }
    }

    /// Sends what there is to send.
    pub fn flush(&mut self) {
        // A probe of the handshake must not become due before the packet that closes the connection: quiche 0.30 would
        // write packets without end instead.
        if let Some(at) = self.quic.timeout_instant()
            && at <= Instant::now()
            && self.quic.local_error().is_none()
        {
            self.quic.on_timeout();
        }
        for _ in 0..SENDS_MAX {
            let Ok((length, info)) = self.quic.send(&mut self.buffer) else {
                return;
            };
            self.socket.send(&self.buffer[..length], info.to);
        }
    }

    fn take_in(&mut self) -> usize {
        let mut received = 0;
        let to = self.socket.local();
        while let Some((length, from)) = self.socket.receive(&mut self.buffer) {
            let info = quiche::RecvInfo { from, to };
            // quiche closes the connection itself where the error matters.
            let _ = self.quic.recv(&mut self.buffer[..length], info);
            received += 1;
            if received >= RECEIVES_PER_TURN {
                break;
            }
        }
        received
    }

    fn pause(&self, wait: Duration) -> Result<(), AbuseError> {
        let timer = self.quic.timeout().unwrap_or(wait).min(wait);
        let milliseconds = timer.as_micros().div_ceil(1000) as u16;
        let socket = self.socket.descriptor();
        let mut descriptors = [PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
        match poll(&mut descriptors, PollTimeout::from(milliseconds)) {
            // A node in the same process sends signals to its threads.
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}

/// A connection that is only held.
pub struct Held {
    socket: Socket,
    quic: quiche::Connection,
}

impl Held {
    /// Says goodbye.
    pub fn close(mut self) {
        let mut buffer = [0; 2048];
        // What has come is of no interest, but that the server has not closed it first.
        while let Some((length, from)) = self.socket.receive(&mut buffer) {
            let to = self.socket.local();
            let _ = self
                .quic
                .recv(&mut buffer[..length], quiche::RecvInfo { from, to });
        }
        let _ = self.quic.close(true, 0, b"");
        while let Ok((length, info)) = self.quic.send(&mut buffer) {
            self.socket.send(&buffer[..length], info.to);
        }
    }
}

/// Gives QUIC as much as it has room for: how much that was.
fn give(quic: &mut quiche::Connection, stream: u64, bytes: &[u8], ends: bool) -> usize {
    if bytes.is_empty() {
        return 0;
    }
    let room = match quic.stream_capacity(stream) {
        Ok(room) => room.min(bytes.len()),
        // Not opened yet.
        Err(quiche::Error::InvalidStreamState(_)) => bytes.len(),
        // Stopped by the server: the rest goes nowhere.
        Err(_) => return bytes.len(),
    };
    let ends = ends && room == bytes.len();
    quic.stream_send(stream, &bytes[..room], ends).unwrap_or(0)
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits = text.trim().as_bytes().chunks(2);
    digits
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect()
}

/// Takes down what quiche logs of its secrets.
struct KeyLog(Sender<Vec<u8>>);

impl io::Write for KeyLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // It fails only where the peer has gone.
        let _ = self.0.send(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
