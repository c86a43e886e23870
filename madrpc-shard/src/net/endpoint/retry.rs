//! Address validation under a flood of handshakes (RFC 9000, section 8.1.2).
//!
//! A half-open handshake costs tens of KiB, and the source address on its first datagram can be forged. So when
//! many are open, a client is not given one: it gets a Retry packet with a token, and only who comes back with the
//! token from the same address is. Nothing is kept in between; what has to be known again is in the token: the time,
//! the first connection ID, and a code over both, the address and the connection ID that the Retry gave, by a key that
//! the shards of a server share and nobody else has.

use boring::error::ErrorStack;
use boring::hash::hmac_sha256;
use madrpc_core::limits::RETRY_TOKEN_MAX_AGE;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

const KEY_BYTES: usize = 32;
const TIME_BYTES: usize = 8;
const CODE_BYTES: usize = 32;

/// Makes tokens and knows them again.
#[derive(Clone)]
pub(crate) struct Tokens {
    key: [u8; KEY_BYTES],
    /// Times count from here.
    since: Instant,
}

impl Tokens {
    /// Tokens of a new server.
    ///
    /// # Errors
    /// Where there are no random numbers.
    pub(crate) fn new(now: Instant) -> Result<Self, ErrorStack> {
        let mut key = [0; KEY_BYTES];
        boring::rand::rand_bytes(&mut key)?;
        Ok(Self { key, since: now })
    }

    /// A token for the client at `from`, whose first ID was `original` and who shall come back with `retry`.
    pub(super) fn issue(
        &self,
        from: SocketAddr,
        original: &[u8],
        retry: &[u8],
        now: Instant,
    ) -> Result<Vec<u8>, ErrorStack> {
        let time = now.saturating_duration_since(self.since).as_millis() as u64;
        let mut token = time.to_be_bytes().to_vec();
        token.extend_from_slice(original);
        token.extend_from_slice(&self.code(from, time, original, retry)?);
        Ok(token)
    }

    /// The client's first ID, where the token is ours, is his, and is fresh.
    pub(super) fn original<'a>(
        &self,
        token: &'a [u8],
        from: SocketAddr,
        retry: &[u8],
        now: Instant,
    ) -> Option<&'a [u8]> {
        let (time, rest) = token.split_first_chunk::<TIME_BYTES>()?;
        let (original, code) = rest.split_last_chunk::<CODE_BYTES>()?;
        let time = u64::from_be_bytes(*time);
        let expected = self.code(from, time, original, retry).ok()?;
        if !boring::memcmp::eq(&expected, code) {
            return None;
        }
        let issued = self.since + Duration::from_millis(time);
        (now.saturating_duration_since(issued) <= RETRY_TOKEN_MAX_AGE).then_some(original)
    }

    fn code(
        &self,
        from: SocketAddr,
        time: u64,
        original: &[u8],
        retry: &[u8],
    ) -> Result<[u8; CODE_BYTES], ErrorStack> {
        let ip = match from.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        // Everything but the last has a fixed length, or says its length.
        let mut input = time.to_be_bytes().to_vec();
        input.extend_from_slice(&ip.octets());
        input.extend_from_slice(&from.port().to_be_bytes());
        input.push(retry.len() as u8);
        input.extend_from_slice(retry);
        input.extend_from_slice(original);
        hmac_sha256(&self.key, &input)
    }
}

/// What the address of a client is worth.
pub(super) enum Proof {
    /// None was asked for.
    Unasked,
    /// It is the client's; this was the ID of its first Initial.
    Given(quiche::ConnectionId<'static>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_good_for_its_client_its_ids_and_its_time() {
        let now = Instant::now();
        let tokens = Tokens::new(now).unwrap();
        let from: SocketAddr = ([192, 0, 2, 1], 4000).into();
        let at = now + Duration::from_secs(5);
        let token = tokens.issue(from, b"original", b"retry", at).unwrap();
        let good = |token: &[u8], from: &str, retry: &[u8], later: Duration| {
            let from = from.parse().unwrap();
            tokens
                .original(token, from, retry, at + later)
                .map(<[u8]>::to_vec)
        };
        let soon = Duration::from_millis(1);
        let here = "192.0.2.1:4000";
        assert_eq!(
            good(&token, here, b"retry", soon).as_deref(),
            Some(&b"original"[..])
        );
        assert!(good(&token, here, b"retry", RETRY_TOKEN_MAX_AGE).is_some());
        assert!(good(&token, here, b"retry", RETRY_TOKEN_MAX_AGE + soon).is_none());
        assert!(good(&token, "192.0.2.1:4001", b"retry", soon).is_none());
        assert!(good(&token, "192.0.2.2:4000", b"retry", soon).is_none());
        assert!(good(&token, here, b"other", soon).is_none());
        for at in 0..token.len() {
            let mut forged = token.clone();
            forged[at] ^= 1;
            assert!(good(&forged, here, b"retry", soon).is_none(), "byte {at}");
            assert!(good(&token[..at], here, b"retry", soon).is_none());
        }
        let others = Tokens::new(now).unwrap();
        assert!(others.original(&token, from, b"retry", at).is_none());
    }
}
