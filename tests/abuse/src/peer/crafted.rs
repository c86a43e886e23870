//! A session whose packets are written by hand after the handshake.

use super::client::Peer;
use super::keys::Keys;
use super::packet::{Frames, seal_short};
use super::socket::Socket;
use crate::error::AbuseError;
use std::net::SocketAddr;

/// Far above the numbers that quiche has used.
const FIRST_NUMBER: u32 = 10_000;

/// Frames that fit into one packet are at most this long together.
pub(crate) const FRAMES_BYTES: usize = 1150;

/// Sends what it likes; what it is sent, it throws away.
pub(crate) struct Crafted {
    socket: Socket,
    server: SocketAddr,
    id: Vec<u8>,
    keys: Keys,
    number: u32,
    buffer: Vec<u8>,
}

impl Crafted {
    /// Takes over a session whose handshake is over.
    ///
    /// # Errors
    /// As [`Peer::into_parts`].
    pub(crate) fn of(peer: Peer) -> Result<Self, AbuseError> {
        let (socket, server, id, keys) = peer.into_parts()?;
        Ok(Self {
            socket,
            server,
            id,
            keys,
            number: FIRST_NUMBER,
            buffer: vec![0; 2048],
        })
    }

    /// Sends a packet with these frames.
    pub(crate) fn send(&mut self, frames: &Frames) -> Result<(), AbuseError> {
        let packet = seal_short(&mut self.keys, &self.id, self.number, frames)?;
        self.number += 1;
        self.socket.send(&packet, self.server);
        Ok(())
    }

    /// Throws away what has come: how many datagrams.
    pub(crate) fn discard(&mut self) -> usize {
        let mut count = 0;
        while self.socket.receive(&mut self.buffer).is_some() {
            count += 1;
        }
        count
    }
}
