//! The end of sessions: what is noticed of each in a turn, its timer, and what the shard is told when it is over.

use super::Endpoint;
use super::entry::SessionKey;
use madrpc_core::error::{CallError, ErrorKind};
use madrpc_core::limits::HANDSHAKE_TIMEOUT;
use std::net::SocketAddr;
use std::time::Instant;
use tracing::{debug, info, warn};

/// Reports of an unreachable port, with no datagram in between, after which an open session is given up. Such reports
/// carry no authentication, so one alone ends nothing.
const UNREACHABLE_MAX: u32 = 3;

impl Endpoint {
    /// The network says that nothing listens at `peer`.
    pub(super) fn on_unreachable(&mut self, peer: SocketAddr) {
        for index in 0..self.sessions.capacity() {
            let Some(entry) = self
                .sessions
                .get_mut(index)
                .filter(|entry| entry.peer == peer && !entry.reported)
            else {
                continue;
            };
            entry.unreachable += 1;
            if entry.established && entry.unreachable < UNREACHABLE_MAX {
                entry.session.ping();
                self.mark(index);
                continue;
            }
            let error = CallError {
                may_have_run: entry.established,
                ..CallError::not_run(ErrorKind::Unavailable, "no process listens there")
            };
            self.abandon(index, error);
        }
    }

    /// Notes what has become of a session in this turn, and sets its timer.
    pub(super) fn settle(&mut self, index: usize, now: Instant) {
        let Some(entry) = self.sessions.get_mut(index) else {
            return;
        };
        if !entry.established && entry.session.is_established() {
            entry.established = true;
            if self.accepts.server {
                self.accepts.handshaking -= 1;
            }
            debug!("session with {} is open", entry.peer);
        }
        while let Some(peer) = entry.session.moved() {
            debug!("session with {} goes on with {peer}", entry.peer);
            entry.peer = peer;
            self.migrations += 1;
        }
        let ended = entry.session.ended();
        let closed = entry.session.quic().is_closed();
        if let Some(error) = ended
            && !entry.reported
        {
            self.report(index, error);
        }
        if closed {
            self.remove(index);
            return;
        }
        let Some(entry) = self.sessions.get_mut(index) else {
            return;
        };
        let handshake = (!entry.established).then_some(entry.opened + HANDSHAKE_TIMEOUT);
        let due = [entry.session.timeout(), handshake]
            .into_iter()
            .flatten()
            .min();
        let due = due.map(|due| due.max(now));
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

    /// Tells the shard, once, that a session is over.
    pub(super) fn report(&mut self, index: usize, error: CallError) {
        let Some(entry) = self.sessions.get_mut(index).filter(|entry| !entry.reported) else {
            return;
        };
        entry.reported = true;
        if self.accepts.server {
            if !entry.established {
                self.accepts.handshaking -= 1;
            }
            let peer = entry.peer;
            match error.kind {
                ErrorKind::Unauthorized | ErrorKind::Protocol => {
                    if let Some(count) = self.refusals.tell(Instant::now()) {
                        warn!(
                            "session with {peer} refused: {} ({count} since the last such line)",
                            error.message
                        );
                    }
                }
                _ if entry.established => debug!("session with {peer} is over: {}", error.message),
                _ => {
                    if let Some(count) = self.failures.tell(Instant::now()) {
                        info!(
                            "session with {peer} did not come about: {} ({count} since the last such line)",
                            error.message
                        );
                    }
                }
            }
        }
        let key = SessionKey {
            index,
            generation: entry.generation,
        };
        self.ended.push_back((key, error));
    }

    pub(super) fn remove(&mut self, index: usize) {
        if let Some(entry) = self.sessions.try_remove(index) {
            for id in entry.ids.into_iter().flatten() {
                self.by_id.remove(&id);
            }
            if let Some((_, timer)) = entry.timer {
                self.timers.remove(timer);
            }
        }
    }
}
