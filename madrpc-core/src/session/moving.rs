//! Where the client of a session is, when its address changes.
//!
//! The client learns nothing of it: a translator between the two has chosen another address, or the system has, for a
//! socket that is bound to any. So there is no new connection ID to go with the new address: the datagrams keep theirs,
//! and with it their shard.
//!
//! quiche makes a *path* of each address, sends it at most three times what came from there until a challenge has been
//! answered, and then says that the peer has migrated. But what was in flight on the old path it takes for lost only
//! two packets at a time, always the same two: a longer reply would never arrive. So once quiche has found an address
//! to be the client's, its datagrams are given to quiche as if they came from the first address, and what quiche sends
//! to the first address goes there: quiche returns to the path that knows what is missing.
//!
//! Paths cannot be given back while their connection ID is in use, so a session ends when the client has had
//! [`PEER_ADDRESSES_MAX`] addresses; it opens another one.

use super::Goodbye;
use crate::limits::PEER_ADDRESSES_MAX;
use std::net::SocketAddr;

/// The client's addresses. A server's does not change.
pub(super) struct Whereabouts {
    /// The first, which stands for the present one in quiche.
    home: Option<SocketAddr>,
    /// The present one.
    peer: Option<SocketAddr>,
    has_moved: bool,
}

impl Whereabouts {
    pub(super) fn of(quic: &quiche::Connection) -> Self {
        let path = quic.path_stats().find(|path| path.active);
        let home = path.filter(|_| quic.is_server()).map(|path| path.peer_addr);
        Self {
            home,
            peer: home,
            has_moved: false,
        }
    }

    /// Gives quiche a datagram.
    pub(super) fn receive(
        &mut self,
        quic: &mut quiche::Connection,
        datagram: &mut [u8],
        from: SocketAddr,
        to: SocketAddr,
    ) {
        let from_peer = self.peer.is_none_or(|peer| peer == from);
        let shown = match self.home {
            Some(home) if from_peer => home,
            _ => from,
        };
        let is_back = !from_peer && self.home == Some(from);
        let before = if is_back { quic.stats().recv } else { 0 };
        // quiche closes the connection itself where the error is the peer's, and reports it there.
        let _ = quic.recv(datagram, quiche::RecvInfo { from: shown, to });
        if is_back && quic.stats().recv > before {
            // An address it has proved, by a packet that only it can have made.
            self.go_to(from);
        }
        while let Some(event) = quic.path_event_next() {
            let quiche::PathEvent::PeerMigrated(_, peer) = event else {
                continue;
            };
            if self.home == Some(peer) {
                // Back on the path that stands for wherever it is.
                continue;
            }
            self.go_to(peer);
            // Its answer is the first datagram that takes quiche back to the first path.
            let _ = quic.send_ack_eliciting();
            if quic.path_stats().count() as u64 >= PEER_ADDRESSES_MAX {
                let reason = format!("the client has had {PEER_ADDRESSES_MAX} addresses");
                let _ = quic.close(true, Goodbye::Done as u64, reason.as_bytes());
            }
        }
    }

    fn go_to(&mut self, peer: SocketAddr) {
        self.has_moved |= self.peer != Some(peer);
        self.peer = Some(peer);
    }

    /// Where to send what quiche sends to this address.
    pub(super) fn destination(&self, to: SocketAddr) -> SocketAddr {
        match (self.home, self.peer) {
            (Some(home), Some(peer)) if to == home => peer,
            _ => to,
        }
    }

    /// The present address, once after each change.
    pub(super) fn moved(&mut self) -> Option<SocketAddr> {
        std::mem::take(&mut self.has_moved)
            .then_some(self.peer)
            .flatten()
    }
}
