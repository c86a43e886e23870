//! Where the client of a session is, when its address changes.
//!
//! The client learns nothing of it: a translator between the two has chosen another address, or the system has, for a
//! socket that is bound to any. So there is no new connection ID to go with the new address: the datagrams keep theirs,
//! and with it their shard.
//!
//! quiche makes a *path* of each address, makes it the active one when the client sends from it, and sends it at most
//! three times what came from there until a challenge has been answered (RFC 9000, sections 8.2 and 9.3). Two things it
//! does not do. Of what was in flight on the old path it repeats two packets at a time, always the same two: a longer
//! reply would never arrive. And a path whose challenge was lost can be made active again but not used, which ends the
//! session. So quiche is shown stand-ins, and never twice one that has failed. Once an answer has shown an address to be
//! the client's, the stand-in of that address is the session's first, on which quiche knows what is missing. In between
//! quiche is given no room for more than challenges and acknowledgements, so that nothing is in flight on a path that
//! it leaves.
//!
//! Paths cannot be given back while their connection ID is in use, so a session ends when the client has used up
//! [`PEER_PATHS_MAX`] of them; it opens another one.

use super::Goodbye;
use super::quic::Quic;
use crate::limits::PEER_PATHS_MAX;
use quiche::{Connection, PathEvent};
use std::net::SocketAddr;

/// Room for a challenge or an acknowledgement, and too little for data (quiche's `MAX_STREAM_OVERHEAD`), beside the
/// connection ID: a byte before it, one of the packet's number, and the tag of the cipher (RFC 9001, section 5.3).
const NO_DATA_BYTES: usize = 1 + 1 + 16 + 12;

/// The state of a path whose peer has answered a challenge, whether or not full datagrams are known to get through, as
/// quiche 0.30 numbers it: its `PathState::ValidatingMTU`, a type that it does not export. Those before it are not validated.
const ADDRESS_VALIDATED: u8 = 3;

/// The client's addresses. A server's does not change.
pub(super) struct Whereabouts {
    /// The first address, in quiche the only one; `None` at the client.
    home: Option<SocketAddr>,
    /// The address for which it stands.
    peer: SocketAddr,
    others: Vec<Other>,
    has_moved: bool,
    /// quiche's active path, our address and a stand-in, where it is not the first.
    away: Option<(SocketAddr, SocketAddr)>,
}

/// An address that the client may have.
struct Other {
    stand_in: SocketAddr,
    address: SocketAddr,
    has_failed: bool,
}

impl Whereabouts {
    pub(super) fn of(quic: &Connection) -> Self {
        let peer = quic.path_stats().next().map(|path| path.peer_addr);
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        Self {
            home: peer.filter(|_| quic.is_server()),
            peer: peer.unwrap_or(nowhere),
            others: Vec::new(),
            has_moved: false,
            away: None,
        }
    }

    /// Gives quiche a datagram.
    pub(super) fn receive(
        &mut self,
        quic: &mut Quic,
        datagram: &mut [u8],
        from: SocketAddr,
        to: SocketAddr,
    ) {
        // quiche closes the connection itself where the error is the peer's, and reports it there.
        let Some(home) = self.home else {
            let _ = quic.recv(datagram, quiche::RecvInfo { from, to });
            return;
        };
        if from == self.peer {
            let _ = quic.recv(datagram, quiche::RecvInfo { from: home, to });
            if self.away.is_some() {
                self.look(quic);
            }
            return;
        }
        let mut others = self.others.iter();
        let known = others.find(|other| other.address == from && !other.has_failed);
        let stand_in = known.map_or_else(|| self.next_stand_in(), |other| other.stand_in);
        let is_new = known.is_none();
        let _ = quic.recv(datagram, quiche::RecvInfo { from: stand_in, to });
        // Anybody can send from anywhere: only what quiche could decrypt makes a path.
        if is_new && quic.path_stats().any(|path| path.peer_addr == stand_in) {
            self.others.push(Other {
                stand_in,
                address: from,
                has_failed: false,
            });
        }
        self.look(quic);
    }

    /// A time for which quiche has asked has come: a path may be given up.
    pub(super) fn on_timeout(&mut self, quic: &mut Quic) {
        quic.on_timeout();
        if !self.others.is_empty() {
            self.look(quic);
        }
    }

    /// Looks which path is active, and whether that is where the client has gone.
    fn look(&mut self, quic: &mut Quic) {
        while let Some(event) = quic.path_event_next() {
            if let PathEvent::FailedValidation(_, stand_in) = event {
                let mut others = self.others.iter_mut();
                if let Some(other) = others.find(|other| other.stand_in == stand_in) {
                    other.has_failed = true;
                }
            }
        }
        let Some(active) = quic.path_stats().find(|path| path.active) else {
            return;
        };
        let path = (active.local_addr, active.peer_addr);
        self.away = Some(path).filter(|(_, stand_in)| self.home != Some(*stand_in));
        if self.away.is_none() {
            return;
        }
        if (active.validation_state as u8) < ADDRESS_VALIDATED {
            // quiche asks again where its challenge was lost, but not where the answer was. It fails only at a client.
            let _ = quic.probe_path(active.local_addr, active.peer_addr);
            return;
        }
        let peer = self.destination(active.peer_addr);
        self.has_moved |= self.peer != peer;
        self.peer = peer;
        // Its acknowledgement is the datagram that takes quiche back to the first path.
        let _ = quic.send_ack_eliciting();
        if quic.path_stats().count() as u64 >= PEER_PATHS_MAX {
            let reason = "the client's address has changed too often";
            let _ = quic.close(true, Goodbye::Done as u64, reason.as_bytes());
        }
    }

    /// The next datagram to send and where to.
    pub(super) fn send(
        &self,
        quic: &mut Quic,
        out: &mut [u8],
    ) -> quiche::Result<(usize, SocketAddr)> {
        if self.others.is_empty() {
            let (length, info) = quic.send(out)?;
            return Ok((length, self.destination(info.to)));
        }
        let first = quic.path_stats().next().ok_or(quiche::Error::Done)?;
        let (from, to) = self.away.unwrap_or((first.local_addr, first.peer_addr));
        let bytes = match self.away.is_some() && quic.local_error().is_none() {
            true => out.len().min(NO_DATA_BYTES + quic.destination_id().len()),
            false => out.len(),
        };
        // Left to itself, quiche would first probe a path that the client has left, and wait where it may not send there.
        let (length, _) = quic.send_on_path(&mut out[..bytes], Some(from), Some(to))?;
        Ok((length, self.destination(to)))
    }

    /// The address that this one stands for.
    fn destination(&self, stand_in: SocketAddr) -> SocketAddr {
        if self.home == Some(stand_in) {
            return self.peer;
        }
        let other = self.others.iter().find(|other| other.stand_in == stand_in);
        other.map_or(stand_in, |other| other.address)
    }

    /// An address that nobody has.
    fn next_stand_in(&self) -> SocketAddr {
        SocketAddr::from(([0, 0, 0, 0], self.others.len() as u16 + 1))
    }

    /// The present address, once after each change.
    pub(super) fn moved(&mut self) -> Option<SocketAddr> {
        std::mem::take(&mut self.has_moved).then_some(self.peer)
    }
}
