//! The wire of an endpoint: datagrams received in batches, and packets of one session gathered into batches of equal size.

use crate::net::relay::Relay;
use crate::net::socket::Socket;
use madrpc_core::limits::DATAGRAM_MAX_BYTES;
use madrpc_core::session::Session;
use std::net::{IpAddr, SocketAddr};

/// What one system call may send: as much as the kernel takes for one datagram.
const SEND_BYTES: usize = 65_000;

/// System calls for one session in a turn, so that no peer with a large window, and no session that finds no end, keeps the
/// others waiting: a quarter of a mebibyte, some 0.3 ms.
const SENDS_PER_TURN: usize = 4;

/// What was sent of what a session has to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// In datagrams of so many bytes at most.
    All { largest: usize },
    /// As much as it may send in a turn.
    Part,
    /// The kernel has no room.
    Blocked,
}

/// A socket, what it is given to send, and the way to the other shards.
pub(super) struct Wire {
    pub(super) socket: Socket,
    pub(super) relay: Relay,
    /// Datagrams that reached this shard and belong to another.
    pub(super) misrouted: u64,
    buffer: Box<[u8]>,
    /// What the kernel had no room for, to be sent before anything else.
    unsent: Option<Unsent>,
}

struct Unsent {
    bytes: usize,
    segment: usize,
    to: SocketAddr,
    from: Option<IpAddr>,
}

impl Wire {
    pub(super) fn new(socket: Socket, relay: Relay) -> Self {
        Self {
            socket,
            relay,
            misrouted: 0,
            buffer: vec![0; SEND_BYTES + DATAGRAM_MAX_BYTES].into_boxed_slice(),
            unsent: None,
        }
    }

    /// Whether the kernel has no room for more.
    pub(super) fn is_full(&self) -> bool {
        self.unsent.is_some()
    }

    /// Whether there is something to send or to look at, without anything new from outside.
    pub(super) fn has_work(&self) -> bool {
        self.is_full() || self.relay.has_mail()
    }

    /// Sends what one session has to say, from this address of ours.
    pub(super) fn send(&mut self, session: &mut Session, from: Option<IpAddr>) -> Sent {
        if let Some(unsent) = self.unsent.take()
            && !self.socket.send(
                &self.buffer[..unsent.bytes],
                unsent.segment,
                unsent.to,
                unsent.from,
            )
        {
            self.unsent = Some(unsent);
            return Sent::Blocked;
        }
        let segments = self.socket.send_segments();
        // The packet that opened the next batch because it is longer than those of the last.
        let mut first: Option<(usize, SocketAddr)> = None;
        let (mut sends, mut largest) = (0, 0);
        // A packet that is in the buffer already goes in any case.
        while sends < SENDS_PER_TURN || first.is_some() {
            sends += 1;
            let next = first
                .take()
                .or_else(|| session.transmit(&mut self.buffer[..DATAGRAM_MAX_BYTES]));
            let Some((segment, to)) = next else {
                return Sent::All { largest };
            };
            largest = largest.max(segment);
            let mut filled = segment;
            let mut count = 1;
            // All but the last of a batch must be of one size: a longer one begins the next batch.
            while count < segments && filled + segment <= SEND_BYTES && first.is_none() {
                let room = &mut self.buffer[filled..filled + DATAGRAM_MAX_BYTES];
                match session.transmit(room) {
                    Some((length, next)) if length <= segment && next == to => {
                        filled += length;
                        count += 1;
                        if length < segment {
                            break;
                        }
                    }
                    Some(longer) => first = Some(longer),
                    None => break,
                }
            }
            if !self.socket.send(&self.buffer[..filled], segment, to, from) {
                self.unsent = Some(Unsent {
                    bytes: filled,
                    segment,
                    to,
                    from,
                });
                // The packet after it is lost, which QUIC mends; keeping it would need a second buffer.
                return Sent::Blocked;
            }
            if let Some((length, _)) = first {
                self.buffer.copy_within(filled..filled + length, 0);
            }
        }
        Sent::Part
    }
}
