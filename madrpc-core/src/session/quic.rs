//! A QUIC connection, and what it keeps in memory.

use crate::allocated::{self, Allocated};
use crate::limits::{INITIAL_MIN_BYTES, SESSION_WINDOW_BYTES, SESSION_WINDOW_MAX_BYTES};
use bytes::BufMut;
use quiche::{Connection, RecvInfo, Result, SendInfo};
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};

/// What QUIC may keep for a session before anybody looks what it is.
const KEPT_BYTES_LOOKED_AT: usize = SESSION_WINDOW_BYTES as usize;

/// What QUIC may keep beyond what is on its way before it is given nothing more to send: it keeps all that follows a packet of ours
/// that was lost, until the peer has that packet.
const FULL: Excess = Excess {
    bytes: SESSION_WINDOW_MAX_BYTES as usize * 3 / 2,
    blocks: 4 * SESSION_WINDOW_MAX_BYTES as usize / INITIAL_MIN_BYTES,
};

/// More than that is none of ours, nor what a peer sends as others do.
const TOO_MUCH: Excess = Excess {
    bytes: 2 * SESSION_WINDOW_MAX_BYTES as usize,
    blocks: 2 * FULL.blocks,
};

/// What QUIC keeps for a session beyond what is on its way to the peer.
#[derive(Debug, Clone, Copy)]
pub struct Excess {
    /// Bytes of this process.
    pub bytes: usize,
    /// Blocks of its allocator.
    pub blocks: usize,
}

impl Excess {
    /// Whether the peer must have sent pieces with gaps between them, of which nothing can be read: such a piece takes a hundred bytes
    /// beside its own, and all others wait while those are freed. A whole window in packets is less, and so is what we send.
    #[must_use]
    pub const fn is_scattered(self) -> bool {
        self.bytes > TOO_MUCH.bytes || self.blocks > TOO_MUCH.blocks
    }
}

/// A connection of quiche's, of which it is counted what it allocates and keeps: what a peer sends in pieces that nothing can be
/// read of, quiche holds with a hundred bytes for each, and does not say so.
pub(super) struct Quic {
    connection: Connection,
    kept: Allocated,
    /// The largest congestion window that was seen.
    cwnd_max: usize,
}

impl Quic {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            connection,
            kept: Allocated::default(),
            cwnd_max: 0,
        }
    }

    /// Bytes that it has allocated since it was made, and keeps; 0 where nobody counts.
    pub(super) fn kept_bytes(&self) -> usize {
        self.kept.bytes.max(0).unsigned_abs()
    }

    /// See [`super::Session::excess`].
    pub(super) fn excess(&mut self) -> Option<Excess> {
        let kept = self.kept_bytes();
        if kept <= KEPT_BYTES_LOOKED_AT {
            return None;
        }
        let path = self.connection.path_stats().find(|path| path.active);
        // What was sent is kept until it is acknowledged, though losses have made the window small meanwhile.
        self.cwnd_max = path.map_or(0, |path| path.cwnd).max(self.cwnd_max);
        // With what QUIC notes of each packet, those in flight take less than twice as much as they hold, in four blocks.
        let packets = self.cwnd_max / INITIAL_MIN_BYTES;
        let blocks = self.kept.blocks.max(0).unsigned_abs();
        let excess = Excess {
            bytes: kept.saturating_sub(2 * self.cwnd_max),
            blocks: blocks.saturating_sub(4 * packets),
        };
        (excess.bytes > 0).then_some(excess)
    }

    /// Bytes that it may be given to send now.
    pub(super) fn room(&mut self) -> usize {
        match self.excess() {
            None => FULL.bytes - KEPT_BYTES_LOOKED_AT,
            Some(excess) if excess.blocks > FULL.blocks => 0,
            Some(excess) => FULL.bytes.saturating_sub(excess.bytes),
        }
    }

    fn counted<R>(&mut self, step: impl FnOnce(&mut Connection) -> R) -> R {
        let before = allocated::by_thread();
        let done = step(&mut self.connection);
        let more = allocated::by_thread().since(before);
        self.kept = self.kept.with(more);
        done
    }
}

/// The steps of the connection in which memory comes and goes.
impl Quic {
    pub(super) fn recv(&mut self, datagram: &mut [u8], info: RecvInfo) -> Result<usize> {
        self.counted(|quic| quic.recv(datagram, info))
    }

    pub(super) fn send(&mut self, out: &mut [u8]) -> Result<(usize, SendInfo)> {
        self.counted(|quic| quic.send(out))
    }

    pub(super) fn send_on_path(
        &mut self,
        out: &mut [u8],
        from: Option<SocketAddr>,
        to: Option<SocketAddr>,
    ) -> Result<(usize, SendInfo)> {
        self.counted(|quic| quic.send_on_path(out, from, to))
    }

    pub(super) fn on_timeout(&mut self) {
        self.counted(Connection::on_timeout);
    }

    pub(super) fn stream_recv(&mut self, stream: u64, out: &mut [u8]) -> Result<(usize, bool)> {
        self.counted(|quic| quic.stream_recv(stream, out))
    }

    /// Appends what there is of a stream to `bytes`, at most `room` bytes, for which they have to have room: what they grow by
    /// would count as the connection's.
    pub(super) fn stream_recv_onto(
        &mut self,
        stream: u64,
        bytes: &mut Vec<u8>,
        room: usize,
    ) -> Result<(usize, bool)> {
        self.counted(|quic| quic.stream_recv_buf(stream, bytes.limit(room)))
    }

    pub(super) fn stream_send(&mut self, stream: u64, bytes: &[u8], fin: bool) -> Result<usize> {
        self.counted(|quic| quic.stream_send(stream, bytes, fin))
    }
}

impl Deref for Quic {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Quic {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
}
