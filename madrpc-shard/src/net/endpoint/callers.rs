//! Whose calls come on the sessions of an endpoint, and whose turn it is (the rules are in `net/shares.rs`); what all of them are told.

use super::entry::Phase;
use super::{Endpoint, SessionKey, Side};
#[cfg(target_os = "linux")]
use crate::net::incoming::not_taken;
use crate::net::shares::AccountKey;
use bytes::Bytes;
use madrpc_core::call::frame::{Account, Header};
#[cfg(target_os = "linux")]
use madrpc_core::call::{Bill, CallError, Fields};
use madrpc_core::identity::{PeerCertificate, Revoked, Role};
use madrpc_core::session::Outbox;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Whose calls come.
impl Endpoint {
    /// As whose a call is passed on that has come by this session, as that of `account`.
    pub(crate) fn origin(&self, session: SessionKey, account: Option<Account>) -> Option<Account> {
        self.sessions.shares.origin(session.index, account)
    }

    /// Whether callers who have had more than their part are read at all, where there are others.
    #[inline]
    pub(crate) fn hold_those_ahead(&mut self, is_held: bool) {
        self.sessions.reading.holds_those_ahead = is_held;
    }

    /// From now on what is done is for this session's caller, until the next one's, or [`Endpoint::rest`].
    #[inline]
    pub(crate) fn work_for(&mut self, session: SessionKey) {
        if self.sessions.get(session).is_some() {
            self.sessions.shares.work_for(session.index);
        }
    }

    /// What is done from now on is for none of them.
    pub(crate) fn rest(&mut self) {
        self.sessions.shares.rest();
    }
}

/// What is answered without a service that runs anything.
#[cfg(target_os = "linux")]
impl Endpoint {
    /// Gives a call of this session its answer, where there is room for it: one whose peer reads nothing gets no large ones.
    pub(crate) fn answer(&mut self, key: SessionKey, id: u64, answer: Result<&Bytes, &CallError>) {
        let has_room = self.has_room(key, answer.map_or(0, Bytes::len));
        let Some(outbox) = self.outbox(key) else {
            return;
        };
        let bill = Bill::default();
        match answer {
            Ok(body) if has_room => outbox.send(&Header::Reply { id, bill }, body),
            Ok(_) => outbox.fail(id, bill, &not_taken()),
            Err(error) => outbox.fail(id, bill, error),
        }
    }
}

/// Whose turn it is.
#[cfg_attr(
    not(feature = "engine"),
    expect(dead_code, reason = "only a node has a queue")
)]
impl Endpoint {
    /// Whether a caller who is not ahead of the others has just said something, and may have more to say.
    pub(crate) fn has_just_heard(&self, now: Instant) -> bool {
        self.sessions.has_just_heard(now)
    }

    /// On whose account a call runs that has come by this session, as that of `account`.
    #[inline]
    pub(crate) fn caller(
        &mut self,
        session: SessionKey,
        account: Option<Account>,
        now: Instant,
    ) -> AccountKey {
        self.sessions.shares.caller(session.index, account, now)
    }

    /// As whose a call of this caller is passed on.
    pub(crate) fn passed_on_as(&self, caller: AccountKey) -> Option<Account> {
        self.sessions.shares.passed_on_as(caller)
    }

    /// Whether this caller has had more than its part of the core, and there are others.
    #[inline]
    pub(crate) fn is_ahead(&self, caller: AccountKey) -> bool {
        self.sessions.shares.is_ahead(caller)
    }

    /// Something for this caller took so long.
    pub(crate) fn charge(&mut self, caller: AccountKey, time: Duration, now: Instant) {
        self.sessions.shares.charge(caller, time, now);
    }

    /// Since then what is done is for the call of this caller, who comes by the session of another.
    pub(crate) fn work_for_guest(&mut self, caller: AccountKey, is_ahead: bool, since: Instant) {
        self.sessions.shares.work_for_guest(caller, since);
        if !is_ahead {
            self.sessions.heard = since;
        }
    }

    /// Where an answer for this session's peer is put, and whether it is to say what the shard has to do, of which this is the
    /// number. `None` once the session has ended.
    #[inline]
    pub(crate) fn outbox_for_answer(
        &mut self,
        session: SessionKey,
        load: u32,
    ) -> Option<(&mut Outbox, bool)> {
        self.sessions.get(session)?;
        self.sessions.mark(session.index);
        let entry = self.sessions.at(session.index)?;
        let is_to_hear = entry.is_to_hear(load);
        Some((entry.session.outbox(), is_to_hear))
    }

    /// Tells this session's peer what the shard has to do, of which this is the number, where it is an orchestrator that has not
    /// heard of it.
    pub(crate) fn tell_load(&mut self, session: SessionKey, load: u32, fields: Fields<'_>) {
        if self.sessions.get(session).is_some()
            && let Some(entry) = self.sessions.at(session.index)
            && entry.is_to_hear(load)
        {
            let taken = entry.take_untold();
            entry.session.outbox().send_with(&taken, fields, &[]);
            self.sessions.mark(session.index);
        }
    }

    /// Forgets those who come by the sessions of others, have said nothing for a while and have no calls: a bounded number.
    pub(crate) fn forget_guests(&mut self, now: Instant, has_calls: impl Fn(AccountKey) -> bool) {
        self.sessions.shares.forget_guests(now, has_calls);
    }

    /// Tells every open session's peer that no new calls are taken.
    pub(crate) fn say_goodbye(&mut self) {
        for index in self.sessions.places() {
            if let Some(entry) = self.sessions.at(index)
                && entry.phase == Phase::Open
            {
                let taken = entry.session.calls_taken();
                entry.session.outbox().send(&Header::GoAway { taken }, &[]);
                self.sessions.mark(index);
            }
        }
    }

    /// The number that this server has drawn when it was started; 0 where it is none.
    pub(crate) fn instance(&self) -> u64 {
        match &self.side {
            Side::Server(acceptor) => acceptor.instance,
            Side::Client(_) => 0,
        }
    }

    /// What the peer of a session has shown.
    pub(crate) fn peer(&self, session: SessionKey) -> Option<&PeerCertificate> {
        self.sessions.get(session)?.certificate.as_ref()
    }

    /// The name of a session's peer, as in rules: `client:billing`.
    pub(crate) fn peer_name(&self, session: SessionKey) -> String {
        match self.peer(session) {
            Some(peer) => {
                let role = peer.role.map_or("?", Role::name);
                format!("{role}:{}", peer.name)
            }
            None => "somebody who has gone".to_owned(),
        }
    }

    /// Lets the owners of these certificates in no more.
    pub(crate) fn set_revoked(&mut self, revoked: &Arc<Revoked>) {
        self.sessions.revoked = Arc::clone(revoked);
        self.sessions.end_revoked();
    }

    /// Tells every peer whether new calls are taken, and those who come later where none are.
    pub(crate) fn tell_draining(&mut self, is_draining: bool) {
        self.sessions.is_draining = is_draining;
        for index in self.sessions.places() {
            self.sessions.tell_draining(index);
        }
    }

    /// Tells every peer from now on that this can be called here, and those whose sessions are open at once.
    pub(crate) fn announce(&mut self, script: u64, body: Bytes) {
        self.sessions.announcement = Some((script, body));
        for index in self.sessions.places() {
            self.sessions.announce(index);
        }
    }
}
