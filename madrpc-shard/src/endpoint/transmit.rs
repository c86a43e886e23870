//! Sending: packets of one session gathered into batches of equal size.

use super::Endpoint;
use madrpc_core::limits::DATAGRAM_MAX_BYTES;
use std::net::{IpAddr, SocketAddr};

/// What one system call may send: as much as the kernel takes for one datagram.
const SEND_BYTES: usize = 65_000;

/// Datagrams of one session on their way to the kernel.
pub(super) struct Batch {
    pub(super) buffer: Box<[u8]>,
    /// What the kernel had no room for, to be sent before anything else.
    pub(super) unsent: Option<Unsent>,
}

pub(super) struct Unsent {
    pub(super) bytes: usize,
    pub(super) segment: usize,
    pub(super) to: SocketAddr,
    pub(super) from: Option<IpAddr>,
}

impl Batch {
    pub(super) fn new() -> Self {
        Self {
            buffer: vec![0; SEND_BYTES + DATAGRAM_MAX_BYTES].into_boxed_slice(),
            unsent: None,
        }
    }
}

impl Endpoint {
    /// Sends all that one session has to say; `false` where the kernel has no room.
    pub(super) fn send(&mut self, index: usize) -> bool {
        if let Some(unsent) = self.batch.unsent.take()
            && !self.socket.send(
                &self.batch.buffer[..unsent.bytes],
                unsent.segment,
                unsent.to,
                unsent.from,
            )
        {
            self.batch.unsent = Some(unsent);
            return false;
        }
        let Some(entry) = self.sessions.get_mut(index) else {
            return true;
        };
        let segments = self.socket.send_segments();
        let from = entry.local_ip;
        // The packet that opened the next batch because it is longer than those of the last.
        let mut first: Option<(usize, SocketAddr)> = None;
        loop {
            let Some((segment, to)) = first.take().or_else(|| {
                entry
                    .session
                    .transmit(&mut self.batch.buffer[..DATAGRAM_MAX_BYTES])
            }) else {
                return true;
            };
            let mut filled = segment;
            let mut count = 1;
            // All but the last of a batch must be of one size: a longer one begins the next batch.
            while count < segments && filled + segment <= SEND_BYTES && first.is_none() {
                let room = &mut self.batch.buffer[filled..filled + DATAGRAM_MAX_BYTES];
                match entry.session.transmit(room) {
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
            if !self
                .socket
                .send(&self.batch.buffer[..filled], segment, to, from)
            {
                self.batch.unsent = Some(Unsent {
                    bytes: filled,
                    segment,
                    to,
                    from,
                });
                // The packet after it is lost, which QUIC mends; keeping it would need a second buffer.
                return false;
            }
            if let Some((length, _)) = first {
                self.batch.buffer.copy_within(filled..filled + length, 0);
            }
        }
    }
}
