//! With what sessions are opened and accepted: an identity, QUIC's transport parameters, and a socket.

use crate::endpoint::{Accepting, Endpoint, Resets, Tokens};
use crate::relay::Relay;
use crate::shard::Seat;
use crate::socket::Socket;
use crate::steer::bind_dialer;
use madrpc_core::identity::Identity;
use madrpc_core::limits::CLIENT_IDLE_TIMEOUT;
use madrpc_core::session::set_transport;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// What sessions are accepted with.
pub(crate) fn accepting_config(identity: &Identity) -> Result<quiche::Config, String> {
    let config = identity.server_config();
    let mut config = config.map_err(|error| error.to_string())?;
    set_transport(&mut config, CLIENT_IDLE_TIMEOUT).map_err(|error| format!("QUIC: {error}"))?;
    Ok(config)
}

/// What sessions are opened with that end after `idle` without a word.
pub(crate) fn dialing_config(
    identity: &Identity,
    idle: Duration,
) -> Result<quiche::Config, String> {
    let config = identity.client_config();
    let mut config = config.map_err(|error| error.to_string())?;
    set_transport(&mut config, idle).map_err(|error| format!("QUIC: {error}"))?;
    Ok(config)
}

/// An endpoint for sessions that a shard or a client opens.
pub(crate) fn dialing_endpoint(
    identity: &Identity,
    target: SocketAddr,
    idle: Duration,
    now: Instant,
) -> Result<Endpoint, String> {
    let config = dialing_config(identity, idle)?;
    let socket = bind_dialer(target).and_then(Socket::new);
    let endpoint = socket.and_then(|socket| Endpoint::dialing(socket, config, now));
    endpoint.map_err(|error| format!("socket for {target}: {error}"))
}

/// The endpoint of a shard, with the socket that is bound for it.
pub(crate) fn accepting_endpoint(
    identity: &Identity,
    socket: UdpSocket,
    relay: Relay,
    (tokens, resets): (Tokens, Resets),
    seat: &Seat,
    now: Instant,
) -> Result<Endpoint, String> {
    let config = accepting_config(identity)?;
    let socket =
        Socket::new(socket).map_err(|error| format!("socket of shard {}: {error}", seat.shard))?;
    let accepting = Accepting {
        config,
        shard: seat.shard,
        shards: seat.shards,
        relay,
        tokens,
        resets,
    };
    Ok(Endpoint::accepting(socket, accepting, now))
}
