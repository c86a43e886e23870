//! A session as its endpoint keeps it, and the names by which it is found.

use madrpc_core::session::Session;
use madrpc_core::wheel::TimerKey;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

/// Names a session of an endpoint; it never names a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SessionKey {
    pub(crate) index: usize,
    pub(crate) generation: u64,
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

/// A session and its driver's notes.
pub(super) struct Entry {
    pub(super) session: Session,
    pub(super) generation: u64,
    /// Where it is now; a client's may change.
    pub(super) peer: SocketAddr,
    /// The address of ours that the peer uses, which must be the source of what we answer.
    pub(super) local_ip: Option<IpAddr>,
    pub(super) opened: Instant,
    pub(super) ids: [Option<ConnectionKey>; 2],
    pub(super) timer: Option<(Instant, TimerKey)>,
    pub(super) dirty: bool,
    pub(super) established: bool,
    pub(super) reported: bool,
    pub(super) unreachable: u32,
}
