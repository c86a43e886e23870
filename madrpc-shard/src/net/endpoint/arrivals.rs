//! What becomes of what the network brings: a datagram for a session, one that opens one, the word that nobody is there.

use super::admission::has_too_many_bytes;
use super::entry::{ConnectionKey, Phase};
use super::sessions::{NO_ROOM, Sessions};
use super::wire::Wire;
use super::{Side, UNREACHABLE_MAX};
use crate::net::socket::{Datagram, Inbound};
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::limits::{PARKED_PER_TURN_BYTES, POSTPONED_MAX_BYTES, RECEIVED_PER_TURN_BYTES};
use madrpc_core::session::cid;
use std::net::SocketAddr;
use std::time::Instant;

/// Batches received in one turn, beside those that are parked, so that a flood does not keep the shard from its calls.
const BATCHES_PER_TURN: usize = 8;

/// Takes out of the socket what there is, a bounded amount; gives the number of datagrams.
pub(super) fn empty_socket(
    wire: &mut Wire,
    inbound: &mut Inbound,
    sessions: &mut Sessions,
    side: &mut Side,
    now: Instant,
) -> usize {
    let (mut count, mut batches, mut bytes) = (0, 0, 0);
    let parked_before = sessions.parked.total;
    loop {
        let parked = sessions.parked.total;
        let (filled, more) = wire.socket.receive(inbound);
        for datagram in inbound.datagrams(filled) {
            count += 1;
            bytes += datagram.bytes.len();
            on_datagram(wire, sessions, side, (datagram, false), now);
        }
        batches += usize::from(sessions.parked.total == parked);
        let parked = sessions.parked.total - parked_before;
        if !more
            || batches >= BATCHES_PER_TURN
            || bytes - parked >= RECEIVED_PER_TURN_BYTES
            || parked >= PARKED_PER_TURN_BYTES
        {
            return count;
        }
    }
}

/// A datagram has come.
pub(super) fn on_datagram(
    wire: &mut Wire,
    sessions: &mut Sessions,
    side: &mut Side,
    (mut datagram, is_relayed): (Datagram<'_>, bool),
    now: Instant,
) {
    let id = cid::destination_of(datagram.bytes);
    let key = id.and_then(ConnectionKey::new);
    let known = key.and_then(|key| sessions.with_id(&key));
    match side {
        Side::Client(_) => match known {
            Some(index) => {
                sessions.receive(index, &mut datagram, wire.socket.local(), now);
            }
            None => {
                sessions.heed_reset(&datagram);
            }
        },
        Side::Server(acceptor) => {
            if known.is_none() && sessions.may_be_reset(&datagram) {
                if !sessions.heed_reset(&datagram) {
                    let to = acceptor.whose_reset(id, is_relayed, now);
                    to.for_each(|shard| wire.relay.send(shard, &datagram));
                }
                return;
            }
            if known.is_none()
                && let Some(shard) = id.and_then(|id| acceptor.elsewhere(id))
            {
                wire.misrouted += 1;
                wire.relay.send(shard, &datagram);
                return;
            }
            if let Some(index) = known
                && sessions.phase(index) == Some(Phase::Open)
            {
                sessions.arrive(index, datagram, wire.socket.local(), now);
                return;
            }
            if !acceptor.admission.has_turn() {
                acceptor.postponed.push(&datagram, POSTPONED_MAX_BYTES);
                return;
            }
            sessions.shares.rest();
            let begun = Instant::now();
            let handshaking = sessions.counts.handshaking;
            let has_room = sessions.has_room();
            let index = known.or_else(|| {
                let give_up = || sessions.give_up_oldest(now);
                let new =
                    acceptor.accept(&mut datagram, handshaking, give_up, &wire.socket, now)?;
                Some(sessions.accept(new, acceptor.shards, acceptor.instance, now))
            });
            if let Some(index) = index {
                let received = sessions.receive(index, &mut datagram, wire.socket.local(), now);
                if has_too_many_bytes(received, sessions.counts.handshake_bytes) {
                    let error = format!("{received} bytes came and the handshake is not over");
                    sessions.abandon(index, CallError::not_run(ErrorKind::Protocol, error));
                } else if acceptor.is_closed {
                    sessions.refuse(index, "it is stopping");
                } else if known.is_none() && !has_room {
                    sessions.refuse(index, NO_ROOM);
                }
            }
            acceptor.admission.spent(begun.elapsed());
        }
    }
}

/// The network says that nothing listens at `peer`.
pub(super) fn on_unreachable(sessions: &mut Sessions, peer: SocketAddr) {
    for index in sessions.to(peer) {
        let Some(entry) = sessions
            .at(index)
            .filter(|entry| entry.phase != Phase::Closing)
        else {
            continue;
        };
        entry.unreachable += 1;
        let is_open = entry.phase == Phase::Open;
        if is_open && entry.unreachable < UNREACHABLE_MAX {
            entry.session.ping();
            sessions.mark(index);
            continue;
        }
        let error = CallError {
            may_have_run: is_open,
            ..CallError::not_run(ErrorKind::Unavailable, "no process listens there")
        };
        sessions.abandon(index, error);
    }
}
