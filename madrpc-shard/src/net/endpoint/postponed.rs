//! Datagrams for which there was no time: they wait for a later turn. Strangers', so that neither a flood of handshakes holds up
//! the calls nor a crowd of newcomers has to send everything twice; and those of sessions that are sent much
//! ([`super::parking`]).

use crate::net::socket::Datagram;
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

/// A datagram as it came.
pub(super) struct Kept {
    bytes: Vec<u8>,
    from: SocketAddr,
    to: Option<IpAddr>,
}

impl Kept {
    pub(super) fn datagram(&mut self) -> Datagram<'_> {
        Datagram {
            bytes: &mut self.bytes,
            from: self.from,
            to: self.to,
        }
    }
}

/// Datagrams that wait, the first first.
#[derive(Default)]
pub(super) struct Postponed {
    waiting: VecDeque<Kept>,
    bytes: usize,
}

impl Postponed {
    /// Lets a datagram wait, or loses it where more than this would; says which.
    pub(super) fn push(&mut self, datagram: &Datagram<'_>, bytes_max: usize) -> bool {
        if self.bytes + datagram.bytes.len() > bytes_max {
            return false;
        }
        self.bytes += datagram.bytes.len();
        self.waiting.push_back(Kept {
            bytes: datagram.bytes.to_vec(),
            from: datagram.from,
            to: datagram.to,
        });
        true
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn pop(&mut self) -> Option<Kept> {
        let next = self.waiting.pop_front()?;
        self.bytes -= next.bytes.len();
        Some(next)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use madrpc_core::limits::POSTPONED_MAX_BYTES;

    #[test]
    fn what_waits_is_bounded_and_keeps_its_order() {
        let mut postponed = Postponed::default();
        let from = SocketAddr::from(([127, 0, 0, 1], 1));
        let most = POSTPONED_MAX_BYTES / 1200;
        for number in 0..most + 10 {
            let mut bytes = [number as u8; 1200];
            let datagram = Datagram {
                bytes: &mut bytes,
                from,
                to: None,
            };
            assert_eq!(
                postponed.push(&datagram, POSTPONED_MAX_BYTES),
                number < most
            );
        }
        for number in 0..most {
            let mut next = postponed.pop().unwrap();
            assert_eq!(next.datagram().bytes[0], number as u8);
        }
        assert!(postponed.is_empty() && postponed.pop().is_none());
    }
}
