//! How a shard ends: it takes nothing new, ends what it has, says the last of it, and waits until that has arrived.

use super::Shard;
use crate::net::service::Service;
use madrpc_core::numbers::later;
use madrpc_core::stats::DRAINED;
use std::time::{Duration, Instant};

/// How long the last frames of a stopping shard may wait for their receivers.
const LINGER: Duration = Duration::from_millis(500);

/// How long a stopping shard waits for what was sent to it before its last word had arrived: it refuses that, so that it is
/// certain that it has not run.
const LINGER_MIN: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Serving,
    Draining,
    /// All is said. It stays for at least so long, and until then for what the network has not taken.
    Leaving {
        from: Instant,
        until: Instant,
    },
}

impl Stage {
    /// As soon as all is said at this time.
    pub(super) const fn leaving_at(now: Instant) -> Self {
        Self::Leaving {
            from: now,
            until: now,
        }
    }

    /// When to look whether it may go.
    pub(super) fn next_timer(self) -> Option<Instant> {
        let Self::Leaving { from, until } = self else {
            return None;
        };
        Some(if Instant::now() < from { from } else { until })
    }
}

impl<S: Service> Shard<S> {
    /// Says goodbye once a draining shard has nothing left to do.
    pub(super) fn leave(&mut self, now: Instant) {
        if self.stage == Stage::Draining && self.service.is_idle() {
            self.stage = Stage::Leaving {
                from: later(now, LINGER_MIN),
                until: later(now, LINGER),
            };
        }
    }

    /// Whether new calls are taken, in a word.
    pub(super) fn state(&self) -> &'static str {
        match self.is_draining || self.stage != Stage::Serving {
            false => "serving",
            true if self.service.is_idle() => DRAINED,
            true => "draining",
        }
    }

    /// Ends the sessions once all is said, or has waited long enough.
    pub(super) fn has_left(&mut self, now: Instant) -> bool {
        let Stage::Leaving { from, until } = self.stage else {
            return false;
        };
        let has_peers = self.callers.session_count() > 0;
        if now < from && has_peers || now < until && !self.callers.is_quiet() {
            return false;
        }
        let reason = format!("{} {} is stopping", self.seat.role, self.seat.name);
        self.callers.close_all(&reason);
        if let Some(upstreams) = &mut self.upstreams {
            upstreams.close(&reason);
        }
        self.flush(now);
        true
    }
}
