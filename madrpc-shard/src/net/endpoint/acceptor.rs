//! Accepting: what becomes of a datagram that belongs to no session of a server.

use super::admission::Admission;
use super::entry::{ConnectionKey, NewSession};
use super::postponed::{Kept, Postponed};
use super::reset::{InSecond, Resets};
use super::retry::{Proof, Tokens};
use crate::net::log_limit::LogLimit;
use crate::net::socket::{Datagram, Socket};
use madrpc_core::call::frame::Header;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::limits::{
    FIRST_ID_MIN_BYTES, HANDSHAKES_MAX, INITIAL_MIN_BYTES, RETRY_ABOVE, RETRY_BELOW,
};
use madrpc_core::session::cid;
use std::time::Instant;
use tracing::{info, warn};

/// What an endpoint needs to accept sessions.
pub(crate) struct Accepting {
    pub(crate) config: quiche::Config,
    pub(crate) shard: u16,
    pub(crate) shards: u16,
    /// What tells the server from others, and from itself before it was started anew.
    pub(crate) instance: u64,
    pub(crate) tokens: Tokens,
    pub(crate) resets: Resets,
}

/// What it takes to open a session.
pub(super) type Dial<'a> = (
    [u8; cid::ID_BYTES],
    Option<Header<'static>>,
    &'a mut quiche::Config,
);

/// Accepts the sessions of a shard.
pub(super) struct Acceptor {
    config: quiche::Config,
    shard: u16,
    pub(super) shards: u16,
    pub(super) instance: u64,
    tokens: Tokens,
    pub(super) resets: Resets,
    resets_passed_on: InSecond,
    pub(super) admission: Admission,
    /// What strangers sent beyond their time in a turn.
    pub(super) postponed: Postponed,
    /// With what sessions are opened, where this server opens some from where it listens.
    pub(super) dialing: Option<quiche::Config>,
    /// No further session is accepted.
    pub(super) is_closed: bool,
    /// Clients have to prove their address.
    is_validating: bool,
    /// How often a client was asked to.
    pub(super) retries: u64,
    /// Handshakes that were dropped, as too many were open.
    pub(super) dropped: u64,
    floods: LogLimit,
    is_flood_told: bool,
    garbage: LogLimit,
    refusals: LogLimit,
}

impl Acceptor {
    pub(super) fn new(accepting: Accepting, now: Instant) -> Self {
        Self {
            config: accepting.config,
            shard: accepting.shard,
            shards: accepting.shards,
            instance: accepting.instance,
            tokens: accepting.tokens,
            resets: accepting.resets,
            resets_passed_on: InSecond::new(now),
            admission: Admission::new(now),
            postponed: Postponed::default(),
            dialing: None,
            is_closed: false,
            is_validating: false,
            retries: 0,
            dropped: 0,
            floods: LogLimit::default(),
            is_flood_told: false,
            garbage: LogLimit::default(),
            refusals: LogLimit::default(),
        }
    }

    /// Accepts sessions with this from now on, and with tokens by this key; a process that is started later with the same
    /// identity has it too.
    pub(super) fn set_identity(&mut self, config: quiche::Config, reset_key: [u8; 32]) {
        self.config = config;
        self.resets.set_key(reset_key);
    }

    /// What it takes to open a session: an ID that leads here, what is said first, and the configuration.
    ///
    /// # Errors
    /// Where this server opens none.
    pub(super) fn dials(&mut self) -> Result<Dial<'_>, CallError> {
        let id = self.issue_id()?;
        let welcome = Header::Welcome {
            shards: self.shards,
            instance: self.instance,
        };
        let config = self.dialing.as_mut().ok_or_else(|| {
            let error = "this endpoint only accepts sessions";
            CallError::not_run(ErrorKind::Internal, error)
        })?;
        Ok((id, Some(welcome), config))
    }

    /// A stranger's datagram that has waited for its time, while there is some in this turn.
    pub(super) fn next_postponed(&mut self) -> Option<Kept> {
        match self.admission.has_turn() {
            true => self.postponed.pop(),
            false => None,
        }
    }

    /// The shard that this destination ID belongs to, where that is another.
    pub(super) fn elsewhere(&self, id: &[u8]) -> Option<u16> {
        cid::shard_of(id, self.shards).filter(|shard| *shard != self.shard)
    }

    /// The shards that a reset is handed to which ends no session of this one. Its connection ID is random, and whoever makes it
    /// does not know where the session is: the shard that it happens to lead to asks all the others.
    pub(super) fn whose_reset(
        &mut self,
        id: Option<&[u8]>,
        is_relayed: bool,
        now: Instant,
    ) -> impl Iterator<Item = u16> + use<> {
        let elsewhere = id.and_then(|id| self.elsewhere(id));
        let own = self.shard;
        let shards = match elsewhere {
            Some(_) if is_relayed => 0..0,
            Some(shard) => shard..shard + 1,
            None if self.resets_passed_on.left(now) == 0 => 0..0,
            None => {
                self.resets_passed_on.count += 1;
                0..self.shards
            }
        };
        shards.filter(move |shard| *shard != own)
    }

    /// A connection ID of ours, which leads to this shard.
    fn issue_id(&self) -> Result<[u8; cid::ID_BYTES], CallError> {
        issue_id(self.shard, self.shards)
    }

    /// The session that a client's first datagram opens, while `handshaking` others are about to be; `None` for any other
    /// datagram that belongs to no session, which may be answered. Where there are too many, a client that has proved its
    /// address takes the place of one that `give_up` finds.
    pub(super) fn accept(
        &mut self,
        datagram: &mut Datagram<'_>,
        handshaking: usize,
        give_up: impl FnOnce() -> bool,
        socket: &Socket,
        now: Instant,
    ) -> Option<NewSession> {
        let from = datagram.from;
        // What a header means beyond its version and its IDs is the version's affair (RFC 8999).
        if let Some((version, destination, source)) = cid::long_header(datagram.bytes)
            && !quiche::version_is_supported(version)
        {
            let is_request = version != 0 && datagram.bytes.len() >= INITIAL_MIN_BYTES;
            if is_request && self.admission.has_time(now) {
                let offer = version_negotiation(source, destination);
                socket.send(&offer, offer.len(), from, datagram.to);
            }
            return None;
        }
        let Ok(header) = quiche::Header::from_slice(datagram.bytes, cid::ID_BYTES) else {
            if let Some(count) = self.garbage.tell(now) {
                warn!(
                    "dropped a datagram from {from} that is no QUIC packet ({count} since the last such line)"
                );
            }
            return None;
        };
        if header.ty == quiche::Type::Short {
            if let Some(reset) = self.resets.answer(datagram, now) {
                socket.send(&reset, reset.len(), from, datagram.to);
            }
            return None;
        }
        if header.ty != quiche::Type::Initial
            || datagram.bytes.len() < INITIAL_MIN_BYTES
            || header.dcid.len() < FIRST_ID_MIN_BYTES
            || !self.admission.has_time(now)
        {
            return None;
        }
        let is_validating = self.validates(handshaking, now);
        let proof = match header.token.as_deref().filter(|token| !token.is_empty()) {
            Some(token) => {
                // One that is not good can only be old, or another's: its client starts anew.
                let original = self.tokens.original(token, from, &header.dcid, now)?;
                Proof::Given(quiche::ConnectionId::from_vec(original.to_vec()))
            }
            None if is_validating => {
                if self.admission.has_time_for(from.ip(), now) {
                    self.ask(&header, datagram, socket, now);
                }
                return None;
            }
            None => Proof::Unasked,
        };
        let is_proved = matches!(proof, Proof::Given(_));
        let has_time = !is_proved || self.admission.has_time_for(from.ip(), now);
        if !has_time || handshaking >= HANDSHAKES_MAX && !(is_proved && give_up()) {
            self.dropped += 1;
            if let Some(count) = self.refusals.tell(now) {
                warn!(
                    "dropped a handshake from {from}: {handshaking} are open on this shard ({count} since the last such \
                     line)"
                );
            }
            return None;
        }
        let id = self.issue_id().ok()?;
        let token = self.resets.token(&id, datagram.to).ok()?;
        self.config.set_stateless_reset_token(Some(token));
        let source = quiche::ConnectionId::from_ref(&id);
        let (local, config) = (socket.local(), &mut self.config);
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
        Some(NewSession {
            quic: quic.ok()?,
            peer: from,
            local_ip: datagram.to,
            ids: [ConnectionKey::new(&id), ConnectionKey::new(&header.dcid)],
        })
    }

    /// Whether clients have to prove their address now.
    fn validates(&mut self, handshaking: usize, now: Instant) -> bool {
        let handshakes = handshaking + self.admission.recently_failed(now);
        if !self.is_validating && handshakes >= RETRY_ABOVE {
            self.is_validating = true;
            if let Some(count) = self.floods.tell(now) {
                self.is_flood_told = true;
                warn!(
                    "{handshakes} handshakes are open on this shard or have failed of late: new clients have to prove their \
                     address ({count} times since the last such line)"
                );
            }
        } else if self.is_validating && handshakes < RETRY_BELOW {
            self.is_validating = false;
            // Strangers have it come and go as often as they like: its end is told of those of which the beginning was.
            if std::mem::take(&mut self.is_flood_told) {
                info!("few handshakes are open again: new clients need not prove their address");
            }
        }
        self.is_validating
    }

    fn ask(
        &mut self,
        header: &quiche::Header<'_>,
        datagram: &Datagram<'_>,
        socket: &Socket,
        now: Instant,
    ) {
        // It leads to this shard, as the next Initial bears it.
        let Ok(id) = self.issue_id() else {
            return;
        };
        let Ok(token) = self.tokens.issue(datagram.from, &header.dcid, &id, now) else {
            return;
        };
        let mut out = [0; 256];
        let id = quiche::ConnectionId::from_ref(&id);
        let version = header.version;
        let retry = quiche::retry(&header.scid, &header.dcid, &id, &token, version, &mut out);
        if let Ok(length) = retry {
            socket.send(&out[..length], length, datagram.from, datagram.to);
            self.retries += 1;
        }
    }
}

/// The packet that offers the one version there is (RFC 9000, section 17.2.1), to the client with the ID `to`.
fn version_negotiation(to: &[u8], from: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 0, 0, 0, 0];
    for id in [to, from] {
        // IDs come from a header in which a byte says how long they are.
        packet.push(id.len() as u8);
        packet.extend_from_slice(id);
    }
    packet.extend_from_slice(&quiche::PROTOCOL_VERSION.to_be_bytes());
    packet
}

/// A connection ID that leads to this shard of so many.
pub(super) fn issue_id(shard: u16, shards: u16) -> Result<[u8; cid::ID_BYTES], CallError> {
    let mut random = [0; cid::ID_BYTES];
    boring::rand::rand_bytes(&mut random).map_err(|error| {
        CallError::not_run(ErrorKind::Internal, format!("random numbers: {error}"))
    })?;
    Ok(cid::issue(random, shard, shards))
}
