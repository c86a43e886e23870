//! With what sessions are opened and accepted: an identity, QUIC's transport parameters, and a socket.

use super::budget::Budget;
use super::endpoint::Endpoint;
use super::socket::{Socket, bind_dialer};
use madrpc_core::identity::{Identity, IdentityError};
use madrpc_core::limits::CLIENT_IDLE_TIMEOUT;
use madrpc_core::session::set_transport;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// The round trip that a client counts with before it knows one: a first datagram that is lost is sent again after three of
/// them. The usual 333 ms (RFC 9002, section 6.2.2) leave two more tries within a handshake's 3 s, these four; where the round
/// trip is longer, some are sent in vain.
const FIRST_RTT: Duration = Duration::from_millis(50);

/// Why an endpoint cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The certificates cannot be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The QUIC library refuses the settings.
    #[error("QUIC: {0}")]
    Quic(#[from] quiche::Error),
    /// The system gives no socket.
    #[error("socket for {0}: {1}")]
    Socket(SocketAddr, std::io::Error),
}

/// What sessions are accepted with.
pub(crate) fn accepting_config(identity: &Identity) -> Result<quiche::Config, TransportError> {
    let mut config = identity.server_config()?;
    set_transport(&mut config, CLIENT_IDLE_TIMEOUT)?;
    Ok(config)
}

/// What sessions are opened with that end after `idle` without a word.
pub(crate) fn dialing_config(
    identity: &Identity,
    idle: Duration,
) -> Result<quiche::Config, TransportError> {
    let mut config = identity.client_config()?;
    set_transport(&mut config, idle)?;
    config.set_initial_rtt(FIRST_RTT);
    Ok(config)
}

/// An endpoint for sessions that a shard or a client opens to these addresses.
pub(crate) fn dialing_endpoint(
    identity: &Identity,
    targets: &[SocketAddr],
    idle: Duration,
    budget: &Rc<Budget>,
    now: Instant,
) -> Result<Endpoint, TransportError> {
    let config = dialing_config(identity, idle)?;
    let socket = bind_dialer(targets).and_then(Socket::new);
    let endpoint =
        socket.and_then(|socket| Endpoint::dialing(socket, config, Rc::clone(budget), now));
    let first = targets.first().copied();
    let unknown = SocketAddr::from(([0, 0, 0, 0], 0));
    endpoint.map_err(|error| TransportError::Socket(first.unwrap_or(unknown), error))
}
