//! Stateless reset (RFC 9000, sections 10.3 and 21.11): who can be made to tell a token that ends another's session.

use crate::attack::{Field, Outcome};
use crate::error::AbuseError;
use crate::peer::client::Peer;
use crate::peer::packet::INITIAL_BYTES;
use crate::peer::socket::Socket;
use std::time::{Duration, Instant};

const TOKEN_BYTES: usize = 16;

/// A caller's connection ID at the first node is no secret: it is in each datagram. The second is shown it.
pub(super) fn another_node(field: &Field<'_>) -> Result<Outcome, AbuseError> {
    let victim = Peer::connect(field.target, &mut field.fleet.caller()?)?;
    let id = victim.quic.destination_id().to_vec();
    let token = victim.quic.peer_transport_params();
    let token = token.and_then(|parameters| parameters.stateless_reset_token);
    let other = field.nodes.iter().find(|node| **node != field.target);
    let Some((&other, token)) = other.zip(token) else {
        return Err(AbuseError::not_made("no token was given, or no other node"));
    };
    let socket = Socket::new()?;
    let mut packet = vec![0x40];
    packet.extend_from_slice(&id);
    packet.resize(INITIAL_BYTES / 2, 0x5a);
    socket.send(&packet, other);
    let mut buffer = [0; 1500];
    let end = Instant::now() + Duration::from_secs(2);
    let mut told = None;
    while told.is_none() && Instant::now() < end {
        told = socket.receive(&mut buffer);
        std::thread::sleep(Duration::from_millis(5));
    }
    let told = told.and_then(|(length, _)| buffer[..length].last_chunk::<TOKEN_BYTES>());
    let is_the_token = told.is_some_and(|told| u128::from_be_bytes(*told) == token);
    victim.close();
    let what = match (told.is_some(), is_the_token) {
        (false, _) => "the other node tells no token",
        (true, false) => "the other node's token ends no session of the first",
        (true, true) => "the other node's token is the first one's: it ends the session",
    };
    Ok(Outcome::did("1 connection ID shown to the other node").check(!is_the_token, what))
}
