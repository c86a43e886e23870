//! How a session goes from one phase to the next: opened, open, closing, gone; and what is noted on the way.

use super::entry::{Ended, Phase, SessionKey};
use super::origin::{Origin, log_end};
use super::sessions::{NO_ROOM, Sessions};
use madrpc_core::call::frame::Header;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::limits::{
    CALLER_SILENCE_MAX, CLOSING_MAX, HANDSHAKE_TIMEOUT, HELD_UP_RETRY, KEEP_ALIVE,
    SESSION_COST_BYTES,
};
use madrpc_core::session::Goodbye;
use std::time::Instant;
use tracing::debug;

impl Sessions {
    /// Notes what has become of a session that has sent all it has to say, and sets its timer.
    pub(super) fn settle(&mut self, index: usize, now: Instant) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        while let Some(peer) = entry.session.moved() {
            debug!("session with {} goes on with {peer}", entry.peer);
            entry.peer = peer;
            self.migrations += 1;
        }
        let waits = entry.session.waiting_bytes() > 0 && entry.phase != Phase::Closing;
        if waits != entry.waits {
            entry.waits = waits;
            self.waiting = match waits {
                true => self.waiting + 1,
                false => self.waiting - 1,
            };
        }
        let was_open = entry.phase != Phase::Handshaking;
        entry.note_progress(now);
        entry
            .held
            .set(SESSION_COST_BYTES + entry.session.held_bytes());
        let is_closed = entry.session.quic().is_closed();
        // A peer that has said goodbye waits for nothing.
        let is_answered = entry.session.quic().is_draining();
        let has_excess = entry.session.excess().is_some();
        if let Some(error) = entry.session.ended() {
            self.report(index, error);
            // A handshake that failed leaves nothing: a stranger could have any number of them. What he sends once more is a
            // new one. Nor does a session for which QUIC keeps much more.
            let is_over = is_closed || is_answered || !was_open || has_excess;
            if is_over || self.counts.closing > CLOSING_MAX {
                return self.remove(index);
            }
        }
        self.set_timer(index, now);
    }

    /// Notes that a handshake is over, where it is; says whether it is by now.
    pub(super) fn enter_if_open(&mut self, index: usize, now: Instant) -> bool {
        let Some(entry) = self.entries.get_mut(index) else {
            return false;
        };
        if entry.phase != Phase::Handshaking || !entry.session.is_established() {
            return entry.phase == Phase::Open;
        }
        debug!("session with {} is open", entry.peer);
        if entry.is_ours {
            self.peers.established(index, entry.session.reset_token());
        }
        if let Origin::Opened { opened } = &mut self.origin {
            let generation = entry.generation;
            opened.push_back(SessionKey { index, generation });
        }
        self.enter(index, Phase::Open);
        let admitted = match self.is_server() && self.counts.open > self.sessions_max() {
            true => Err((Goodbye::Overloaded, NO_ROOM.to_owned())),
            false => self.identify(index, now),
        };
        match admitted {
            Err((goodbye, reason)) => self.close(index, goodbye, &reason),
            Ok(()) => {
                self.announce(index);
                if self.is_draining {
                    self.tell_draining(index);
                }
            }
        }
        true
    }

    /// Tells a peer what can be called here.
    pub(super) fn announce(&mut self, index: usize) {
        if let Some((script, body)) = &self.announcement
            && let Some(entry) = self.entries.get_mut(index)
            && entry.phase == Phase::Open
        {
            let functions = Header::Functions { script: *script };
            entry.session.outbox().send(&functions, body);
            self.mark(index);
        }
    }

    /// Tells a peer whether new calls are taken.
    pub(super) fn tell_draining(&mut self, index: usize) {
        let is_draining = self.is_draining;
        if let Some(entry) = self.entries.get_mut(index)
            && entry.phase == Phase::Open
        {
            let draining = Header::Draining { is_draining };
            entry.session.outbox().send(&draining, &[]);
            self.mark(index);
        }
    }

    /// Ends the sessions of those who are not let in any more.
    pub(super) fn end_revoked(&mut self) {
        for index in self.places() {
            if let Some(shown) = self.entries.get(index).and_then(|e| e.certificate.as_ref())
                && self.revoked.contains(&shown.serial)
            {
                let reason = revoked(&shown.serial);
                self.close(index, Goodbye::Unauthorized, &reason);
            }
        }
    }

    /// Looks at the certificate that the peer has shown.
    ///
    /// # Errors
    /// Why the peer may not stay.
    fn identify(&mut self, index: usize, now: Instant) -> Result<(), (Goodbye, String)> {
        let most = self.is_server().then(|| self.sessions_max() / 2);
        let Some(entry) = self.entries.get_mut(index) else {
            return Ok(());
        };
        let shown = self
            .certificates
            .read(entry.session.quic().peer_cert(), now)?;
        if self.revoked.contains(&shown.serial) {
            return Err((Goodbye::Unauthorized, revoked(&shown.serial)));
        }
        let (fingerprint, role) = (shown.fingerprint, shown.role);
        entry.certificate = Some(shown);
        if self.is_server() {
            self.shares.open(index, fingerprint, role);
        }
        self.certificates.add(fingerprint, most)
    }

    /// Ends a session; `reason` is shown to the peer.
    pub(super) fn close(&mut self, index: usize, goodbye: Goodbye, reason: &str) {
        if let Some(entry) = self.entries.get_mut(index) {
            entry.session.close(goodbye, reason);
            self.mark(index);
        }
    }

    /// Finds out whether the peer of a session is there, which has something under way; one that has been silent for too
    /// long, pings unanswered, is given up.
    pub(super) fn probe(&mut self, index: usize, now: Instant) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        let silence = now.saturating_duration_since(entry.received_at);
        if silence >= CALLER_SILENCE_MAX {
            let seconds = silence.as_secs();
            let error = format!("the caller has been silent for {seconds} s, with calls under way");
            self.abandon(
                index,
                CallError::may_have_run(ErrorKind::Unavailable, error),
            );
        } else if silence >= KEEP_ALIVE / 2 {
            entry.session.ping();
            self.mark(index);
        }
    }

    fn set_timer(&mut self, index: usize, now: Instant) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        let handshake = entry.opened + HANDSHAKE_TIMEOUT;
        let handshake = (entry.phase == Phase::Handshaking).then_some(handshake);
        // What it waits for may be somebody else's to give.
        let waits = entry.is_held_up || entry.expects_enough();
        let retry = waits.then_some(now + HELD_UP_RETRY);
        let expiry = entry.certificate.as_ref().map(|shown| shown.valid_until);
        let late = entry.session.next_late();
        let times = [
            entry.session.timeout(),
            entry.acks.due(),
            handshake,
            retry,
            expiry,
            late,
        ];
        let due = times.into_iter().flatten();
        let due = due.min().map(|due| due.max(now));
        if let Some((at, timer)) = entry.timer {
            // A timer that fires too early only looks again; one that would fire too late must move.
            if due.is_some_and(|due| at <= due) {
                return;
            }
            self.timers.remove(timer);
            entry.timer = None;
        }
        if let Some(due) = due {
            entry.timer = Some((due, self.timers.insert(due, index)));
        }
    }

    fn enter(&mut self, index: usize, phase: Phase) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        *self.counts.of(entry.phase) -= 1;
        *self.counts.of(phase) += 1;
        self.counts.handshake_bytes -= std::mem::take(&mut entry.handshake_bytes);
        entry.phase = phase;
    }

    /// Notes that a session is over, and why; what is noted first counts.
    pub(super) fn report(&mut self, index: usize, error: CallError) {
        let Some(entry) = self.entries.get_mut(index) else {
            return;
        };
        if entry.phase == Phase::Closing {
            return;
        }
        if let Origin::Accepted {
            refusals,
            failed_handshakes,
            refused,
        } = &mut self.origin
            && !entry.is_ours
        {
            let is_open = entry.phase == Phase::Open;
            // One that has run out of time has been counted for as long as any.
            let is_early = entry.opened.elapsed() < HANDSHAKE_TIMEOUT;
            *failed_handshakes += usize::from(!is_open && is_early);
            if !is_open || error.kind == ErrorKind::Unauthorized {
                refused[usize::from(error.kind.number()) - 1] += 1;
            }
            log_end(refusals, entry.peer, &error, is_open);
        }
        if std::mem::take(&mut entry.waits) {
            self.waiting -= 1;
        }
        let session = SessionKey {
            index,
            generation: entry.generation,
        };
        let is_new = entry.phase == Phase::Handshaking;
        let unsent = is_new.then(|| std::mem::take(entry.session.outbox()));
        self.enter(index, Phase::Closing);
        self.ended.push_back(Ended {
            session,
            why: error,
            unsent,
        });
    }

    /// Ends a session at once, without a word to its peer.
    pub(super) fn abandon(&mut self, index: usize, error: CallError) {
        self.report(index, error);
        self.remove(index);
    }

    fn remove(&mut self, index: usize) {
        let Some(entry) = self.entries.try_remove(index) else {
            return;
        };
        self.shares.close(index);
        self.parked.forget(&entry.parked);
        *self.counts.of(entry.phase) -= 1;
        self.counts.handshake_bytes -= entry.handshake_bytes;
        for id in entry.ids.into_iter().flatten() {
            self.by_id.remove(&id);
        }
        if let Some((_, timer)) = entry.timer {
            self.timers.remove(timer);
        }
        if entry.is_ours {
            self.peers
                .gone(index, entry.peer, entry.session.reset_token());
        }
        if let Some(shown) = entry.certificate {
            self.certificates.remove(shown.fingerprint);
        }
    }
}

fn revoked(serial: &str) -> String {
    format!("the certificate with the serial number {serial} has been revoked")
}
