//! Which side has opened an endpoint's sessions, and what it keeps of them therefore.

use super::entry::{Phase, SessionKey};
use super::sessions::Sessions;
use crate::net::log_limit::LogLimit;
use madrpc_core::call::{CallError, ErrorKind};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;
use tracing::{debug, info, warn};

/// Handshakes that failed and sessions that were refused, by the kind of the error.
pub(super) type Refused = [u64; ErrorKind::ALL.len()];

/// Which side has opened the sessions.
pub(super) enum Origin {
    /// The peers, whose failures are logged, and counted until they are asked for.
    Accepted {
        refusals: LogLimit,
        failed_handshakes: usize,
        /// By the kind of the error.
        refused: Refused,
    },
    /// We; the driver is told how they end.
    Opened {
        /// Those whose handshake is over, until they are asked for.
        opened: VecDeque<SessionKey>,
    },
}

impl Sessions {
    /// What was refused, by the name of the error; so many handshakes were dropped before they were any session's.
    pub(super) fn refused(&self, dropped: u64) -> Vec<(String, u64)> {
        let Origin::Accepted { refused, .. } = &self.origin else {
            return Vec::new();
        };
        let counts = ErrorKind::ALL.into_iter().zip(refused);
        let counts = counts.map(|(kind, count)| match kind {
            ErrorKind::Overloaded => (kind, *count + dropped),
            _ => (kind, *count),
        });
        counts
            .filter(|(_, count)| *count > 0)
            .map(|(kind, count)| (kind.name().to_owned(), count))
            .collect()
    }
}

/// Sessions by phase.
#[derive(Default)]
pub(super) struct Counts {
    pub(super) handshaking: usize,
    pub(super) open: usize,
    pub(super) closing: usize,
    /// Bytes received for handshakes that are not over.
    pub(super) handshake_bytes: usize,
}

impl Counts {
    pub(super) fn of(&mut self, phase: Phase) -> &mut usize {
        match phase {
            Phase::Handshaking => &mut self.handshaking,
            Phase::Open => &mut self.open,
            Phase::Closing => &mut self.closing,
        }
    }
}

/// Tells the log that an accepted session has ended.
pub(super) fn log_end(
    refusals: &mut LogLimit,
    peer: SocketAddr,
    error: &CallError,
    was_open: bool,
) {
    let why = &error.message;
    let is_refused = matches!(error.kind, ErrorKind::Unauthorized | ErrorKind::Protocol);
    if was_open && !is_refused {
        debug!("session with {peer} is over: {why}");
    } else if let Some(count) = refusals.tell(Instant::now()) {
        match is_refused {
            true => warn!("session with {peer} refused: {why} ({count} since the last such line)"),
            false => info!(
                "session with {peer} did not come about: {why} ({count} since the last such line)"
            ),
        }
    }
}
