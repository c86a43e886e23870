//! When a session acknowledges what has come: by what it says next, or a little later (RFC 9000, section 13.2).
//!
//! quiche acknowledges as often as it is asked what to send. Of a small call that makes a datagram each way that says nothing
//! else, and each wakes its receiver. So a session that exchanges small datagrams is asked only where it has something to
//! say, two datagrams have come, or the first of them has waited.

use std::time::{Duration, Instant};

/// How long an acknowledgement waits; our peers expect 25 ms at the most (RFC 9000, section 18.2, `max_ack_delay`).
const DELAY: Duration = Duration::from_millis(5);

/// Datagrams that are acknowledged at once, the first with the second (RFC 9000, section 13.2.2).
const ARRIVED_MAX: u8 = 2;

/// Bytes of a datagram that is part of something larger, whose sender waits for room.
const LARGE_BYTES: usize = 1000;

/// How long a session that has sent large datagrams asks for room at once: it may have more than QUIC has sent.
const BULK: Duration = Duration::from_millis(100);

/// What a session has to acknowledge.
#[derive(Debug)]
pub(super) struct Acks {
    arrived: u8,
    /// There is something else to say, or nothing must wait.
    is_urgent: bool,
    due: Option<Instant>,
    bulk_until: Instant,
}

impl Acks {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            arrived: 0,
            is_urgent: true,
            due: None,
            bulk_until: now,
        }
    }

    /// A datagram has come.
    pub(super) fn on_datagram(&mut self, datagram: &[u8]) {
        self.arrived = self.arrived.saturating_add(1);
        let is_of_handshake = datagram.first().is_some_and(|first| first & 0x80 != 0);
        self.is_urgent |= is_of_handshake || datagram.len() >= LARGE_BYTES;
    }

    /// There is something to say.
    pub(super) fn hurry(&mut self) {
        self.is_urgent = true;
    }

    /// Whether all that there may be to send can wait, then until [`Acks::due`].
    pub(super) fn can_wait(&mut self, now: Instant) -> bool {
        if self.is_urgent || self.arrived >= ARRIVED_MAX || now < self.bulk_until {
            return false;
        }
        now < *self.due.get_or_insert(now + DELAY)
    }

    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// All was sent that there was, in datagrams of so many bytes at most.
    pub(super) fn on_sent(&mut self, largest: usize, now: Instant) {
        (self.arrived, self.is_urgent, self.due) = (0, false, None);
        if largest >= LARGE_BYTES {
            self.bulk_until = now + BULK;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHORT: [u8; 60] = [0x40; 60];

    /// One that has sent what there was.
    fn quiet(now: Instant) -> Acks {
        let mut acks = Acks::new(now);
        assert!(!acks.can_wait(now), "a session begins at once");
        acks.on_sent(60, now);
        acks
    }

    #[test]
    fn the_second_datagram_a_word_of_ours_or_time_ends_the_wait() {
        let now = Instant::now();
        let mut acks = quiet(now);
        acks.on_datagram(&SHORT);
        assert!(acks.can_wait(now));
        assert_eq!(acks.due(), Some(now + DELAY));
        assert!(acks.can_wait(now + DELAY / 2));
        assert!(!acks.can_wait(now + DELAY));
        acks.on_datagram(&SHORT);
        assert!(!acks.can_wait(now));
        acks.on_sent(60, now);
        assert_eq!(acks.due(), None);
        acks.on_datagram(&SHORT);
        acks.hurry();
        assert!(!acks.can_wait(now));
    }

    #[test]
    fn nothing_large_and_no_handshake_waits() {
        let now = Instant::now();
        let mut acks = quiet(now);
        acks.on_datagram(&[0x40; LARGE_BYTES]);
        assert!(!acks.can_wait(now));
        acks.on_sent(60, now);
        acks.on_datagram(&[0xc0; 60]);
        assert!(!acks.can_wait(now));
        acks.on_sent(LARGE_BYTES, now);
        acks.on_datagram(&SHORT);
        assert!(!acks.can_wait(now));
        assert!(acks.can_wait(now + BULK));
    }
}
