//! The sessions that an endpoint has opened, by what is known of their servers.

use super::reset::token_of;
use crate::net::socket::Datagram;
use madrpc_core::session::Session;
use std::collections::HashMap;
use std::net::SocketAddr;

/// Finds the places of sessions.
#[derive(Default)]
pub(super) struct PeerIndex {
    /// By what their servers would end them with.
    by_token: HashMap<u128, usize>,
    by_peer: HashMap<SocketAddr, Vec<usize>>,
}

impl PeerIndex {
    /// A session to this peer is opened.
    pub(super) fn opened(&mut self, index: usize, peer: SocketAddr) {
        self.by_peer.entry(peer).or_default().push(index);
    }

    /// Its handshake is over, so its server has told the token of resets.
    pub(super) fn established(&mut self, index: usize, session: &Session) {
        if let Some(token) = session.reset_token() {
            self.by_token.insert(token, index);
        }
    }

    /// It is gone.
    pub(super) fn gone(&mut self, index: usize, peer: SocketAddr, session: &Session) {
        if let Some(token) = session.reset_token()
            && self.by_token.get(&token) == Some(&index)
        {
            self.by_token.remove(&token);
        }
        if let Some(same) = self.by_peer.get_mut(&peer) {
            same.retain(|other| *other != index);
            if same.is_empty() {
                self.by_peer.remove(&peer);
            }
        }
    }

    /// The sessions to this peer: a few, as a server has shards.
    pub(super) fn to(&self, peer: SocketAddr) -> Vec<usize> {
        self.by_peer.get(&peer).cloned().unwrap_or_default()
    }

    /// The session whose server does not know it any more, if that is what a datagram says that belongs to no session.
    pub(super) fn reset_by(&self, datagram: &Datagram<'_>) -> Option<usize> {
        let token = u128::from_be_bytes(token_of(datagram.bytes)?);
        self.by_token.get(&token).copied()
    }
}
