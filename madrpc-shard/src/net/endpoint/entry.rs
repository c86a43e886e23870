//! A session as its endpoint keeps it, and the names by which it is found.

use madrpc_core::session::Session;
use madrpc_core::wheel::TimerKey;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

/// Names a session of an endpoint; it never names a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SessionKey {
    pub(super) index: usize,
    pub(super) generation: u64,
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

/// How far a session has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its handshake is going on.
    Handshaking,
    /// It carries frames.
    Open,
    /// It has ended, and its last packet may have to be sent again for whoever has not heard.
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
    /// Whether it is in the list of those with something to read or to send.
    pub(super) dirty: bool,
    /// Whether it has frames that QUIC has not taken.
    pub(super) waits: bool,
    pub(super) phase: Phase,
    /// Reports of the network that nothing listens at the peer's address, with no datagram in between.
    pub(super) unreachable: u32,
    /// Bytes received before the handshake is over.
    pub(super) handshake_bytes: usize,
}
