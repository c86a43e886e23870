//! Which side has opened an endpoint's sessions, and what it keeps of them therefore.

use super::entry::{Phase, SessionKey};
use crate::net::log_limit::LogLimit;
use madrpc_core::call::{CallError, ErrorKind};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;
use tracing::{debug, info, warn};

/// Which side has opened the sessions.
pub(super) enum Origin {
    /// The peers, whose failures are logged, and counted until they are asked for.
    Accepted {
        refusals: LogLimit,
        failed_handshakes: usize,
    },
    /// We; the driver is told how they end.
    Opened {
        /// Those whose handshake is over, until they are asked for.
        opened: VecDeque<SessionKey>,
    },
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
