//! The sessions that an endpoint has opened, by what is known of their servers.

use super::reset::token_of;
use crate::net::socket::Datagram;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;

/// Finds the places of sessions.
#[derive(Default)]
pub(crate) struct PeerIndex {
    /// By what their servers would end them with.
    by_token: HashMap<u128, usize>,
    by_peer: HashMap<SocketAddr, HashSet<usize>>,
}

impl PeerIndex {
    /// A session to this peer is opened.
    pub(crate) fn opened(&mut self, index: usize, peer: SocketAddr) {
        self.by_peer.entry(peer).or_default().insert(index);
    }

    /// Its handshake is over, so its server has told the token of resets, if it has one.
    pub(crate) fn established(&mut self, index: usize, token: Option<u128>) {
        if let Some(token) = token {
            self.by_token.insert(token, index);
        }
    }

    /// It is gone, which had this token.
    pub(crate) fn gone(&mut self, index: usize, peer: SocketAddr, token: Option<u128>) {
        if let Some(token) = token
            && self.by_token.get(&token) == Some(&index)
        {
            self.by_token.remove(&token);
        }
        if let Some(same) = self.by_peer.get_mut(&peer) {
            same.remove(&index);
            if same.is_empty() {
                self.by_peer.remove(&peer);
            }
        }
    }

    /// Whether there is a session to this peer.
    pub(super) fn has(&self, peer: SocketAddr) -> bool {
        self.by_peer.contains_key(&peer)
    }

    /// The sessions to this peer: a few, as a server has shards.
    pub(super) fn to(&self, peer: SocketAddr) -> Vec<usize> {
        let same = self.by_peer.get(&peer).into_iter().flatten();
        same.copied().collect()
    }

    /// The session whose server does not know it any more, if that is what a datagram says that belongs to no session.
    pub(crate) fn reset_by(&self, datagram: &Datagram<'_>) -> Option<usize> {
        let token = u128::from_be_bytes(token_of(datagram.bytes)?);
        self.by_token.get(&token).copied()
    }
}
