//! A QUIC connection, and what it keeps in memory.

use crate::allocated;
use bytes::BufMut;
use quiche::{Connection, RecvInfo, Result, SendInfo};
use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};

/// A connection of quiche's, of which it is counted what it allocates and keeps: what a peer sends in pieces that nothing can be
/// read of, quiche holds with a hundred bytes for each, and does not say so.
pub(super) struct Quic {
    connection: Connection,
    kept: isize,
}

impl Quic {
    pub(super) fn new(connection: Connection) -> Self {
        Self {
            connection,
            kept: 0,
        }
    }

    /// Bytes that it has allocated since it was made, and keeps; 0 where nobody counts.
    pub(super) fn kept_bytes(&self) -> usize {
        self.kept.max(0).unsigned_abs()
    }

    fn counted<R>(&mut self, step: impl FnOnce(&mut Connection) -> R) -> R {
        let before = allocated::bytes();
        let done = step(&mut self.connection);
        let more = allocated::bytes().wrapping_sub(before);
        self.kept = self.kept.wrapping_add(more);
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
