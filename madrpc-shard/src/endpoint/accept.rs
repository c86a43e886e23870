//! Accepting: what becomes of a datagram that belongs to no session.

use super::Endpoint;
use super::entry::ConnectionKey;
use super::reset::Resets;
use super::retry::{Proof, Tokens};
use crate::relay::Relay;
use crate::socket::Datagram;
use crate::throttle::Throttle;
use madrpc_core::cid;
use madrpc_core::error::{CallError, ErrorKind};
use madrpc_core::frame::Header;
use madrpc_core::limits::{
    FIRST_ID_MIN_BYTES, HANDSHAKES_MAX, INITIAL_MIN_BYTES, OUTBOX_HIGH_BYTES,
};
use madrpc_core::session::Session;
use std::time::Instant;
use tracing::warn;

/// What an endpoint needs to accept sessions.
pub(crate) struct Accepting {
    pub(crate) config: quiche::Config,
    pub(crate) shard: u16,
    pub(crate) shards: u16,
    pub(crate) relay: Relay,
    pub(crate) tokens: Tokens,
    pub(crate) resets: Resets,
}

/// Whether sessions are accepted.
pub(super) struct Accepts {
    /// The shard's number and the number of shards; an endpoint that only dials is shard 0 of 1.
    pub(super) shard: u16,
    pub(super) shards: u16,
    pub(super) server: bool,
    /// Accepted sessions whose handshake is not over.
    pub(super) handshaking: usize,
    pub(super) closed: bool,
    /// Clients have to prove their address.
    pub(super) validating: bool,
    pub(super) floods: Throttle,
    /// `None` for an endpoint that only dials.
    pub(super) tokens: Option<Tokens>,
    /// `None` for an endpoint that only dials.
    pub(super) resets: Option<Resets>,
}

impl Accepts {
    /// Whether a session is not read further because its peer does not take its replies.
    ///
    /// Only a caller is held up so: if both sides of a session waited for the other to read, neither would.
    pub(super) fn holds_up(&self, session: &Session) -> bool {
        self.server && session.waiting_bytes() > OUTBOX_HIGH_BYTES
    }

    /// The shard that this destination ID belongs to, where that is another.
    pub(super) fn elsewhere(&self, id: &[u8]) -> Option<u16> {
        cid::shard_of(id, self.shards).filter(|shard| *shard != self.shard)
    }
}

impl Endpoint {
    /// Opens a session for a client's first datagram; `None` for any other that belongs to no session.
    pub(super) fn accept(&mut self, datagram: &mut Datagram<'_>, now: Instant) -> Option<usize> {
        let from = datagram.from;
        let Ok(header) = quiche::Header::from_slice(datagram.bytes, cid::ID_BYTES) else {
            if let Some(count) = self.garbage.tell(now) {
                warn!(
                    "dropped a datagram from {from} that is no QUIC packet ({count} since the last such line)"
                );
            }
            return None;
        };
        if header.ty == quiche::Type::Short {
            match self.accepts.server {
                true => self.reset(datagram, now),
                false => self.heed_reset(datagram),
            }
            return None;
        }
        if !self.accepts.server
            || header.ty != quiche::Type::Initial
            || datagram.bytes.len() < INITIAL_MIN_BYTES
            || header.dcid.len() < FIRST_ID_MIN_BYTES
        {
            return None;
        }
        if !quiche::version_is_supported(header.version) {
            let mut out = [0; 128];
            if let Ok(length) = quiche::negotiate_version(&header.scid, &header.dcid, &mut out) {
                self.socket.send(&out[..length], length, from, datagram.to);
            }
            return None;
        }
        let proof = self.prove(&header, datagram, now)?;
        if self.accepts.handshaking >= HANDSHAKES_MAX {
            if let Some(count) = self.refusals.tell(now) {
                warn!(
                    "{HANDSHAKES_MAX} handshakes are open on this shard: dropped one from {from} ({count} since the last such line)"
                );
            }
            return None;
        }
        let id = self.issue_id().ok()?;
        let token = self.accepts.resets.as_ref()?.token(&id).ok()?;
        self.config.set_stateless_reset_token(Some(token));
        let source = quiche::ConnectionId::from_ref(&id);
        let (local, config) = (self.socket.local(), &mut self.config);
        let quic = match &proof {
            Proof::Unasked => quiche::accept(&source, None, local, from, config),
            Proof::Given(original) => {
                let ids = quiche::RetryConnectionIds {
                    original_destination_cid: original,
                    retry_source_cid: &header.dcid,
                };
                quiche::accept_with_retry(&source, ids, local, from, config)
            }
        };
        let quic = quic.ok()?;
        self.accepts.handshaking += 1;
        let ids = [ConnectionKey::new(&id), ConnectionKey::new(&header.dcid)];
        let index = self.insert(quic, from, datagram.to, ids, now);
        if let Some(entry) = self.sessions.get_mut(index) {
            let shards = self.accepts.shards;
            entry
                .session
                .outbox()
                .send(&Header::Welcome { shards }, &[]);
        }
        Some(index)
    }

    /// A connection ID of ours, which leads to this shard.
    pub(super) fn issue_id(&self) -> Result<[u8; cid::ID_BYTES], CallError> {
        let mut random = [0; cid::ID_BYTES];
        boring::rand::rand_bytes(&mut random).map_err(|error| {
            CallError::not_run(ErrorKind::Internal, format!("random numbers: {error}"))
        })?;
        Ok(cid::issue(random, self.accepts.shard, self.accepts.shards))
    }
}
