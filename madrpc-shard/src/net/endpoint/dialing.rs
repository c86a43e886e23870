//! Sessions that an endpoint opens: those of a client, and of a server that opens some from where it listens.

use super::acceptor::issue_id;
use super::entry::{ConnectionKey, NewSession, SessionKey};
use super::{Endpoint, Side};
use madrpc_core::call::{CallError, ErrorKind};
use std::net::SocketAddr;
use std::time::Instant;

impl Endpoint {
    /// Opens sessions with this from now on.
    pub(crate) fn set_dialing(&mut self, config: quiche::Config) {
        match &mut self.side {
            Side::Client(current) => **current = config,
            Side::Server(acceptor) => acceptor.dialing = Some(config),
        }
    }

    /// Ends a session at once whose peer has been silent for too long.
    pub(crate) fn give_up(&mut self, key: SessionKey) {
        if self.sessions.get(key).is_some() {
            let error = CallError::may_have_run(ErrorKind::Unavailable, "the peer went silent");
            self.sessions.abandon(key.index, error);
        }
    }

    /// Opens a session to `peer`, as a server too where it was given something to do that with. It must show a certificate for `server_name`, and to that shard of it, modulo its
    /// shards.
    ///
    /// The session can be used at once; if it never gets through, [`Endpoint::next_ended`] says why.
    pub(crate) fn connect(
        &mut self,
        peer: SocketAddr,
        server_name: &str,
        shard: u16,
        now: Instant,
    ) -> Result<SessionKey, CallError> {
        let (id, welcome, config) = match &mut self.side {
            Side::Client(config) => (issue_id(0, 1)?, None, &mut **config),
            Side::Server(acceptor) => acceptor.dials()?,
        };
        let source = quiche::ConnectionId::from_ref(&id);
        // The first ID of the server's is the client's to choose, and its first two bytes choose the server's shard.
        let mut first = issue_id(0, 1)?;
        first[..2].copy_from_slice(&shard.to_be_bytes());
        let first = quiche::ConnectionId::from_ref(&first);
        let local = self.wire.socket.local();
        let peer = match (local, peer) {
            (SocketAddr::V6(_), SocketAddr::V4(v4)) => {
                SocketAddr::from((v4.ip().to_ipv6_mapped(), v4.port()))
            }
            (SocketAddr::V4(_), SocketAddr::V6(_)) => {
                let error = format!("{peer}: this machine has no IPv6");
                return Err(CallError::not_run(ErrorKind::Unavailable, error));
            }
            _ => peer,
        };
        let quic =
            quiche::connect_with_dcid(Some(server_name), &source, &first, local, peer, config)
                .map_err(|error| {
                    CallError::not_run(ErrorKind::Internal, format!("session to {peer}: {error}"))
                })?;
        let new = NewSession {
            quic,
            peer,
            local_ip: None,
            ids: [ConnectionKey::new(&id), None],
        };
        let key = self.sessions.insert(new, now);
        if let (Some(welcome), Some(outbox)) = (welcome, self.outbox(key)) {
            outbox.send(&welcome, &[]);
        }
        Ok(key)
    }
}
