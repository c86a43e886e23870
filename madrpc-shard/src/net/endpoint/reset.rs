//! Stateless reset (RFC 9000, section 10.3): a server that was restarted tells the peers of its former life that their
//! sessions are over, so that they need not wait until silence has told them.
//!
//! With each connection ID the server gives its peer a token, a code over the ID and the server's address by a key that
//! follows from the server's identity. A later process with the same identity and address makes the token again. What it
//! answers looks like a packet, and ends with the token; its connection ID is random, so it is the token that leads to
//! the session.
//!
//! The address is part of it because servers of one authority may have the same key: a stranger who asked one of them about an
//! ID of another's would else be given what ends the other's session (RFC 9000, section 21.11).

use crate::net::socket::Datagram;
use boring::error::ErrorStack;
use boring::hash::hmac_sha256;
use madrpc_core::limits::RESETS_PER_SECOND;
use madrpc_core::session::cid;
use std::net::IpAddr;
use std::time::{Duration, Instant};

const TOKEN_BYTES: usize = 16;

/// The shortest that may be one; below that no packet could be as short.
const RESET_MIN_BYTES: usize = 21;

/// The longest that we send. It is also shorter than what it answers, so that two that do not know each other fall
/// silent.
const RESET_MAX_BYTES: usize = 42;

/// How many there were in this second, of resets that were made or passed on.
#[derive(Debug, Clone)]
pub(super) struct InSecond {
    second: Instant,
    pub(super) count: u32,
}

impl InSecond {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            second: now,
            count: 0,
        }
    }

    /// How many more there may be.
    pub(super) fn left(&mut self, now: Instant) -> u32 {
        if now.saturating_duration_since(self.second) >= Duration::from_secs(1) {
            (self.second, self.count) = (now, 0);
        }
        RESETS_PER_SECOND.saturating_sub(self.count)
    }
}

/// Makes resets, a bounded number in each second.
#[derive(Clone)]
pub(crate) struct Resets {
    key: [u8; 32],
    /// The server's name: its host, where it listens on all addresses of that, and its port.
    name: Box<str>,
    in_second: InSecond,
    sent: u64,
}

impl Resets {
    /// Resets of a server whose former life had the same key and name.
    pub(crate) fn new(key: [u8; 32], name: &str, now: Instant) -> Self {
        Self {
            key,
            name: name.into(),
            in_second: InSecond::new(now),
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

    /// The token of a connection ID, for a peer that uses this address of ours.
    pub(super) fn token(&self, id: &[u8], local: Option<IpAddr>) -> Result<u128, ErrorStack> {
        // Everything but the last has a fixed length, or says its length.
        let mut input = match local.map(|local| local.to_canonical()) {
            Some(IpAddr::V4(ip)) => ip.to_ipv6_mapped().octets().to_vec(),
            Some(IpAddr::V6(ip)) => ip.octets().to_vec(),
            None => vec![0; 16],
        };
        input.push(id.len() as u8);
        input.extend_from_slice(id);
        input.extend_from_slice(self.name.as_bytes());
        let code = hmac_sha256(&self.key, &input)?;
        let (token, _) = code.split_at(TOKEN_BYTES);
        Ok(token
            .iter()
            .fold(0, |token, byte| token << 8 | u128::from(*byte)))
    }

    /// The answer to a packet for a connection ID that nobody knows; `None` where there is to be none.
    pub(super) fn answer(&mut self, datagram: &Datagram<'_>, now: Instant) -> Option<Vec<u8>> {
        let id = cid::destination_of(datagram.bytes)?;
        let length = datagram.bytes.len().checked_sub(1)?.min(RESET_MAX_BYTES);
        if length < RESET_MIN_BYTES {
            return None;
        }
        if self.in_second.left(now) == 0 {
            return None;
        }
        let token = self.token(id, datagram.to).ok()?;
        let mut reset = vec![0; length - TOKEN_BYTES];
        boring::rand::rand_bytes(&mut reset).ok()?;
        // The form of a packet with a short header (RFC 9000, section 17.3).
        reset[0] = reset[0] & 0x3f | 0x40;
        reset.extend_from_slice(&token.to_be_bytes());
        self.in_second.count += 1;
        self.sent += 1;
        Some(reset)
    }
}

/// Whether a datagram is as those that [`Resets::answer`] makes.
pub(super) fn is_like_ours(datagram: &[u8]) -> bool {
    let is_short = datagram.first().is_some_and(|first| first & 0x80 == 0);
    is_short && (RESET_MIN_BYTES..=RESET_MAX_BYTES).contains(&datagram.len())
}

/// The token that a datagram ends with, if it is a reset.
pub(super) fn token_of(datagram: &[u8]) -> Option<[u8; TOKEN_BYTES]> {
    let (_, token) = datagram.split_last_chunk::<TOKEN_BYTES>()?;
    (datagram.len() >= RESET_MIN_BYTES).then_some(*token)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: [u8; cid::ID_BYTES] = [7; cid::ID_BYTES];

    fn here() -> Option<IpAddr> {
        Some([192, 0, 2, 1].into())
    }

    /// The answer to a packet of so many bytes.
    fn answer(resets: &mut Resets, bytes: usize, now: Instant) -> Option<Vec<u8>> {
        let mut packet = vec![0x40; bytes];
        if let Some(id) = packet.get_mut(1..1 + ID.len()) {
            id.copy_from_slice(&ID);
        }
        let datagram = Datagram {
            bytes: &mut packet,
            from: ([192, 0, 2, 9], 1).into(),
            to: here(),
        };
        resets.answer(&datagram, now)
    }

    #[test]
    fn a_later_life_makes_the_same_tokens_and_no_other_server_does() {
        let now = Instant::now();
        let token = |key, name, ip, id: &[u8]| {
            let resets = Resets::new([key; 32], name, now);
            resets.token(id, ip).unwrap()
        };
        let first = token(1, "a:1", here(), &ID);
        assert_eq!(first, token(1, "a:1", here(), &ID));
        let mapped = Some("::ffff:192.0.2.1".parse().unwrap());
        assert_eq!(first, token(1, "a:1", mapped, &ID));
        let others = [
            token(2, "a:1", here(), &ID),
            token(1, "a:2", here(), &ID),
            token(1, "b:1", here(), &ID),
            token(1, "a:1", Some([192, 0, 2, 2].into()), &ID),
            token(1, "a:1", None, &ID),
            token(1, "a:1", here(), &ID[1..]),
        ];
        for (at, other) in others.iter().enumerate() {
            assert_ne!(first, *other, "number {at}");
        }
    }

    #[test]
    fn a_reset_looks_like_a_packet_and_is_shorter_than_what_it_answers() {
        let now = Instant::now();
        let mut resets = Resets::new([1; 32], "a:1", now);
        for (bytes, length) in [(1200, 42), (43, 42), (42, 41), (22, 21)] {
            let reset = answer(&mut resets, bytes, now).unwrap();
            assert_eq!(reset.len(), length, "for {bytes} bytes");
            assert_eq!(reset[0] & 0xc0, 0x40);
            let token = resets.token(&ID, here()).unwrap().to_be_bytes();
            assert_eq!(token_of(&reset), Some(token));
        }
        assert!(answer(&mut resets, 21, now).is_none());
        assert!(answer(&mut resets, 0, now).is_none());
        assert_eq!(token_of(&[0x40; 20]), None);
    }

    #[test]
    fn so_many_in_a_second_and_no_more() {
        let now = Instant::now();
        let mut resets = Resets::new([1; 32], "a:1", now);
        let mut sent = |at: Instant| {
            let answers = (0..2 * RESETS_PER_SECOND).map(|_| answer(&mut resets, 100, at));
            answers.flatten().count() as u32
        };
        assert_eq!(sent(now), RESETS_PER_SECOND);
        assert_eq!(sent(now + Duration::from_millis(999)), 0);
        assert_eq!(sent(now + Duration::from_secs(1)), RESETS_PER_SECOND);
    }
}
