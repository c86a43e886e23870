//! Stateless reset (RFC 9000, section 10.3): a server that was restarted tells the peers of its former life that their
//! sessions are over, so that they need not wait until silence has told them.
//!
//! With each connection ID the server gives its peer a token, a code over the ID by a key that follows from the server's
//! identity. A later process with the same identity makes the token again from the ID alone. What it answers looks like
//! a packet, and ends with the token; its connection ID is random, so it is the token that leads to the session.

use super::Endpoint;
use crate::socket::Datagram;
use boring::error::ErrorStack;
use boring::hash::hmac_sha256;
use madrpc_core::cid;
use madrpc_core::error::{CallError, ErrorKind};
use madrpc_core::limits::RESETS_PER_SECOND;
use madrpc_core::session::Goodbye;
use std::time::{Duration, Instant};

const TOKEN_BYTES: usize = 16;

/// The shortest that may be one; below that no packet could be as short.
const RESET_MIN_BYTES: usize = 21;

/// The longest that we send. It is also shorter than what it answers, so that two that do not know each other fall
/// silent.
const RESET_MAX_BYTES: usize = 42;

/// Makes resets, a bounded number in each second.
#[derive(Clone)]
pub(crate) struct Resets {
    key: [u8; 32],
    second: Instant,
    in_second: u32,
    sent: u64,
}

impl Resets {
    /// Resets of a server whose former life had the same key.
    pub(crate) fn new(key: [u8; 32], now: Instant) -> Self {
        Self {
            key,
            second: now,
            in_second: 0,
            sent: 0,
        }
    }

    /// Makes tokens by another key from now on; those that peers have stay what they are.
    pub(super) fn set_key(&mut self, key: [u8; 32]) {
        self.key = key;
    }

    /// How many were sent.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// The token of a connection ID.
    pub(super) fn token(&self, id: &[u8]) -> Result<u128, ErrorStack> {
        let code = hmac_sha256(&self.key, id)?;
        let (token, _) = code.split_at(TOKEN_BYTES);
        Ok(token
            .iter()
            .fold(0, |token, byte| token << 8 | u128::from(*byte)))
    }

    /// The answer to a packet of so many bytes for a connection ID that nobody knows; `None` where there is to be none.
    fn answer(&mut self, id: &[u8], bytes: usize, now: Instant) -> Option<Vec<u8>> {
        let length = bytes.checked_sub(1)?.min(RESET_MAX_BYTES);
        if length < RESET_MIN_BYTES {
            return None;
        }
        if now.saturating_duration_since(self.second) >= Duration::from_secs(1) {
            (self.second, self.in_second) = (now, 0);
        }
        if self.in_second >= RESETS_PER_SECOND {
            return None;
        }
        let token = self.token(id).ok()?;
        let mut reset = vec![0; length - TOKEN_BYTES];
        boring::rand::rand_bytes(&mut reset).ok()?;
        // The form of a packet with a short header (RFC 9000, section 17.3).
        reset[0] = reset[0] & 0x3f | 0x40;
        reset.extend_from_slice(&token.to_be_bytes());
        self.in_second += 1;
        self.sent += 1;
        Some(reset)
    }
}

/// The token that a datagram ends with, if it is a reset.
fn token_of(datagram: &[u8]) -> Option<[u8; TOKEN_BYTES]> {
    let (_, token) = datagram.split_last_chunk::<TOKEN_BYTES>()?;
    (datagram.len() >= RESET_MIN_BYTES).then_some(*token)
}

impl Endpoint {
    /// Tells the sender of a packet that its session is not known here.
    pub(super) fn reset(&mut self, datagram: &Datagram<'_>, now: Instant) {
        let (Some(resets), Some(id)) = (
            &mut self.accepts.resets,
            cid::destination_of(datagram.bytes),
        ) else {
            return;
        };
        if let Some(reset) = resets.answer(id, datagram.bytes.len(), now) {
            self.socket
                .send(&reset, reset.len(), datagram.from, datagram.to);
        }
    }

    /// Ends the session whose server does not know it any more, if that is what the datagram says.
    pub(super) fn heed_reset(&mut self, datagram: &Datagram<'_>) {
        let Some(told) = token_of(datagram.bytes) else {
            return;
        };
        let mut sessions = self.sessions.iter();
        let found = sessions.find(|(_, entry)| {
            let token = entry.session.reset_token();
            entry.peer == datagram.from
                && !entry.reported
                && token.is_some_and(|token| boring::memcmp::eq(&token.to_be_bytes(), &told))
        });
        if let Some((index, _)) = found {
            let error = "the server does not know the session any more: it was started anew";
            self.abandon(
                index,
                CallError::may_have_run(ErrorKind::Unavailable, error),
            );
        }
    }

    /// Ends a session at once: there is nobody to say goodbye to.
    pub(super) fn abandon(&mut self, index: usize, error: CallError) {
        if let Some(entry) = self.sessions.get_mut(index) {
            entry.session.close(Goodbye::Done, "nobody is there");
            self.report(index, error);
            self.remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_life_makes_the_same_tokens_and_no_other_server_does() {
        let now = Instant::now();
        let tokens =
            [[1; 32], [1; 32], [2; 32]].map(|key| Resets::new(key, now).token(b"id").unwrap());
        assert_eq!(tokens[0], tokens[1]);
        assert_ne!(tokens[0], tokens[2]);
        assert_ne!(tokens[0], Resets::new([1; 32], now).token(b"di").unwrap());
    }

    #[test]
    fn a_reset_looks_like_a_packet_and_is_shorter_than_what_it_answers() {
        let now = Instant::now();
        let mut resets = Resets::new([1; 32], now);
        for (bytes, length) in [(1200, 42), (43, 42), (42, 41), (22, 21)] {
            let reset = resets.answer(b"id", bytes, now).unwrap();
            assert_eq!(reset.len(), length, "for {bytes} bytes");
            assert_eq!(reset[0] & 0xc0, 0x40);
            let token = resets.token(b"id").unwrap().to_be_bytes();
            assert_eq!(token_of(&reset), Some(token));
        }
        assert!(resets.answer(b"id", 21, now).is_none());
        assert!(resets.answer(b"id", 0, now).is_none());
        assert_eq!(token_of(&[0x40; 20]), None);
    }

    #[test]
    fn so_many_in_a_second_and_no_more() {
        let now = Instant::now();
        let mut resets = Resets::new([1; 32], now);
        let mut sent = |at: Instant| {
            let answers = (0..2 * RESETS_PER_SECOND).map(|_| resets.answer(b"id", 100, at));
            answers.flatten().count() as u32
        };
        assert_eq!(sent(now), RESETS_PER_SECOND);
        assert_eq!(sent(now + Duration::from_millis(999)), 0);
        assert_eq!(sent(now + Duration::from_secs(1)), RESETS_PER_SECOND);
    }
}
